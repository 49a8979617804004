//! What a right PIN gives: the records of the sealed store and the HSM's own objects, as one.

use std::{any::Any, sync::Arc};

use cryptoki_sys as ck;

use super::{
    changes,
    claims::find,
    copies::Copies,
    device::Device,
    foreign::ForeignObjects,
    keeper::HsmKeeper,
    native::{self, NativeKey},
};
use crate::{
    Attributes, Change, KeySpec, NewSecret, Objects, OpenKey, Pin, PrivateKey, Record, RecordId, Role,
    SecretKey, StoreError, Vault,
    keys::may_leave,
    sealed::{AtDevice, SealedVault},
};

/// Which keys are made in the HSM.
#[derive(Debug, Clone)]
pub(super) struct PassThrough {
    /// CKM_* that the HSM has with CKF_SIGN or CKF_GENERATE_KEY_PAIR and the configuration allows.
    pub(super) mechanisms: Vec<u64>,
    /// Whether data objects go there as well.
    pub(super) data: bool,
}

impl PassThrough {
    fn takes(&self, spec: &KeySpec) -> bool {
        super::native::mechanisms(spec).is_some_and(|(generate, sign)| {
            self.mechanisms.contains(&generate) && self.mechanisms.contains(&sign)
        })
    }
}

/// A room of the store over an HSM.
#[derive(Debug)]
pub(super) struct Pkcs11Vault {
    device: Arc<Device>,
    sealed: Option<SealedVault<HsmKeeper>>,
    foreign: ForeignObjects,
    role: Role,
    pass_through: PassThrough,
    /// The user's login at the HSM.
    login: Option<u64>,
    /// The security officer is logged in at the HSM only while he does something.
    pub(super) so_pin: Option<Pin>,
}

impl Pkcs11Vault {
    pub(super) fn new(
        foreign: ForeignObjects,
        sealed: SealedVault<HsmKeeper>,
        role: Role,
        pass_through: PassThrough,
        login: Option<u64>,
        so_pin: Option<Pin>,
    ) -> Self {
        let device = foreign.device().clone();
        Self { device, sealed: Some(sealed), foreign, role, pass_through, login, so_pin }
    }

    pub(super) fn sealed(&self) -> &SealedVault<HsmKeeper> {
        self.sealed.as_ref().expect("taken by drop alone")
    }

    /// A PIN that the HSM takes no more ends the login, as a token that was replaced does.
    fn check(&self) -> Result<(), StoreError> {
        match self.login {
            Some(login) if self.device.has_refused(login) => Err(StoreError::TokenReplaced),
            _ => Ok(()),
        }
    }
}

impl Drop for Pkcs11Vault {
    fn drop(&mut self) {
        // Keys that were made and not kept are destroyed while the login lasts.
        self.sealed = None;
        if let Some(login) = self.login {
            self.device.release(login);
        }
    }
}

impl Objects for Pkcs11Vault {
    fn find(&self, template: &Attributes) -> Result<Vec<RecordId>, StoreError> {
        self.check()?;
        find(self.sealed(), &self.foreign, template, || self.sealed().pending())
    }

    fn read(&self, id: RecordId) -> Result<Arc<Record>, StoreError> {
        self.check()?;
        match self.foreign.read(id) {
            Some(record) => Ok(record),
            None => self.sealed().read(id),
        }
    }

    fn read_with_open_key(&self, id: RecordId) -> Result<(Arc<Record>, OpenKey), StoreError> {
        self.check()?;
        match self.foreign.read(id) {
            Some(record) => Ok((record, None)),
            None => self.sealed().read_with_open_key(id),
        }
    }

    fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.check()?;
        let keeper = self.sealed().keeper();
        for change in &changes {
            if let Change::Create { id, secret: Some(NewSecret::Private(key)), .. } = change
                && key.device_key().is_some()
            {
                keeper.remember(*id, key);
            }
        }
        let key_of = |id| match keeper.open_key(id).map_or_else(|| self.sealed().private_key(id), Ok) {
            Err(StoreError::NotFound | StoreError::Unsupported) => Ok(None),
            key => key.map(Some),
        };
        let PassThrough { mechanisms, data } = &self.pass_through;
        let copies = Copies::of(&changes, self.sealed(), |class| {
            self.role == Role::User && if class == ck::CKO_DATA { *data } else { !mechanisms.is_empty() }
        })?;
        // Only the user's keys seal intents.
        let to_copy = if self.role == Role::User { copies.at_device() } else { Vec::new() };
        let mut of_copies = None;
        let write = |changes, keys: &[AtDevice]| {
            let mut intents = self.sealed().commit_with(changes, &[keys, &to_copy].concat())?;
            of_copies = Some(intents.split_off(keys.len()));
            Ok(intents)
        };
        let done = changes::commit(self.sealed(), &self.foreign, changes, key_of, write);
        // Also where a key could not follow: the records have changed.
        if let Some(intents) = of_copies {
            copies.follow(self.sealed(), &self.device, intents);
        }
        done
    }
}

impl Vault for Pkcs11Vault {
    fn role(&self) -> Role {
        self.role
    }

    fn verify_pin(&self, pin: &Pin) -> Result<(), StoreError> {
        let _turn = self.device.logins()?;
        self.sealed().verify_pin(pin)
    }

    fn private_key(&self, id: RecordId) -> Result<Arc<dyn PrivateKey>, StoreError> {
        self.foreign.private_key(id).unwrap_or_else(|| self.sealed().private_key(id))
    }

    fn secret_key(&self, id: RecordId) -> Result<Arc<SecretKey>, StoreError> {
        match self.foreign.read(id) {
            // Its bytes do not leave the HSM.
            Some(_) => Err(StoreError::Unsupported),
            None => self.sealed().secret_key(id),
        }
    }

    fn private_key_of(&self, record: &Record) -> Result<Arc<dyn PrivateKey>, StoreError> {
        let foreign = self.foreign.private_key(record.id);
        foreign.unwrap_or_else(|| self.sealed().private_key_of(record))
    }

    fn secret_key_of(&self, record: &Record) -> Result<Arc<SecretKey>, StoreError> {
        match self.foreign.read(record.id) {
            Some(_) => Err(StoreError::Unsupported),
            None => self.sealed().secret_key_of(record),
        }
    }

    fn generate(&self, spec: &KeySpec) -> Result<NewSecret, StoreError> {
        if self.role == Role::User && self.pass_through.takes(spec) {
            self.sealed().sweep();
            let made_id = algorithms::random::array()?;
            let intent = self.sealed().intend(&native::before(made_id))?;
            match NativeKey::generate(&self.device, spec, made_id, intent) {
                Ok(key) => return Ok(NewSecret::Private(Arc::new(key))),
                // A curve or a size that this HSM lacks: made here, then sealed by it.
                Err(StoreError::Unsupported) => {}
                Err(error) => return Err(error),
            }
        }
        NewSecret::generate(spec)
    }

    fn generate_for(&self, spec: &KeySpec, attributes: &Attributes) -> Result<NewSecret, StoreError> {
        if may_leave(attributes) { NewSecret::generate(spec) } else { self.generate(spec) }
    }
}

/// The vault of this store behind a door that may be another's.
pub(super) fn ours(vault: &dyn Vault) -> Option<&Pkcs11Vault> {
    (vault as &dyn Any).downcast_ref()
}
