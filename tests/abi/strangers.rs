//! A child that no fork handler has seen: clone(2) called directly, as language runtimes and sandboxes do.

#![expect(unsafe_code, reason = "system calls that make a child and end it")]

use std::ptr::null_mut;

use cryptoki_sys::*;
use trellis_tests::{c, isolated, raw::USER_PIN};

use crate::abuse::assert_not_initialized;

/// Runs `child` in a child process made without fork(3), and returns its exit status.
fn in_clone(child: impl FnOnce() -> i32) -> i32 {
    let nothing: libc::c_long = 0;
    // SAFETY: without CLONE_VM the child has its own memory, runs on this thread's stack and leaves through _exit.
    match unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, nothing, nothing, nothing, nothing) } {
        0 => {
            let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(101);
            // SAFETY: ends the process.
            unsafe { libc::_exit(status) }
        }
        child => {
            let mut status = 0;
            let child = libc::pid_t::try_from(child).unwrap();
            // SAFETY: the child is ours, and `status` a place for the answer.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert!(libc::WIFEXITED(status), "the child crashed: {status:#x}");
            libc::WEXITSTATUS(status)
        }
    }
}

isolated! {
    fn a_child_without_fork_handlers_is_a_stranger(place) {
        let p11 = place.load();
        p11.initialize();
        p11.make_token();
        let session = p11.open(CKF_RW_SESSION);
        assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
        let status = in_clone(|| {
            assert_not_initialized(p11.list);
            let grandchild = in_clone(|| {
                assert_eq!(c!(p11.C_Finalize(null_mut())), CKR_OK);
                assert_eq!(c!(p11.C_Finalize(null_mut())), CKR_CRYPTOKI_NOT_INITIALIZED);
                3
            });
            assert_eq!(grandchild, 3);
            assert_eq!(c!(p11.C_Logout(session)), CKR_CRYPTOKI_NOT_INITIALIZED);
            p11.finalize();
            p11.initialize();
            assert_eq!(p11.state(p11.open(0)), CKS_RO_PUBLIC_SESSION);
            4
        });
        assert_eq!(status, 4);
        assert_eq!(p11.state(session), CKS_RW_USER_FUNCTIONS);
    }
}
