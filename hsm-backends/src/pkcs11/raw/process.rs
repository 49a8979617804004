//! What a vendor's library does to the process. SIGPIPE: a library that writes to a socket without MSG_NOSIGNAL (p11-kit's does) has it sent to its thread when the
//! HSM has gone, and where the application neither ignores nor blocks it, that ends the application.
//!
//! The contract of the unsafe blocks here: each function gets pointers to live values of its types, and changes nothing
//! but this thread's mask and its own pending signal.
#![expect(unsafe_code, reason = "signal masks are C functions")]

use std::{fmt, marker::PhantomData, mem::MaybeUninit, ptr};

/// Keeps SIGPIPE from this thread for as long as it lives; one that came meanwhile is forgotten.
pub(in crate::pkcs11) struct NoSigpipe {
    /// The mask of before; `None` where the application blocks the signal itself.
    before: Option<libc::sigset_t>,
    /// The mask is the thread's.
    thread: PhantomData<*const ()>,
}

impl fmt::Debug for NoSigpipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoSigpipe")
    }
}

/// Runs `handler` at exit(3), before what was registered earlier. False where there is no memory for that.
pub(in crate::pkcs11) fn at_exit(handler: extern "C" fn()) -> bool {
    // SAFETY: a function of this library, which is linked to stay loaded.
    unsafe { libc::atexit(handler) == 0 }
}

fn sigpipe() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the contract; sigemptyset makes the set whole.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE);
        set.assume_init()
    }
}

impl NoSigpipe {
    pub(in crate::pkcs11) fn new() -> Self {
        let pipe = sigpipe();
        let mut before = pipe;
        // SAFETY: the contract.
        let blocked = unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const pipe, &raw mut before) != 0
                || libc::sigismember(&raw const before, libc::SIGPIPE) != 0
        };
        Self { before: (!blocked).then_some(before), thread: PhantomData }
    }
}

impl Drop for NoSigpipe {
    fn drop(&mut self) {
        let Some(before) = &self.before else { return };
        let pipe = sigpipe();
        let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the contract.
        unsafe {
            libc::sigtimedwait(&raw const pipe, ptr::null_mut(), &raw const at_once);
            libc::pthread_sigmask(libc::SIG_SETMASK, before, ptr::null_mut());
        }
    }
}
