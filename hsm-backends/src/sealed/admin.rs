//! C_InitToken, C_InitPIN, C_SetPIN: each one transaction, so that it has happened or has not.

use std::{any::Any, path::Path};

use rusqlite::{Connection, params};

use super::{
    SealedStore, backup,
    fault::Fault,
    intents::{self, AtDevice, Intent},
    keeper::{Keeper, Kept, Rekey, Rows},
    pins::{self, PinRow, role_number},
    pool::Call,
    rekey::{NewPin, kept_rows},
    schema,
    seal::{RecordKeys, TokenKey},
    token::{self, Moment, Name, Token},
    vault::SealedVault,
};
use crate::{Admin, Pin, Role, StoreError, Vault};

impl<K: Keeper> Admin for SealedStore<K> {
    fn init_token(&self, so_pin: &Pin, label: &str) -> Result<(), StoreError> {
        self.init_token_with(so_pin, label, None).map(drop)
    }

    fn init_pin(&self, vault: &dyn Vault, new: &Pin) -> Result<(), StoreError> {
        let vault = (vault as &dyn Any).downcast_ref::<SealedVault<K>>().ok_or(StoreError::Unsupported)?;
        if vault.role() != Role::SecurityOfficer {
            return Err(StoreError::Unsupported);
        }
        let keys = vault.keys();
        let (token, key) = (&keys.token, keys.key.as_ref().ok_or(StoreError::Unsupported)?);
        if let Some(rekeying) = self.keeper.rekeying() {
            let mut call = self.pool.enter();
            let _lock = call.files().lock_for_login()?;
            let new = NewPin { role: Role::User, pin: new, forgives: true };
            return self.rekey(&mut call, rekeying, (token, key), new);
        }
        let kept = Kept { role: Role::User, token_id: token.token_id };
        let wrapped = self.keeper.keep(kept, key, new)?;
        let mut call = self.pool.enter();
        // A login or C_SetPIN under the old PIN that is half done must not meet the new row.
        let _lock = call.files().lock_for_login()?;
        call.write(|transaction| {
            unreplaced(transaction, token)?;
            PinRow { started: 0, cleared: 0, wrapped: wrapped.clone() }.store(transaction, Role::User)
        })?;
        call.empty_log();
        Ok(())
    }

    fn set_pin(&self, role: Role, old: &Pin, new: &Pin) -> Result<(), StoreError> {
        if let Some(rekeying) = self.keeper.rekeying() {
            let mut call = self.pool.enter();
            let _lock = call.files().lock_for_login()?;
            let opened = pins::judge(&mut call, &*self.keeper, role, old, self.pin_tries)?;
            let key = opened.key.as_ref().ok_or(StoreError::Unsupported)?;
            let new = NewPin { role, pin: new, forgives: false };
            return self.rekey(&mut call, rekeying, (&opened.token, key), new);
        }
        self.change_pin(role, old, <[u8]>::to_vec, |kept, key| {
            self.keeper.keep(kept, key.ok_or(StoreError::Unsupported)?, new)
        })
    }

    fn reseal(&self, so_pin: &Pin) -> Result<(), StoreError> {
        let rekeying = self.keeper.rekeying().ok_or(StoreError::Unsupported)?;
        self.reseal_user(rekeying, so_pin)
    }

    fn backup(&self, path: &Path, passphrase: &Pin) -> Result<(), StoreError> {
        backup::write(&mut self.pool.enter(), &*self.keeper, path, passphrase)
    }

    fn restore(&self, path: &Path, passphrase: &Pin, replace: bool) -> Result<(), StoreError> {
        backup::restore(&mut self.pool.enter(), &*self.keeper, path, passphrase, replace)
    }
}

impl<K: Keeper> SealedStore<K> {
    /// C_InitToken. Where it takes the place of a token, `all_of` names all keys that a device has of it. The intent to destroy
    /// them is on record together with the new token, whose user's login sees to it if nobody does before; whatever was
    /// intended for the old one's keys is carried over likewise.
    pub(crate) fn init_token_with(
        &self,
        so_pin: &Pin,
        label: &str,
        all_of: Option<fn(&Name) -> AtDevice>,
    ) -> Result<Option<(Name, Intent)>, StoreError> {
        if label.len() > token::MAX_LABEL_LEN {
            return Err(algorithms::Error::InputLength.into());
        }
        let mut call = self.pool.enter();
        if call.files().check()?.is_some() {
            let _lock = call.files().lock_for_login()?;
            let judged =
                pins::judge(&mut call, &*self.keeper, Role::SecurityOfficer, so_pin, self.pin_tries)?;
            let fresh = match (self.keeper.rekeying(), &judged.key) {
                (Some(_), Some(key)) => {
                    let before = call.read(kept_rows)?;
                    Fresh::replacing(&*self.keeper, so_pin, label, (judged.token.token_id, key), &before)?
                }
                _ => Fresh::new(&*self.keeper, so_pin, label)?,
            };
            let erased = judged.token.token_id;
            let sealing = match (&judged.key, &fresh.key) {
                (Some(old), Some(new)) => Some((
                    RecordKeys::new(erased, old.clone())?,
                    RecordKeys::new(fresh.token.token_id, new.clone())?,
                )),
                _ => None,
            };
            let intent = match (&sealing, all_of) {
                (Some((_, keys)), Some(all_of)) => Some(Intent::under(&self.pool, keys, &all_of(&erased))?),
                _ => None,
            };
            call.commit(|transaction| {
                let current = token::moment(transaction)?;
                if current.incarnation != judged.token.moment.incarnation {
                    return Err(StoreError::TokenReplaced.into());
                }
                transaction.execute_batch("DELETE FROM record; DELETE FROM pin; DELETE FROM token;")?;
                if let Some((from, to)) = &sealing {
                    intents::carry_over(transaction, from, to)?;
                }
                intent.iter().try_for_each(|intent| intent.write(transaction))?;
                fresh.write(transaction, current.generation)?;
                token::advance(transaction)
            })?;
            call.empty_log();
            if let Some(rekeying) = self.keeper.rekeying() {
                self.settle(rekeying, Role::SecurityOfficer, &Rows { so: fresh.so, user: None });
            }
            Ok(intent.map(|intent| (erased, intent)))
        } else {
            call.files().create_directory()?;
            let _lock = call.files().lock_for_login()?;
            if call.files().check()?.is_some() {
                // Another process was faster; its SO PIN is not known to be ours.
                return Err(StoreError::Changed);
            }
            let fresh = Fresh::new(&*self.keeper, so_pin, label)?;
            self.create(&mut call, &fresh).inspect_err(|_| self.keeper.discard(&fresh.so))?;
            Ok(None)
        }
    }

    /// Makes the database beside its place and puts it there whole.
    fn create(&self, call: &mut Call<'_>, fresh: &Fresh) -> Result<(), StoreError> {
        let files = call.files();
        let scratch = files.scratch()?;
        let make = || -> Result<(), Fault> {
            let mut sql = Connection::open(scratch.path())?;
            schema::configure(&sql)?;
            let transaction = sql.transaction()?;
            schema::create(&transaction)?;
            fresh.write(&transaction, token::first_generation()?)?;
            transaction.commit()?;
            // Last, so that the log holds nothing when the file moves away from it.
            schema::use_log(&sql)
        };
        make().map_err(|fault| fault.into_store_error(files))?;
        files.install(scratch)?;
        // The first commit settles the change counter of the new database.
        call.commit(token::advance)
    }
}

/// What a store does whose device, and not this file, makes tokens and PINs.
impl<K: Keeper> SealedStore<K> {
    /// Whether there is a database.
    pub(crate) fn exists(&self) -> Result<bool, StoreError> {
        Ok(self.pool.enter().files().check()?.is_some())
    }

    /// Makes the database of a token that the device has and the disk does not, and the rows of PINs that the device
    /// has. What is there stays.
    pub(crate) fn adopt(&self, label: &str, roles: &[Role]) -> Result<(), StoreError> {
        let mut call = self.pool.enter();
        call.files().create_directory()?;
        let _lock = call.files().lock_for_login()?;
        if call.files().check()?.is_none() {
            self.create(&mut call, &Fresh::of_device(label)?)?;
        }
        call.write(|transaction| {
            for role in roles {
                if PinRow::load(transaction, *role)?.is_none() {
                    PinRow { started: 0, cleared: 0, wrapped: Vec::new() }.store(transaction, *role)?;
                }
            }
            Ok(())
        })
    }

    /// C_InitToken: the security officer's PIN is counted and judged, `device` makes the token anew, and every record
    /// goes.
    pub(crate) fn erase(
        &self,
        so_pin: &Pin,
        label: &str,
        device: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut call = self.pool.enter();
        let _lock = call.files().lock_for_login()?;
        pins::judge(&mut call, &*self.keeper, Role::SecurityOfficer, so_pin, self.pin_tries)?;
        call.apart(device)?;
        Self::begin_anew(&mut call, label)
    }

    /// [`SealedStore::erase`] where there is no officer any more: the device has been erased by other means.
    pub(crate) fn erase_unjudged(&self, label: &str) -> Result<(), StoreError> {
        let mut call = self.pool.enter();
        let _lock = call.files().lock_for_login()?;
        Self::begin_anew(&mut call, label)
    }

    /// Whether the token is still the one that a vault was opened of.
    pub(crate) fn check_current(&self, vault: &SealedVault<K>) -> Result<(), StoreError> {
        self.pool.enter().read(|sql| unreplaced(sql, &vault.keys().token))
    }

    fn begin_anew(call: &mut Call<'_>, label: &str) -> Result<(), StoreError> {
        let fresh = Fresh::of_device(label)?;
        call.commit(|transaction| {
            let current = token::moment(transaction)?;
            transaction.execute_batch("DELETE FROM record; DELETE FROM pin; DELETE FROM token;")?;
            fresh.write(transaction, current.generation)?;
            token::advance(transaction)
        })?;
        call.empty_log();
        Ok(())
    }

    /// Before a device changes the user's PIN: of what is kept, no more than `less` stays.
    pub(crate) fn keep_less(
        &self,
        vault: &SealedVault<K>,
        less: impl Fn(&[u8]) -> Vec<u8>,
    ) -> Result<(), StoreError> {
        let mut call = self.pool.enter();
        let _lock = call.files().lock_for_login()?;
        keep_less(&mut call, &vault.keys().token, Role::User, less).map(drop)
    }

    /// C_InitPIN, after the device has done it: the count begins anew. What is kept of the key stays.
    pub(crate) fn forgive_user(
        &self,
        vault: &SealedVault<K>,
        kept: impl Fn(&[u8]) -> Vec<u8>,
    ) -> Result<(), StoreError> {
        let keys = vault.keys();
        let token = &keys.token;
        let mut call = self.pool.enter();
        let _lock = call.files().lock_for_login()?;
        call.write(|transaction| {
            unreplaced(transaction, token)?;
            let old = PinRow::load(transaction, Role::User)?.map(|row| row.wrapped).unwrap_or_default();
            PinRow { started: 0, cleared: 0, wrapped: kept(&old) }.store(transaction, Role::User)
        })
    }

    /// C_SetPIN: `old` is counted and judged, `device` changes the PIN, and what it gives is kept from now on. Nothing of
    /// what was kept before stays on the disk; while the device is at it, no more than `less` is kept, so that whoever is
    /// killed then leaves nothing that tells the old PIN. Where the device does not take the new one, all is as before.
    pub(crate) fn change_pin(
        &self,
        role: Role,
        old: &Pin,
        less: impl Fn(&[u8]) -> Vec<u8>,
        device: impl FnOnce(Kept, Option<&TokenKey>) -> Result<Vec<u8>, StoreError>,
    ) -> Result<(), StoreError> {
        let mut call = self.pool.enter();
        let _lock = call.files().lock_for_login()?;
        let opened = pins::judge(&mut call, &*self.keeper, role, old, self.pin_tries)?;
        let kept = Kept { role, token_id: opened.token.token_id };
        let before = keep_less(&mut call, &opened.token, role, less)?;
        let wrapped = match call.apart(|| device(kept, opened.key.as_ref())) {
            Err(refused @ (StoreError::PinLength | StoreError::ReadOnly | StoreError::Unsupported)) => {
                keep_less(&mut call, &opened.token, role, |_| before.clone())?;
                return Err(refused);
            }
            changed => changed?,
        };
        keep_less(&mut call, &opened.token, role, |_| wrapped.clone())?;
        call.empty_log();
        Ok(())
    }
}

/// Keeps what `less` gives of what was kept, durably; that is given back.
fn keep_less(
    call: &mut Call<'_>,
    token: &Token,
    role: Role,
    less: impl Fn(&[u8]) -> Vec<u8>,
) -> Result<Vec<u8>, StoreError> {
    call.write(|transaction| {
        unreplaced(transaction, token)?;
        let kept = PinRow::load(transaction, role)?.map(|row| row.wrapped).unwrap_or_default();
        let left = less(&kept);
        if left != kept {
            transaction
                .execute("UPDATE pin SET wrapped = ?1 WHERE role = ?2", params![left, role_number(role)])?;
        }
        Ok(kept)
    })
}

/// A token that is about to be: its names, its key where this file keeps it for good, and the SO's PIN.
struct Fresh {
    token: Token,
    key: Option<TokenKey>,
    so: Vec<u8>,
}

impl Fresh {
    fn new(keeper: &impl Keeper, so_pin: &Pin, label: &str) -> Result<Self, StoreError> {
        let token_id = algorithms::random::array()?;
        let key = TokenKey::generate()?;
        let so = keeper.keep(Kept { role: Role::SecurityOfficer, token_id }, &key, so_pin)?;
        let moment = Moment { incarnation: algorithms::random::array()?, generation: 0 };
        Ok(Self { token: Token { token_id, moment, label: label.to_owned() }, key: Some(key), so })
    }

    /// A token in place of one whose keeper gives each PIN a key of its own.
    fn replacing(
        keeper: &impl Keeper,
        so_pin: &Pin,
        label: &str,
        from: (Name, &TokenKey),
        before: &Rows,
    ) -> Result<Self, StoreError> {
        let mut fresh = Self::of_device(label)?;
        let key = TokenKey::generate()?;
        let to = (fresh.token.token_id, &key);
        let role = Role::SecurityOfficer;
        let change = Rekey { role, pin: so_pin, from, to, before, erases: true };
        fresh.so = keeper.rekeying().ok_or(StoreError::Unsupported)?.rekey(&change)?.so;
        Ok(fresh)
    }

    /// A token whose PINs and key its device has.
    fn of_device(label: &str) -> Result<Self, StoreError> {
        let moment = Moment { incarnation: algorithms::random::array()?, generation: 0 };
        Ok(Self {
            token: Token { token_id: algorithms::random::array()?, moment, label: label.to_owned() },
            key: None,
            so: Vec::new(),
        })
    }

    fn write(&self, sql: &Connection, generation: i64) -> Result<(), Fault> {
        let mut token = self.token.clone();
        token.moment.generation = generation;
        token::replace(sql, &token)?;
        PinRow { started: 0, cleared: 0, wrapped: self.so.clone() }.store(sql, Role::SecurityOfficer)
    }
}

pub(super) fn unreplaced(sql: &Connection, token: &Token) -> Result<(), Fault> {
    if token::moment(sql)?.incarnation == token.moment.incarnation {
        Ok(())
    } else {
        Err(StoreError::TokenReplaced.into())
    }
}
