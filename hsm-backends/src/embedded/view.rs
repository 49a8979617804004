//! Objects as somebody sees them: without keys the public ones, with the token's keys all.

use std::sync::Arc;

use super::{
    cache::{Cache, Cached},
    fault::Fault,
    pool::Pool,
    rows,
    seal::{RecordKeys, SecretKind},
    token::{self, Name},
};
use crate::{Attributes, Change, NewSecret, Objects, PrivateKey, Record, RecordId, SecretKey, StoreError};

/// The objects of one token.
#[derive(Debug)]
pub(super) struct View {
    pool: Arc<Pool>,
    /// The keys, and the incarnation of the token that they belong to.
    keys: Option<(RecordKeys, Name)>,
    cache: Cache,
}

impl View {
    pub(super) fn public(pool: Arc<Pool>) -> Self {
        Self { pool, keys: None, cache: Cache::default() }
    }

    pub(super) fn private(pool: Arc<Pool>, keys: RecordKeys, incarnation: Name) -> Self {
        Self { pool, keys: Some((keys, incarnation)), cache: Cache::default() }
    }

    fn keys(&self) -> Option<&RecordKeys> {
        self.keys.as_ref().map(|(keys, _)| keys)
    }

    /// The current generation, if this is still the token that the keys belong to.
    fn check(&self, sql: &rusqlite::Connection) -> Result<i64, Fault> {
        let moment = token::moment(sql)?;
        match &self.keys {
            Some((_, incarnation)) if *incarnation != moment.incarnation => {
                Err(StoreError::TokenReplaced.into())
            }
            _ => Ok(moment.generation),
        }
    }

    /// The record as last committed. Mostly answered from memory: the change counter says that nothing happened.
    fn current(&self, id: RecordId) -> Result<Arc<Cached>, StoreError> {
        if let Some(entry) = self.cache.entry(id)
            && self.pool.settled().is_some_and(|generation| entry.is_current_at(generation))
        {
            return Ok(entry);
        }
        let found = self.pool.enter().read(|sql| {
            let generation = self.check(sql)?;
            if let Some(entry) = self.cache.entry(id)
                && rows::version(sql, id)? == Some(entry.record.version)
            {
                entry.confirm(generation);
                return Ok(entry);
            }
            let row = rows::by_id(sql, id)?.ok_or(StoreError::NotFound)?;
            Ok(self.cache.keep(row.open(self.keys())?, generation))
        });
        if found.is_err() {
            self.cache.forget(id);
        }
        found
    }

    /// The opened private key of a record; the same one for as long as the record is at the same version.
    pub(super) fn private_key(&self, id: RecordId) -> Result<Arc<dyn PrivateKey>, StoreError> {
        let entry = self.current(id)?;
        if let Some(key) = entry.private_key.get() {
            return Ok(key.clone());
        }
        let bytes = self.open_secret(&entry, SecretKind::Private)?;
        let key = algorithms::PrivateKey::from_pkcs8(&bytes)
            .map_err(|error| StoreError::Damaged(format!("the private key of object {id}: {error}")))?;
        let NewSecret::Private(key) = NewSecret::import(key) else { return Err(StoreError::Unsupported) };
        // Whoever was first wins, so that everybody shares one.
        Ok(entry.private_key.get_or_init(|| key).clone())
    }

    /// The opened secret key of a record.
    pub(super) fn secret_key(&self, id: RecordId) -> Result<Arc<SecretKey>, StoreError> {
        let entry = self.current(id)?;
        if let Some(key) = entry.secret_key.get() {
            return Ok(key.clone());
        }
        let bytes = self.open_secret(&entry, SecretKind::Secret)?;
        Ok(entry.secret_key.get_or_init(|| Arc::new(SecretKey::new(bytes))).clone())
    }

    /// [`View::private_key`] of a record that was read just now.
    pub(super) fn private_key_of(&self, record: &Record) -> Result<Arc<dyn PrivateKey>, StoreError> {
        let open = self.cache.at(record).and_then(|entry| entry.private_key.get().cloned());
        open.map_or_else(|| self.private_key(record.id), Ok)
    }

    /// [`View::secret_key`] of a record that was read just now.
    pub(super) fn secret_key_of(&self, record: &Record) -> Result<Arc<SecretKey>, StoreError> {
        let open = self.cache.at(record).and_then(|entry| entry.secret_key.get().cloned());
        open.map_or_else(|| self.secret_key(record.id), Ok)
    }

    fn open_secret(
        &self,
        entry: &Cached,
        expected: SecretKind,
    ) -> Result<algorithms::SecretBytes, StoreError> {
        let keys = self.keys().ok_or(StoreError::NotFound)?;
        let id = entry.record.id;
        let opened = self.pool.enter().read(|sql| {
            self.check(sql)?;
            rows::secret(sql, id, keys)
        })?;
        match opened {
            Some((version, _, _)) if version != entry.record.version => Err(StoreError::Changed),
            Some((_, kind, bytes)) if kind == expected => Ok(bytes),
            _ => Err(StoreError::Unsupported),
        }
    }
}

impl Objects for View {
    fn find(&self, template: &Attributes) -> Result<Vec<RecordId>, StoreError> {
        // CKA_UNIQUE_ID is the record's name and not among its attributes.
        let mut rest = template.clone();
        rest.remove(cryptoki_sys::CKA_UNIQUE_ID);
        self.pool.enter().read(|sql| {
            // One snapshot: the generation belongs to the rows.
            let snapshot = sql.unchecked_transaction()?;
            let generation = self.check(&snapshot)?;
            let mut found = Vec::new();
            rows::candidates(&snapshot, template, self.keys(), |row| {
                let (id, version) = (row.id, row.version);
                let entry = match self.cache.entry(id) {
                    Some(entry) if entry.record.version == version => {
                        entry.confirm(generation);
                        entry
                    }
                    _ => self.cache.keep(row.open(self.keys())?, generation),
                };
                if entry.record.attributes.matches(&rest) {
                    found.push(id);
                }
                Ok(())
            })?;
            Ok(found)
        })
    }

    fn read(&self, id: RecordId) -> Result<Arc<Record>, StoreError> {
        Ok(self.current(id)?.record.clone())
    }

    fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.pool.enter().commit(|transaction| {
            self.check(transaction)?;
            for change in &changes {
                rows::apply(transaction, change, self.keys())?;
            }
            token::advance(transaction)
        })
    }
}
