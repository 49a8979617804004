//! Which processes are at work at a device. Each has a file beside the database, locked by flock(2), while it is; whoever
//! finds the file unlocked, or gone, knows that the process has died.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    fault::io_error,
    files::{Files, keep_owner, new_private},
    token::Name,
};
use crate::{RecordId, StoreError};

/// How often a new file is looked for that nobody else has taken for a dead process's.
const TRIES: u32 = 8;

/// This process's part at one store.
#[derive(Debug, Default)]
pub(super) struct Maker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The intents that are being followed.
    live: HashSet<RecordId>,
    mark: Option<Mark>,
}

/// The locked file; it goes with the value.
#[derive(Debug)]
struct Mark {
    name: Name,
    path: PathBuf,
    file: File,
}

impl Drop for Mark {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        // A child process may have inherited the descriptor.
        let _ = self.file.unlock();
    }
}

impl Maker {
    /// An intent is being followed from now on: who does it, or `None` where another thread of this process does already.
    pub(super) fn enter(&self, files: &Files, intent: RecordId) -> Result<Option<Name>, StoreError> {
        let mut state = self.state();
        let name = match &state.mark {
            Some(mark) => mark.name,
            None => state.mark.insert(make(files)?).name,
        };
        Ok(state.live.insert(intent).then_some(name))
    }

    /// An intent is not followed any more. With the last one the mark goes.
    pub(super) fn leave(&self, intent: RecordId) {
        let mut state = self.state();
        state.live.remove(&intent);
        if state.live.is_empty() {
            state.mark = None;
        }
    }

    /// Whether nobody follows an intent of this maker any more.
    pub(super) fn is_given_up(
        &self,
        files: &Files,
        maker: Name,
        intent: RecordId,
    ) -> Result<bool, StoreError> {
        let state = self.state();
        match &state.mark {
            Some(mark) if mark.name == maker => Ok(!state.live.contains(&intent)),
            _ => is_dead(files, &files.mark(maker)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make(files: &Files) -> Result<Mark, StoreError> {
    for path in files.marks()? {
        is_dead(files, &path)?;
    }
    for _ in 0..TRIES {
        let name: Name = algorithms::random::array()?;
        let path = files.mark(name);
        let failed = |error: &std::io::Error| io_error("create", &path, error);
        let file = new_private(&path).map_err(|error| failed(&error))?;
        keep_owner(&file, files).map_err(|error| failed(&error))?;
        let locked = file.try_lock().is_ok();
        let mark = Mark { name, path: path.clone(), file };
        let made = mark.file.metadata().map_err(|error| failed(&error))?;
        // Somebody may have found it before it was locked, and removed it.
        let stands = fs::symlink_metadata(&path).is_ok_and(|found| found.ino() == made.ino());
        if locked && stands {
            return Ok(mark);
        }
    }
    Err(StoreError::Busy)
}

/// Whether the process of a file is dead. Then the file is gone.
fn is_dead(files: &Files, path: &std::path::Path) -> Result<bool, StoreError> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        // Another user's: whoever may look at it finds out.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return Ok(false),
        Err(error) => return Err(io_error("look at", path, &error)),
    };
    match file.try_lock() {
        Ok(()) => {
            let removed = fs::remove_file(path);
            let _ = file.unlock();
            removed.map(|()| true).or_else(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Ok(true),
                _ => Err(io_error("remove", path, &error)),
            })
        }
        Err(fs::TryLockError::WouldBlock) => Ok(false),
        Err(fs::TryLockError::Error(error)) => Err(io_error("lock", files.directory(), &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maker_is_dead_when_its_file_is_free_or_gone() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::new(directory.path());
        let (mine, other) = (Maker::default(), Maker::default());
        let [one, two, three] = [1, 2, 3].map(|number| RecordId([number; 16]));
        let name = mine.enter(&files, one).unwrap().unwrap();
        assert_eq!(mine.enter(&files, one).unwrap(), None);
        assert_eq!(mine.enter(&files, two).unwrap(), Some(name));
        // To others all that it has begun is its own; it knows itself what it has given up.
        assert!(!other.is_given_up(&files, name, one).unwrap());
        assert!(!other.is_given_up(&files, name, three).unwrap());
        assert!(!mine.is_given_up(&files, name, one).unwrap());
        assert!(mine.is_given_up(&files, name, three).unwrap());
        mine.leave(one);
        assert!(!other.is_given_up(&files, name, two).unwrap());
        mine.leave(two);
        assert!(
            other.is_given_up(&files, name, two).unwrap() && mine.is_given_up(&files, name, two).unwrap()
        );
        assert!(files.marks().unwrap().is_empty());
        // A process that was killed leaves a file that nobody has locked. The next maker removes it.
        let dead = files.mark([9; 16]);
        new_private(&dead).unwrap();
        assert!(mine.enter(&files, one).unwrap().is_some());
        assert!(!dead.exists());
        assert_eq!(files.marks().unwrap().len(), 1);
    }
}
