//! Objects as somebody sees them: without keys the public ones, with the token's keys all.

use std::sync::Arc;

use super::{
    cache::{Cache, Cached, Kind},
    fault::Fault,
    intents::Intent,
    keeper::DeviceKeys,
    last::Last,
    pool::Pool,
    room::{Keys, Room},
    rows,
    seal::{RecordKeys, SecretKind},
    snapshot::Snapshot,
    token::{self, Moment},
};
use crate::{
    Attributes, Change, NewSecret, Objects, OpenKey, PrivateKey, Record, RecordId, SecretKey, StoreError,
};

/// How often a record may change under a caller who opens its key.
const MAX_LOOKS: usize = 100;

/// The objects of one token.
#[derive(Debug)]
pub(super) struct View {
    pool: Arc<Pool>,
    /// The keys of the login.
    room: Option<Arc<Room>>,
    /// Whose device has the keys that are in none of the records.
    devices: Option<Arc<dyn DeviceKeys>>,
    cache: Cache,
    last: Last,
}

impl View {
    pub(super) fn public(pool: Arc<Pool>) -> Self {
        Self { pool, room: None, devices: None, cache: Cache::default(), last: Last::default() }
    }

    pub(super) fn private(pool: Arc<Pool>, devices: Arc<dyn DeviceKeys>, room: Arc<Room>) -> Self {
        let (cache, last) = Default::default();
        Self { pool, room: Some(room), devices: Some(devices), cache, last }
    }

    /// The present moment and its keys, if this is still a token that the login knows.
    fn check(&self, sql: &rusqlite::Connection) -> Result<(Moment, Option<Arc<Keys>>), Fault> {
        let moment = token::moment(sql)?;
        let keys = match &self.room {
            Some(room) => Some(room.at(moment.incarnation).ok_or(StoreError::TokenReplaced)?),
            None => None,
        };
        Ok((moment, keys))
    }

    /// The record as last committed. Mostly answered from memory: the change counter says that nothing happened.
    fn current(&self, id: RecordId) -> Result<Arc<Cached>, StoreError> {
        if let Some(entry) = self.cache.entry(id)
            && self.pool.settled().is_some_and(|generation| entry.is_current_at(generation))
        {
            return Ok(entry);
        }
        let found = self.pool.enter().read(|sql| {
            // One snapshot: the keys belong to the row.
            let sql = Snapshot::of(sql)?;
            let (moment, keys) = self.check(&sql)?;
            if self.cache.entry(id).is_some()
                && let Some(version) = rows::version(&sql, id)?
                && let Some(entry) = self.cache.confirmed(id, version, moment)
            {
                return Ok(entry);
            }
            let row = rows::by_id(&sql, id)?.ok_or(StoreError::NotFound)?;
            Ok(self.cache.keep(row.open(records(&keys))?, moment))
        });
        if found.is_err() {
            self.cache.forget(id);
            self.last.clear();
        }
        found
    }

    /// The opened private key of a record; the same one for as long as the record is at the same version.
    pub(super) fn private_key(&self, id: RecordId) -> Result<Arc<dyn PrivateKey>, StoreError> {
        const KINDS: &[SecretKind] = &[SecretKind::Private, SecretKind::Device];
        let (entry, bytes) = match self.opened(id, KINDS)? {
            Secret::Known(key) => return Ok(key),
            Secret::Sealed(entry, SecretKind::Device, locator) => {
                let devices = self.devices.as_ref().ok_or(StoreError::Unsupported)?;
                let key = devices.open_device_key(&entry.record, locator.expose())?;
                return Ok(self.cache.open(&entry, key));
            }
            Secret::Sealed(entry, _, bytes) => (entry, bytes),
        };
        let key = algorithms::PrivateKey::from_pkcs8(&bytes)
            .map_err(|error| StoreError::Damaged(format!("the private key of object {id}: {error}")))?;
        let NewSecret::Private(key) = NewSecret::import(key) else { return Err(StoreError::Unsupported) };
        Ok(self.cache.open(&entry, key))
    }

    /// The opened secret key of a record.
    pub(super) fn secret_key(&self, id: RecordId) -> Result<Arc<SecretKey>, StoreError> {
        let (entry, bytes) = match self.opened(id, &[SecretKind::Secret])? {
            Secret::Known(key) => return Ok(key),
            Secret::Sealed(entry, _, bytes) => (entry, bytes),
        };
        Ok(self.cache.open(&entry, Arc::new(SecretKey::new(bytes))))
    }

    /// The key that a record has opened already, or its secret. Another process may change the record between the
    /// two looks at it; then both are taken again.
    fn opened<K: Kind>(&self, id: RecordId, kinds: &[SecretKind]) -> Result<Secret<K>, StoreError> {
        for _ in 0..MAX_LOOKS {
            let entry = self.current(id)?;
            if let Some(key) = self.cache.key(&entry) {
                return Ok(Secret::Known(key));
            }
            match self.open_secret(&entry, kinds) {
                Err(StoreError::Changed) => {}
                opened => return opened.map(|(kind, bytes)| Secret::Sealed(entry, kind, bytes)),
            }
        }
        Err(StoreError::Changed)
    }

    /// [`View::private_key`] of a record that was read just now.
    pub(super) fn private_key_of(&self, record: &Record) -> Result<Arc<dyn PrivateKey>, StoreError> {
        let open = self.cache.holding(record).and_then(|entry| self.cache.key(&entry));
        open.map_or_else(|| self.private_key(record.id), Ok)
    }

    /// [`View::secret_key`] of a record that was read just now.
    pub(super) fn secret_key_of(&self, record: &Record) -> Result<Arc<SecretKey>, StoreError> {
        let open = self.cache.holding(record).and_then(|entry| self.cache.key(&entry));
        open.map_or_else(|| self.secret_key(record.id), Ok)
    }

    fn open_secret(
        &self,
        entry: &Cached,
        expected: &[SecretKind],
    ) -> Result<(SecretKind, algorithms::SecretBytes), StoreError> {
        let id = entry.record.id;
        let opened = self.pool.enter().read(|sql| {
            let sql = Snapshot::of(sql)?;
            let (_, keys) = self.check(&sql)?;
            rows::secret(&sql, id, records(&keys).ok_or(StoreError::NotFound)?)
        })?;
        match opened {
            Some((version, _, _)) if version != entry.record.version => Err(StoreError::Changed),
            Some((_, kind, bytes)) if expected.contains(&kind) => Ok((kind, bytes)),
            _ => Err(StoreError::Unsupported),
        }
    }
}

fn records(keys: &Option<Arc<Keys>>) -> Option<&RecordKeys> {
    keys.as_ref()?.records()
}

/// What [`View::opened`] finds.
enum Secret<K> {
    Known(K),
    Sealed(Arc<Cached>, SecretKind, algorithms::SecretBytes),
}

impl Objects for View {
    fn find(&self, template: &Attributes) -> Result<Vec<RecordId>, StoreError> {
        // CKA_UNIQUE_ID is the record's name and not among its attributes.
        let mut rest = template.clone();
        rest.remove(cryptoki_sys::CKA_UNIQUE_ID);
        self.pool.enter().read(|sql| {
            // One snapshot: the generation belongs to the rows.
            let snapshot = Snapshot::of(sql)?;
            let (moment, keys) = self.check(&snapshot)?;
            let mut found = Vec::new();
            rows::candidates(&snapshot, template, records(&keys), |row| {
                let (seq, id) = (row.seq, row.id);
                let entry = match self.cache.confirmed(id, row.version, moment) {
                    Some(entry) => entry,
                    None => self.cache.keep(row.open(records(&keys))?, moment),
                };
                if entry.record.attributes.matches(&rest) {
                    found.push((seq, id));
                }
                Ok(())
            })?;
            // Oldest first. SQLite would set up a sorter for what is mostly one row.
            found.sort_unstable_by_key(|(seq, _)| *seq);
            Ok(found.into_iter().map(|(_, id)| id).collect())
        })
    }

    fn read(&self, id: RecordId) -> Result<Arc<Record>, StoreError> {
        Ok(self.current(id)?.record.clone())
    }

    fn read_with_open_key(&self, id: RecordId) -> Result<(Arc<Record>, OpenKey), StoreError> {
        let settled = self.pool.settled();
        if let Some(found) = settled.and_then(|generation| self.last.get(id, generation)) {
            return Ok(found);
        }
        let entry = self.current(id)?;
        let key = self.cache.key(&entry);
        if let (Some(key), Some(generation)) = (&key, settled)
            && entry.is_current_at(generation)
        {
            self.last.put(&entry.record, key, generation);
        }
        Ok((entry.record.clone(), key))
    }

    fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.commit_with(&changes, &[])
    }
}

impl View {
    /// [`Objects::commit`], and what a device will have to follow.
    pub(super) fn commit_with(&self, changes: &[Change], intents: &[Intent]) -> Result<(), StoreError> {
        self.pool.enter().commit_many(changes.len(), |transaction| {
            let (_, keys) = self.check(transaction)?;
            for intent in intents {
                intent.write(transaction)?;
            }
            for change in changes {
                rows::apply(transaction, change, records(&keys))?;
            }
            token::advance(transaction)
        })?;
        self.last.clear();
        Ok(())
    }
}
