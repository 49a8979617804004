//! A store in memory that can be told to fail.

use std::sync::Arc;

use crate::sync::Mutex;
use hsm_backends::{
    Admin, Attributes, Change, Description, KeySpec, KeyStore, NewSecret, Objects, Pin, PrivateKey, Record,
    RecordId, Role, SecretKey, StoreError, Value, Vault,
};

/// A token in memory; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct MemoryStore {
    state: Arc<Mutex<State>>,
    role: Option<Role>,
}

#[derive(Debug, Default)]
struct State {
    records: Vec<(Arc<Record>, Option<NewSecret>)>,
    commits: usize,
    fault: Option<StoreError>,
    broken_generator: bool,
    wrong_pin: Option<StoreError>,
    /// How many updates will find that somebody else was first.
    races: usize,
    interruption: Interruption,
}

/// What happens in the middle of the next commit.
#[derive(Default)]
struct Interruption(Option<Box<dyn FnOnce() + Send>>);

impl std::fmt::Debug for Interruption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Interruption")
    }
}

impl MemoryStore {
    pub(super) fn vault(&self, role: Role) -> Arc<dyn Vault> {
        Arc::new(Self { role: Some(role), ..self.clone() })
    }

    /// How many commits there were.
    pub(super) fn commits(&self) -> usize {
        self.state.lock().commits
    }

    /// The next commit fails so.
    pub(super) fn fail_next(&self, fault: StoreError) {
        self.state.lock().fault = Some(fault);
    }

    /// Key pairs that are generated here do not fit together from now on.
    pub(super) fn break_generator(&self) {
        self.state.lock().broken_generator = true;
    }

    /// What the next PINs for a context-specific login are judged to be.
    pub(super) fn judge_pins(&self, judgement: Option<StoreError>) {
        self.state.lock().wrong_pin = judgement;
    }

    /// The next `times` updates find the record changed.
    pub(super) fn race(&self, times: usize) {
        self.state.lock().races = times;
    }

    /// Runs `f` in the middle of the next commit.
    pub(super) fn during_commit(&self, f: impl FnOnce() + Send + 'static) {
        self.state.lock().interruption.0 = Some(Box::new(f));
    }

    fn shows(&self, record: &Record) -> bool {
        self.role == Some(Role::User) || !record.attributes.flag(cryptoki_sys::CKA_PRIVATE)
    }

    fn secret(&self, id: RecordId) -> Result<NewSecret, StoreError> {
        let state = self.state.lock();
        let found = state.records.iter().find(|(record, _)| record.id == id && self.shows(record));
        found.and_then(|(_, secret)| secret.clone()).ok_or(StoreError::NotFound)
    }
}

impl Objects for MemoryStore {
    fn find(&self, template: &Attributes) -> Result<Vec<RecordId>, StoreError> {
        let mut rest = template.clone();
        let id = rest.remove(cryptoki_sys::CKA_UNIQUE_ID);
        let named = |record: &Record| {
            id.as_ref().is_none_or(|id| *id == Value::Bytes(record.id.to_string().into_bytes()))
        };
        let state = self.state.lock();
        let shown = state.records.iter().filter(|(record, _)| self.shows(record) && named(record));
        Ok(shown
            .filter(|(record, _)| record.attributes.matches(&rest))
            .map(|(record, _)| record.id)
            .collect())
    }

    fn read(&self, id: RecordId) -> Result<Arc<Record>, StoreError> {
        let state = self.state.lock();
        let found = state.records.iter().find(|(record, _)| record.id == id && self.shows(record));
        found.map(|(record, _)| record.clone()).ok_or(StoreError::NotFound)
    }

    fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let interruption = self.state.lock().interruption.0.take();
        if let Some(interrupt) = interruption {
            interrupt();
        }
        let state = &mut *self.state.lock();
        if let Some(fault) = state.fault.take() {
            return Err(fault);
        }
        let mut records = state.records.clone();
        for change in changes {
            match change {
                Change::Create { id, attributes, secret } => {
                    assert!(secret.is_none() || self.role == Some(Role::User));
                    let record = Record { id, version: 1, attributes, has_secret: secret.is_some() };
                    records.push((Arc::new(record), secret));
                }
                Change::Update { id, version, attributes } => {
                    let (record, _) = records.iter_mut().find(|(record, _)| record.id == id).expect("there");
                    if state.races > 0 {
                        state.races -= 1;
                        let raced = Record { version: version + 1, ..Record::clone(record) };
                        *record = Arc::new(raced);
                        state.records = records;
                        return Err(StoreError::Changed);
                    }
                    assert_eq!(record.version, version);
                    assert!(!record.has_secret || self.role == Some(Role::User));
                    *record = Arc::new(Record { version: version + 1, attributes, ..Record::clone(record) });
                }
                Change::Destroy { id } => {
                    let at = records.iter().position(|(record, _)| record.id == id);
                    records.remove(at.ok_or(StoreError::NotFound)?);
                }
            }
        }
        state.records = records;
        state.commits += 1;
        Ok(())
    }
}

impl Vault for MemoryStore {
    fn role(&self) -> Role {
        self.role.expect("a vault is somebody's")
    }

    fn verify_pin(&self, _pin: &Pin) -> Result<(), StoreError> {
        self.state.lock().wrong_pin.clone().map_or(Ok(()), Err)
    }

    fn private_key(&self, id: RecordId) -> Result<Arc<dyn PrivateKey>, StoreError> {
        match self.secret(id)? {
            NewSecret::Private(key) => Ok(key),
            NewSecret::Secret(_) => Err(StoreError::NotFound),
        }
    }

    fn secret_key(&self, id: RecordId) -> Result<Arc<SecretKey>, StoreError> {
        match self.secret(id)? {
            NewSecret::Secret(key) => Ok(key),
            NewSecret::Private(_) => Err(StoreError::NotFound),
        }
    }

    fn generate(&self, spec: &KeySpec) -> Result<NewSecret, StoreError> {
        if self.state.lock().broken_generator {
            return Err(algorithms::Error::PairwiseCheckFailed.into());
        }
        NewSecret::generate(spec)
    }
}

impl KeyStore for MemoryStore {
    fn description(&self) -> Result<Description, StoreError> {
        Err(StoreError::Unsupported)
    }

    fn public(&self) -> &dyn Objects {
        self
    }

    fn unlock(&self, role: Role, _pin: &Pin) -> Result<Box<dyn Vault>, StoreError> {
        Ok(Box::new(Self { role: Some(role), ..self.clone() }))
    }

    fn admin(&self) -> Option<&dyn Admin> {
        None
    }

    fn before_fork(&self) {}

    fn after_fork(&self) {}
}
