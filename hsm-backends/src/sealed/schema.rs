//! The tables, and what a file must show before it is used. docs/formats.md describes every column.

use std::path::Path;

use rusqlite::{Connection, config::DbConfig};

use super::{fault::Fault, files::Files};
use crate::StoreError;

/// `TRLS`: SQLite's application_id, which says whose file it is.
const APPLICATION_ID: i32 = 0x5452_4C53;
/// SQLite's user_version: the version of everything in the file.
const FORMAT: i32 = 1;
/// The same with the table of intents, which is made with the first of them.
const WITH_INTENTS: i32 = 2;

/// What a connection keeps of the database in memory, as a rule: with a hundred thousand objects, all of the index that a
/// search needs.
pub(super) const CACHE_KIBIBYTES: usize = 8192;

/// The schema, by name, in the form that SQLite keeps and [`check`] compares.
const SCHEMA: [(&str, &str); 8] = [
    (
        "token",
        "CREATE TABLE token (one INTEGER PRIMARY KEY CHECK (one = 1), token_id BLOB NOT NULL, \
         incarnation BLOB NOT NULL, generation INTEGER NOT NULL, label TEXT NOT NULL) STRICT",
    ),
    (
        "pin",
        "CREATE TABLE pin (role INTEGER PRIMARY KEY, started INTEGER NOT NULL, cleared INTEGER NOT NULL, \
         wrapped BLOB NOT NULL) STRICT",
    ),
    (
        "record",
        "CREATE TABLE record (seq INTEGER PRIMARY KEY, id BLOB NOT NULL, version INTEGER NOT NULL, \
         private INTEGER NOT NULL, class INTEGER, key_type INTEGER, label BLOB, key_id BLOB, \
         attributes BLOB NOT NULL, secret_kind INTEGER NOT NULL, secret BLOB) STRICT",
    ),
    ("record_by_id", "CREATE UNIQUE INDEX record_by_id ON record (id)"),
    ("record_by_class", "CREATE INDEX record_by_class ON record (class, key_type)"),
    ("record_by_key_type", "CREATE INDEX record_by_key_type ON record (key_type)"),
    ("record_by_label", "CREATE INDEX record_by_label ON record (label)"),
    ("record_by_key_id", "CREATE INDEX record_by_key_id ON record (key_id)"),
];

/// What [`WITH_INTENTS`] has more.
const INTENT: (&str, &str) = (
    "intent",
    "CREATE TABLE intent (id BLOB PRIMARY KEY, maker BLOB NOT NULL, since INTEGER, due INTEGER, \
     sealed BLOB NOT NULL) STRICT, WITHOUT ROWID",
);

/// Makes the tables in an empty database and marks it as ours.
pub(super) fn create(sql: &Connection) -> Result<(), Fault> {
    for (_, statement) in SCHEMA {
        sql.execute_batch(statement)?;
    }
    sql.pragma_update(None, "application_id", APPLICATION_ID)?;
    sql.pragma_update(None, "user_version", FORMAT)?;
    Ok(())
}

/// Whether there may be intents. A file without them is left as it is: earlier versions of this code read it.
pub(super) fn has_intents(sql: &Connection) -> Result<bool, Fault> {
    let format: i32 = sql.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(format >= WITH_INTENTS)
}

/// Makes the table of intents where it is missing.
pub(super) fn make_intents(sql: &Connection) -> Result<(), Fault> {
    if !has_intents(sql)? {
        sql.execute_batch(INTENT.1)?;
        sql.pragma_update(None, "user_version", WITH_INTENTS)?;
    }
    Ok(())
}

/// Forgets all intents: of a copy, they say nothing that is true of the device.
pub(super) fn drop_intents(sql: &Connection) -> Result<(), Fault> {
    if has_intents(sql)? {
        sql.execute_batch("DELETE FROM intent")?;
    }
    Ok(())
}

/// Whether the file is ours, of this format, and has the tables of this format and nothing else: a trigger or a
/// view that somebody has slipped in would run with our statements.
pub(super) fn check(sql: &Connection, files: &Files) -> Result<(), Fault> {
    check_file(sql, files.database())
}

/// [`check`] of a file by its path: a backup, too.
pub(super) fn check_file(sql: &Connection, path: &Path) -> Result<(), Fault> {
    let file = path.display();
    // One snapshot: the first intent changes both format and tables.
    let sql = sql.unchecked_transaction()?;
    let application: i32 = sql.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let format: i32 = sql.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if application != APPLICATION_ID || format < 1 {
        return Err(StoreError::Damaged(format!("{file} is not a Trellis token; restore a backup")).into());
    }
    let intents: &[(&str, &str)] = match format {
        FORMAT => &[],
        WITH_INTENTS => &[INTENT],
        _ => return Err(StoreError::NewerFormat.into()),
    };
    let mut statement = sql.prepare("SELECT name, sql FROM sqlite_schema")?;
    let mut rows = statement.query([])?;
    let mut found = 0;
    while let Some(row) = rows.next()? {
        let (name, text): (String, Option<String>) = (row.get(0)?, row.get(1)?);
        let mut known = SCHEMA.iter().chain(intents);
        if !known.any(|(expected, sql)| *expected == name && Some(*sql) == text.as_deref()) {
            return Err(StoreError::Damaged(format!("{file} has an unknown table or index, {name}")).into());
        }
        found += 1;
    }
    if found != SCHEMA.len() + intents.len() {
        return Err(StoreError::Damaged(format!("{file} lacks tables; restore a backup")).into());
    }
    Ok(())
}

/// Settings of every connection, in force before the first byte of the file is read.
pub(super) fn configure(sql: &Connection) -> Result<(), Fault> {
    for (setting, value) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        // Closing must stay cheap: fork closes everything, and so does every short-lived process. It also keeps a
        // file of a newer format exactly as it was.
        (DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true),
    ] {
        sql.set_db_config(setting, value)?;
    }
    sql.set_prepared_statement_cache_capacity(64);
    // A log that was long for once is cut when it begins anew.
    sql.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA cell_size_check = ON; \
         PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 8388608;",
    )?;
    Ok(set_cache(sql, CACHE_KIBIBYTES)?)
}

/// How much of the database a connection keeps in memory.
pub(super) fn set_cache(sql: &Connection, kibibytes: usize) -> rusqlite::Result<()> {
    sql.execute_batch(&format!("PRAGMA cache_size = -{kibibytes}"))
}

/// Switches a finished database to the write-ahead log.
pub(super) fn use_log(sql: &Connection) -> Result<(), Fault> {
    let mode: String = sql.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode == "wal" {
        Ok(())
    } else {
        Err(StoreError::Device("the file system cannot take a log".into()).into())
    }
}
