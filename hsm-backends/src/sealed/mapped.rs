//! The eight bytes of the change counter as memory: to read them costs one load, where read(2) would cost more than all
//! else that is done for an Ed25519 signature, and would have threads wait for each other's count of the file's users.
//!
//! A file that is made shorter while it is mapped ends whoever reads it, by SIGBUS, as SQLite's own index of the log does;
//! who can do that to files of mode 0600 can end the process as well.

#![expect(unsafe_code, reason = "memory that is a file")]

use std::{
    fs::File,
    io,
    os::unix::fs::MetadataExt,
    ptr::NonNull,
    sync::atomic::{AtomicI64, Ordering},
};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

const LEN: usize = size_of::<AtomicI64>();

/// A mapped counter.
#[derive(Debug)]
pub(super) struct Mapped {
    at: NonNull<AtomicI64>,
    /// Device and inode.
    file: (u64, u64),
}

// SAFETY: it is memory that only atomic loads read.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Maps a file; nothing where it is too short.
    pub(super) fn new(file: &File) -> io::Result<Option<Self>> {
        let found = file.metadata()?;
        if found.len() < LEN as u64 {
            return Ok(None);
        }
        // SAFETY: a new mapping at an address of the system's choice is in nobody's way.
        let at = unsafe { mmap(std::ptr::null_mut(), LEN, ProtFlags::READ, MapFlags::SHARED, file, 0) }?;
        let at = NonNull::new(at.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Some(Self { at, file: (found.dev(), found.ino()) }))
    }

    /// Whether it is the file that somebody has looked up, at full length.
    pub(super) fn is(&self, found: &std::fs::Metadata) -> bool {
        self.file == (found.dev(), found.ino()) && found.len() >= LEN as u64
    }

    /// The counter as somebody has written it last, in any process.
    pub(super) fn read(&self) -> i64 {
        // SAFETY: the mapping is at the beginning of a page, and lasts as long as this.
        unsafe { self.at.as_ref() }.load(Ordering::Acquire)
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: it was mapped by `new`, at this length, and nobody has it any more.
        let unmapped = unsafe { munmap(self.at.as_ptr().cast(), LEN) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}
