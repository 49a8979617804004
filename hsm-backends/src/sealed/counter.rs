//! The change counter: eight bytes in a file that tell, for the price of one load, whether anything was committed since a
//! record was last looked up. SQLite would take longer to answer than a signature.
//!
//! A writer, holding the file's lock and the database's, stores an odd number before it commits and twice the new
//! generation after. Readers trust even numbers only. A writer that is killed in between leaves an odd one, and
//! readers then ask SQLite until the next commit.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::{FileExt, OpenOptionsExt},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    fault::io_error,
    files::{Files, keep_owner},
    mapped::Mapped,
};
use crate::{StoreError, lines::Lines};

/// How long the file may be trusted before somebody looks whether it still has its name: a directory that was
/// removed takes its counter with it.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The counter of one store.
#[derive(Debug, Default)]
pub(super) struct Counter {
    /// The file, and until when it is trusted. It is mapped once, for all.
    seen: Lines<Option<(Arc<Mapped>, Instant)>>,
    opening: Mutex<Opening>,
}

#[derive(Debug, Default)]
struct Opening {
    mapped: Option<Arc<Mapped>>,
    /// Forks under way: nothing is mapped meanwhile, so that no child inherits it.
    forks: u32,
}

impl Counter {
    /// The generation that was last committed, or `None` where only SQLite can tell.
    pub(super) fn settled(&self, files: &Files) -> Option<i64> {
        if let Some((mapped, trusted)) = &*self.seen.own()
            && Instant::now() < *trusted
        {
            return generation_of(mapped.read());
        }
        let mapped = self.reopen(files).ok()??;
        generation_of(mapped.read())
    }

    /// Lets go of the file until [`Counter::reopen_after_fork`]. Until then nothing is settled, so callers go to the gate and
    /// wait there.
    pub(super) fn close_for_fork(&self) {
        let mut opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        opening.forks += 1;
        opening.mapped = None;
        self.seen.change_all(|seen| *seen = None);
    }

    /// Lets the file be opened again once no fork is under way.
    pub(super) fn reopen_after_fork(&self) {
        let mut opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        opening.forks = opening.forks.saturating_sub(1);
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

    fn reopen(&self, files: &Files) -> std::io::Result<Option<Arc<Mapped>>> {
        let mut opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if opening.forks > 0 {
            return Ok(None);
        }
        let trusted = Instant::now() + LOOK_AGAIN;
        let named = std::fs::symlink_metadata(files.counter());
        let same = |mapped: &Arc<Mapped>| named.as_ref().is_ok_and(|named| mapped.is(named));
        let mut mapped = opening.mapped.take().filter(same);
        if mapped.is_none() && named?.is_file() {
            let file = File::open(files.counter())?;
            // Should root have been killed between making the file and giving it away.
            keep_owner(&file, files)?;
            mapped = Mapped::new(&file)?.map(Arc::new);
        }
        opening.mapped.clone_from(&mapped);
        self.seen.change_own(|seen| *seen = mapped.clone().map(|mapped| (mapped, trusted)));
        Ok(mapped)
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
        assert!(counter.opening.lock().unwrap().mapped.is_none() && counter.seen.own().is_none());
        counter.reopen_after_fork();
        assert_eq!(counter.settled(&files), Some(1));
    }
}
