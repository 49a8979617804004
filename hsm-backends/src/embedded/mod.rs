//! The embedded store: one SQLite database in a directory of the user's, its private records sealed under a token key
//! that each PIN wraps.
//!
//! `pins` knows where the token key comes from; `seal` and `rows` do not, so that other sealed stores share them.

mod admin;
mod backup;
mod cache;
mod counter;
mod fault;
mod files;
mod pins;
mod pool;
mod rows;
mod schema;
mod seal;
mod token;
mod vault;
mod view;

use std::{path::PathBuf, sync::Arc};

use crate::{Admin, Description, KeyStore, Objects, Pin, PinState, Role, StoreError, Vault};
use files::Files;
use pins::PinRow;
use pool::Pool;
use vault::EmbeddedVault;
use view::View;

/// How an embedded store is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The store's own directory, mode 0700; made by C_InitToken if it is missing.
    pub directory: PathBuf,
    /// Wrong PINs before the PIN is locked; 10 unless configured.
    pub pin_tries: u32,
}

/// A token in a directory of the user's.
#[derive(Debug)]
pub struct EmbeddedStore {
    pool: Arc<Pool>,
    pin_tries: u32,
    public: View,
}

impl EmbeddedStore {
    /// Names the directory; nothing is opened, read or made before the first call.
    pub fn new(options: Options) -> Self {
        let pool = Arc::new(Pool::new(Files::new(&options.directory)));
        let public = View::public(pool.clone());
        Self { pool, pin_tries: options.pin_tries.max(1), public }
    }
}

impl KeyStore for EmbeddedStore {
    fn description(&self) -> Result<Description, StoreError> {
        let mut call = self.pool.enter();
        let read = call.read(|sql| {
            let token = token::load(sql)?;
            Ok((token, PinRow::load(sql, Role::User)?, PinRow::load(sql, Role::SecurityOfficer)?))
        });
        let state =
            |row: &Option<PinRow>| row.as_ref().map_or(PinState::Good, |row| row.state(self.pin_tries));
        match read {
            Ok((token, user, so)) => Ok(Description {
                initialized: true,
                serial: token.serial(),
                label: token.label,
                model: MODEL,
                user_pin_initialized: user.is_some(),
                user_pin: state(&user),
                so_pin: state(&so),
                write_protected: call.is_read_only()?,
            }),
            Err(StoreError::TokenNotInitialized) => Ok(Description {
                initialized: false,
                label: String::new(),
                serial: String::new(),
                model: MODEL,
                user_pin_initialized: false,
                user_pin: PinState::Good,
                so_pin: PinState::Good,
                write_protected: false,
            }),
            Err(error) => Err(error),
        }
    }

    fn obstacle(&self) -> Option<StoreError> {
        self.pool.enter().files().obstacle()
    }

    fn public(&self) -> &dyn Objects {
        &self.public
    }

    fn unlock(&self, role: Role, pin: &Pin) -> Result<Box<dyn Vault>, StoreError> {
        let mut call = self.pool.enter();
        let opened = {
            let _lock = call.files().lock_for_login()?;
            pins::judge(&mut call, role, pin, self.pin_tries)?
        };
        drop(call);
        Ok(Box::new(EmbeddedVault::new(self.pool.clone(), role, opened, self.pin_tries)?))
    }

    fn admin(&self) -> Option<&dyn Admin> {
        Some(self)
    }

    fn before_fork(&self) {
        self.pool.shut();
    }

    fn after_fork(&self) {
        self.pool.reopen();
    }
}

/// CK_TOKEN_INFO.model.
const MODEL: &str = "embedded";
