//! PINs: how one wraps the token key, and how wrong ones are counted.
//!
//! A try is counted and on the medium before the PIN is looked at. `started` only grows; a right PIN sets `cleared`
//! to its own number, so it forgives what came before it and never a try that came after.

use algorithms::SecretBytes;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use rusqlite::{Connection, OptionalExtension, params};
use zeroize::Zeroizing;

use super::{
    fault::Fault,
    pool::Call,
    seal::{self, TokenKey},
    token::{self, Name, Token},
};
use crate::{Pin, PinState, Role, StoreError, encoding::Input};

/// Argon2id's cost as OWASP gives it: 19 MiB, two passes, one lane. It stands in each wrap, so it can change.
const COST: Cost = Cost { memory_kib: 19 << 10, passes: 2, lanes: 1 };
/// The first byte of a wrap: Argon2id version 0x13, then AES-256-GCM.
const WRAP_VERSION: u8 = 1;
const WRAP_CONTEXT: &[u8] = b"trellis pin wrap 1";
const SALT_LEN: usize = 16;
/// The version, the cost and the salt: bound to what follows.
const WRAP_HEAD_LEN: usize = 1 + 12 + SALT_LEN;

/// What a slow hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    pub(super) fn usual() -> Self {
        COST
    }

    pub(super) fn to_bytes(self) -> [u8; 12] {
        let mut out = [0; 12];
        for (place, number) in
            out.as_chunks_mut().0.iter_mut().zip([self.memory_kib, self.passes, self.lanes])
        {
            *place = number.to_be_bytes();
        }
        out
    }

    /// `None` where the cost is beyond reason: a hostile file must not stop the host.
    pub(super) fn from_bytes(bytes: [u8; 12]) -> Option<Self> {
        let numbers = bytes.as_chunks().0;
        let cost = Self {
            memory_kib: u32::from_be_bytes(numbers[0]),
            passes: u32::from_be_bytes(numbers[1]),
            lanes: u32::from_be_bytes(numbers[2]),
        };
        // At most a gigabyte, and four gigabytes written: some seconds.
        let sane = (1..=8).contains(&cost.lanes)
            && (8 * cost.lanes..=1 << 20).contains(&cost.memory_kib)
            && (1..=64).contains(&cost.passes)
            && cost.memory_kib * cost.passes <= 4 << 20;
        sane.then_some(cost)
    }

    /// Argon2id of a PIN or passphrase: 32 bytes. Its working memory is wiped.
    pub(super) fn stretch(self, pin: &Pin, salt: &[u8]) -> Result<SecretBytes, StoreError> {
        let failed = |_| StoreError::Device("Argon2id refused its parameters".into());
        let params =
            Params::new(self.memory_kib, self.passes, self.lanes, Some(TokenKey::LEN)).map_err(failed)?;
        let mut blocks = Vec::new();
        blocks.try_reserve_exact(params.block_count()).map_err(|_| {
            StoreError::Device(format!("no memory for checking a PIN: {} KiB", self.memory_kib))
        })?;
        blocks.resize(params.block_count(), Block::new());
        let mut blocks = Zeroizing::new(blocks);
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        SecretBytes::filled(TokenKey::LEN, |out| {
            argon2.hash_password_into_with_memory(pin.expose(), salt, out, blocks.as_mut_slice())
        })
        .map_err(failed)
    }
}

/// The token key, wrapped under a PIN.
pub(super) fn wrap(key: &TokenKey, pin: &Pin, role: Role, token_id: Name) -> Result<Vec<u8>, StoreError> {
    let salt = algorithms::random::array::<SALT_LEN>()?;
    let mut wrapped = vec![WRAP_VERSION];
    wrapped.extend(COST.to_bytes());
    wrapped.extend(salt);
    let sealed =
        seal::seal(&COST.stretch(pin, &salt)?, &wrap_context(&wrapped, role, token_id), key.expose())?;
    wrapped.extend(sealed);
    Ok(wrapped)
}

/// The inverse of [`wrap`]; `None` for another PIN.
fn unwrap(wrapped: &[u8], pin: &Pin, role: Role, token_id: Name) -> Result<Option<TokenKey>, StoreError> {
    let (cost, salt) = parse_wrap(wrapped)?;
    let (head, sealed) = wrapped.split_at(WRAP_HEAD_LEN);
    let key = seal::open(&cost.stretch(pin, &salt)?, &wrap_context(head, role, token_id), sealed)?;
    Ok(key.map(TokenKey::new))
}

/// Whether a wrap is well formed, as far as can be told without the PIN.
pub(super) fn parse_wrap(wrapped: &[u8]) -> Result<(Cost, [u8; SALT_LEN]), StoreError> {
    let damaged = || StoreError::Damaged("a wrapped token key is malformed; restore a backup".into());
    let mut input = Input(wrapped);
    let mut parse = || -> Option<_> {
        if input.byte().ok()? != WRAP_VERSION {
            return None;
        }
        let cost = Cost::from_bytes(input.array().ok()?)?;
        let salt = input.array().ok()?;
        (input.rest().len() == 12 + TokenKey::LEN + 16).then_some((cost, salt))
    };
    parse().ok_or_else(damaged)
}

fn wrap_context(head: &[u8], role: Role, token_id: Name) -> Vec<u8> {
    [WRAP_CONTEXT, &token_id, &[role_number(role)], head].concat()
}

/// CKU_SO and CKU_USER.
pub(super) fn role_number(role: Role) -> u8 {
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

/// What a right PIN opens.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) token: Token,
    pub(super) key: TokenKey,
}

/// Counts a try, durably, then judges it. The caller holds the directory's lock, so that several right PINs at once
/// do not look like several wrong ones; that wrong ones stay within `limit` does not depend on it.
pub(super) fn judge(call: &mut Call<'_>, role: Role, pin: &Pin, limit: u32) -> Result<Opened, StoreError> {
    let (token, row) = call.write(|transaction| {
        let token = token::load(transaction)?;
        let mut row = PinRow::load(transaction, role)?.ok_or(match role {
            Role::User => StoreError::UserPinNotInitialized,
            Role::SecurityOfficer => StoreError::Damaged("the SO's PIN is missing; restore a backup".into()),
        })?;
        if row.state(limit) == PinState::Locked {
            return Err(StoreError::PinLocked.into());
        }
        parse_wrap(&row.wrapped)?;
        row.started = row.next_try()?;
        transaction
            .prepare_cached("UPDATE pin SET started = ?1 WHERE role = ?2")?
            .execute(params![row.started, role_number(role)])?;
        Ok((token, row))
    })?;
    let key = unwrap(&row.wrapped, pin, role, token.token_id)?.ok_or(StoreError::PinIncorrect)?;
    // Losing this to a power failure leaves one try too many on the count, never one too few.
    call.write_lazily(|transaction| {
        if token::moment(transaction)?.incarnation != token.moment.incarnation {
            return Err(StoreError::TokenReplaced.into());
        }
        transaction
            .prepare_cached("UPDATE pin SET cleared = max(cleared, ?1) WHERE role = ?2")?
            .execute(params![row.started, role_number(role)])?;
        Ok(())
    })?;
    Ok(Opened { token, key })
}
