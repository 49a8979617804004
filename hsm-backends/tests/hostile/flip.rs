//! Damage to one record, and its repair.

use std::path::Path;

use hsm_backends::RecordId;

/// Changes the last byte of what a record holds, which is its seal's; done twice, all is as before.
pub(crate) fn flip(directory: &Path, id: RecordId, column: &str) {
    let sql = rusqlite::Connection::open(directory.join("token.db")).unwrap();
    let read = format!("SELECT {column} FROM record WHERE id = ?1");
    let mut blob: Vec<u8> = sql.query_row(&read, [id.0], |row| row.get(0)).unwrap();
    *blob.last_mut().unwrap() ^= 1;
    sql.execute(&format!("UPDATE record SET {column} = ?2 WHERE id = ?1"), (id.0, blob)).unwrap();
}
