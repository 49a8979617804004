//! The application's mutex functions (PKCS#11 v3.2 section 5.4.1), for an application that gives them without
//! CKF_OS_LOCKING_OK: its threads may not be the system's, and must not block in the system's locks. Then one mutex of
//! its making admits one call at a time, and no lock below is ever contended.

use std::ffi::c_void;

use cryptoki_sys as ck;

use crate::error::{Error, Result};

type Function = unsafe extern "C" fn(*mut c_void) -> ck::CK_RV;

/// One mutex of the application's. Dropping it destroys it.
#[derive(Debug)]
pub(super) struct ApplicationMutex {
    mutex: *mut c_void,
    destroy: Function,
    lock: Function,
    unlock: Function,
}

// SAFETY: the application's functions may be called from any thread; that is what they are for.
unsafe impl Send for ApplicationMutex {}
// SAFETY: as above.
unsafe impl Sync for ApplicationMutex {}

impl ApplicationMutex {
    /// The mutex that the arguments of C_Initialize ask for, if any. All four functions or none: CKR_ARGUMENTS_BAD.
    ///
    /// # Safety
    /// The functions are those of PKCS#11.
    pub(super) unsafe fn requested(args: &ck::CK_C_INITIALIZE_ARGS) -> Result<Option<Self>> {
        let (create, destroy, lock, unlock) =
            match (args.CreateMutex, args.DestroyMutex, args.LockMutex, args.UnlockMutex) {
                (None, None, None, None) => return Ok(None),
                (Some(create), Some(destroy), Some(lock), Some(unlock)) => (create, destroy, lock, unlock),
                _ => return Err(Error::ArgumentsBad),
            };
        if args.flags & ck::CKF_OS_LOCKING_OK != 0 {
            return Ok(None);
        }
        let mut mutex = std::ptr::null_mut();
        // SAFETY: CreateMutex takes a pointer to where the new mutex goes.
        match unsafe { create(&raw mut mutex) } {
            ck::CKR_OK => Ok(Some(Self { mutex, destroy, lock, unlock })),
            ck::CKR_HOST_MEMORY => Err(Error::HostMemory),
            _ => Err(Error::GeneralError),
        }
    }

    /// Waits for the mutex.
    pub(super) fn hold(&self) -> Result<Held<'_>> {
        // SAFETY: the mutex came from CreateMutex and has not been destroyed.
        match unsafe { (self.lock)(self.mutex) } {
            ck::CKR_OK => Ok(Held(self)),
            ck::CKR_HOST_MEMORY => Err(Error::HostMemory),
            _ => Err(Error::GeneralError),
        }
    }
}

impl Drop for ApplicationMutex {
    fn drop(&mut self) {
        // SAFETY: the mutex came from CreateMutex, and nobody holds it: a call holds the run that owns it.
        unsafe { (self.destroy)(self.mutex) };
    }
}

/// The mutex, locked; dropping it unlocks.
pub(super) struct Held<'a>(&'a ApplicationMutex);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // SAFETY: this thread locked it.
        unsafe { (self.0.unlock)(self.0.mutex) };
    }
}
