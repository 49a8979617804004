//! The store's directory and files: who owns them, who else may touch them, and how a new one takes its place.
//!
//! SQLite's locks are POSIX locks, which a process loses when it closes any descriptor of the file. So nothing here
//! ever opens the database or its companions; `stat` is enough.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, Metadata, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::fault::io_error;
use crate::StoreError;

const DATABASE: &str = "token.db";
/// The change counter, beside it.
const COUNTER: &str = "token.seq";
/// What SQLite keeps beside the database in WAL mode: the log and its index.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];
/// What a database in the making is called until it takes the real name.
const SCRATCH_PREFIX: &str = "token.db.new-";
/// What the file of a process that is at work at a device is called, before its random name.
const MARK_PREFIX: &str = "token.making-";
/// How long one process waits for another's login or C_InitToken.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// Which file stands under a name: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(u64, u64);

/// The paths of one store.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
    database: PathBuf,
    counter: PathBuf,
}

impl Files {
    pub(super) fn new(directory: &Path) -> Self {
        // The process may change its working directory later.
        let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
        Self { database: directory.join(DATABASE), counter: directory.join(COUNTER), directory }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn database(&self) -> &Path {
        &self.database
    }

    pub(super) fn counter(&self) -> &Path {
        &self.counter
    }

    /// The database of this moment, or `None` where there is none. Permissions are [`Files::check`]'s matter.
    pub(super) fn identity(&self) -> Result<Option<Identity>, StoreError> {
        match fs::symlink_metadata(&self.database) {
            Ok(found) => Ok(Some(Identity(found.dev(), found.ino()))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(io_error("look at", &self.database, &error)),
        }
    }

    /// Makes sure that directory and files are this user's alone. `None` where there is no database.
    pub(super) fn check(&self) -> Result<Option<Identity>, StoreError> {
        if !self.check_directory()? {
            return Ok(None);
        }
        // A rollback journal is never ours in WAL mode, but SQLite would follow one.
        for suffix in COMPANIONS.into_iter().chain(["-journal"]) {
            check_file(&self.beside(suffix))?;
        }
        check_file(&self.counter)?;
        Ok(check_file(&self.database)?.map(|found| Identity(found.dev(), found.ino())))
    }

    /// Whether the directory exists; it must then be this user's alone.
    fn check_directory(&self) -> Result<bool, StoreError> {
        // Links are followed: a user may keep the folder elsewhere, and its owner and mode are what counts.
        let found = match fs::metadata(&self.directory) {
            Ok(found) => found,
            Err(error) if is_absent(&error) => return Ok(false),
            Err(error) => return Err(io_error("look at", &self.directory, &error)),
        };
        if !found.is_dir() {
            return Err(StoreError::Permissions(format!(
                "{} is not a directory; name a folder for the store",
                self.directory.display()
            )));
        }
        check_access(&self.directory, &found, "700")?;
        Ok(true)
    }

    /// Makes the directory, and its parents, where they are missing.
    pub(super) fn create_directory(&self) -> Result<(), StoreError> {
        if self.check_directory()? {
            return Ok(());
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)
            .map_err(|error| io_error("create", &self.directory, &error))?;
        if let Some(parent) = self.directory.parent() {
            sync_directory(parent)?;
        }
        self.check_directory().map(drop)
    }

    /// What will stop a token from being made or changed here, though nothing has tried yet: a folder that this user
    /// cannot make, or a disk without room.
    pub(super) fn obstacle(&self) -> Option<StoreError> {
        let exists = self.directory.is_dir();
        if !exists {
            let above = self.directory.ancestors().skip(1).find(|path| path.exists())?;
            let doing = rustix::fs::access(above, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
            if let Err(error) = doing {
                return Some(io_error("create", &self.directory, &error.into()));
            }
        }
        (exists && self.no_room()).then_some(StoreError::Full)
    }

    /// Waits until no other login, C_InitToken or restore runs on this token, in any process, and keeps them out.
    pub(super) fn lock_for_login(&self) -> Result<Lock, StoreError> {
        let failed = |error: &io::Error| io_error("lock", &self.directory, error);
        let file = match File::open(&self.directory) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Err(StoreError::TokenNotInitialized),
            Err(error) => return Err(failed(&error)),
        };
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock(file)),
                Err(fs::TryLockError::Error(error)) => return Err(failed(&error)),
                Err(fs::TryLockError::WouldBlock) if start.elapsed() > LOCK_TIMEOUT => {
                    return Err(StoreError::Busy);
                }
                Err(fs::TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// A new empty file, mode 0600, for a database in the making. Call under [`Files::lock_for_login`]: what earlier calls
    /// that were killed have left is removed.
    pub(super) fn scratch(&self) -> Result<Scratch, StoreError> {
        self.remove_leftovers()?;
        let name = algorithms::random::array::<8>()?;
        let path = self.directory.join(format!("{SCRATCH_PREFIX}{:016x}", u64::from_be_bytes(name)));
        new_private(&path).map_err(|error| io_error("create", &path, &error))?;
        Ok(Scratch { path })
    }

    /// Puts a finished database in place: after a crash at any moment the old one or the new one is there. Call
    /// under [`Files::lock_for_login`], with no connection open on the new file, and only where the old file, if there is
    /// one, is beyond repair: it is kept under another name.
    pub(super) fn install(&self, scratch: Scratch) -> Result<(), StoreError> {
        let failed = |error: &io::Error| io_error("replace", &self.database, error);
        sync_file(&scratch.path)?;
        if self.identity()?.is_some() {
            let name = algorithms::random::array::<4>()?;
            let aside = format!(".damaged-{:08x}", u32::from_be_bytes(name));
            fs::hard_link(&self.database, self.beside(&aside)).map_err(|error| failed(&error))?;
            match fs::rename(self.beside("-wal"), self.beside(&format!("{aside}-wal"))) {
                Err(error) if !is_absent(&error) => return Err(failed(&error)),
                _ => {}
            }
        }
        // A log of an earlier database would be replayed into the new one.
        for suffix in COMPANIONS {
            remove_if_there(&self.beside(suffix))?;
        }
        sync_directory(&self.directory)?;
        fs::rename(&scratch.path, &self.database).map_err(|error| failed(&error))?;
        sync_directory(&self.directory)
    }

    /// Whether a failed write looks like a lack of room: a full file system, or the process's file size limit.
    pub(super) fn no_room(&self) -> bool {
        let room =
            rustix::fs::statvfs(&self.directory).map_or(u64::MAX, |found| found.f_bavail * found.f_frsize);
        // One commit writes a few pages; SQLite grows the index of its log by 32 KiB.
        const MARGIN: u64 = 64 << 10;
        let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
        let largest = ["", "-wal", "-shm"]
            .iter()
            .filter_map(|suffix| fs::symlink_metadata(self.beside(suffix)).ok())
            .map(|found| found.len())
            .max();
        room < MARGIN || limit.is_some_and(|limit| largest.unwrap_or(0) + MARGIN > limit)
    }

    /// Whether SQLite's log holds anything.
    pub(super) fn log_is_empty(&self) -> bool {
        fs::symlink_metadata(self.beside("-wal")).map_or(true, |found| found.len() == 0)
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = OsString::from(DATABASE);
        name.push(suffix);
        self.directory.join(name)
    }

    /// The file of a process that is at work at a device.
    pub(super) fn mark(&self, name: [u8; 16]) -> PathBuf {
        self.directory.join(format!("{MARK_PREFIX}{:032x}", u128::from_be_bytes(name)))
    }

    /// All such files.
    pub(super) fn marks(&self) -> Result<Vec<PathBuf>, StoreError> {
        self.beginning_with(MARK_PREFIX)
    }

    fn beginning_with(&self, prefix: &str) -> Result<Vec<PathBuf>, StoreError> {
        let failed = |error: &io::Error| io_error("list", &self.directory, error);
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(|error| failed(&error))? {
            let entry = entry.map_err(|error| failed(&error))?;
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                found.push(entry.path());
            }
        }
        Ok(found)
    }

    fn remove_leftovers(&self) -> Result<(), StoreError> {
        self.beginning_with(SCRATCH_PREFIX)?.iter().try_for_each(|path| remove_if_there(path))
    }
}

/// Keeps other logins out while it lives.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone would not do where a child process has inherited the descriptor. That unlocking fails is
        // not possible for a descriptor that is open.
        let _ = self.0.unlock();
    }
}

/// A file in the making; removed unless it is installed.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // After an installation there is nothing under this name; after a failure the next one cleans up.
        for suffix in ["", "-journal", "-wal", "-shm"] {
            let mut path = self.path.clone().into_os_string();
            path.push(suffix);
            let _ = fs::remove_file(path);
        }
    }
}

/// A new file of mode 0600 that did not exist before.
pub(super) fn new_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// A file that root has made belongs to the store's owner, as SQLite does with its own.
pub(super) fn keep_owner(file: &File, files: &Files) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let (found, owner) = (file.metadata()?, fs::metadata(files.directory())?);
    if (found.uid(), found.gid()) == (owner.uid(), owner.gid()) {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()))
}

pub(super) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| io_error("write", path, &error))
}

fn sync_file(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| io_error("write", path, &error))
}

fn remove_if_there(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if !is_absent(&error) => Err(io_error("remove", path, &error)),
        _ => Ok(()),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn check_file(path: &Path) -> Result<Option<Metadata>, StoreError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(io_error("look at", path, &error)),
    };
    if !found.is_file() {
        return Err(StoreError::Permissions(format!(
            "{} is a link or another thing that is no regular file; remove it",
            path.display()
        )));
    }
    check_access(path, &found, "600")?;
    Ok(Some(found))
}

fn check_access(path: &Path, found: &Metadata, mode: &str) -> Result<(), StoreError> {
    let user = rustix::process::geteuid().as_raw();
    let name = path.display();
    // Root may open anybody's store: a web server's master does so before its workers, who own it, take over.
    if found.uid() != user && user != 0 {
        return Err(StoreError::Permissions(format!(
            "{name} belongs to user {}, not to user {user}, who runs this program; run as its owner",
            found.uid()
        )));
    }
    if found.mode() & 0o077 != 0 {
        return Err(StoreError::Permissions(format!(
            "{name} may be used by others (mode {:o}); run: chmod {mode} {name}",
            found.mode() & 0o7777
        )));
    }
    Ok(())
}
