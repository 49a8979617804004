//! What a view has read and opened: records and keys, each with the generation at which it was last known to be
//! current. Bounded: what was used longest ago is thrown out, and read or opened again when it is needed.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Arc, OnceLock, PoisonError, RwLock, RwLockWriteGuard,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use super::token::{Moment, Name};
use crate::{PrivateKey, Record, RecordId, SecretKey};

/// Records kept: the attributes of an ML-DSA-87 key need some 6 KB.
const MAX_ENTRIES: usize = 8192;
/// Opened keys kept. The largest that is common, ML-DSA-87, takes 7.7 KB of key memory, so a login takes at most 16 MB.
const MAX_OPEN: usize = 2048;

/// One record and, once it was asked for, its opened key.
#[derive(Debug)]
pub(super) struct Cached {
    pub(super) record: Arc<Record>,
    private_key: OnceLock<Arc<dyn PrivateKey>>,
    secret_key: OnceLock<Arc<SecretKey>>,
    /// The incarnation of the token that it was read from: a restored token may count the same versions again.
    incarnation: Name,
    /// The last generation at which the record was at this version.
    current_at: AtomicI64,
    /// How many keys the view had opened when this one was used last; 0 before it is opened.
    used: AtomicU64,
}

/// A key that a record can have.
pub(super) trait Kind: Clone {
    /// Its place in the entry of its record.
    fn place(entry: &Cached) -> &OnceLock<Self>;
}

impl Kind for Arc<dyn PrivateKey> {
    fn place(entry: &Cached) -> &OnceLock<Self> {
        &entry.private_key
    }
}

impl Kind for Arc<SecretKey> {
    fn place(entry: &Cached) -> &OnceLock<Self> {
        &entry.secret_key
    }
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

    fn is_open(&self) -> bool {
        self.private_key.get().is_some() || self.secret_key.get().is_some()
    }

    /// The same record, not opened. Who is at work with the key has it for as long as that takes.
    fn closed(&self) -> Arc<Self> {
        Self::new(self.record.clone(), self.incarnation, self.current_at.load(Ordering::Acquire))
    }

    fn new(record: Arc<Record>, incarnation: Name, current_at: i64) -> Arc<Self> {
        Arc::new(Self {
            record,
            private_key: OnceLock::new(),
            secret_key: OnceLock::new(),
            incarnation,
            current_at: AtomicI64::new(current_at),
            used: AtomicU64::new(0),
        })
    }
}

type Entries = HashMap<RecordId, Arc<Cached>, BuildHasherDefault<IdHasher>>;

/// The cache of one view. Dropping it wipes the keys.
#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: RwLock<Entries>,
    /// How many keys were opened: the clock of [`Cached::used`]. It stands still while every key is found, so that
    /// threads that sign with keys they have do not write what others read.
    openings: AtomicU64,
    /// At which opening to look whether there are too many.
    look_at: AtomicU64,
}

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
        self.entries.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
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
        let mut entries = self.lock();
        if let Some(entry) = entries.get(&record.id)
            && entry.confirm(record.version, moment)
        {
            return entry.clone();
        }
        if entries.len() >= MAX_ENTRIES {
            for victim in used_longest_ago(entries.values(), MAX_ENTRIES / 4) {
                entries.remove(&victim);
            }
        }
        let id = record.id;
        let entry = Cached::new(Arc::new(record), moment.incarnation, moment.generation);
        entries.insert(id, entry.clone());
        entry
    }

    pub(super) fn forget(&self, id: RecordId) {
        self.lock().remove(&id);
    }

    /// The key that an entry has opened.
    pub(super) fn key<K: Kind>(&self, entry: &Cached) -> Option<K> {
        let key = K::place(entry).get()?.clone();
        let now = self.openings.load(Ordering::Relaxed);
        if entry.used.load(Ordering::Relaxed) != now {
            entry.used.store(now, Ordering::Relaxed);
        }
        Some(key)
    }

    /// Keeps a key that was opened, or one that another thread has opened meanwhile, so that everybody shares one.
    pub(super) fn open<K: Kind>(&self, entry: &Cached, key: K) -> K {
        let now = self.openings.fetch_add(1, Ordering::Relaxed) + 1;
        entry.used.store(now, Ordering::Relaxed);
        let key = K::place(entry).get_or_init(|| key).clone();
        if now >= self.look_at.load(Ordering::Relaxed) {
            self.close_those_used_longest_ago(now);
        }
        key
    }

    /// Leaves room for a quarter of [`MAX_OPEN`], and looks again when as many were opened.
    fn close_those_used_longest_ago(&self, now: u64) {
        const FEW: usize = MAX_OPEN - MAX_OPEN / 4;
        let mut entries = self.lock();
        let open = entries.values().filter(|entry| entry.is_open()).count();
        let too_many = open.saturating_sub(FEW);
        for id in used_longest_ago(entries.values().filter(|entry| entry.is_open()), too_many) {
            entries.entry(id).and_modify(|entry| *entry = entry.closed());
        }
        let room = MAX_OPEN - open.min(FEW);
        self.look_at.store(now + room as u64, Ordering::Relaxed);
    }

    fn lock(&self) -> RwLockWriteGuard<'_, Entries> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names of `many` entries, or of all.
fn used_longest_ago<'a>(entries: impl Iterator<Item = &'a Arc<Cached>>, many: usize) -> Vec<RecordId> {
    let mut found: Vec<_> =
        entries.map(|entry| (entry.used.load(Ordering::Relaxed), entry.record.id)).collect();
    if many < found.len() {
        found.select_nth_unstable_by_key(many, |(used, _)| *used);
        found.truncate(many);
    }
    found.into_iter().map(|(_, id)| id).collect()
}

#[cfg(test)]
mod tests {
    use algorithms::random;

    use super::*;
    use crate::Attributes;

    const MOMENT: Moment = Moment { incarnation: [0; 16], generation: 1 };

    fn add(cache: &Cache) -> Arc<Cached> {
        let id = RecordId::random().unwrap();
        let record = Record { id, version: 1, attributes: Attributes::new(), has_secret: true };
        cache.keep(record, MOMENT)
    }

    fn open(cache: &Cache, entry: &Cached) -> Arc<SecretKey> {
        cache
            .key(entry)
            .unwrap_or_else(|| cache.open(entry, Arc::new(SecretKey::new(random::secret(16).unwrap()))))
    }

    #[test]
    fn opened_keys_have_a_bound_and_the_one_used_longest_ago_is_wiped() {
        let cache = Cache::default();
        let (often, once) = (add(&cache), add(&cache));
        let kept = Arc::downgrade(&open(&cache, &often));
        let gone = Arc::downgrade(&open(&cache, &once));
        let mut opened = Vec::new();
        for _ in 0..3 * MAX_OPEN {
            opened.push(Arc::downgrade(&open(&cache, &add(&cache))));
            assert!(Arc::ptr_eq(&open(&cache, &often), &kept.upgrade().unwrap()));
            if opened.len() % 256 == 0 {
                let open = opened.iter().filter(|key| key.upgrade().is_some()).count();
                assert!(open < MAX_OPEN, "{open}");
            }
        }
        // Only this test still has the entry.
        assert!(!Arc::ptr_eq(&once, &cache.entry(once.record.id).unwrap()));
        drop(once);
        assert!(gone.upgrade().is_none());
    }

    #[test]
    fn records_that_are_only_looked_at_do_not_close_a_key_that_is_used() {
        let cache = Cache::default();
        let used = add(&cache);
        open(&cache, &used);
        for _ in 0..2 * MAX_ENTRIES {
            add(&cache);
        }
        assert!(Arc::ptr_eq(&used, &cache.entry(used.record.id).unwrap()));
        assert!(cache.entries.read().unwrap().len() <= MAX_ENTRIES);
    }
}
