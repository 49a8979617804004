//! exit(3) while threads are inside a vendor's library: its static destructors run, and the threads go on in what is
//! destroyed (SoftHSM: a segmentation fault in every fourth such exit). So the gate of every library is closed before:
//! whoever is inside comes out, and nobody gets in.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, TryLockError, Weak},
    time::Duration,
};

use super::{library::Library, raw};

/// How long the end of the process waits for calls inside.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct Known {
    /// The process that made it: a child of fork(2) has nothing to do with it.
    process: u32,
    library: Weak<Library>,
}

static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());
/// The files whose destructors run after the handler that was registered for them.
static REGISTERED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Has this library's gate closed when the process ends.
pub(super) fn remember(library: Weak<Library>) {
    if let Ok(mut known) = KNOWN.lock() {
        known.retain(|known| known.library.strong_count() > 0);
        known.push(Known { process: std::process::id(), library });
    }
}

/// Call when the library has been initialised: what is registered later runs earlier, and a library registers what ends
/// it when it is loaded, and what ends those that it uses (OpenSSL) when it is initialised.
pub(super) fn initialized(path: &Path) {
    if let Ok(mut registered) = REGISTERED.lock()
        && !registered.iter().any(|known| known == path)
        && raw::at_exit(close)
    {
        registered.push(path.to_owned());
    }
}

extern "C" fn close() {
    let known = match KNOWN.try_lock() {
        Ok(known) => known,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        // Inherited locked, or somebody is at it: nothing is worth a process that does not end.
        Err(TryLockError::WouldBlock) => return,
    };
    let process = std::process::id();
    for library in known.iter().filter(|known| known.process == process) {
        if let Some(library) = library.library.upgrade() {
            library.end();
            // The last value of the process is not dropped here: what it would do has been done.
            std::mem::forget(library);
        }
    }
}
