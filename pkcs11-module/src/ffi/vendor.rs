//! The interface "Vendor Trellis" 1.2 (docs/vendor-interface.md): what an administrator needs and the standard has no
//! function for.

use std::{ffi::CStr, os::unix::ffi::OsStrExt, path::Path};

use cryptoki_sys as ck;

use super::{
    args::{self, Destination},
    guard, state,
};
use crate::{
    config::Environment,
    error::{Error, Result},
    handle::{SessionHandle, SlotId},
    module::status_uninitialized,
};

/// The interface's name for C_GetInterface.
pub(super) const NAME: &CStr = c"Vendor Trellis";

/// `flags` of T_RestoreToken: the token that is there may be replaced.
const REPLACE: ck::CK_FLAGS = 1;

type Backup = unsafe extern "C" fn(
    ck::CK_SLOT_ID,
    *mut ck::CK_UTF8CHAR,
    ck::CK_ULONG,
    *mut ck::CK_UTF8CHAR,
    ck::CK_ULONG,
) -> ck::CK_RV;
type Restore = unsafe extern "C" fn(
    ck::CK_SLOT_ID,
    *mut ck::CK_UTF8CHAR,
    ck::CK_ULONG,
    *mut ck::CK_UTF8CHAR,
    ck::CK_ULONG,
    ck::CK_FLAGS,
) -> ck::CK_RV;
type Reseal = unsafe extern "C" fn(ck::CK_SLOT_ID, *mut ck::CK_UTF8CHAR, ck::CK_ULONG) -> ck::CK_RV;
type CreateObjects = unsafe extern "C" fn(
    ck::CK_SESSION_HANDLE,
    *mut *mut ck::CK_ATTRIBUTE,
    *mut ck::CK_ULONG,
    ck::CK_ULONG,
    *mut ck::CK_OBJECT_HANDLE,
) -> ck::CK_RV;
type Status = unsafe extern "C" fn(ck::CK_SLOT_ID, *mut ck::CK_UTF8CHAR, *mut ck::CK_ULONG) -> ck::CK_RV;

/// T_FUNCTION_LIST.
#[repr(C)]
#[expect(non_snake_case, reason = "the names are those of the C interface")]
pub(super) struct FunctionList {
    version: ck::CK_VERSION,
    T_BackupToken: Backup,
    T_RestoreToken: Restore,
    T_Status: Status,
    T_ResealToken: Reseal,
    T_CreateObjects: CreateObjects,
}

pub(super) static LIST_1_2: FunctionList = list(2);
/// For those who ask for it by version: its functions are the first of the newer one.
pub(super) static LIST_1_1: FunctionList = list(1);

const fn list(minor: u8) -> FunctionList {
    FunctionList {
        version: ck::CK_VERSION { major: 1, minor },
        T_BackupToken: backup_token,
        T_RestoreToken: restore_token,
        T_Status: status,
        T_ResealToken: reseal_token,
        T_CreateObjects: create_objects,
    }
}

unsafe extern "C" fn backup_token(
    slot: ck::CK_SLOT_ID,
    path: *mut ck::CK_UTF8CHAR,
    path_len: ck::CK_ULONG,
    passphrase: *mut ck::CK_UTF8CHAR,
    passphrase_len: ck::CK_ULONG,
) -> ck::CK_RV {
    guard::slot_call("T_BackupToken", slot, |module| {
        // SAFETY: the contract of `args`.
        let (path, passphrase) = unsafe { (file(path, path_len)?, args::pin(passphrase, passphrase_len)?) };
        module.backup_token(SlotId(slot), path, passphrase)
    })
}

unsafe extern "C" fn restore_token(
    slot: ck::CK_SLOT_ID,
    path: *mut ck::CK_UTF8CHAR,
    path_len: ck::CK_ULONG,
    passphrase: *mut ck::CK_UTF8CHAR,
    passphrase_len: ck::CK_ULONG,
    flags: ck::CK_FLAGS,
) -> ck::CK_RV {
    guard::slot_call("T_RestoreToken", slot, |module| {
        // SAFETY: the contract of `args`.
        let (path, passphrase) = unsafe { (file(path, path_len)?, args::pin(passphrase, passphrase_len)?) };
        if flags & !REPLACE != 0 {
            return Err(Error::ArgumentsBad);
        }
        module.restore_token(SlotId(slot), path, passphrase, flags & REPLACE != 0)
    })
}

unsafe extern "C" fn reseal_token(
    slot: ck::CK_SLOT_ID,
    so_pin: *mut ck::CK_UTF8CHAR,
    so_pin_len: ck::CK_ULONG,
) -> ck::CK_RV {
    guard::slot_call("T_ResealToken", slot, |module| {
        // SAFETY: the contract of `args`.
        let so_pin = unsafe { args::pin(so_pin, so_pin_len)? };
        module.reseal_token(SlotId(slot), so_pin)
    })
}

unsafe extern "C" fn create_objects(
    session: ck::CK_SESSION_HANDLE,
    templates: *mut *mut ck::CK_ATTRIBUTE,
    counts: *mut ck::CK_ULONG,
    number: ck::CK_ULONG,
    handles: *mut ck::CK_OBJECT_HANDLE,
) -> ck::CK_RV {
    guard::session_call("T_CreateObjects", session, |module| {
        // SAFETY: the contract of `args`.
        let (handles, templates) =
            unsafe { (args::Elements::new(handles, number)?, args::templates(templates, counts, number)?) };
        let made = module.create_objects(SessionHandle(session), &templates)?;
        handles.set(made.into_iter().map(|handle| handle.0));
        Ok(())
    })
}

/// Works in the error state too, and for the module without C_Initialize, for that is when it is wanted.
unsafe extern "C" fn status(
    slot: ck::CK_SLOT_ID,
    json: *mut ck::CK_UTF8CHAR,
    json_len: *mut ck::CK_ULONG,
) -> ck::CK_RV {
    guard::answer_unsettled("T_Status", || {
        // SAFETY: the contract of `args`.
        let out = unsafe { Destination::new(json, json_len) }?;
        let slot = (slot != ck::CK_UNAVAILABLE_INFORMATION).then_some(SlotId(slot));
        let status = match (state::running(), slot) {
            (Ok(run), _) => {
                let _one_at_a_time = run.mutex.as_ref().map(|mutex| mutex.hold()).transpose()?;
                run.module.status(slot)?
            }
            (Err(_), None) => status_uninitialized(&Environment::of_process()),
            (Err(error), Some(_)) => return Err(error),
        };
        let status = status.to_string();
        out.fill(|out| Ok(out.write(status.as_bytes())))
    })
}

/// A path: an absolute one, for whose working directory would a relative one be of?
unsafe fn file<'a>(path: *const u8, len: ck::CK_ULONG) -> Result<&'a Path> {
    // SAFETY: passed on.
    let path = Path::new(std::ffi::OsStr::from_bytes(unsafe { args::bytes(path, len) }?));
    if path.is_absolute() { Ok(path) } else { Err(Error::ArgumentsBad) }
}
