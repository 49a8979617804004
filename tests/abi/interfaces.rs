//! C_GetFunctionList, C_GetInterfaceList and C_GetInterface.

#![expect(unsafe_code, reason = "this is the C side of the C ABI")]

use std::{ffi::CStr, ptr::null_mut};

use cryptoki_sys::*;
use trellis_tests::{c, isolated, raw::Raw};

fn find(
    p11: &Raw,
    name: Option<&CStr>,
    version: Option<(u8, u8)>,
    flags: CK_FLAGS,
) -> Result<(u8, u8), CK_RV> {
    let mut version = version.map(|(major, minor)| CK_VERSION { major, minor });
    let version = version.as_mut().map_or(null_mut(), std::ptr::from_mut);
    let name = name.map_or(null_mut(), |name| name.as_ptr().cast_mut().cast());
    let mut interface = null_mut();
    match c!(p11.C_GetInterface(name, version, &raw mut interface, flags)) {
        CKR_OK => {
            // SAFETY: every function list begins with its version.
            let found = unsafe { (*interface).pFunctionList.cast::<CK_VERSION>().read() };
            Ok((found.major, found.minor))
        }
        rv => Err(rv),
    }
}

isolated! {
    fn by_name_version_and_flags(place) {
        let p11 = place.load();
        let standard = Some(c"PKCS 11");
        for (name, version, flags, expected) in [
            (None, None, 0, Ok((3, 2))),
            (standard, None, 0, Ok((3, 2))),
            (standard, Some((3, 2)), 0, Ok((3, 2))),
            (standard, Some((3, 0)), 0, Ok((3, 0))),
            (None, Some((2, 40)), 0, Ok((2, 40))),
            (standard, Some((3, 1)), 0, Err(CKR_FUNCTION_FAILED)),
            (standard, Some((2, 20)), 0, Err(CKR_FUNCTION_FAILED)),
            (Some(c"PKCS 12"), None, 0, Err(CKR_FUNCTION_FAILED)),
            (Some(c"Vendor Trellis"), None, 0, Ok((1, 2))),
            (Some(c"Vendor Trellis"), Some((1, 2)), 0, Ok((1, 2))),
            (Some(c"Vendor Trellis"), Some((1, 1)), 0, Ok((1, 1))),
            (Some(c"Vendor Trellis"), Some((3, 2)), 0, Err(CKR_FUNCTION_FAILED)),
            // The flag promises a child of fork(2) its parent's login.
            (standard, None, CKF_INTERFACE_FORK_SAFE, Err(CKR_FUNCTION_FAILED)),
            (None, None, CKF_INTERFACE_FORK_SAFE, Err(CKR_FUNCTION_FAILED)),
            (None, None, 1 << 40, Err(CKR_FUNCTION_FAILED)),
        ] {
            assert_eq!(find(&p11, name, version, flags), expected, "{name:?} {version:?} {flags:#x}");
        }
        assert_eq!(c!(p11.C_GetInterface(null_mut(), null_mut(), null_mut(), 0)), CKR_ARGUMENTS_BAD);
    }

    fn listed(place) {
        let p11 = place.load();
        let mut count = 0;
        assert_eq!(c!(p11.C_GetInterfaceList(null_mut(), null_mut())), CKR_ARGUMENTS_BAD);
        assert_eq!(c!(p11.C_GetInterfaceList(null_mut(), &raw mut count)), CKR_OK);
        assert_eq!(count, 5);
        let mut interfaces = [CK_INTERFACE::default(); 5];
        count = 4;
        assert_eq!(c!(p11.C_GetInterfaceList(interfaces.as_mut_ptr(), &raw mut count)), CKR_BUFFER_TOO_SMALL);
        assert_eq!(count, 5);
        assert!(interfaces[0].pFunctionList.is_null());
        assert_eq!(c!(p11.C_GetInterfaceList(interfaces.as_mut_ptr(), &raw mut count)), CKR_OK);
        let listed = interfaces.map(|interface| {
            assert_eq!(interface.flags, 0);
            // SAFETY: names are C strings, and lists begin with their versions.
            unsafe {
                let version = interface.pFunctionList.cast::<CK_VERSION>().read();
                (CStr::from_ptr(interface.pInterfaceName.cast()), version.major, version.minor)
            }
        });
        let (standard, vendor) = (c"PKCS 11", c"Vendor Trellis");
        assert_eq!(listed, [(standard, 3, 2), (standard, 3, 0), (standard, 2, 40), (vendor, 1, 2), (vendor, 1, 1)]);
    }

    /// The older lists are the beginnings of the newest, and every entry is the exported function.
    fn one_table(place) {
        let p11 = place.load();
        let mut old = null_mut();
        assert_eq!(c!(p11.C_GetFunctionList(null_mut())), CKR_ARGUMENTS_BAD);
        assert_eq!(c!(p11.C_GetFunctionList(&raw mut old)), CKR_OK);
        let words = |list: *const usize, bytes: usize| {
            // SAFETY: a list is its version, padded to a word, and function pointers.
            (1..bytes / 8).map(|index| unsafe { list.add(index).read() }).collect::<Vec<_>>()
        };
        let new = words(std::ptr::from_ref(p11.list).cast(), size_of::<CK_FUNCTION_LIST_3_2>());
        let old = words(old.cast(), size_of::<CK_FUNCTION_LIST>());
        assert_eq!(old, new[..old.len()]);
        assert_eq!((old.len(), new.len()), (68, 104));
        let distinct: std::collections::BTreeSet<_> = new.iter().collect();
        assert!(distinct.len() == new.len() && !distinct.contains(&0));
        // SAFETY: the symbol has this type.
        let exported = unsafe { p11.symbol::<CK_C_Sign>("C_Sign") }.expect("is exported");
        assert_eq!((*exported).map(|f| f as usize), p11.list.C_Sign.map(|f| f as usize));
    }
}
