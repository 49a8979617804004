//! One state of the database for several reads. Its statements are prepared once for each connection: parsing them would take
//! a fifth of a search.

use std::ops::Deref;

use rusqlite::Connection;

use super::fault::Fault;

/// Reads through it see one state, however much is committed meanwhile. Dropping it ends that.
#[derive(Debug)]
pub(super) struct Snapshot<'a>(&'a Connection);

impl<'a> Snapshot<'a> {
    /// The state at the first read.
    pub(super) fn of(sql: &'a Connection) -> Result<Self, Fault> {
        sql.prepare_cached("BEGIN DEFERRED")?.execute([])?;
        Ok(Self(sql))
    }
}

impl Deref for Snapshot<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.0
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        // An error may have ended it already, and SQLite says so.
        if !self.0.is_autocommit() {
            let ended = self.0.prepare_cached("ROLLBACK").and_then(|mut statement| statement.execute([]));
            debug_assert!(
                ended.is_ok(),
                "a transaction that only reads can always be rolled back: {ended:?}"
            );
        }
    }
}
