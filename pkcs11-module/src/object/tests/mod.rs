//! Objects through [`Module`], over a store in memory that can be told to fail.

mod attributes;
mod create;
mod embedded;
mod find;
mod generate;
mod hostile;
mod memory;
mod policy;
mod support_table;
mod wrap;

use std::sync::Arc;

use cryptoki_sys as ck;
use hsm_backends::Role;

use crate::{
    Error, Module,
    config::Config,
    error::Result,
    handle::{ObjectHandle, SessionHandle, SlotId},
    mechanism::{MechanismCall, Parameters, row},
    slot::Slot,
    template::{Answer, RawAttribute, RawValue},
};

use memory::MemoryStore;

/// A template under construction, owning its values.
#[derive(Clone, Default)]
pub(super) struct Made(Vec<(u64, MadeValue)>);

#[derive(Clone)]
enum MadeValue {
    Bytes(Vec<u8>),
    Template(Made),
    Malformed,
}

impl Made {
    fn bool(self, kind: u64, value: bool) -> Self {
        self.bytes(kind, &[u8::from(value)])
    }

    fn ulong(self, kind: u64, value: u64) -> Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    fn bytes(mut self, kind: u64, value: &[u8]) -> Self {
        self.0.push((kind, MadeValue::Bytes(value.to_vec())));
        self
    }

    fn template(mut self, kind: u64, value: Made) -> Self {
        self.0.push((kind, MadeValue::Template(value)));
        self
    }

    fn malformed(mut self, kind: u64) -> Self {
        self.0.push((kind, MadeValue::Malformed));
        self
    }

    fn and(mut self, other: &Made) -> Self {
        self.0.extend(other.0.iter().cloned());
        self
    }

    fn without(mut self, kind: u64) -> Self {
        self.0.retain(|(named, _)| *named != kind);
        self
    }

    fn raw(&self) -> Vec<RawAttribute<'_>> {
        fn value(value: &MadeValue) -> RawValue<'_> {
            match value {
                MadeValue::Bytes(bytes) => RawValue::Bytes(bytes),
                MadeValue::Template(template) => RawValue::Template(template.raw()),
                MadeValue::Malformed => RawValue::Malformed,
            }
        }
        self.0.iter().map(|(kind, given)| RawAttribute { kind: *kind, value: value(given) }).collect()
    }
}

/// A template of one class.
fn class(class: u64) -> Made {
    Made::default().ulong(ck::CKA_CLASS, class)
}

/// A template for one class and key type.
fn key(of: u64, key_type: u64) -> Made {
    class(of).ulong(ck::CKA_KEY_TYPE, key_type)
}

fn data() -> Made {
    class(ck::CKO_DATA)
}

fn aes_key() -> Made {
    key(ck::CKO_SECRET_KEY, ck::CKK_AES).bytes(ck::CKA_VALUE, &[7; 16])
}

fn generic_key() -> Made {
    key(ck::CKO_SECRET_KEY, ck::CKK_GENERIC_SECRET).bytes(ck::CKA_VALUE, b"a generic secret")
}

/// id-Ed25519.
const ED25519: &[u8] = &[6, 3, 0x2b, 0x65, 0x70];
/// secp256r1.
const P256: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];

fn ed25519_private() -> Made {
    key(ck::CKO_PRIVATE_KEY, ck::CKK_EC_EDWARDS)
        .bytes(ck::CKA_EC_PARAMS, ED25519)
        .bytes(ck::CKA_VALUE, &[7; 32])
}

fn ml_dsa_private() -> Made {
    key(ck::CKO_PRIVATE_KEY, ck::CKK_ML_DSA)
        .ulong(ck::CKA_PARAMETER_SET, ck::CKP_ML_DSA_44)
        .bytes(ck::CKA_SEED, &[7; 32])
}

/// A key whose secret may be read.
fn readable() -> Made {
    Made::default().bool(ck::CKA_SENSITIVE, false).bool(ck::CKA_EXTRACTABLE, true)
}

fn on_token() -> Made {
    Made::default().bool(ck::CKA_TOKEN, true)
}

fn call(kind: u64) -> MechanismCall {
    MechanismCall { row: row(kind).unwrap(), parameters: Parameters::None }
}

/// A module with one slot, and two sessions on it.
struct Fixture {
    module: Module,
    slot: Arc<Slot>,
    store: MemoryStore,
    rw: SessionHandle,
    ro: SessionHandle,
}

impl Fixture {
    /// Nobody is logged in.
    fn public() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let store = MemoryStore::default();
        let slot = Slot::new(SlotId(0), Box::new(store.clone()), String::new());
        let module = Module::with_slots(config, None, vec![slot]);
        let slot = module.slots[&SlotId(0)].clone();
        let open =
            |read_write| module.sessions.open(slot.clone(), read_write, |_| Ok(())).expect("a session");
        let (rw, ro) = (open(true), open(false));
        Self { module, slot, store, rw, ro }
    }

    /// The user is logged in.
    fn user() -> Self {
        let fixture = Self::public();
        fixture.log_in(Some(Role::User));
        fixture
    }

    fn log_in(&self, role: Option<Role>) {
        self.slot.login.replace(role.map(|role| self.store.vault(role)));
    }

    fn create(&self, template: &Made) -> Result<ObjectHandle> {
        self.module.create_object(self.rw, &template.raw())
    }

    fn created(&self, template: &Made) -> ObjectHandle {
        self.create(template).expect("a template for an object")
    }

    fn copy(&self, object: ObjectHandle, template: &Made) -> Result<ObjectHandle> {
        self.module.copy_object(self.rw, object, &template.raw())
    }

    fn set(&self, object: ObjectHandle, template: &Made) -> Result<()> {
        self.module.set_attribute_values(self.rw, object, &template.raw())
    }

    fn answer(&self, object: ObjectHandle, kind: u64) -> Answer {
        self.module.attribute_values(self.rw, object, &[kind]).expect("the object is there").remove(0)
    }

    /// An attribute that must have a value.
    fn value(&self, object: ObjectHandle, kind: u64) -> Vec<u8> {
        match self.answer(object, kind) {
            Answer::Value(bytes) => bytes.to_vec(),
            Answer::Template(_) => panic!("{kind:#x} is a template"),
            Answer::Sensitive => panic!("{kind:#x} is sensitive"),
            Answer::TypeInvalid => panic!("{kind:#x} is not there"),
        }
    }

    fn flag(&self, object: ObjectHandle, kind: u64) -> bool {
        self.value(object, kind) == [1]
    }

    fn number(&self, object: ObjectHandle, kind: u64) -> u64 {
        u64::from_ne_bytes(self.value(object, kind).try_into().expect("a CK_ULONG"))
    }

    fn find(&self, template: &Made) -> Vec<ObjectHandle> {
        self.module.find_objects_init(self.ro, &template.raw()).expect("a search");
        let found = self.module.find_objects(self.ro, usize::MAX).expect("a search goes on");
        self.module.find_objects_final(self.ro).expect("a search goes on");
        found
    }

    fn generate(&self, kind: u64, template: &Made) -> Result<ObjectHandle> {
        self.module.generate_key(self.rw, call(kind), &template.raw())
    }

    fn generate_pair(
        &self,
        kind: u64,
        public: &Made,
        private: &Made,
    ) -> Result<(ObjectHandle, ObjectHandle)> {
        self.module.generate_key_pair(self.rw, call(kind), &public.raw(), &private.raw())
    }
}
