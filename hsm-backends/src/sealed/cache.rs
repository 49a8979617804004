//! What a view has read and opened: records and keys, each with the generation at which it was last known to be
//! current. Bounded; what is thrown out is read again when it is needed.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
};

use super::token::{Moment, Name};
use crate::{PrivateKey, Record, RecordId, SecretKey};

/// Records kept: a prepared ML-DSA-87 key and its attributes need some 12 KiB.
const MAX_ENTRIES: usize = 8192;

/// One record and, once it was asked for, its opened key.
#[derive(Debug)]
pub(super) struct Cached {
    pub(super) record: Arc<Record>,
    pub(super) private_key: OnceLock<Arc<dyn PrivateKey>>,
    pub(super) secret_key: OnceLock<Arc<SecretKey>>,
    /// The incarnation of the token that it was read from: a restored token may count the same versions again.
    incarnation: Name,
    /// The last generation at which the record was at this version.
    current_at: AtomicI64,
}

impl Cached {
    /// Whether the record is known to be current at `generation`.
    pub(super) fn is_current_at(&self, generation: i64) -> bool {
        self.current_at.load(Ordering::Acquire) == generation
    }

    /// Whether it is `version` of the token that `moment` belongs to; if so it is known to be current then.
    fn confirm(&self, version: u64, moment: Moment) -> bool {
        let same = self.record.version == version && self.incarnation == moment.incarnation;
        if same {
            self.current_at.fetch_max(moment.generation, Ordering::AcqRel);
        }
        same
    }
}

/// The cache of one view. Dropping it wipes the keys.
#[derive(Debug, Default)]
pub(super) struct Cache(RwLock<HashMap<RecordId, Arc<Cached>, BuildHasherDefault<IdHasher>>>);

/// Ids are random already. Whoever can write ids of his choosing into the database can also delete it, so that no key
/// is needed against those that collide.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_ne_bytes(word);
        }
    }

    /// The length that comes before the bytes says nothing.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Cache {
    pub(super) fn entry(&self, id: RecordId) -> Option<Arc<Cached>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// The entry that holds this very record, if it is still here.
    pub(super) fn holding(&self, record: &Record) -> Option<Arc<Cached>> {
        self.entry(record.id).filter(|entry| std::ptr::eq(&raw const *entry.record, record))
    }

    /// The entry of a record that was found at `version` at this moment, if it is here.
    pub(super) fn confirmed(&self, id: RecordId, version: u64, moment: Moment) -> Option<Arc<Cached>> {
        self.entry(id).filter(|entry| entry.confirm(version, moment))
    }

    /// Keeps a record as read at `moment`. An entry at the same version stays, with the keys it has opened.
    pub(super) fn keep(&self, record: Record, moment: Moment) -> Arc<Cached> {
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(&record.id)
            && entry.confirm(record.version, moment)
        {
            return entry.clone();
        }
        if entries.len() >= MAX_ENTRIES {
            let victims: Vec<_> = entries.keys().take(MAX_ENTRIES / 4).copied().collect();
            for victim in victims {
                entries.remove(&victim);
            }
        }
        let id = record.id;
        let entry = Arc::new(Cached {
            record: Arc::new(record),
            private_key: OnceLock::new(),
            secret_key: OnceLock::new(),
            incarnation: moment.incarnation,
            current_at: AtomicI64::new(moment.generation),
        });
        entries.insert(id, entry.clone());
        entry
    }

    pub(super) fn forget(&self, id: RecordId) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}
