//! Operations through [`Module`], with session objects for keys.

mod context_login;
mod known_answers;
mod mechanisms;
mod messages;
mod parameters;
mod sequences;
mod threads;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock},
};

use algorithms::{Algorithm, PublicKey, SecretBytes, Signing, ed25519, ml_dsa, rsa};
use cryptoki_sys as ck;
use hsm_backends::{
    Admin, Attributes, Change, Description, KeyStore, NewSecret, Objects, Pin, PrivateKey, Record, RecordId,
    Role, SecretKey, SecretPart, StoreError, Vault,
};

use crate::{
    Module,
    config::Config,
    error::Result,
    handle::{ObjectHandle, SessionHandle, SlotId},
    mechanism::{MechanismCall, Parameters, row},
    object::SessionObject,
    output::{Output, Written},
    slot::Slot,
    sync::RwLock,
};

/// A module with one slot, one session, and keys as the tests want them.
struct Bench {
    module: Module,
    session: SessionHandle,
}

impl Bench {
    fn new() -> Self {
        let slot = Slot::new(SlotId(0), Box::new(EmptyStore), "test".into());
        let module = Module::with_slots(Config::default(), None, vec![slot]);
        let session = module.sessions.open(module.slots[&SlotId(0)].clone(), true, |_| Ok(())).unwrap();
        Self { module, session }
    }

    /// Handles of the private and the public key object of an algorithm, with `extra` on the private one.
    fn pair(&self, algorithm: Algorithm, extra: &[(u64, bool)]) -> (ObjectHandle, ObjectHandle) {
        self.pair_of(Arc::new(TestKey::new(algorithm)), extra)
    }

    fn pair_of(&self, key: Arc<TestKey>, extra: &[(u64, bool)]) -> (ObjectHandle, ObjectHandle) {
        let public = key.key.public_key().unwrap();
        let mut private_attributes = key_attributes(&public);
        let mut public_attributes = private_attributes.clone();
        private_attributes.set(ck::CKA_CLASS, ck::CKO_PRIVATE_KEY);
        private_attributes.set(ck::CKA_SIGN, true);
        for (kind, value) in extra {
            private_attributes.set(*kind, *value);
        }
        public_attributes.set(ck::CKA_CLASS, ck::CKO_PUBLIC_KEY);
        public_attributes.set(ck::CKA_VERIFY, true);
        let private = self.add(private_attributes, Some(NewSecret::Private(key)), None);
        (private, self.add(public_attributes, None, Some(public)))
    }

    /// The handle of a secret key that may do everything.
    fn secret(&self, key_type: u64, bytes: &[u8]) -> ObjectHandle {
        let mut attributes = Attributes::new();
        attributes.set(ck::CKA_CLASS, ck::CKO_SECRET_KEY);
        attributes.set(ck::CKA_KEY_TYPE, key_type);
        for usage in [ck::CKA_SIGN, ck::CKA_VERIFY, ck::CKA_ENCRYPT, ck::CKA_DECRYPT] {
            attributes.set(usage, true);
        }
        let key = SecretKey::new(SecretBytes::new(bytes));
        self.add(attributes, Some(NewSecret::Secret(Arc::new(key))), None)
    }

    fn add(
        &self,
        attributes: Attributes,
        secret: Option<NewSecret>,
        public_key: Option<PublicKey>,
    ) -> ObjectHandle {
        let object = SessionObject {
            session: self.session,
            id: RecordId([0; 16]),
            attributes: RwLock::new(Arc::new(attributes)),
            secret,
            public_key: public_key.map_or_else(OnceLock::new, |key| Arc::new(key).into()),
        };
        self.module.slots[&SlotId(0)].objects.add_session_object(Arc::new(object))
    }

    /// C_Sign after the length query that gives the exact length.
    fn sign(&self, call: &MechanismCall, key: ObjectHandle, data: &[u8]) -> Result<Vec<u8>> {
        self.module.sign_init(self.session, call.clone(), key)?;
        filled(|out| self.module.sign(self.session, data, out))
    }

    /// C_SignUpdate with `parts` and C_SignFinal.
    fn sign_parts(&self, call: &MechanismCall, key: ObjectHandle, parts: &[&[u8]]) -> Result<Vec<u8>> {
        self.module.sign_init(self.session, call.clone(), key)?;
        for part in parts {
            self.module.sign_update(self.session, part)?;
        }
        filled(|out| self.module.sign_final(self.session, out))
    }

    fn verify(&self, call: &MechanismCall, key: ObjectHandle, data: &[u8], signature: &[u8]) -> Result<()> {
        self.module.verify_init(self.session, call.clone(), key)?;
        self.module.verify(self.session, data, signature)
    }

    fn verify_parts(
        &self,
        call: &MechanismCall,
        key: ObjectHandle,
        parts: &[&[u8]],
        signature: &[u8],
    ) -> Result<()> {
        self.module.verify_init(self.session, call.clone(), key)?;
        for part in parts {
            self.module.verify_update(self.session, part)?;
        }
        self.module.verify_final(self.session, signature)
    }
}

/// Asks for the length, then for the output, and holds the two to each other.
fn filled(mut call: impl FnMut(Output<'_>) -> Result<Written>) -> Result<Vec<u8>> {
    let Written::Needs(len) = call(Output::length())? else { panic!("a length query wrote") };
    let mut buffer = vec![0; len];
    match call(Output::buffer(&mut buffer))? {
        Written::Bytes(written) => buffer.truncate(written),
        Written::Needs(more) => panic!("{len} bytes were announced, {more} needed"),
    }
    Ok(buffer)
}

fn call(kind: u64, parameters: Parameters) -> MechanismCall {
    MechanismCall { row: row(kind).unwrap(), parameters }
}

fn plain(kind: u64) -> MechanismCall {
    call(kind, Parameters::None)
}

fn key_attributes(public: &PublicKey) -> Attributes {
    let mut attributes = Attributes::new();
    match public {
        PublicKey::MlDsa(key) => {
            attributes.set(ck::CKA_KEY_TYPE, ck::CKK_ML_DSA);
            attributes.set(ck::CKA_PARAMETER_SET, key.parameter_set().ckp());
        }
        PublicKey::Ed25519(_) => {
            attributes.set(ck::CKA_KEY_TYPE, ck::CKK_EC_EDWARDS);
        }
        PublicKey::Ecdsa(key) => {
            attributes.set(ck::CKA_KEY_TYPE, ck::CKK_EC);
            attributes.set(ck::CKA_EC_PARAMS, key.curve().oid_der());
        }
        PublicKey::Rsa(key) => {
            attributes.set(ck::CKA_KEY_TYPE, ck::CKK_RSA);
            attributes.set(ck::CKA_MODULUS, key.modulus());
        }
    }
    attributes
}

/// What a store's functions answer.
type Stored<T> = std::result::Result<T, StoreError>;

/// A private key as a store would give it out.
#[derive(Debug)]
struct TestKey {
    key: Arc<algorithms::PrivateKey>,
    /// `None`: a device that takes whole messages only.
    tr: Option<[u8; 64]>,
    mu_deterministic: bool,
}

impl TestKey {
    fn new(algorithm: Algorithm) -> Self {
        let key = cached(algorithm);
        let tr = match &*key {
            algorithms::PrivateKey::MlDsa(key) => Some(*key.public_key().tr()),
            _ => None,
        };
        Self { key, tr, mu_deterministic: true }
    }
}

impl PrivateKey for TestKey {
    fn sign(&self, signing: Signing<'_>) -> Stored<Vec<u8>> {
        Ok(self.key.sign(signing)?)
    }

    fn public_key(&self) -> Stored<PublicKey> {
        Ok(self.key.public_key()?)
    }

    fn ml_dsa_tr(&self) -> Option<&[u8; 64]> {
        self.tr.as_ref()
    }

    fn signs_mu_deterministically(&self) -> bool {
        self.mu_deterministic
    }

    fn secret_part(&self, _part: SecretPart) -> Stored<Option<SecretBytes>> {
        Ok(None)
    }
}

/// One key of each algorithm for all tests: RSA keys take long to make.
fn cached(algorithm: Algorithm) -> Arc<algorithms::PrivateKey> {
    static KEYS: Mutex<Option<HashMap<Algorithm, Arc<algorithms::PrivateKey>>>> = Mutex::new(None);
    let mut keys = KEYS.lock().unwrap();
    let generate = || {
        Arc::new(match algorithm {
            Algorithm::MlDsa(set) => {
                algorithms::PrivateKey::MlDsa(ml_dsa::PrivateKey::generate(set).unwrap())
            }
            Algorithm::Ed25519 => algorithms::PrivateKey::Ed25519(ed25519::PrivateKey::generate().unwrap()),
            Algorithm::Ecdsa(curve) => {
                algorithms::PrivateKey::Ecdsa(algorithms::ecdsa::PrivateKey::generate(curve).unwrap())
            }
            Algorithm::Rsa => {
                algorithms::PrivateKey::Rsa(rsa::PrivateKey::generate(2048, &[1, 0, 1]).unwrap())
            }
        })
    };
    keys.get_or_insert_default().entry(algorithm).or_insert_with(generate).clone()
}

/// A store with nothing in it.
#[derive(Debug)]
struct EmptyStore;

impl Objects for EmptyStore {
    fn find(&self, _template: &Attributes) -> Stored<Vec<RecordId>> {
        Ok(Vec::new())
    }

    fn read(&self, _id: RecordId) -> Stored<Arc<Record>> {
        Err(StoreError::NotFound)
    }

    fn commit(&self, _changes: Vec<Change>) -> Stored<()> {
        Err(StoreError::ReadOnly)
    }
}

impl KeyStore for EmptyStore {
    fn description(&self) -> Stored<Description> {
        Err(StoreError::TokenNotInitialized)
    }

    fn public(&self) -> &dyn Objects {
        self
    }

    fn unlock(&self, _role: Role, _pin: &Pin) -> Stored<Box<dyn Vault>> {
        Err(StoreError::TokenNotInitialized)
    }

    fn admin(&self) -> Option<&dyn Admin> {
        None
    }

    fn before_fork(&self) {}

    fn after_fork(&self) {}
}
