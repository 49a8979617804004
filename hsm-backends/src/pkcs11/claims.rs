//! A search over records and the HSM's own objects, and which of the latter are a record's already.

use std::{cell::OnceCell, collections::HashSet, sync::Arc};

use cryptoki_sys as ck;

use super::{copies, foreign::ForeignObjects, native};
use crate::{
    Attributes, Objects, Record, RecordId, StoreError, Value,
    sealed::{AtDevice, Pending},
};

/// Both kinds of objects, the store's first.
///
/// Records and HSM are not read at one moment. What is being destroyed may be in the HSM when that is asked, and neither
/// on record nor pending any more when these are. What is no record's is shown if no record was changed meanwhile, or if the
/// HSM has it still: what is destroyed is pending until the HSM has it no more.
pub(super) fn find(
    sealed: &dyn Objects,
    foreign: &ForeignObjects,
    template: &Attributes,
    pending: impl Fn() -> Result<Pending, StoreError>,
) -> Result<Vec<RecordId>, StoreError> {
    let look = || {
        let ours = sealed.find(template)?;
        let (before, pending) = (pending()?, &pending);
        let generation = before.generation;
        let (keys, certificates, data) = Default::default();
        let mut following = copies::Unsettled::default();
        before.keys.iter().for_each(|key| following.add(key));
        let claims = Claims { sealed, before: before.keys, following, pending, keys, certificates, data };
        let theirs = foreign.find(template, |attributes| claims.has(attributes))?;
        let steady = theirs.is_empty() || pending()?.generation == generation;
        Ok::<_, StoreError>((ours, theirs, steady))
    };
    let (mut found, mut theirs, steady) = look()?;
    if !steady {
        let seen: HashSet<RecordId> = theirs.into_iter().collect();
        (found, theirs, _) = look()?;
        theirs.retain(|id| seen.contains(id));
    }
    found.extend(theirs);
    Ok(found)
}

/// The keys, certificates and data that have records, by which those of the HSM are told that need no other. Records are
/// read when an object of their kind was found. What the HSM has to follow yet counts too: what it still has of something
/// that was destroyed is no object.
struct Claims<'a> {
    sealed: &'a dyn Objects,
    /// Keys that were pending before the HSM was asked.
    before: Vec<AtDevice>,
    /// The copies among them.
    following: copies::Unsettled,
    pending: &'a dyn Fn() -> Result<Pending, StoreError>,
    keys: OnceCell<Keys>,
    certificates: OnceCell<Copied>,
    data: OnceCell<Copied>,
}

type Copied = HashSet<(u64, Vec<u8>)>;

#[derive(Debug, Default)]
struct Keys {
    /// The public keys of records that have a secret: both halves in the HSM are theirs.
    pairs: HashSet<Vec<u8>>,
    /// Those of the others. Somebody may have put one beside a key that is the HSM's own.
    public: HashSet<Vec<u8>>,
    /// Label and id of keys whose record does not say their public key.
    names: HashSet<Names>,
    /// Label and id of all keys with a secret, for those of the HSM whose public half is gone.
    secret: HashSet<Names>,
}

impl Claims<'_> {
    fn has(&self, attributes: &Attributes) -> Result<bool, StoreError> {
        if self.following.has(attributes) {
            return Ok(true);
        }
        if let Some(id) = copies::marked_id(attributes) {
            match self.sealed.read(id) {
                Ok(record) => return Ok(copies::is_copy_of(&record, attributes)),
                // An application may give such a CKA_OBJECT_ID to an object of its own.
                Err(StoreError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        let Some(identity) = copies::identity(attributes) else { return self.has_key(attributes) };
        let copied = if identity.0 == ck::CKO_CERTIFICATE { &self.certificates } else { &self.data };
        let copied = known(copied, || {
            let identities = |record: Arc<Record>| copies::record_identity(&record);
            Ok(self.records(identity.0)?.into_iter().filter_map(identities).collect())
        })?;
        Ok(copied.contains(&identity))
    }

    fn has_key(&self, attributes: &Attributes) -> Result<bool, StoreError> {
        let keys = known(&self.keys, || {
            let mut keys = Keys::default();
            for class in [ck::CKO_PUBLIC_KEY, ck::CKO_PRIVATE_KEY] {
                for record in self.records(class)? {
                    keys.add(&record);
                }
            }
            // Last: a record that was destroyed meanwhile has one.
            let now = (self.pending)()?.keys;
            let pending = self.before.iter().chain(&now).filter(|key| copies::record_of(key).is_none());
            for AtDevice { locator, label, id } in pending {
                keys.pairs.extend(native::spki(locator).map(<[u8]>::to_vec));
                keys.secret.insert((label.clone(), id.clone()));
            }
            Ok(keys)
        })?;
        let (label, id) = names(attributes);
        // A key in the HSM has a CKA_ID even where its record has none.
        let named = |names: &HashSet<_>| {
            names.contains(&(label.clone(), Vec::new())) || names.contains(&(label.clone(), id.clone()))
        };
        let private = attributes.ulong(ck::CKA_CLASS) == Some(ck::CKO_PRIVATE_KEY);
        Ok(match attributes.bytes(ck::CKA_PUBLIC_KEY_INFO) {
            Some(spki) => {
                keys.pairs.contains(spki) || !private && keys.public.contains(spki) || named(&keys.names)
            }
            None => private && named(&keys.secret),
        })
    }

    fn records(&self, class: u64) -> Result<Vec<Arc<Record>>, StoreError> {
        let mut records = Vec::new();
        for id in self.sealed.find(&[(ck::CKA_CLASS, Value::Ulong(class))].into_iter().collect())? {
            match self.sealed.read(id) {
                Err(StoreError::NotFound) => {}
                read => records.push(read?),
            }
        }
        Ok(records)
    }
}

impl Keys {
    fn add(&mut self, record: &Record) {
        if record.has_secret {
            self.secret.insert(names(&record.attributes));
        }
        match record.attributes.bytes(ck::CKA_PUBLIC_KEY_INFO) {
            Some(spki) if record.has_secret => drop(self.pairs.insert(spki.to_vec())),
            Some(spki) => drop(self.public.insert(spki.to_vec())),
            None if record.has_secret => drop(self.names.insert(names(&record.attributes))),
            None => {}
        }
    }
}

fn known<T>(cell: &OnceCell<T>, read: impl FnOnce() -> Result<T, StoreError>) -> Result<&T, StoreError> {
    match cell.get() {
        Some(known) => Ok(known),
        None => {
            let read = read()?;
            Ok(cell.get_or_init(|| read))
        }
    }
}

/// CKA_LABEL and CKA_ID.
pub(super) type Names = (Vec<u8>, Vec<u8>);

pub(super) fn names(attributes: &Attributes) -> Names {
    let name = |kind| attributes.bytes(kind).unwrap_or_default().to_vec();
    (name(ck::CKA_LABEL), name(ck::CKA_ID))
}
