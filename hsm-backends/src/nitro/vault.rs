//! What a right PIN gives: the records of the sealed store, some of whose keys are in the enclave.

use std::{any::Any, sync::Arc};

use cryptoki_sys as ck;

use super::{
    host::Host,
    keeper::EnclaveKeeper,
    key::{self, EnclaveKey},
};
use crate::{
    Attributes, Change, KeySpec, NewSecret, Objects, OpenKey, Pin, PrivateKey, Record, RecordId, Role,
    SecretKey, StoreError, Vault,
    keys::may_leave,
    sealed::{AtDevice, SealedVault},
};

/// A room of the store in an enclave.
#[derive(Debug)]
pub(super) struct NitroVault {
    host: Arc<Host>,
    sealed: SealedVault<EnclaveKeeper>,
}

impl NitroVault {
    pub(super) fn new(host: Arc<Host>, sealed: SealedVault<EnclaveKeeper>) -> Self {
        Self { host, sealed }
    }

    pub(super) fn sealed(&self) -> &SealedVault<EnclaveKeeper> {
        &self.sealed
    }

    /// The key in the enclave that belongs to a record.
    fn device_key(&self, id: RecordId) -> Result<Option<Arc<dyn PrivateKey>>, StoreError> {
        let record = match self.sealed.read(id) {
            // The change itself will tell.
            Err(StoreError::NotFound) => return Ok(None),
            read => read?,
        };
        if !record.has_secret || record.attributes.ulong(ck::CKA_CLASS) != Some(ck::CKO_PRIVATE_KEY) {
            return Ok(None);
        }
        match self.sealed.private_key_of(&record) {
            Err(StoreError::NotFound | StoreError::Unsupported) => Ok(None),
            key => Ok(Some(key?).filter(|key| key.device_key().is_some())),
        }
    }
}

impl Objects for NitroVault {
    fn find(&self, template: &Attributes) -> Result<Vec<RecordId>, StoreError> {
        self.sealed.find(template)
    }

    fn read(&self, id: RecordId) -> Result<Arc<Record>, StoreError> {
        self.sealed.read(id)
    }

    fn read_with_open_key(&self, id: RecordId) -> Result<(Arc<Record>, OpenKey), StoreError> {
        self.sealed.read_with_open_key(id)
    }

    /// The records first, in one transaction; a key in the enclave goes after its record, so that no record is left
    /// without its key.
    fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let (mut made, mut gone) = (Vec::new(), Vec::new());
        for change in &changes {
            match change {
                Change::Create { secret: Some(NewSecret::Private(key)), .. } => made.push(key.clone()),
                Change::Destroy { id } => gone.extend(self.device_key(*id)?),
                _ => {}
            }
        }
        let locator = |key: &Arc<dyn PrivateKey>| Some(key.device_key()?.locator().to_vec());
        let at_device = |locator| AtDevice { locator, label: Vec::new(), id: Vec::new() };
        let following: Vec<_> = gone.iter().filter_map(locator).map(at_device).collect();
        let intents = self.sealed.commit_with(changes, &following)?;
        made.iter().filter_map(|key| key.device_key()).try_for_each(|key| key.keep(&[], &[]))?;
        let mut failed = None;
        for (key, intent) in gone.iter().filter_map(|key| key.device_key()).zip(intents) {
            match key.destroy() {
                Ok(()) => intent.done(),
                Err(error) => failed = failed.or(Some(error.of_a_key_that_goes_later())),
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

impl Vault for NitroVault {
    fn role(&self) -> Role {
        self.sealed.role()
    }

    fn verify_pin(&self, pin: &Pin) -> Result<(), StoreError> {
        self.sealed.verify_pin(pin)
    }

    fn private_key(&self, id: RecordId) -> Result<Arc<dyn PrivateKey>, StoreError> {
        self.sealed.private_key(id)
    }

    fn secret_key(&self, id: RecordId) -> Result<Arc<SecretKey>, StoreError> {
        self.sealed.secret_key(id)
    }

    fn private_key_of(&self, record: &Record) -> Result<Arc<dyn PrivateKey>, StoreError> {
        self.sealed.private_key_of(record)
    }

    fn secret_key_of(&self, record: &Record) -> Result<Arc<SecretKey>, StoreError> {
        self.sealed.secret_key_of(record)
    }

    fn generate(&self, spec: &KeySpec) -> Result<NewSecret, StoreError> {
        if self.role() == Role::User && EnclaveKey::is_for(spec) {
            self.sealed.sweep();
            let (user_id, before) = key::before(&self.sealed.token_id())?;
            let intent = self.sealed.intend(&before)?;
            let key = EnclaveKey::generate(&self.host, user_id, spec, intent)?;
            return Ok(NewSecret::Private(Arc::new(key)));
        }
        NewSecret::generate(spec)
    }

    fn generate_for(&self, spec: &KeySpec, attributes: &Attributes) -> Result<NewSecret, StoreError> {
        if may_leave(attributes) { NewSecret::generate(spec) } else { self.generate(spec) }
    }
}

/// The vault of this store behind a door that may be another's.
pub(super) fn ours(vault: &dyn Vault) -> Option<&NitroVault> {
    (vault as &dyn Any).downcast_ref()
}
