//! What the operating system is asked about this process.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the program runs with more rights than whoever started it (setuid, setgid, file capabilities): then the
/// environment is somebody else's and is not followed.
pub(crate) fn runs_with_foreign_rights() -> bool {
    // SAFETY: getauxval takes a number and reads memory that the kernel laid out for the process.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Writes one log line. Standard error is not locked, for a child of fork(2) might inherit it locked.
pub(crate) fn write_stderr(line: &[u8]) {
    // SAFETY: the pointer and the length are those of a live slice.
    let _: isize = unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
}

/// The handlers of [`on_fork`].
pub(super) struct ForkHandlers {
    pub(super) before: unsafe extern "C" fn(),
    pub(super) in_parent: unsafe extern "C" fn(),
    pub(super) in_child: unsafe extern "C" fn(),
}

/// Registers the handlers, once in the life of a process and its children. False when there is no memory for that.
pub(super) fn on_fork(handlers: &ForkHandlers) -> bool {
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    if REGISTERED.swap(true, Ordering::AcqRel) {
        return true;
    }
    // SAFETY: the handlers are functions of this library, which is linked to stay loaded (build.rs).
    let failed = unsafe {
        libc::pthread_atfork(Some(handlers.before), Some(handlers.in_parent), Some(handlers.in_child)) != 0
    };
    if failed {
        REGISTERED.store(false, Ordering::Release);
    }
    !failed
}
