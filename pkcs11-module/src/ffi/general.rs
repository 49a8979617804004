//! General purpose functions (PKCS#11 v3.2 section 5.4).

use std::ffi::c_void;

use cryptoki_sys as ck;

use super::{args, guard, interfaces, state};
use crate::{
    error::{Error, Result},
    module::{LIBRARY_VERSION, MANUFACTURER},
};

// SAFETY: the name is PKCS#11's own, and no other symbol of this library has it.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn C_Initialize(init_args: *mut c_void) -> ck::CK_RV {
    guard::answer("C_Initialize", || {
        let none = ck::CK_C_INITIALIZE_ARGS::default();
        let init_args = init_args.cast::<ck::CK_C_INITIALIZE_ARGS>();
        // SAFETY: the contract of `args`; the struct is numbers, a pointer and nullable function pointers.
        let init_args = if init_args.is_null() { none } else { unsafe { args::read(init_args) }? };
        // SAFETY: as above.
        unsafe { state::initialize(&init_args) }
    })
}

// SAFETY: as above.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn C_Finalize(reserved: *mut c_void) -> ck::CK_RV {
    guard::answer(
        "C_Finalize",
        || if reserved.is_null() { state::finalize() } else { Err(Error::ArgumentsBad) },
    )
}

// SAFETY: as above.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn C_GetInfo(info: *mut ck::CK_INFO) -> ck::CK_RV {
    guard::run_call("C_GetInfo", |run| {
        // SAFETY: the contract of `args`.
        let place = unsafe { args::Place::new(info) }?;
        let info = run.module.info()?;
        place.set(ck::CK_INFO {
            cryptokiVersion: version(info.cryptoki_version),
            manufacturerID: padded(MANUFACTURER),
            flags: 0,
            libraryDescription: padded(info.description),
            libraryVersion: version(LIBRARY_VERSION),
        });
        Ok(())
    })
}

// SAFETY: as above.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn C_GetFunctionList(list: *mut *mut ck::CK_FUNCTION_LIST) -> ck::CK_RV {
    guard::answer("C_GetFunctionList", || {
        // SAFETY: the contract of `args`.
        unsafe { args::Place::new(list) }?.set((&raw const interfaces::LIST_2_40).cast_mut());
        Ok(())
    })
}

// SAFETY: as above.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn C_GetInterfaceList(
    list: *mut ck::CK_INTERFACE,
    count: *mut ck::CK_ULONG,
) -> ck::CK_RV {
    guard::answer("C_GetInterfaceList", || {
        // SAFETY: the contract of `args`.
        unsafe { args::fill_list(list, count, interfaces::all()) }
    })
}

// SAFETY: as above.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn C_GetInterface(
    name: *mut ck::CK_UTF8CHAR,
    version: *mut ck::CK_VERSION,
    interface: *mut *mut ck::CK_INTERFACE,
    flags: ck::CK_FLAGS,
) -> ck::CK_RV {
    guard::answer("C_GetInterface", || {
        // SAFETY: the contract of `args`; a name is a C string.
        let (place, name, version) = unsafe {
            let name = (!name.is_null()).then(|| std::ffi::CStr::from_ptr(name.cast()));
            (args::Place::new(interface)?, name, optional(version)?)
        };
        let found = interfaces::find(name, version.map(|version| (version.major, version.minor)), flags);
        place.set(std::ptr::from_ref(found.ok_or(Error::FunctionFailed)?).cast_mut());
        Ok(())
    })
}

unsafe fn optional<T: Copy>(pointer: *const T) -> Result<Option<T>> {
    // SAFETY: passed on.
    if pointer.is_null() { Ok(None) } else { unsafe { args::read(pointer) }.map(Some) }
}

pub(super) fn version((major, minor): (u8, u8)) -> ck::CK_VERSION {
    ck::CK_VERSION { major, minor }
}

/// A text padded with blanks, as the info structs have it. What does not fit is cut between two characters.
pub(super) fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut field = [b' '; N];
    let len = (0..=N.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    field[..len].copy_from_slice(&text.as_bytes()[..len]);
    field
}
