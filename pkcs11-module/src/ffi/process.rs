//! What the operating system is asked about this process.

use std::{
    ptr,
    sync::atomic::{AtomicBool, AtomicPtr, Ordering},
};

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

/// A pointer of the process's own: in every child it is null again, whether fork(2) made the child or clone(2) called
/// directly, which runs no handlers. Reading it is how a call tells a child from its parent; getpid(2) takes longer
/// than all other checks of a call together. `None` where the kernel has no MADV_WIPEONFORK (before Linux 4.14).
pub(super) fn own_pointer() -> Option<&'static AtomicPtr<()>> {
    /// Null before the first call; a dangling pointer where there is no such page.
    static PAGE: AtomicPtr<AtomicPtr<()>> = AtomicPtr::new(ptr::null_mut());
    let none = ptr::dangling_mut();
    let mut page = PAGE.load(Ordering::Acquire);
    if page.is_null() {
        let fresh = wiped_page().map_or(none, |page| page.cast());
        // Where another thread was faster, this page stays behind unused.
        page = match PAGE.compare_exchange(page, fresh, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => fresh,
            Err(first) => first,
        };
    }
    // SAFETY: not the dangling one, so a page that is never unmapped, aligned, and filled with the zeros of a null
    // pointer, both at first and when the kernel empties it.
    (page != none).then(|| unsafe { &*page })
}

/// A page of zeros that the kernel empties in every child.
fn wiped_page() -> Option<*mut libc::c_void> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping at an address of the system's choosing touches no existing memory; the advice is about
    // that mapping alone. Emulators that take any advice for granted are told by one that there is not.
    unsafe {
        let len = usize::try_from(libc::sysconf(libc::_SC_PAGESIZE)).ok()?;
        let page = libc::mmap(ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        if page == libc::MAP_FAILED {
            return None;
        }
        let honest = libc::madvise(page, len, -1) != 0;
        if honest && libc::madvise(page, len, libc::MADV_WIPEONFORK) == 0 {
            return Some(page);
        }
        libc::munmap(page, len);
        None
    }
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
