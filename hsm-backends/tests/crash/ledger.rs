//! What must be there: put together from what the writers have said.

use std::collections::BTreeMap;

use algorithms::{PublicKey, Signing, ed25519};
use cryptoki_sys as ck;
use hsm_backends::{Attributes, Objects, RecordId, StoreError, Value, Vault};

/// The name of a pair's other half.
pub(crate) fn partner(id: RecordId) -> RecordId {
    let mut other = id;
    other.0[15] ^= 1;
    other
}

/// What a record says at a version, apart from a key's own attributes: its name, its version, and content of a length
/// that differs from version to version, so that pages of every kind come and go.
pub(crate) fn attributes(id: RecordId, version: u64, private: bool) -> Attributes {
    let label = format!("{id} at {version}");
    let len = usize::from(id.0[usize::try_from(version % 15).unwrap()]) * 40;
    let content: Vec<u8> = label.bytes().cycle().take(len).collect();
    [
        (ck::CKA_CLASS, Value::Ulong(ck::CKO_DATA)),
        (ck::CKA_PRIVATE, Value::Bool(private)),
        (ck::CKA_LABEL, Value::Bytes(label.into_bytes())),
        (ck::CKA_VALUE, Value::Bytes(content)),
    ]
    .into_iter()
    .collect()
}

/// The versions of all records that were acknowledged; 0 for one that was destroyed.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    versions: BTreeMap<RecordId, u64>,
    /// What was under way when its writer was killed: the version that it would have made.
    doubtful: BTreeMap<RecordId, u64>,
}

impl Ledger {
    /// Takes down `begin ID VERSION` and `done ID VERSION` lines of one writer that is dead. A pair is named by one
    /// of its halves.
    pub(crate) fn note(&mut self, lines: &[String], pairs: bool) -> usize {
        let mut acknowledged = 0;
        for line in lines {
            let mut words = line.split(' ');
            let (verb, id, version) = (words.next(), words.next().unwrap(), words.next().unwrap());
            let id = RecordId::from_unique_id(id.as_bytes()).unwrap();
            let version: u64 = version.parse().unwrap();
            for id in if pairs { vec![id, partner(id)] } else { vec![id] } {
                if verb == Some("begin") {
                    self.doubtful.insert(id, version);
                } else {
                    assert_eq!(self.doubtful.remove(&id), Some(version));
                    self.versions.insert(id, version);
                    acknowledged += 1;
                }
            }
        }
        acknowledged
    }

    /// Compares what is there. What was under way is done or not done, and both halves of a pair alike. While other
    /// processes have the log open, what a dead one wrote to it is not seen and may yet be: it stays in doubt until
    /// `settled`, when somebody has opened and written the database after everybody was gone.
    pub(crate) fn check(&mut self, objects: &dyn Objects, private: bool, settled: bool) {
        for (id, made) in std::mem::take(&mut self.doubtful) {
            let before = self.versions.get(&id).copied().unwrap_or(0);
            let found = match objects.read(id) {
                Ok(record) => record.version,
                Err(StoreError::NotFound) => 0,
                Err(error) => panic!("{id}: {error}"),
            };
            assert!(found == before || found == made, "{id} is at {found}, not at {before} or {made}");
            if found != made && !settled {
                self.doubtful.insert(id, made);
            }
            self.versions.insert(id, found);
        }
        for (id, version) in &self.versions {
            if *version == 0 {
                assert_eq!(objects.read(*id), Err(StoreError::NotFound));
                continue;
            }
            let record = objects.read(*id).unwrap_or_else(|error| panic!("{id} at {version}: {error}"));
            assert_eq!(record.version, *version, "{id}");
            for (kind, value) in attributes(*id, *version, private).iter() {
                assert_eq!(record.attributes.value(kind), Some(value), "{id} at {version}");
            }
            let label: Attributes =
                [(ck::CKA_LABEL, record.attributes.value(ck::CKA_LABEL).unwrap().clone())]
                    .into_iter()
                    .collect();
            assert_eq!(objects.find(&label).unwrap(), [*id]);
        }
    }

    /// Checks that both halves of every pair are there and belong together: one signs and the other verifies.
    pub(crate) fn check_pairs(&self, vault: &dyn Vault) -> usize {
        let mut pairs = 0;
        for (id, version) in &self.versions {
            assert_eq!(self.versions.get(&partner(*id)), Some(version), "half of {id} is at another version");
            let Some(spki) = vault
                .read(*id)
                .ok()
                .and_then(|record| record.attributes.bytes(ck::CKA_PUBLIC_KEY_INFO).map(<[u8]>::to_vec))
            else {
                continue;
            };
            let signing = Signing::Ed25519(ed25519::Input::Pure(b"message"));
            let signature = vault.private_key(partner(*id)).unwrap().sign(signing).unwrap();
            PublicKey::from_spki(&spki).unwrap().verify(signing, &signature).unwrap();
            pairs += 1;
        }
        pairs
    }

    /// How many records there must be.
    pub(crate) fn len(&self) -> usize {
        self.versions.values().filter(|version| **version > 0).count()
    }
}
