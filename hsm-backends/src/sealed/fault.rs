//! What goes wrong inside a call: SQLite's errors on their way to becoming [`StoreError`]s.

use std::io;

use rusqlite::{ErrorCode, ffi};

use super::files::Files;
use crate::{StoreError, encoding::Malformed};

/// A failure that still needs to know which store it happened in.
#[derive(Debug)]
pub(super) enum Fault {
    Store(StoreError),
    Sql(rusqlite::Error),
}

impl Fault {
    /// Whether another try may succeed: somebody else holds a lock.
    pub(super) fn is_busy(&self) -> bool {
        match self {
            Self::Store(error) => *error == StoreError::Busy,
            Self::Sql(rusqlite::Error::SqliteFailure(error, _)) => is_busy(error.code),
            Self::Sql(_) => false,
        }
    }

    /// Whether the connection may be used again.
    pub(super) fn spares_connection(&self) -> bool {
        matches!(self, Self::Store(error) if !matches!(error, StoreError::Damaged(_)))
    }

    pub(super) fn into_store_error(self, files: &Files) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Sql(error) => sql_error(&error, files),
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<algorithms::Error> for Fault {
    fn from(error: algorithms::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<Malformed> for Fault {
    fn from(error: Malformed) -> Self {
        Self::Store(StoreError::Damaged(error.0.into()))
    }
}

/// The third is what SQLite says after many processes have raced for the log's index.
fn is_busy(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed)
}

fn sql_error(error: &rusqlite::Error, files: &Files) -> StoreError {
    let file = files.database().display();
    let rusqlite::Error::SqliteFailure(code, _) = error else {
        // A value of another type than the schema says, or a statement that no longer fits the tables.
        return StoreError::Damaged(format!("{file}: {error}"));
    };
    match code.code {
        busy if is_busy(busy) => StoreError::Busy,
        ErrorCode::ReadOnly => StoreError::ReadOnly,
        ErrorCode::DiskFull => StoreError::Full,
        ErrorCode::NotADatabase
        | ErrorCode::DatabaseCorrupt
        | ErrorCode::SchemaChanged
        | ErrorCode::ConstraintViolation
        | ErrorCode::TypeMismatch => StoreError::Damaged(format!("{file}: {error}; restore a backup")),
        ErrorCode::PermissionDenied | ErrorCode::CannotOpen => {
            StoreError::Device(format!("cannot open {file}: {error}"))
        }
        // SQLite reports a short read as an I/O error, but it means that the file was cut.
        _ if code.extended_code == ffi::SQLITE_IOERR_SHORT_READ => {
            StoreError::Damaged(format!("{file} is cut short; restore a backup"))
        }
        ErrorCode::SystemIoFailure if files.no_room() => StoreError::Full,
        _ => StoreError::Device(format!("{file}: {error}")),
    }
}

/// An error of the file system, with what was being done.
pub(super) fn io_error(doing: &str, path: &std::path::Path, error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            StoreError::Full
        }
        io::ErrorKind::PermissionDenied => StoreError::Permissions(format!(
            "cannot {doing} {}: permission denied; run as its owner or make it accessible to this user",
            path.display()
        )),
        _ => StoreError::Device(format!("cannot {doing} {}: {error}", path.display())),
    }
}
