//! The connections to a store's database, behind the gate that every call passes.
//!
//! A call takes a connection of its own, so threads never wait for each other's reads. fork(2) closes everything: SQLite
//! keeps lock state per process that a child must not inherit.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rusqlite::{
    Connection, ErrorCode, OpenFlags, ToSql, Transaction, TransactionBehavior,
    types::{ToSqlOutput, ValueRef},
};

use super::{
    counter::Counter,
    fault::{Fault, io_error},
    files::{Files, Identity},
    makers::Maker,
    schema,
};
use crate::{
    StoreError,
    gate::{Gate, Inside},
};

/// How long a call waits for other processes' locks.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// What a record takes of SQLite's pages while it is being written, generously; one with a certificate of ML-DSA's takes
/// more.
const RECORD_KIBIBYTES: usize = 6;
const LARGEST_CACHE_KIBIBYTES: usize = 192 << 10;

/// One open database. It is closed when the file under the name has become another.
#[derive(Debug)]
struct Link {
    sql: Connection,
    identity: Identity,
    /// Opened as a file that nobody can change; never kept, since that may cease to be true.
    immutable: bool,
}

/// The database of one store.
#[derive(Debug)]
pub(super) struct Pool {
    files: Files,
    counter: Counter,
    gate: Gate<Link>,
    /// This process's work at a device.
    pub(super) maker: Maker,
    /// Writers of this process queue here rather than poll for SQLite's lock.
    write_turn: Mutex<()>,
}

impl Pool {
    pub(super) fn new(files: Files) -> Self {
        let (counter, gate, maker) = Default::default();
        Self { files, counter, gate, maker, write_turn: Mutex::new(()) }
    }

    /// Enters; waits while a fork is under way. A thread that is inside must not enter again.
    pub(super) fn enter(&self) -> Call<'_> {
        Call { pool: self, inside: self.gate.enter() }
    }

    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    /// Shuts the gate, waits until nobody is inside, and closes every connection. False where somebody does not come out.
    pub(super) fn shut(&self) -> bool {
        let empty = self.gate.shut();
        self.counter.close_for_fork();
        empty
    }

    /// Opens the gate again.
    pub(super) fn reopen(&self) {
        self.counter.reopen_after_fork();
        self.gate.reopen();
    }

    /// The generation that was last committed, where that can be told without SQLite and without entering.
    pub(super) fn settled(&self) -> Option<i64> {
        self.counter.settled(&self.files)
    }

    /// One transaction whose generation the change counter tells.
    fn commit(
        &self,
        sql: &mut Connection,
        body: &mut impl FnMut(&Transaction<'_>) -> Result<i64, Fault>,
    ) -> Result<(), Fault> {
        let transaction = sql.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let generation = body(&transaction)?;
        self.counter.around(&self.files, generation, || Ok(transaction.commit()?))
    }

    fn connect(&self) -> Result<Link, StoreError> {
        let identity = self.files.check()?.ok_or(StoreError::TokenNotInitialized)?;
        let link = match self.open(identity, false) {
            Err(Fault::Sql(error)) if needs_immutable(&error) => {
                if !self.files.log_is_empty() {
                    return Err(StoreError::Device(format!(
                        "cannot open {}: {error}; its log is not empty, and to read it the directory must be writable",
                        self.files.database().display()
                    )));
                }
                self.open(identity, true)
            }
            opened => opened,
        };
        link.map_err(|fault| fault.into_store_error(&self.files))
    }

    fn open(&self, identity: Identity, immutable: bool) -> Result<Link, Fault> {
        // SQLite refuses links anywhere in the name, so those of the directory are resolved first.
        let database = self.files.database();
        let path = std::fs::canonicalize(self.files.directory())
            .map_err(|error| io_error("open", database, &error))?
            .join(database.file_name().unwrap_or_default());
        let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let mut sql = if immutable {
            Connection::open_with_flags(
                immutable_uri(&path),
                flags | OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI,
            )?
        } else {
            Connection::open_with_flags(&path, flags | OpenFlags::SQLITE_OPEN_READ_WRITE)?
        };
        sql.busy_handler(Some(wait_for_others))?;
        schema::configure(&sql)?;
        schema::check(&sql, &self.files)?;
        Ok(Link { sql, identity, immutable })
    }
}

/// Short and uneven waits: nobody starves, and processes do not keep step with each other. Eight of them take 5 ms.
fn wait_for_others(tries: i32) -> bool {
    let tries = u64::from(tries.unsigned_abs());
    std::thread::sleep(Duration::from_micros(100 + 150 * (tries % 8)));
    Duration::from_millis(tries / 8 * 5) < BUSY_TIMEOUT
}

/// A directory that cannot be written cannot take the log's index, without which SQLite does not read.
fn needs_immutable(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqliteFailure(code, _)
        if matches!(code.code, ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

fn immutable_uri(path: &Path) -> PathBuf {
    let mut uri = b"file:".to_vec();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => uri.push(*byte),
            _ => uri.extend(format!("%{byte:02X}").bytes()),
        }
    }
    uri.extend(b"?immutable=1");
    OsString::from_vec(uri).into()
}

/// A path in a statement: SQLite takes text, a path may be any bytes.
pub(super) struct SqlPath<'a>(pub(super) &'a Path);

impl ToSql for SqlPath<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0.as_os_str().as_bytes())))
    }
}

/// One call inside the gate.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pool: &'a Pool,
    inside: Inside<'a, Link>,
}

impl Call<'_> {
    pub(super) fn files(&self) -> &Files {
        &self.pool.files
    }

    /// Runs `f`, which asks a device and may take for ever, without a connection: whoever forks meanwhile finds none.
    pub(super) fn apart<T>(&mut self, f: impl FnOnce() -> T) -> T {
        self.drop_unless_kept();
        self.inside.lay_down();
        let done = f();
        self.inside.take_up();
        done
    }

    /// Reads. `body` may run more than once.
    pub(super) fn read<T>(
        &mut self,
        mut body: impl FnMut(&Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.attempt(|sql| body(sql))
    }

    /// Runs `body` in one transaction: all of it or nothing, durable when this returns. `body` may run more than
    /// once.
    pub(super) fn write<T>(
        &mut self,
        mut body: impl FnMut(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let _turn = self.pool.write_turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.attempt(|sql| {
            let transaction = sql.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = body(&transaction)?;
            transaction.commit()?;
            Ok(result)
        })
    }

    /// As [`Call::write`], for changes that readers must notice: `body` returns the generation it has made.
    pub(super) fn commit(
        &mut self,
        mut body: impl FnMut(&Transaction<'_>) -> Result<i64, Fault>,
    ) -> Result<(), StoreError> {
        let pool = self.pool;
        let _turn = pool.write_turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.attempt(|sql| pool.commit(sql, &mut body))
    }

    /// As [`Call::commit`], for so many changed records. SQLite writes a page that does not fit its cache to the log before
    /// the transaction ends, and then reads the whole log again to seal it; so the cache is made to fit, and given back.
    pub(super) fn commit_many(
        &mut self,
        records: usize,
        body: impl FnMut(&Transaction<'_>) -> Result<i64, Fault>,
    ) -> Result<(), StoreError> {
        let kibibytes = (records * RECORD_KIBIBYTES).min(LARGEST_CACHE_KIBIBYTES);
        if kibibytes <= schema::CACHE_KIBIBYTES {
            return self.commit(body);
        }
        self.read(|sql| Ok(schema::set_cache(sql, kibibytes)?))?;
        let result = self.commit(body);
        // A connection that was closed because of a fault has no cache to give back, and a new one the usual cache.
        let _ = self.read(|sql| {
            schema::set_cache(sql, schema::CACHE_KIBIBYTES)?;
            Ok(sql.execute_batch("PRAGMA shrink_memory")?)
        });
        result
    }

    /// As [`Call::commit`], with another database attached under the name `backup`.
    pub(super) fn attached(
        &mut self,
        path: &Path,
        mut body: impl FnMut(&Transaction<'_>) -> Result<i64, Fault>,
    ) -> Result<(), StoreError> {
        let pool = self.pool;
        let _turn = pool.write_turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.attempt(|sql| {
            sql.execute("ATTACH DATABASE ?1 AS backup", [SqlPath(path)])?;
            let result = pool.commit(sql, &mut body);
            let detached = sql.execute_batch("DETACH DATABASE backup");
            result?;
            Ok(detached?)
        })
    }

    /// As [`Call::write`], but a power failure may undo it. Other processes see it at once.
    pub(super) fn write_lazily<T>(
        &mut self,
        body: impl FnMut(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.read(|sql| Ok(sql.execute_batch("PRAGMA synchronous = NORMAL")?))?;
        let result = self.write(body);
        self.read(|sql| Ok(sql.execute_batch("PRAGMA synchronous = FULL")?))?;
        result
    }

    /// Moves the log into the database and empties it, so that no old page stays in it. Other processes' readers
    /// may prevent that, or a full disk; then a later checkpoint overwrites it. What was committed before is
    /// committed all the same, so this does not fail.
    pub(super) fn empty_log(&mut self) {
        let _ = self.read(|sql| Ok(sql.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?));
    }

    /// Whether the medium refuses writes.
    pub(super) fn is_read_only(&mut self) -> Result<bool, StoreError> {
        self.read(|sql| Ok(sql.is_readonly("main")?))
    }

    /// Closes the connection: the file is about to be replaced.
    pub(super) fn disconnect(&mut self) {
        self.inside.held = None;
        self.pool.gate.clear();
    }

    fn attempt<T>(
        &mut self,
        mut body: impl FnMut(&mut Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let start = Instant::now();
        loop {
            // Connecting reads, and may meet somebody's lock as well.
            let fault = match self.link().map_err(Fault::Store).and_then(|link| body(&mut link.sql)) {
                Ok(result) => return Ok(result),
                Err(fault) => fault,
            };
            if !fault.spares_connection() {
                self.inside.held = None;
            }
            if !fault.is_busy() || start.elapsed() > BUSY_TIMEOUT {
                return Err(fault.into_store_error(&self.pool.files));
            }
        }
    }

    /// The connection to the file that has the name now.
    fn link(&mut self) -> Result<&mut Link, StoreError> {
        let now = self.pool.files.identity()?;
        if self.inside.held.as_ref().is_some_and(|link| Some(link.identity) != now) {
            self.disconnect();
        }
        if now.is_none() {
            // A directory that others may write is worth a word even before there is a token in it.
            self.pool.files.check()?;
            return Err(StoreError::TokenNotInitialized);
        }
        if self.inside.held.is_none() {
            self.inside.held = Some(self.pool.connect()?);
        }
        Ok(self.inside.held.as_mut().expect("set by the lines above"))
    }
}

impl Call<'_> {
    /// Closes a connection that nobody else is to go on with.
    fn drop_unless_kept(&mut self) {
        let worth_keeping = |link: &Link| !link.immutable && link.sql.is_autocommit();
        self.inside.held = self.inside.held.take().filter(worth_keeping);
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.drop_unless_kept();
    }
}
