//! What a durable commit costs without a module: the same row in the same tables of a SQLite database with the same
//! settings, in the folder of the tokens.

use rusqlite::{Connection, params};

use crate::{
    home::Home,
    measure::{Done, Operation, Result},
};

/// The name in a row.
pub(crate) const SQLITE: &str = "SQLite commit";

/// Tables, indexes and settings as docs/formats.md has them.
const PREPARE: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA secure_delete = ON;
    PRAGMA cell_size_check = ON;
    CREATE TABLE token (one INTEGER PRIMARY KEY, generation INTEGER NOT NULL);
    INSERT INTO token VALUES (1, 1);
    CREATE TABLE record (seq INTEGER PRIMARY KEY, id BLOB NOT NULL, version INTEGER NOT NULL,
        private INTEGER NOT NULL, class INTEGER, key_type INTEGER, label BLOB, key_id BLOB,
        attributes BLOB NOT NULL, secret_kind INTEGER NOT NULL, secret BLOB) STRICT;
    CREATE UNIQUE INDEX record_by_id ON record (id);
    CREATE INDEX record_by_class ON record (class, key_type);
    CREATE INDEX record_by_key_type ON record (key_type);
    CREATE INDEX record_by_label ON record (label);
    CREATE INDEX record_by_key_id ON record (key_id);
";
const INSERT: &str = "INSERT INTO record (id, version, private, class, key_type, label, key_id, attributes,
    secret_kind, secret) VALUES (randomblob(16), 1, 1, 4, 31, randomblob(16), randomblob(16), ?1, 2, ?2)";
/// Bytes of an AES key's attributes and of its secret, sealed.
const ATTRIBUTES: usize = 480;
const SECRET: usize = 60;

/// One transaction: a row, and the number that grows with every change.
pub(crate) fn commit<'a>() -> Result<Operation<'a>> {
    let folder = Home::own()?.folder("sqlite")?;
    let mut sql = Connection::open(folder.join("token.db"))?;
    sql.execute_batch(PREPARE)?;
    let (attributes, secret) = (vec![0x5a_u8; ATTRIBUTES], vec![0x5a_u8; SECRET]);
    Ok(Box::new(move || {
        let transaction = sql.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        transaction.prepare_cached(INSERT)?.execute(params![attributes, secret])?;
        transaction.prepare_cached("UPDATE token SET generation = generation + 1")?.execute([])?;
        transaction.commit()?;
        Ok(Done::ONE)
    }))
}
