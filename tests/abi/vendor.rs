//! The interface "Vendor Trellis" 1.2 (docs/vendor-interface.md).

#![expect(unsafe_code, reason = "this is the C side of the C ABI")]

use std::{path::Path, ptr::null_mut};

use cryptoki_sys::*;
use trellis_tests::{
    c, isolated,
    objects::{Answer, Template},
    raw::{Raw, USER_PIN},
};

#[repr(C)]
pub(crate) struct FunctionList {
    version: CK_VERSION,
    backup: unsafe extern "C" fn(CK_SLOT_ID, *mut u8, CK_ULONG, *mut u8, CK_ULONG) -> CK_RV,
    restore: unsafe extern "C" fn(CK_SLOT_ID, *mut u8, CK_ULONG, *mut u8, CK_ULONG, CK_FLAGS) -> CK_RV,
    status: unsafe extern "C" fn(CK_SLOT_ID, *mut u8, *mut CK_ULONG) -> CK_RV,
    reseal: unsafe extern "C" fn(CK_SLOT_ID, *mut u8, CK_ULONG) -> CK_RV,
    pub(crate) create_objects: unsafe extern "C" fn(
        CK_SESSION_HANDLE,
        *mut *mut CK_ATTRIBUTE,
        *mut CK_ULONG,
        CK_ULONG,
        *mut CK_OBJECT_HANDLE,
    ) -> CK_RV,
}

const PASSPHRASE: &[u8] = b"a long passphrase";

pub(crate) fn vendor(p11: &Raw) -> &'static FunctionList {
    of_version(p11, None)
}

fn of_version(p11: &Raw, version: Option<CK_VERSION>) -> &'static FunctionList {
    let mut interface = null_mut();
    let mut version = version;
    let version = version.as_mut().map_or(null_mut(), std::ptr::from_mut);
    let name = c"Vendor Trellis".as_ptr().cast_mut().cast();
    assert_eq!(c!(p11.C_GetInterface(name, version, &raw mut interface, 0)), CKR_OK);
    // SAFETY: the list is a static of a library that stays loaded.
    unsafe { &*(*interface).pFunctionList.cast::<FunctionList>() }
}

impl FunctionList {
    fn backup(&self, slot: CK_SLOT_ID, path: &Path, passphrase: &[u8]) -> CK_RV {
        let (path, path_len) = bytes(path.as_os_str().as_encoded_bytes());
        let (passphrase, passphrase_len) = bytes(passphrase);
        // SAFETY: pointers and lengths are those of slices.
        unsafe { (self.backup)(slot, path, path_len, passphrase, passphrase_len) }
    }

    fn restore(&self, slot: CK_SLOT_ID, path: &Path, passphrase: &[u8], flags: CK_FLAGS) -> CK_RV {
        let (path, path_len) = bytes(path.as_os_str().as_encoded_bytes());
        let (passphrase, passphrase_len) = bytes(passphrase);
        // SAFETY: pointers and lengths are those of slices.
        unsafe { (self.restore)(slot, path, path_len, passphrase, passphrase_len, flags) }
    }

    /// T_CreateObjects.
    pub(crate) fn create_objects(
        &self,
        session: CK_SESSION_HANDLE,
        templates: &[Template],
    ) -> Answer<Vec<CK_OBJECT_HANDLE>> {
        let mut attributes: Vec<_> = templates.iter().map(Template::attributes).collect();
        let mut pointers: Vec<_> = attributes.iter_mut().map(|attributes| attributes.as_mut_ptr()).collect();
        let mut counts: Vec<_> = attributes.iter().map(|attributes| attributes.len() as CK_ULONG).collect();
        let (number, mut handles) = (templates.len() as CK_ULONG, vec![0; templates.len()]);
        let places = (pointers.as_mut_ptr(), counts.as_mut_ptr(), handles.as_mut_ptr());
        // SAFETY: each array has `number` elements, and they are those of the templates.
        match unsafe { (self.create_objects)(session, places.0, places.1, number, places.2) } {
            CKR_OK => Ok(handles),
            rv => {
                assert!(handles.iter().all(|handle| *handle == 0), "no handle of what was not made");
                Err(rv)
            }
        }
    }

    /// T_Status.
    pub(crate) fn status(&self, slot: CK_SLOT_ID) -> Result<String, CK_RV> {
        let mut len = 0;
        // SAFETY: a NULL buffer asks for the length.
        match unsafe { (self.status)(slot, null_mut(), &raw mut len) } {
            CKR_OK => {}
            rv => return Err(rv),
        }
        let mut json = vec![0; len as usize];
        // SAFETY: the buffer has `len` bytes.
        assert_eq!(unsafe { (self.status)(slot, json.as_mut_ptr(), &raw mut len) }, CKR_OK);
        json.truncate(len as usize);
        Ok(String::from_utf8(json).expect("T_Status is UTF-8"))
    }
}

fn bytes(bytes: &[u8]) -> (*mut u8, CK_ULONG) {
    (bytes.as_ptr().cast_mut(), bytes.len() as CK_ULONG)
}

isolated! {
    fn status_of_the_module_and_of_a_slot(place) {
        let p11 = place.load();
        let vendor = vendor(&p11);
        assert_eq!((vendor.version.major, vendor.version.minor), (1, 2));
        let older = of_version(&p11, Some(CK_VERSION { major: 1, minor: 1 }));
        assert_eq!((older.version.major, older.version.minor), (1, 1));
        assert!(older.status as usize == vendor.status as usize && older.reseal as usize == vendor.reseal as usize);
        assert_eq!(vendor.status(0), Err(CKR_CRYPTOKI_NOT_INITIALIZED));
        let before = vendor.status(CK_UNAVAILABLE_INFORMATION).unwrap();
        for part in ["\"initialized\":false", "trellis.toml", "\"last_failure\":null", "\"problems\":[]"] {
            assert!(before.contains(part), "{before} lacks {part}");
        }
        p11.initialize();
        p11.make_token();
        let whole = vendor.status(CK_UNAVAILABLE_INFORMATION).unwrap();
        assert!(whole.contains("\"self_test\":\"passed\"") && whole.contains("trellis.toml"), "{whole}");
        assert!(whole.contains(&format!("\"store\":{:?}", place.token())), "{whole}");
        assert!(whole.contains("\"engine_protected\":true"), "{whole}");
        let slot = vendor.status(0).unwrap();
        assert!(slot.contains("\"label\":\"test token\"") && whole.contains(&slot), "{slot}");
        assert_eq!(vendor.status(5), Err(CKR_SLOT_ID_INVALID));
    }

    fn status_tells_why_c_initialize_failed(place) {
        let p11 = place.load();
        let vendor = vendor(&p11);
        place.configure("[[slot]]\npath = 'token'\ncolour = 'red'\n");
        let before = vendor.status(CK_UNAVAILABLE_INFORMATION).unwrap();
        assert!(before.contains("trellis.toml:3:1: unknown field `colour`"), "{before}");
        assert!(before.contains("\"last_failure\":null"), "{before}");
        assert_eq!(c!(p11.C_Initialize(null_mut())), CKR_FUNCTION_FAILED);
        let after = vendor.status(CK_UNAVAILABLE_INFORMATION).unwrap();
        assert!(after.contains("\"function\":\"C_Initialize\""), "{after}");
        assert!(after.contains("\"return_value\":\"CKR_FUNCTION_FAILED\""), "{after}");
    }

    fn status_tells_why_a_function_failed_until_another_fails(place) {
        let p11 = place.load();
        let vendor = vendor(&p11);
        p11.initialize();
        p11.make_token();
        p11.finalize();
        std::fs::set_permissions(place.token(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        p11.initialize();
        let mut info = CK_TOKEN_INFO::default();
        assert_eq!(c!(p11.C_GetTokenInfo(0, &raw mut info)), CKR_DEVICE_ERROR);
        let failure = |status: &str| {
            let (_, failure) = status.split_once("\"last_failure\":").unwrap();
            failure.split_once('}').unwrap().0.to_owned()
        };
        let status = vendor.status(CK_UNAVAILABLE_INFORMATION).unwrap();
        for part in ["\"C_GetTokenInfo\"", "\"about\":\"store\"", "(mode 755)", "\"chmod 700 "] {
            assert!(failure(&status).contains(part), "{status} lacks {part}");
        }
        // Asking, and functions that succeed, leave it; another failure takes its place.
        let mut slot = CK_SLOT_INFO::default();
        assert_eq!(c!(p11.C_GetSlotInfo(0, &raw mut slot)), CKR_OK);
        assert_eq!(vendor.status(9), Err(CKR_SLOT_ID_INVALID));
        assert_eq!(failure(&vendor.status(CK_UNAVAILABLE_INFORMATION).unwrap()), failure(&status));
        // Another thread has failures of its own.
        std::thread::scope(|scope| {
            let there = scope.spawn(|| vendor.status(CK_UNAVAILABLE_INFORMATION).unwrap()).join().unwrap();
            assert!(there.contains("\"last_failure\":null"), "{there}");
        });
        assert_eq!(c!(p11.C_GetTokenInfo(9, &raw mut info)), CKR_SLOT_ID_INVALID);
        let status = vendor.status(CK_UNAVAILABLE_INFORMATION).unwrap();
        assert!(status.contains("\"last_failure\":null"), "{status}");
    }

    fn backup_and_restore(place) {
        let p11 = place.load();
        let vendor = vendor(&p11);
        p11.initialize();
        p11.make_token();
        let file = place.directory().join("token.backup");
        assert_eq!(vendor.backup(0, Path::new("relative"), PASSPHRASE), CKR_ARGUMENTS_BAD);
        assert_eq!(vendor.backup(0, &file, b"123"), CKR_PIN_LEN_RANGE);
        assert_eq!(vendor.backup(0, &file, PASSPHRASE), CKR_OK);
        assert_ne!(vendor.backup(0, &file, PASSPHRASE), CKR_OK, "the file exists");
        assert_eq!(p11.init_token(0, "another"), CKR_OK);
        assert_ne!(vendor.restore(0, &file, PASSPHRASE, 0), CKR_OK, "the token is initialised");
        assert_eq!(vendor.restore(0, &file, b"wrong passphrase", 1), CKR_PIN_INCORRECT);
        assert_eq!(vendor.restore(0, &file, PASSPHRASE, 2), CKR_ARGUMENTS_BAD);
        let session = p11.open(0);
        assert_eq!(vendor.restore(0, &file, PASSPHRASE, 1), CKR_SESSION_EXISTS);
        assert_eq!(c!(p11.C_CloseSession(session)), CKR_OK);
        assert!(p11.token_info().label.starts_with(b"another "));
        assert_eq!(vendor.restore(0, &file, PASSPHRASE, 1), CKR_OK);
        assert!(p11.token_info().label.starts_with(b"test token "));
        let session = p11.open(0);
        assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
    }
}
