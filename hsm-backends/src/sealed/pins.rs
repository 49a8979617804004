//! PINs: how wrong ones are counted. Who judges them is the [`Keeper`]'s matter.
//!
//! A try is counted and on the medium before the PIN is looked at. `started` grows with each, and goes back by one where
//! the try was not judged; a right PIN sets `cleared` to its own number, so it forgives what came before it and never
//! a try that came after.

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    fault::Fault,
    keeper::{Keeper, Kept},
    pool::Call,
    seal::TokenKey,
    token::{self, Token},
};
use crate::{Pin, PinState, Role, StoreError};

/// CKU_SO and CKU_USER.
pub(crate) fn role_number(role: Role) -> u8 {
    match role {
        Role::SecurityOfficer => 0,
        Role::User => 1,
    }
}

/// One row: a wrapped key and its count.
#[derive(Debug, Clone)]
pub(super) struct PinRow {
    pub(super) started: i64,
    pub(super) cleared: i64,
    pub(super) wrapped: Vec<u8>,
}

impl PinRow {
    pub(super) fn load(sql: &Connection, role: Role) -> Result<Option<Self>, Fault> {
        let row = sql
            .prepare_cached("SELECT started, cleared, wrapped FROM pin WHERE role = ?1")?
            .query_row([role_number(role)], |row| {
                Ok(Self { started: row.get(0)?, cleared: row.get(1)?, wrapped: row.get(2)? })
            })
            .optional()?;
        Ok(row)
    }

    /// Writes the row, replacing another of the same role.
    pub(super) fn store(&self, sql: &Connection, role: Role) -> Result<(), Fault> {
        sql.execute(
            "INSERT OR REPLACE INTO pin (role, started, cleared, wrapped) VALUES (?1, ?2, ?3, ?4)",
            params![role_number(role), self.started, self.cleared, self.wrapped],
        )?;
        Ok(())
    }

    /// The number of the next try. Numbers that this code cannot have written are not counted on from.
    fn next_try(&self) -> Result<i64, StoreError> {
        self.started.checked_add(1).filter(|_| (0..=self.started).contains(&self.cleared)).ok_or_else(|| {
            StoreError::Damaged("the count of wrong PINs was altered; restore a backup".into())
        })
    }

    /// Tries that no right PIN has followed.
    pub(super) fn failures(&self) -> u64 {
        u64::try_from(self.started.saturating_sub(self.cleared)).unwrap_or(u64::MAX)
    }

    /// What PKCS#11 says of a PIN with this many failures.
    pub(super) fn state(&self, limit: u32) -> PinState {
        let limit = u64::from(limit.max(1));
        match self.failures() {
            failures if failures >= limit => PinState::Locked,
            failures if failures + 1 == limit && failures > 0 => PinState::FinalTry,
            0 => PinState::Good,
            _ => PinState::CountLow,
        }
    }
}

/// Takes back a try that nobody judged, unless another was begun after it.
fn give_back(call: &mut Call<'_>, role: Role, row: &PinRow) -> Result<(), StoreError> {
    call.write(|transaction| {
        transaction
            .prepare_cached("UPDATE pin SET started = ?1 - 1 WHERE role = ?2 AND started = ?1")?
            .execute(params![row.started, role_number(role)])?;
        Ok(())
    })
}

/// What a right PIN opens.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) token: Token,
    /// `None` where the role needs no key: the security officer of a device that makes the user's PIN itself.
    pub(crate) key: Option<TokenKey>,
}

/// Counts a try, durably, then has it judged. The caller holds the directory's lock, so that several right PINs at once
/// do not look like several wrong ones; that wrong ones stay within `limit` does not depend on it.
pub(crate) fn judge(
    call: &mut Call<'_>,
    keeper: &impl Keeper,
    role: Role,
    pin: &Pin,
    limit: u32,
) -> Result<Opened, StoreError> {
    let (token, row) = call.write(|transaction| {
        let token = token::load(transaction)?;
        let mut row = PinRow::load(transaction, role)?.ok_or(match role {
            Role::User => StoreError::UserPinNotInitialized,
            Role::SecurityOfficer => StoreError::Damaged("the SO's PIN is missing; restore a backup".into()),
        })?;
        if row.state(limit) == PinState::Locked {
            return Err(StoreError::PinLocked.into());
        }
        keeper.check(role, &row.wrapped)?;
        row.started = row.next_try()?;
        transaction
            .prepare_cached("UPDATE pin SET started = ?1 WHERE role = ?2")?
            .execute(params![row.started, role_number(role)])?;
        Ok((token, row))
    })?;
    let kept = Kept { role, token_id: token.token_id };
    let judged = match call.apart(|| keeper.judge(kept, &row.wrapped, pin)) {
        Ok(judged) => judged.ok_or(StoreError::PinIncorrect)?,
        // A device that is away has judged nothing, and its user must not be locked out for that.
        Err(error @ (StoreError::Device(_) | StoreError::Absent(_) | StoreError::Removed(_))) => {
            give_back(call, role, &row)?;
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    // Losing the count to a power failure leaves one try too many on it, never one too few.
    let clear = |transaction: &rusqlite::Transaction<'_>| -> Result<(), Fault> {
        if token::moment(transaction)?.incarnation != token.moment.incarnation {
            return Err(StoreError::TokenReplaced.into());
        }
        transaction
            .prepare_cached("UPDATE pin SET cleared = max(cleared, ?1) WHERE role = ?2")?
            .execute(params![row.started, role_number(role)])?;
        if let Some(anew) = &judged.anew {
            transaction
                .prepare_cached("UPDATE pin SET wrapped = ?1 WHERE role = ?2")?
                .execute(params![anew, role_number(role)])?;
        }
        Ok(())
    };
    // A key that was made just now must not be lost after the first record is sealed under it.
    if judged.anew.is_some() {
        call.write(clear)?
    } else {
        call.write_lazily(clear)?
    }
    Ok(Opened { token, key: judged.key })
}
