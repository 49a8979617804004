//! The key records: one SQLite file, in which a record is durable when the call that wrote it returns. docs/formats.md
//! describes every column.
//!
//! Whoever reads the file sees whose keys there are, and opens none of them. Several hosts may use one file.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::rand;
use cosigner_protocol::{
    Algorithm, Bytes, KmsKey, UserId,
    message::{PublicKey, SealedKey},
};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, config::DbConfig};

/// `TRLC`: SQLite's application_id, which says whose file it is.
const APPLICATION_ID: i32 = 0x5452_4C43;
/// SQLite's user_version: the version of everything in the file.
const FORMAT: i32 = 1;
/// How long one host waits for another's commit.
const BUSY: Duration = Duration::from_secs(5);
/// Keys in one answer to a listing: the longest fill a frame by three quarters.
pub const PAGE: usize = 40;

/// The schema, by name, in the form that SQLite keeps and [`check`] compares.
const SCHEMA: [(&str, &str); 2] = [
    ("host", "CREATE TABLE host (one INTEGER PRIMARY KEY CHECK (one = 1), log_key BLOB NOT NULL) STRICT"),
    (
        "key",
        "CREATE TABLE key (user_id TEXT PRIMARY KEY, algorithm TEXT NOT NULL, public_key BLOB NOT NULL, \
         kms_key TEXT NOT NULL, wrapped_key BLOB NOT NULL, sealed_key BLOB NOT NULL, \
         birth_attestation BLOB NOT NULL, enclave_version TEXT NOT NULL, created INTEGER NOT NULL) \
         STRICT, WITHOUT ROWID",
    ),
];

/// An open file.
pub struct Records {
    sql: Mutex<Connection>,
    log_key: [u8; 32],
}

/// What is kept of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The key as the enclave gave it.
    pub key: SealedKey,
    /// The document that was made with it.
    pub birth_attestation: Bytes,
    /// Which enclave made it.
    pub enclave_version: String,
}

/// Why a record cannot be had or kept.
#[derive(Debug)]
#[non_exhaustive]
pub enum RecordsError {
    /// The file cannot be made.
    Io(io::Error),
    /// Others than its owner may read or write it: its mode.
    Mode(u32),
    /// SQLite: the disk is full, the file is locked for too long, or anything else.
    Sql(rusqlite::Error),
    /// It is a file of another program.
    Foreign,
    /// It is in a later format.
    Newer(i32),
    /// It does not have the tables of its format, or a record has a value that cannot be.
    Damaged(&'static str),
    /// The system has no randomness.
    Random,
}

impl Records {
    /// Opens the file, which is made if it is not there. Its folder must be.
    pub fn open(path: &Path) -> Result<Self, RecordsError> {
        make(path)?;
        let mut sql = Connection::open(path)?;
        sql.busy_timeout(BUSY)?;
        // A file that somebody has prepared brings no functions, views or triggers of its own to life.
        sql.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        sql.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        sql.pragma_update(None, "journal_mode", "WAL")?;
        sql.pragma_update(None, "synchronous", "FULL")?;
        sql.pragma_update(None, "secure_delete", "ON")?;
        let transaction = sql.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let empty: bool =
            transaction.query_row("SELECT NOT EXISTS (SELECT * FROM sqlite_schema)", [], |row| row.get(0))?;
        if empty {
            create(&transaction)?;
        }
        check(&transaction)?;
        let log_key = transaction.query_row("SELECT log_key FROM host", [], |row| row.get(0))?;
        transaction.commit()?;
        Ok(Self { sql: Mutex::new(sql), log_key })
    }

    /// The key under which user ids stand in the log.
    pub fn log_key(&self) -> &[u8; 32] {
        &self.log_key
    }

    /// Keeps a record whose user id has none. False where it has one: then nothing has changed. When this returns, the
    /// record survives the end of the process and of the machine.
    pub fn insert(&self, record: &Record) -> Result<bool, RecordsError> {
        let Record { key, birth_attestation, enclave_version } = record;
        let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let sql = self.sql.lock();
        let mut statement =
            sql.prepare_cached("INSERT INTO key VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING")?;
        let inserted = statement.execute((
            key.user_id.as_str(),
            key.algorithm.name(),
            &key.public_key.0,
            key.kms_key.as_str(),
            &key.wrapped_key.0,
            &key.sealed_key.0,
            &birth_attestation.0,
            enclave_version,
            i64::try_from(created.as_millis()).unwrap_or(i64::MAX),
        ))?;
        Ok(inserted == 1)
    }

    /// The record of a user id.
    pub fn find(&self, user_id: &UserId) -> Result<Option<Record>, RecordsError> {
        let sql = self.sql.lock();
        let mut statement = sql.prepare_cached(
            "SELECT user_id, algorithm, public_key, kms_key, wrapped_key, sealed_key, birth_attestation, \
             enclave_version FROM key WHERE user_id = ?",
        )?;
        statement.query_row([user_id.as_str()], |row| Ok(record(row))).optional()?.transpose()
    }

    /// At most [`PAGE`] keys after a user id, in the order of their bytes, and whether there are more.
    pub fn list(&self, after: Option<&UserId>) -> Result<(Vec<PublicKey>, bool), RecordsError> {
        let sql = self.sql.lock();
        // No user id is empty.
        let mut statement = sql.prepare_cached(
            "SELECT user_id, algorithm, public_key FROM key WHERE user_id > ? ORDER BY user_id LIMIT ?",
        )?;
        let rows = statement
            .query_map((after.map_or("", UserId::as_str), PAGE as i64 + 1), |row| Ok(public_key(row)))?;
        let mut keys = rows.collect::<Result<Result<Vec<_>, _>, _>>()??;
        let more = keys.len() > PAGE;
        keys.truncate(PAGE);
        Ok((keys, more))
    }

    /// Forgets a key. False where there is none. What it was is overwritten in the file and its log.
    pub fn destroy(&self, user_id: &UserId) -> Result<bool, RecordsError> {
        let sql = self.sql.lock();
        let deleted = sql.prepare_cached("DELETE FROM key WHERE user_id = ?")?.execute([user_id.as_str()])?;
        // Another host may be reading the log; then it is emptied another time.
        let _ = sql.pragma_update(None, "wal_checkpoint", "TRUNCATE");
        Ok(deleted == 1)
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Records")
    }
}

/// An empty file of the right mode, where there is none: SQLite would make it with the mode of the umask. One that is there
/// is not opened, since closing it would let go of locks that SQLite has in this process.
fn make(path: &Path) -> Result<(), RecordsError> {
    match fs::metadata(path) {
        Ok(found) if found.mode() & 0o077 != 0 => Err(RecordsError::Mode(found.mode() & 0o777)),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match OpenOptions::new().create_new(true).write(true).mode(0o600).open(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(RecordsError::Io(error)),
                _ => Ok(()),
            }
        }
        Err(error) => Err(RecordsError::Io(error)),
    }
}

fn create(sql: &Transaction<'_>) -> Result<(), RecordsError> {
    for (_, statement) in SCHEMA {
        sql.execute_batch(statement)?;
    }
    let mut log_key = [0; 32];
    rand::fill(&mut log_key).map_err(|_| RecordsError::Random)?;
    sql.execute("INSERT INTO host VALUES (1, ?)", [log_key])?;
    sql.pragma_update(None, "application_id", APPLICATION_ID)?;
    sql.pragma_update(None, "user_version", FORMAT)?;
    Ok(())
}

/// Whether the file is ours, of this format, and has these tables and nothing else.
fn check(sql: &Transaction<'_>) -> Result<(), RecordsError> {
    let application: i32 = sql.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application != APPLICATION_ID {
        return Err(RecordsError::Foreign);
    }
    let format: i32 = sql.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if format != FORMAT {
        return Err(RecordsError::Newer(format));
    }
    let mut statement = sql.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name")?;
    let found =
        statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?)))?;
    let found = found.collect::<Result<Vec<_>, _>>()?;
    let same = found.len() == SCHEMA.len()
        && found
            .iter()
            .zip(SCHEMA)
            .all(|((name, sql), (known, statement))| name == known && sql.as_deref() == Some(statement));
    if same { Ok(()) } else { Err(RecordsError::Damaged("it has other tables than its format")) }
}

fn public_key(row: &Row<'_>) -> Result<PublicKey, RecordsError> {
    let algorithm: String = row.get(1)?;
    let algorithm = Algorithm::ALL.into_iter().find(|known| known.name() == algorithm);
    Ok(PublicKey {
        user_id: UserId::try_from(row.get::<_, String>(0)?)
            .map_err(|_| RecordsError::Damaged("a user id is none"))?,
        algorithm: algorithm.ok_or(RecordsError::Damaged("an algorithm is not known"))?,
        public_key: Bytes(row.get(2)?),
    })
}

fn record(row: &Row<'_>) -> Result<Record, RecordsError> {
    let PublicKey { user_id, algorithm, public_key } = public_key(row)?;
    let kms_key = KmsKey::try_from(row.get::<_, String>(3)?);
    let kms_key = kms_key.map_err(|_| RecordsError::Damaged("the ARN of a KMS key is none"))?;
    let (wrapped_key, sealed_key) = (Bytes(row.get(4)?), Bytes(row.get(5)?));
    Ok(Record {
        key: SealedKey { user_id, algorithm, public_key, kms_key, wrapped_key, sealed_key },
        birth_attestation: Bytes(row.get(6)?),
        enclave_version: row.get(7)?,
    })
}

impl fmt::Display for RecordsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the file cannot be made: {error}"),
            Self::Mode(mode) => {
                write!(f, "others may use the file (mode {mode:o}): chmod 600 makes it yours alone")
            }
            Self::Sql(error) => write!(f, "SQLite: {error}"),
            Self::Foreign => f.write_str("the file is another program's"),
            Self::Newer(format) => write!(f, "the file is in format {format}, and this host reads {FORMAT}"),
            Self::Damaged(what) => write!(f, "the file is damaged: {what}"),
            Self::Random => f.write_str("the system has no randomness"),
        }
    }
}

impl std::error::Error for RecordsError {}

impl From<rusqlite::Error> for RecordsError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, length: usize) -> Record {
        let key = SealedKey {
            user_id: UserId::try_from(name.to_owned()).unwrap(),
            algorithm: Algorithm::MlDsa65,
            public_key: Bytes(vec![1; length]),
            kms_key: KmsKey::try_from("arn:k".to_owned()).unwrap(),
            wrapped_key: Bytes(vec![2]),
            sealed_key: Bytes(vec![3]),
        };
        Record { key, birth_attestation: Bytes(vec![4]), enclave_version: "1".to_owned() }
    }

    #[test]
    fn a_full_disk_keeps_what_is_there_and_nothing_by_halves() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::open(&folder.path().join("records")).unwrap();
        assert!(records.insert(&record("before", 1952)).unwrap());
        // As many pages as there are: what SQLite then says is what it says of a full disk.
        records.sql.lock().pragma_update(None, "max_page_count", 1).unwrap();
        let error = records.insert(&record("during", 100_000)).unwrap_err();
        assert!(error.to_string().contains("full"), "{error}");
        let find = |name: &str| records.find(&record(name, 0).key.user_id).unwrap();
        assert_eq!((find("before"), find("during")), (Some(record("before", 1952)), None));
        records.sql.lock().pragma_update(None, "max_page_count", 1_000_000).unwrap();
        assert!(records.insert(&record("during", 100_000)).unwrap());
        assert!(!records.insert(&record("during", 7)).unwrap());
        assert_eq!(find("during"), Some(record("during", 100_000)));
    }

    #[test]
    fn a_file_that_is_written_to_by_somebody_else_for_too_long_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records");
        let records = Records::open(&path).unwrap();
        records.sql.lock().busy_timeout(Duration::from_millis(10)).unwrap();
        let mut other = Connection::open(&path).unwrap();
        let writing = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        let error = records.insert(&record("me", 7)).unwrap_err();
        assert!(error.to_string().contains("locked"), "{error}");
        // Who only reads is not kept waiting.
        assert_eq!(records.find(&record("me", 0).key.user_id).unwrap(), None);
        drop(writing);
        assert!(records.insert(&record("me", 7)).unwrap());
    }
}
