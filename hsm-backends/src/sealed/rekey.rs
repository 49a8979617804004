//! A new PIN that brings a new token key: every record sealed anew, and what is kept for both roles, in one transaction.

use std::sync::PoisonError;

use rusqlite::{Transaction, params};

use super::{
    SealedStore,
    admin::unreplaced,
    fault::Fault,
    keeper::{Keeper, Rekey, Rekeying, Rows},
    pins::{self, PinRow, role_number},
    pool::Call,
    rows,
    seal::{RecordKeys, TokenKey},
    token::{self, Token},
};
use crate::{Pin, ReportGroup, Role, StoreError};

/// Whose PIN is new, and what becomes of its count.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewPin<'a> {
    pub(super) role: Role,
    pub(super) pin: &'a Pin,
    /// Whether wrong tries are forgiven: the security officer has set it.
    pub(super) forgives: bool,
}

/// What both rows hold; of a token without a user's PIN, one.
pub(super) fn kept_rows(sql: &rusqlite::Connection) -> Result<Rows, Fault> {
    let so = PinRow::load(sql, Role::SecurityOfficer)?
        .ok_or_else(|| StoreError::Damaged("the SO's PIN is missing; restore a backup".into()))?;
    Ok(Rows { so: so.wrapped, user: PinRow::load(sql, Role::User)?.map(|row| row.wrapped) })
}

impl<K: Keeper> SealedStore<K> {
    /// Puts a new token key in place of `key`, with `new` for a PIN. The caller holds the directory's lock.
    pub(super) fn rekey(
        &self,
        call: &mut Call<'_>,
        rekeying: &dyn Rekeying,
        (token, key): (&Token, &TokenKey),
        new: NewPin<'_>,
    ) -> Result<(), StoreError> {
        let before = call.read(|sql| {
            unreplaced(sql, token)?;
            kept_rows(sql)
        })?;
        let next_key = TokenKey::generate()?;
        let mut next = token.clone();
        next.moment.incarnation = algorithms::random::array()?;
        let change = Rekey {
            role: new.role,
            pin: new.pin,
            from: (token.token_id, key),
            to: (next.token_id, &next_key),
            before: &before,
            erases: false,
        };
        let made = rekeying.rekey(&change)?;
        let keys = [key, &next_key].map(|key| RecordKeys::new(token.token_id, key.clone()));
        let [from, to] = keys;
        let (from, to) = (from?, to?);
        self.rooms.announce(token.moment.incarnation, &next, &next_key)?;
        let committed = call.commit(|transaction| {
            unreplaced(transaction, token)?;
            rows::reseal(transaction, &from, &to)?;
            write_rows(transaction, &made, new)?;
            let mut next = next.clone();
            next.moment.generation = token::moment(transaction)?.generation.saturating_add(1);
            token::replace(transaction, &next)?;
            Ok(next.moment.generation)
        });
        if let Err(error) = committed {
            self.rooms.withdraw(next.moment.incarnation);
            return Err(error);
        }
        self.rooms.confirm(next.moment.incarnation);
        call.empty_log();
        self.settle(rekeying, new.role, &made);
        Ok(())
    }

    /// Closes what was kept before. The call has succeeded whatever comes of it.
    pub(super) fn settle(&self, rekeying: &dyn Rekeying, role: Role, rows: &Rows) {
        if let Err(error) = rekeying.settle(role, rows) {
            *self.unfinished.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    }
}

impl<K: Keeper> SealedStore<K> {
    /// The same token key, kept for the user in the present state of the machine.
    pub(super) fn reseal_user(&self, rekeying: &dyn Rekeying, so_pin: &Pin) -> Result<(), StoreError> {
        let mut call = self.pool.enter();
        let _lock = call.files().lock_for_login()?;
        let opened = pins::judge(&mut call, &*self.keeper, Role::SecurityOfficer, so_pin, self.pin_tries)?;
        let key = opened.key.as_ref().ok_or(StoreError::Unsupported)?;
        let user = call.read(kept_rows)?.user.ok_or(StoreError::UserPinNotInitialized)?;
        let kept = rekeying.reseal(opened.token.token_id, key, &user)?;
        call.write(|transaction| {
            unreplaced(transaction, &opened.token)?;
            let number = role_number(Role::User);
            transaction.execute("UPDATE pin SET wrapped = ?1 WHERE role = ?2", params![kept, number])?;
            Ok(())
        })?;
        call.empty_log();
        Ok(())
    }

    /// What the device says of both PINs.
    pub(super) fn device_report(&self) -> Result<Vec<ReportGroup>, StoreError> {
        let read = self.pool.enter().read(kept_rows);
        let rows = match read {
            Err(StoreError::TokenNotInitialized) => return self.keeper.reach().map(|()| Vec::new()),
            read => read?,
        };
        let mut groups = vec![("so", self.keeper.report(Role::SecurityOfficer, &rows.so)?)];
        if let Some(user) = &rows.user {
            groups.push(("user", self.keeper.report(Role::User, user)?));
        }
        groups.retain(|(_, facts)| !facts.is_empty());
        Ok(groups)
    }
}

fn write_rows(transaction: &Transaction<'_>, made: &Rows, new: NewPin<'_>) -> Result<(), Fault> {
    for (role, wrapped) in [(Role::SecurityOfficer, Some(&made.so)), (Role::User, made.user.as_ref())] {
        let Some(wrapped) = wrapped else { continue };
        if new.forgives && role == new.role {
            PinRow { started: 0, cleared: 0, wrapped: wrapped.clone() }.store(transaction, role)?;
        } else {
            transaction
                .prepare_cached("UPDATE pin SET wrapped = ?1 WHERE role = ?2")?
                .execute(params![wrapped, role_number(role)])?;
        }
    }
    Ok(())
}
