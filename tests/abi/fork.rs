//! A child made by fork(2) is a stranger: it may initialise for itself, and never uses its parent's login or locks.

use std::{
    ptr::null_mut,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use cryptoki_sys::*;
use trellis_tests::{
    c, isolated,
    process::in_child,
    raw::{Raw, USER_PIN},
};

use crate::abuse::assert_not_initialized;

fn logged_in(p11: &Raw) -> CK_SESSION_HANDLE {
    p11.initialize();
    p11.make_token();
    let session = p11.open(CKF_RW_SESSION);
    assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
    session
}

isolated! {
    fn a_child_is_not_initialised(place) {
        let p11 = place.load();
        let session = logged_in(&p11);
        let status = in_child(|| {
            assert_not_initialized(p11.list);
            assert_eq!(c!(p11.C_Logout(session)), CKR_CRYPTOKI_NOT_INITIALIZED);
            // Once, for the parent's sake; then as for anybody.
            assert_eq!(c!(p11.C_Finalize(null_mut())), CKR_OK);
            assert_eq!(c!(p11.C_Finalize(null_mut())), CKR_CRYPTOKI_NOT_INITIALIZED);
            assert_not_initialized(p11.list);
            3
        });
        assert_eq!(status, 3);
        assert_eq!(p11.state(session), CKS_RW_USER_FUNCTIONS);
    }

    fn a_child_initialises_for_itself(place) {
        let p11 = place.load();
        let session = logged_in(&p11);
        for finalize_first in [true, false] {
            let status = in_child(|| {
                if finalize_first {
                    p11.finalize();
                }
                p11.initialize();
                assert_eq!(c!(p11.C_Initialize(null_mut())), CKR_CRYPTOKI_ALREADY_INITIALIZED);
                assert_eq!(c!(p11.C_Logout(session)), CKR_SESSION_HANDLE_INVALID);
                let own = p11.open(CKF_RW_SESSION);
                assert_eq!(p11.state(own), CKS_RW_PUBLIC_SESSION);
                assert_eq!(p11.login(own, CKU_USER, USER_PIN), CKR_OK);
                p11.finalize();
                4
            });
            assert_eq!(status, 4);
            assert_eq!(p11.state(session), CKS_RW_USER_FUNCTIONS);
        }
        assert_eq!(c!(p11.C_Logout(session)), CKR_OK);
        assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
    }

    fn a_grandchild_is_a_stranger_too(place) {
        let p11 = place.load();
        logged_in(&p11);
        let status = in_child(|| {
            in_child(|| {
                assert_not_initialized(p11.list);
                p11.finalize();
                p11.initialize();
                let own = p11.open(0);
                assert_eq!(p11.state(own), CKS_RO_PUBLIC_SESSION);
                5
            })
        });
        assert_eq!(status, 5);
    }

    fn a_child_of_a_process_that_has_finalised(place) {
        let p11 = place.load();
        logged_in(&p11);
        p11.finalize();
        let status = in_child(|| {
            assert_eq!(c!(p11.C_Finalize(null_mut())), CKR_CRYPTOKI_NOT_INITIALIZED);
            p11.initialize();
            p11.finalize();
            6
        });
        assert_eq!(status, 6);
    }

    /// Forks while other threads are inside the module, in every state of its locks.
    fn forks_under_load(place) {
        let p11 = place.load();
        let session = logged_in(&p11);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        let own = p11.open(0);
                        let mut random = [0; 16];
                        assert_eq!(c!(p11.C_GenerateRandom(own, random.as_mut_ptr(), 16)), CKR_OK);
                        assert_eq!(c!(p11.C_FindObjectsInit(own, null_mut(), 0)), CKR_OK);
                        assert_eq!(c!(p11.C_FindObjectsFinal(own)), CKR_OK);
                        assert_eq!(c!(p11.C_CloseSession(own)), CKR_OK);
                    }
                });
            }
            for _ in 0..40 {
                let status = in_child(|| {
                    p11.finalize();
                    p11.initialize();
                    let own = p11.open(0);
                    assert_eq!(p11.state(own), CKS_RO_PUBLIC_SESSION);
                    p11.finalize();
                    7
                });
                assert_eq!(status, 7);
            }
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(p11.state(session), CKS_RW_USER_FUNCTIONS);
    }

    /// A child that only runs another program, as posix_spawn and fork + exec do.
    fn running_other_programs(place) {
        let p11 = place.load();
        let session = logged_in(&p11);
        for _ in 0..3 {
            assert!(std::process::Command::new("true").status().unwrap().success());
        }
        assert_eq!(p11.state(session), CKS_RW_USER_FUNCTIONS);
    }
}
