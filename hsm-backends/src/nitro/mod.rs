//! A token whose keys live in a Nitro enclave.
//!
//! Objects are records of a sealed store in a directory of the user's, whose token key the enclave gives to whoever
//! knows the PIN. ML-DSA and Ed25519 keys are made in the enclave and sign there; all other keys are records like
//! the objects. The enclave is reached through the host, a program on the same machine. Nothing is asked of it before
//! the first call that needs it.

mod host;
mod keeper;
mod key;
mod vault;

use std::{num::NonZeroU32, path::PathBuf, sync::Arc};

use crate::{
    Admin, Description, KeyStore, Objects, Pin, ReportGroup, Role, SealedBy, StoreError, Vault,
    sealed::SealedStore,
};
use host::Host;
use keeper::EnclaveKeeper;
use vault::NitroVault;

pub use cosigner_protocol::{Address, AddressError, KmsKey, WordError};

/// How a store in an enclave is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The directory of the records, mode 0700; made by C_InitToken if it is missing.
    pub directory: PathBuf,
    /// Where the host listens.
    pub host: Address,
    /// The KMS key that the host must be using for new keys and PINs; any when absent.
    pub kms_key: Option<KmsKey>,
    /// Wrong PINs before the PIN is locked; 10 unless configured.
    pub pin_tries: u32,
}

/// A token whose keys live in an enclave.
#[derive(Debug)]
pub struct NitroStore {
    host: Arc<Host>,
    sealed: SealedStore<EnclaveKeeper>,
}

impl NitroStore {
    /// Names the directory and the host; nothing is opened, read or asked before the first call.
    pub fn new(options: Options) -> Self {
        let host = Arc::new(Host::new(options.host, options.kms_key));
        let tries = NonZeroU32::new(options.pin_tries).unwrap_or(NonZeroU32::MIN);
        let keeper = EnclaveKeeper::new(host.clone(), tries);
        Self { host, sealed: SealedStore::new(&options.directory, tries.get(), keeper) }
    }
}

impl KeyStore for NitroStore {
    fn description(&self) -> Result<Description, StoreError> {
        self.sealed.description()
    }

    fn obstacle(&self) -> Option<StoreError> {
        self.sealed.obstacle()
    }

    fn public(&self) -> &dyn Objects {
        self.sealed.public()
    }

    fn unlock(&self, role: Role, pin: &Pin) -> Result<Box<dyn Vault>, StoreError> {
        let sealed = self.sealed.open(role, pin)?;
        sealed.sweep();
        Ok(Box::new(NitroVault::new(self.host.clone(), sealed)))
    }

    fn sealed_by(&self) -> SealedBy {
        SealedBy::Enclave
    }

    fn report(&self) -> Result<Vec<ReportGroup>, StoreError> {
        self.host.report()
    }

    fn admin(&self) -> Option<&dyn Admin> {
        Some(self)
    }

    fn before_fork(&self) {
        // Calls inside the first gate may be on their way through the second.
        self.sealed.before_fork();
        self.host.shut();
    }

    fn after_fork(&self) {
        self.host.reopen();
        self.sealed.after_fork();
    }
}

impl Admin for NitroStore {
    /// The keys of the token that was go from the enclave's host with its records: no backup brings them back. Those that
    /// do not go now do so when the new token's user logs in.
    fn init_token(&self, so_pin: &Pin, label: &str) -> Result<(), StoreError> {
        if let Some((erased, intent)) = self.sealed.init_token_with(so_pin, label, Some(key::all_of))? {
            key::destroy_all(&self.host, &erased).map_err(StoreError::of_keys_that_go_later)?;
            intent.done();
        }
        Ok(())
    }

    fn init_pin(&self, vault: &dyn Vault, new: &Pin) -> Result<(), StoreError> {
        let vault = vault::ours(vault).ok_or(StoreError::Unsupported)?;
        self.sealed.init_pin(vault.sealed(), new)
    }

    fn set_pin(&self, role: Role, old: &Pin, new: &Pin) -> Result<(), StoreError> {
        self.sealed.set_pin(role, old, new)
    }

    /// The records, without the keys in the enclave: a backup is of use beside this host's records.
    fn backup(&self, path: &std::path::Path, passphrase: &Pin) -> Result<(), StoreError> {
        self.sealed.backup(path, passphrase)
    }

    fn restore(&self, path: &std::path::Path, passphrase: &Pin, replace: bool) -> Result<(), StoreError> {
        self.sealed.restore(path, passphrase, replace)
    }
}
