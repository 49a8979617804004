//! What a view has read and opened: records and keys, each with the generation at which it was last known to be
//! current. Bounded; what is thrown out is read again when it is needed.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
};

use crate::{PrivateKey, Record, RecordId, SecretKey};

/// Records kept: a prepared ML-DSA-87 key and its attributes need some 12 KiB.
const MAX_ENTRIES: usize = 8192;

/// One record and, once it was asked for, its opened key.
#[derive(Debug)]
pub(super) struct Cached {
    pub(super) record: Arc<Record>,
    pub(super) private_key: OnceLock<Arc<dyn PrivateKey>>,
    pub(super) secret_key: OnceLock<Arc<SecretKey>>,
    /// The last generation at which the record was at this version.
    current_at: AtomicI64,
}

impl Cached {
    /// Whether the record is known to be current at `generation`.
    pub(super) fn is_current_at(&self, generation: i64) -> bool {
        self.current_at.load(Ordering::Acquire) == generation
    }

    /// Notes that the record was found at this version in `generation`.
    pub(super) fn confirm(&self, generation: i64) {
        self.current_at.fetch_max(generation, Ordering::AcqRel);
    }
}

/// The cache of one view. Dropping it wipes the keys.
#[derive(Debug, Default)]
pub(super) struct Cache(RwLock<HashMap<RecordId, Arc<Cached>>>);

impl Cache {
    pub(super) fn entry(&self, id: RecordId) -> Option<Arc<Cached>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// The entry of a record at the version given.
    pub(super) fn at(&self, record: &Record) -> Option<Arc<Cached>> {
        self.entry(record.id).filter(|entry| entry.record.version == record.version)
    }

    /// Keeps a record as read in `generation`. An entry at the same version stays, with the keys it has opened.
    pub(super) fn keep(&self, record: Record, generation: i64) -> Arc<Cached> {
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(&record.id)
            && entry.record.version == record.version
        {
            entry.confirm(generation);
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
            current_at: AtomicI64::new(generation),
        });
        entries.insert(id, entry.clone());
        entry
    }

    pub(super) fn forget(&self, id: RecordId) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}
