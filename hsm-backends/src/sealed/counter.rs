//! The change counter: eight bytes in a file that tell, for the price of one read(2), whether anything was committed
//! since a record was last looked up. SQLite would take ten times as long to answer, which is longer than a signature.
//!
//! A writer, holding the file's lock and the database's, stores an odd number before it commits and twice the new
//! generation after. Readers trust even numbers only. A writer that is killed in between leaves an odd one, and
//! readers then ask SQLite until the next commit.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    sync::{Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use super::{
    fault::io_error,
    files::{Files, keep_owner},
};
use crate::StoreError;

/// How long the file may be trusted before somebody looks whether it still has its name: a directory that was
/// removed takes its counter with it.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The counter of one store.
#[derive(Debug, Default)]
pub(super) struct Counter {
    open: RwLock<Open>,
    opening: Mutex<()>,
}

#[derive(Debug, Default)]
struct Open {
    /// The file, and until when it is trusted.
    file: Option<(File, Instant)>,
    /// Forks under way: the file stays closed meanwhile, so that no child inherits it.
    forks: u32,
}

impl Counter {
    /// The generation that was last committed, or `None` where only SQLite can tell.
    pub(super) fn settled(&self, files: &Files) -> Option<i64> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((file, trusted)) = &open.file
            && Instant::now() < *trusted
        {
            return generation_of(read(file)?);
        }
        drop(open);
        self.reopen(files).ok()?;
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        generation_of(read(&open.file.as_ref()?.0)?)
    }

    /// Closes the file and keeps it closed until [`Counter::reopen_after_fork`]. Until then nothing is settled, so
    /// callers go to the gate and wait there.
    pub(super) fn close_for_fork(&self) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        open.file = None;
        open.forks += 1;
    }

    /// Lets the file be opened again once no fork is under way.
    pub(super) fn reopen_after_fork(&self) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        open.forks = open.forks.saturating_sub(1);
    }

    /// Runs `commit`, which makes `generation` the last one. Call with the database's write lock held.
    pub(super) fn around<T, E: From<StoreError>>(
        &self,
        files: &Files,
        generation: i64,
        commit: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let file = open_to_write(files).map_err(|error| io_error("open", files.counter(), &error))?;
        let failed = |error| io_error("write", files.counter(), &error);
        file.lock().map_err(failed)?;
        let settled = generation.saturating_mul(2);
        file.write_all_at(&settled.wrapping_sub(1).to_ne_bytes(), 0).map_err(failed)?;
        let result = commit()?;
        // The commit has happened: failing to say so costs speed only, since the odd number stays.
        let _ = file.write_all_at(&settled.to_ne_bytes(), 0);
        Ok(result)
    }

    fn reopen(&self, files: &Files) -> std::io::Result<()> {
        let _turn = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let named = std::fs::symlink_metadata(files.counter());
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if open.forks > 0 {
            return Ok(());
        }
        let same = match (&open.file, &named) {
            (Some((file, _)), Ok(named)) => {
                let found = file.metadata()?;
                (found.dev(), found.ino()) == (named.dev(), named.ino())
            }
            _ => false,
        };
        open.file = match open.file.take() {
            Some((file, _)) if same => Some((file, Instant::now() + LOOK_AGAIN)),
            _ => None,
        };
        if open.file.is_none() && named?.is_file() {
            let file = File::open(files.counter())?;
            // Should root have been killed between making the file and giving it away.
            keep_owner(&file, files)?;
            open.file = Some((file, Instant::now() + LOOK_AGAIN));
        }
        Ok(())
    }
}

/// Opens the file, and makes it where there is none. Nothing asks for its times before it is written: Linux then gives
/// whatever is written next a time of its own, the log's times differ from those on the medium at every commit, and
/// each commit's fsync(2) writes one block more.
fn open_to_write(files: &Files) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    match options.open(files.counter()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let file = options.create(true).truncate(false).open(files.counter())?;
            keep_owner(&file, files)?;
            Ok(file)
        }
        opened => opened,
    }
}

fn read(file: &File) -> Option<i64> {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, 0).ok()?;
    Some(i64::from_ne_bytes(bytes))
}

fn generation_of(counter: i64) -> Option<i64> {
    (counter % 2 == 0).then_some(counter / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_settled_while_a_commit_is_under_way_or_after_it_failed() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::new(directory.path());
        let (ours, theirs) = (Counter::default(), Counter::default());
        assert_eq!(theirs.settled(&files), None, "there is no file yet");
        ours.around(&files, 7, || Ok::<_, StoreError>(())).unwrap();
        assert_eq!((ours.settled(&files), theirs.settled(&files)), (Some(7), Some(7)));
        let during = || {
            assert_eq!((ours.settled(&files), theirs.settled(&files)), (None, None));
            Err::<(), _>(StoreError::Full)
        };
        assert_eq!(ours.around(&files, 8, during), Err(StoreError::Full));
        assert_eq!((ours.settled(&files), theirs.settled(&files)), (None, None));
        ours.around(&files, 8, || Ok::<_, StoreError>(())).unwrap();
        assert_eq!(theirs.settled(&files), Some(8));
    }

    #[test]
    fn whatever_is_in_the_file_is_read_without_harm() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::new(directory.path());
        for (bytes, settled) in [
            (&[][..], None),
            (&[2; 7], None),
            (&i64::MAX.to_ne_bytes(), None),
            (&i64::MIN.to_ne_bytes(), Some(i64::MIN / 2)),
        ] {
            std::fs::write(files.counter(), bytes).unwrap();
            let counter = Counter::default();
            assert_eq!(counter.settled(&files), settled);
            counter.around(&files, i64::MAX, || Ok::<_, StoreError>(())).unwrap();
        }
    }

    #[test]
    fn nothing_is_open_during_a_fork() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::new(directory.path());
        let counter = Counter::default();
        counter.around(&files, 1, || Ok::<_, StoreError>(())).unwrap();
        assert_eq!(counter.settled(&files), Some(1));
        counter.close_for_fork();
        counter.close_for_fork();
        counter.reopen_after_fork();
        assert_eq!(counter.settled(&files), None);
        assert!(counter.open.read().unwrap().file.is_none());
        counter.reopen_after_fork();
        assert_eq!(counter.settled(&files), Some(1));
    }
}
