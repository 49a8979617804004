//! The key that each group of threads has used last, with a count of users of its own: threads that sign with one key would
//! otherwise write to the same counts at each signature, and wait for each other's processor to pass them on.

use std::sync::Arc;

use algorithms::{PublicKey, SecretBytes, Signing};

use crate::{
    Birth, DeviceKey, OpenKey, Place, PrivateKey, Record, RecordId, SecretPart, StoreError, lines::Lines,
};

#[derive(Debug, Default)]
pub(super) struct Last(Lines<Used>);

/// What a group has used last. It is copied when it is used a second time: whoever goes from key to key copies nothing.
#[derive(Debug, Default)]
enum Used {
    #[default]
    Nothing,
    Once(RecordId),
    Often {
        record: Arc<Record>,
        key: Arc<dyn PrivateKey>,
        /// At which the record was at its version.
        generation: i64,
    },
}

impl Last {
    /// The record and its key, if it is what was used last and nothing was committed since.
    pub(super) fn get(&self, id: RecordId, generation: i64) -> Option<(Arc<Record>, OpenKey)> {
        match &*self.0.own() {
            Used::Often { record, key, generation: known } if record.id == id && *known == generation => {
                Some((record.clone(), Some(key.clone())))
            }
            _ => None,
        }
    }

    /// What has been used, as it was at `generation`.
    pub(super) fn put(&self, record: &Arc<Record>, key: &Arc<dyn PrivateKey>, generation: i64) {
        self.0.change_own(|used| {
            let again = match used {
                Used::Nothing => false,
                Used::Once(id) => *id == record.id,
                Used::Often { record: before, .. } => before.id == record.id,
            };
            *used = if again {
                let (record, key) = (Arc::new((**record).clone()), Arc::new(Shared(key.clone())));
                Used::Often { record, key, generation }
            } else {
                Used::Once(record.id)
            };
        });
    }

    /// Lets go of all of it.
    pub(super) fn clear(&self) {
        self.0.change_all(|used| *used = Used::Nothing);
    }
}

/// A key under another count of users.
#[derive(Debug)]
struct Shared(Arc<dyn PrivateKey>);

impl PrivateKey for Shared {
    fn sign(&self, signing: Signing<'_>) -> Result<Vec<u8>, StoreError> {
        self.0.sign(signing)
    }

    fn sign_into(&self, signing: Signing<'_>, out: &mut [u8]) -> Result<(), StoreError> {
        self.0.sign_into(signing, out)
    }

    fn public_key(&self) -> Result<PublicKey, StoreError> {
        self.0.public_key()
    }

    fn ml_dsa_tr(&self) -> Option<&[u8; 64]> {
        self.0.ml_dsa_tr()
    }

    fn signs_mu_deterministically(&self) -> bool {
        self.0.signs_mu_deterministically()
    }

    fn place(&self) -> Place {
        self.0.place()
    }

    fn device_key(&self) -> Option<&dyn DeviceKey> {
        self.0.device_key()
    }

    fn birth(&self) -> Result<Option<Birth>, StoreError> {
        self.0.birth()
    }

    fn secret_part(&self, part: SecretPart) -> Result<Option<SecretBytes>, StoreError> {
        self.0.secret_part(part)
    }
}

#[cfg(test)]
mod tests {
    use algorithms::{Algorithm, ml_dsa::ParameterSet};

    use super::*;
    use crate::{Attributes, KeySpec, NewSecret};

    fn made() -> (Arc<Record>, Arc<dyn PrivateKey>) {
        let secret = NewSecret::generate(&KeySpec::Pair(Algorithm::MlDsa(ParameterSet::MlDsa44))).unwrap();
        let NewSecret::Private(key) = secret else { panic!("a pair has a private key") };
        let id = RecordId::random().unwrap();
        (Arc::new(Record { id, version: 1, attributes: Attributes::new(), has_secret: true }), key)
    }

    #[test]
    fn the_key_that_was_used_last_is_there_until_something_is_committed() {
        let last = Last::default();
        let ((record, key), (other, other_key)) = (made(), made());
        let gone = Arc::downgrade(&key);
        let is_there = |record: &Record, generation| last.get(record.id, generation).is_some();
        last.put(&record, &key, 1);
        assert!(!is_there(&record, 1), "it was used once");
        last.put(&record, &key, 1);
        let (found, open) = last.get(record.id, 1).unwrap();
        let spki = |key: &dyn PrivateKey| key.public_key().unwrap().to_spki();
        assert_eq!((&*found, spki(&*open.unwrap())), (&*record, spki(&*key)));
        assert!(!is_there(&record, 2) && !is_there(&other, 1));
        last.put(&record, &key, 2);
        assert!(is_there(&record, 2) && !is_there(&record, 1));
        // Another takes its place, and nothing of it stays.
        last.put(&other, &other_key, 2);
        assert!(!is_there(&record, 2) && !is_there(&other, 2));
        last.put(&record, &key, 2);
        last.put(&record, &key, 2);
        drop((key, found));
        assert!(gone.upgrade().is_some());
        last.clear();
        assert!(gone.upgrade().is_none());
    }
}
