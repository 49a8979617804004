//! C_Initialize, C_Finalize and C_GetInfo.

#![expect(unsafe_code, reason = "this is the C side of the C ABI")]

use std::{
    ffi::c_void,
    ptr::null_mut,
    sync::atomic::{AtomicI64, Ordering::SeqCst},
};

use cryptoki_sys::*;
use trellis_tests::{c, isolated, raw::Raw};

use crate::abuse::assert_not_initialized;

static CREATED: AtomicI64 = AtomicI64::new(0);
static LOCKED: AtomicI64 = AtomicI64::new(0);
static LOCKS: AtomicI64 = AtomicI64::new(0);

unsafe extern "C" fn create(mutex: *mut *mut c_void) -> CK_RV {
    CREATED.fetch_add(1, SeqCst);
    // SAFETY: the module passes a place for the mutex.
    unsafe { *mutex = std::ptr::dangling_mut::<u8>().cast() };
    CKR_OK
}

unsafe extern "C" fn cannot_create(_: *mut *mut c_void) -> CK_RV {
    CKR_HOST_MEMORY
}

unsafe extern "C" fn destroy(_: *mut c_void) -> CK_RV {
    CREATED.fetch_sub(1, SeqCst);
    CKR_OK
}

unsafe extern "C" fn lock(mutex: *mut c_void) -> CK_RV {
    assert_eq!(mutex, std::ptr::dangling_mut::<u8>().cast());
    assert_eq!(LOCKED.fetch_add(1, SeqCst), 0, "the module locked what it holds");
    LOCKS.fetch_add(1, SeqCst);
    CKR_OK
}

unsafe extern "C" fn unlock(_: *mut c_void) -> CK_RV {
    assert_eq!(LOCKED.fetch_sub(1, SeqCst), 1);
    CKR_OK
}

fn with_mutexes(flags: CK_FLAGS) -> CK_C_INITIALIZE_ARGS {
    CK_C_INITIALIZE_ARGS {
        CreateMutex: Some(create),
        DestroyMutex: Some(destroy),
        LockMutex: Some(lock),
        UnlockMutex: Some(unlock),
        flags,
        pReserved: null_mut(),
    }
}

fn initialize(p11: &Raw, mut args: CK_C_INITIALIZE_ARGS) -> CK_RV {
    c!(p11.C_Initialize((&raw mut args).cast()))
}

isolated! {
    fn only_once(place) {
        let p11 = place.load();
        assert_not_initialized(p11.list);
        assert_eq!(c!(p11.C_Finalize(null_mut())), CKR_CRYPTOKI_NOT_INITIALIZED);
        p11.initialize();
        assert_eq!(c!(p11.C_Initialize(null_mut())), CKR_CRYPTOKI_ALREADY_INITIALIZED);
        assert_eq!(c!(p11.C_Finalize(std::ptr::dangling_mut::<u8>().cast())), CKR_ARGUMENTS_BAD);
        p11.finalize();
        assert_eq!(c!(p11.C_Finalize(null_mut())), CKR_CRYPTOKI_NOT_INITIALIZED);
        assert_not_initialized(p11.list);
        p11.initialize();
        p11.finalize();
    }

    fn every_legal_argument(place) {
        let p11 = place.load();
        let none = CK_C_INITIALIZE_ARGS::default();
        for flags in [0, CKF_OS_LOCKING_OK, CKF_LIBRARY_CANT_CREATE_OS_THREADS,
            CKF_OS_LOCKING_OK | CKF_LIBRARY_CANT_CREATE_OS_THREADS] {
            for args in [CK_C_INITIALIZE_ARGS { flags, ..none }, with_mutexes(flags)] {
                assert_eq!(initialize(&p11, args), CKR_OK, "{args:?}");
                p11.finalize();
            }
        }
        assert_eq!(CREATED.load(SeqCst), 0);
    }

    fn illegal_arguments(place) {
        let p11 = place.load();
        let reserved = std::ptr::dangling_mut::<u8>().cast();
        let all = with_mutexes(0);
        for args in [
            CK_C_INITIALIZE_ARGS { pReserved: reserved, ..CK_C_INITIALIZE_ARGS::default() },
            CK_C_INITIALIZE_ARGS { pReserved: reserved, ..with_mutexes(CKF_OS_LOCKING_OK) },
            CK_C_INITIALIZE_ARGS { CreateMutex: None, ..all },
            CK_C_INITIALIZE_ARGS { DestroyMutex: None, ..all },
            CK_C_INITIALIZE_ARGS { LockMutex: None, ..all },
            CK_C_INITIALIZE_ARGS { UnlockMutex: None, ..with_mutexes(CKF_OS_LOCKING_OK) },
        ] {
            assert_eq!(initialize(&p11, args), CKR_ARGUMENTS_BAD, "{args:?}");
            assert_not_initialized(p11.list);
        }
        let args = CK_C_INITIALIZE_ARGS { CreateMutex: Some(cannot_create), ..all };
        assert_eq!(initialize(&p11, args), CKR_HOST_MEMORY);
        assert_not_initialized(p11.list);
        assert_eq!(CREATED.load(SeqCst), 0);
    }

    /// Without CKF_OS_LOCKING_OK every call is made under the application's mutex; with it, none.
    fn application_mutexes_are_used(place) {
        let p11 = place.load();
        let mut info = CK_INFO::default();
        let mut count = 0;
        assert_eq!(initialize(&p11, with_mutexes(0)), CKR_OK);
        assert_eq!(CREATED.load(SeqCst), 1);
        assert_eq!(c!(p11.C_GetSlotList(0, null_mut(), &raw mut count)), CKR_OK);
        assert_eq!(c!(p11.C_CloseSession(77)), CKR_SESSION_HANDLE_INVALID);
        assert_eq!((LOCKS.load(SeqCst), LOCKED.load(SeqCst)), (2, 0));
        p11.finalize();
        assert_eq!(CREATED.load(SeqCst), 0);

        assert_eq!(initialize(&p11, with_mutexes(CKF_OS_LOCKING_OK)), CKR_OK);
        assert_eq!(c!(p11.C_GetInfo(&raw mut info)), CKR_OK);
        assert_eq!(c!(p11.C_GetSlotList(0, null_mut(), &raw mut count)), CKR_OK);
        assert_eq!((CREATED.load(SeqCst), LOCKS.load(SeqCst)), (0, 2));
    }

    fn info(place) {
        let p11 = place.load();
        p11.initialize();
        let mut info = CK_INFO::default();
        assert_eq!(c!(p11.C_GetInfo(&raw mut info)), CKR_OK);
        assert_eq!((info.cryptokiVersion.major, info.cryptokiVersion.minor), (3, 2));
        assert_eq!(&info.manufacturerID, b"Trellis                         ");
        assert_eq!(info.libraryDescription.len(), 32);
        assert!(info.libraryDescription.starts_with(b"Trellis ") && info.libraryDescription.ends_with(b" "));
        assert_eq!(info.flags, 0);
        assert_eq!(c!(p11.C_GetInfo(null_mut())), CKR_ARGUMENTS_BAD);
    }

    fn handles_from_before_a_reinitialisation_name_nothing(place) {
        let p11 = place.load();
        p11.initialize();
        p11.make_token();
        let old = p11.open(0);
        p11.finalize();
        p11.initialize();
        let new = p11.open(0);
        assert_ne!(old, new);
        assert_eq!(c!(p11.C_CloseSession(old)), CKR_SESSION_HANDLE_INVALID);
        assert_eq!(c!(p11.C_CloseSession(new)), CKR_OK);
    }

    fn a_wrong_configuration_is_function_failed_and_logged_with_its_place(place) {
        let p11 = place.load();
        place.configure("log = 'off'\n\n[[slot]]\npath = 'token'\ncolour = 'red'\n");
        assert_eq!(c!(p11.C_Initialize(null_mut())), CKR_FUNCTION_FAILED);
        assert_not_initialized(p11.list);
        let log = place.log();
        assert!(log.contains("trellis.toml:5:1:") && log.contains("colour"), "{log}");
        place.configure("[[slot]]\npath = 'token'\n");
        p11.initialize();
    }

    fn the_log_has_every_function_with_its_answer_and_no_pin(place) {
        let p11 = place.load();
        p11.initialize();
        p11.make_token();
        let session = p11.open(0);
        assert_eq!(p11.login(session, CKU_USER, b"a wrong PIN"), CKR_PIN_INCORRECT);
        assert_eq!(p11.login(session, CKU_USER, trellis_tests::raw::USER_PIN), CKR_OK);
        let log = place.log();
        assert!(log.contains("debug: C_Login -> CKR_PIN_INCORRECT\n"), "{log}");
        assert!(log.contains("warn: slot 0: wrong PIN for User\n"), "{log}");
        assert!(log.contains("debug: C_InitToken -> CKR_OK\n"), "{log}");
        for pin in [trellis_tests::raw::USER_PIN, trellis_tests::raw::SO_PIN, b"a wrong PIN"] {
            assert!(!log.contains(std::str::from_utf8(pin).unwrap()), "{log}");
        }
    }
}
