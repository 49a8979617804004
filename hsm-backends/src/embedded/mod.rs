//! The embedded store: sealed records in a directory of the user's, under a token key that each PIN wraps.

mod pin;

use std::path::PathBuf;

use crate::{
    Admin, Admission, Description, KeyStore, Objects, Pin, Role, StoreError, Vault, sealed::SealedStore,
};
use pin::PinKeeper;

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
pub struct EmbeddedStore(SealedStore<PinKeeper>);

impl EmbeddedStore {
    /// Names the directory; nothing is opened, read or made before the first call.
    pub fn new(options: Options) -> Self {
        Self(SealedStore::new(&options.directory, options.pin_tries, PinKeeper))
    }
}

impl KeyStore for EmbeddedStore {
    fn description(&self) -> Result<Description, StoreError> {
        self.0.description()
    }

    fn admission(&self) -> Result<Admission, StoreError> {
        self.0.admission()
    }

    fn obstacle(&self) -> Option<StoreError> {
        self.0.obstacle()
    }

    fn public(&self) -> &dyn Objects {
        self.0.public()
    }

    fn unlock(&self, role: Role, pin: &Pin) -> Result<Box<dyn Vault>, StoreError> {
        self.0.unlock(role, pin)
    }

    fn admin(&self) -> Option<&dyn Admin> {
        self.0.admin()
    }

    fn before_fork(&self) {
        self.0.before_fork();
    }

    fn after_fork(&self) {
        self.0.after_fork();
    }
}
