//! The one row that says which token this is.

use rusqlite::{Connection, OptionalExtension, Transaction, named_params};

use super::fault::Fault;
use crate::StoreError;

/// Sixteen bytes that name a token or one incarnation of it.
pub(crate) type Name = [u8; 16];

/// Bytes of a label: the field of C_InitToken.
pub(super) const MAX_LABEL_LEN: usize = 32;

/// When something was read. Every change of a record makes a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// New with each C_InitToken and each restore.
    pub(super) incarnation: Name,
    /// Grows with each commit.
    pub(super) generation: i64,
}

/// The whole row.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    /// Stays for the life of the token, backups included; every blob is bound to it.
    pub(crate) token_id: Name,
    pub(super) moment: Moment,
    pub(super) label: String,
}

impl Token {
    /// At most 16 characters.
    pub(super) fn serial(&self) -> String {
        let (half, _) = self.token_id.split_first_chunk::<8>().expect("16 bytes hold 8");
        format!("{:016X}", u64::from_be_bytes(*half))
    }
}

pub(super) fn moment(sql: &Connection) -> Result<Moment, Fault> {
    let mut statement = sql.prepare_cached("SELECT generation, incarnation FROM token")?;
    let mut rows = statement.query([])?;
    let row = rows.next()?.ok_or_else(no_row)?;
    Ok(Moment { generation: row.get(0)?, incarnation: row.get(1)? })
}

pub(super) fn load(sql: &Connection) -> Result<Token, Fault> {
    let token: Token = sql
        .prepare_cached("SELECT token_id, incarnation, generation, label FROM token")?
        .query_row([], |row| {
            let moment = Moment { incarnation: row.get(1)?, generation: row.get(2)? };
            Ok(Token { token_id: row.get(0)?, moment, label: row.get(3)? })
        })
        .optional()?
        .ok_or_else(no_row)?;
    if token.label.len() > MAX_LABEL_LEN {
        return Err(StoreError::Damaged("the token's label is too long; restore a backup".into()).into());
    }
    Ok(token)
}

/// Marks the records as changed: the new generation.
pub(super) fn advance(transaction: &Transaction<'_>) -> Result<i64, Fault> {
    let mut statement =
        transaction.prepare_cached("UPDATE token SET generation = generation + 1 RETURNING generation")?;
    let mut rows = statement.query([])?;
    let generation = rows.next()?.ok_or_else(no_row)?.get(0)?;
    // A statement that is not run to its end would not be done.
    while rows.next()?.is_some() {}
    Ok(generation)
}

/// Writes the row of a new token, or of a new incarnation of one.
pub(super) fn replace(transaction: &Connection, token: &Token) -> Result<(), Fault> {
    transaction.execute(
        "INSERT OR REPLACE INTO token (one, token_id, incarnation, generation, label) \
         VALUES (1, :token_id, :incarnation, :generation, :label)",
        named_params! {
            ":token_id": token.token_id, ":incarnation": token.moment.incarnation,
            ":generation": token.moment.generation, ":label": token.label,
        },
    )?;
    Ok(())
}

/// Where a new file's generations begin. At random, so that what another process remembers of a file that had this
/// name before is never taken for current.
pub(super) fn first_generation() -> Result<i64, StoreError> {
    Ok(i64::from(u32::from_be_bytes(algorithms::random::array()?)) << 16)
}

fn no_row() -> StoreError {
    StoreError::Damaged("the token's own row is missing; restore a backup".into())
}
