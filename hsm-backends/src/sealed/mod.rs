//! A store of sealed records: one SQLite database in a directory of the user's, its private records sealed under a
//! token key. docs/formats.md has every byte.
//!
//! Nothing here knows where the token key comes from: that is the [`Keeper`]'s matter, and the one thing in which the
//! stores that share this differ.

mod admin;
mod backup;
mod cache;
mod cost;
mod counter;
mod fault;
mod files;
mod intents;
mod keeper;
mod last;
mod makers;
mod mapped;
mod pins;
mod pool;
mod rekey;
mod room;
mod rows;
mod schema;
mod seal;
mod snapshot;
mod token;
mod vault;
mod view;

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    Admin, Admission, Description, KeyStore, Objects, Pin, PinState, ReportGroup, Role, StoreError, Vault,
};
use files::Files;
use pins::PinRow;
use pool::Pool;
use room::Rooms;
use view::View;

pub(crate) use cost::Cost;
pub(crate) use intents::{AtDevice, Intent, Pending};
pub(crate) use keeper::{Judged, Keeper, Kept, Rekey, Rekeying, Rows, Settled};
pub(crate) use pins::role_number;
pub(crate) use seal::{TokenKey, derive, open, seal};
pub(crate) use vault::SealedVault;

/// A token in a directory of the user's.
#[derive(Debug)]
pub(crate) struct SealedStore<K> {
    pool: Arc<Pool>,
    keeper: Arc<K>,
    pin_tries: u32,
    public: View,
    rooms: Rooms,
    unfinished: Mutex<Option<StoreError>>,
}

impl<K: Keeper> SealedStore<K> {
    /// Names the directory; nothing is opened, read or made before the first call.
    pub(crate) fn new(directory: &Path, pin_tries: u32, keeper: K) -> Self {
        let pool = Arc::new(Pool::new(Files::new(directory)));
        let public = View::public(pool.clone());
        let (rooms, unfinished) = Default::default();
        Self { pool, keeper: Arc::new(keeper), pin_tries: pin_tries.max(1), public, rooms, unfinished }
    }

    /// Who judges its PINs.
    pub(crate) fn keeper(&self) -> &K {
        &self.keeper
    }

    /// [`KeyStore::before_fork`]; false where a call was not waited for any longer.
    pub(crate) fn shut(&self) -> bool {
        self.pool.shut()
    }

    /// Opens the door.
    pub(crate) fn open(&self, role: Role, pin: &Pin) -> Result<SealedVault<K>, StoreError> {
        let mut call = self.pool.enter();
        let opened = {
            let _lock = call.files().lock_for_login()?;
            pins::judge(&mut call, &*self.keeper, role, pin, self.pin_tries)?
        };
        drop(call);
        let vault = SealedVault::new(self.pool.clone(), self.keeper.clone(), role, opened, self.pin_tries)?;
        self.rooms.add(vault.room());
        Ok(vault)
    }
}

impl<K: Keeper> KeyStore for SealedStore<K> {
    fn description(&self) -> Result<Description, StoreError> {
        let mut call = self.pool.enter();
        let read = call.read(|sql| {
            let token = token::load(sql)?;
            Ok((token, PinRow::load(sql, Role::User)?, PinRow::load(sql, Role::SecurityOfficer)?))
        });
        let state = |row: &Option<PinRow>, role| {
            let counted = row.as_ref().map_or(PinState::Good, |row| row.state(self.pin_tries));
            counted.max(self.keeper.pin_state(role, row.as_ref().map_or(&[], |row| &row.wrapped)))
        };
        match read {
            Ok((token, user, so)) => {
                let write_protected = call.is_read_only()?;
                // The keeper asks its device.
                drop(call);
                Ok(Description {
                    initialized: true,
                    serial: token.serial(),
                    label: token.label,
                    model: K::MODEL,
                    user_pin_initialized: user.is_some(),
                    user_pin: state(&user, Role::User),
                    so_pin: state(&so, Role::SecurityOfficer),
                    write_protected,
                })
            }
            Err(StoreError::TokenNotInitialized) => Ok(Description {
                initialized: false,
                label: String::new(),
                serial: String::new(),
                model: K::MODEL,
                user_pin_initialized: false,
                user_pin: PinState::Good,
                so_pin: PinState::Good,
                write_protected: false,
            }),
            Err(error) => Err(error),
        }
    }

    fn admission(&self) -> Result<Admission, StoreError> {
        let mut call = self.pool.enter();
        match call.read(token::load) {
            Ok(_) => Ok(Admission { initialized: true, write_protected: call.is_read_only()? }),
            Err(StoreError::TokenNotInitialized) => {
                Ok(Admission { initialized: false, write_protected: false })
            }
            Err(error) => Err(error),
        }
    }

    fn obstacle(&self) -> Option<StoreError> {
        self.pool.enter().files().obstacle()
    }

    fn unfinished(&self) -> Option<StoreError> {
        self.unfinished.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn public(&self) -> &dyn Objects {
        &self.public
    }

    fn unlock(&self, role: Role, pin: &Pin) -> Result<Box<dyn Vault>, StoreError> {
        Ok(Box::new(self.open(role, pin)?))
    }

    fn report(&self) -> Result<Vec<ReportGroup>, StoreError> {
        self.device_report()
    }

    fn admin(&self) -> Option<&dyn Admin> {
        Some(self)
    }

    fn before_fork(&self) {
        self.shut();
    }

    fn after_fork(&self) {
        self.pool.reopen();
    }
}
