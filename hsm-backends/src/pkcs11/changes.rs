//! Changes of records, and what follows from them in the HSM.

use std::sync::Arc;

use cryptoki_sys as ck;

use super::{
    claims::{Names, names},
    foreign::ForeignObjects,
    native,
};
use crate::{
    Attributes, Change, NewSecret, Objects, PrivateKey, Record, RecordId, StoreError,
    sealed::{AtDevice, Intent},
};

/// Makes the changes: those of records by `write`, in one transaction together with the intents for the keys that the HSM has
/// to change after it, which it gives back; then what follows in the HSM. Changes of the HSM's own objects come one by one,
/// and not together with others. `key_of` gives the private key of a record where it has one.
pub(super) fn commit(
    sealed: &dyn Objects,
    foreign: &ForeignObjects,
    changes: Vec<Change>,
    key_of: impl Fn(RecordId) -> Result<Option<Arc<dyn PrivateKey>>, StoreError>,
    write: impl FnOnce(Vec<Change>, &[AtDevice]) -> Result<Vec<Intent>, StoreError>,
) -> Result<(), StoreError> {
    let target = |change: &Change| match change {
        Change::Create { .. } => None,
        Change::Update { id, .. } | Change::Destroy { id } => foreign.read(*id).map(|_| *id),
    };
    if changes.iter().any(|change| target(change).is_some()) {
        let [change] = &changes[..] else { return Err(StoreError::Unsupported) };
        return match change {
            Change::Update { id, version, attributes } => foreign.update(*id, *version, attributes),
            Change::Destroy { id } => foreign.destroy(*id),
            Change::Create { .. } => Err(StoreError::Unsupported),
        };
    }
    let Following { made, created, changed, halves } =
        Following::of(&changes, sealed, foreign.sees_private(), key_of)?;
    let (keys, changed): (Vec<AtDevice>, Vec<_>) = changed.into_iter().unzip();
    let mut intents = write(changes, &keys)?.into_iter();
    for (key, (label, id)) in made {
        let Some(key) = key.device_key() else { continue };
        if let Err(error) = key.keep(&label, &id) {
            // A key that the HSM does not keep has no object either.
            let undone = sealed.commit(created.into_iter().map(|id| Change::Destroy { id }).collect());
            if undone.is_err() {
                key.leave_to_sweep();
            }
            return Err(error);
        }
    }
    // The records have changed. Where the HSM fails it fails for one key, and the others follow all the same.
    let mut failed = None;
    for (spki, names) in halves {
        failed = failed.or(foreign.destroy_public(&spki, &names).err());
    }
    for (key, names) in changed {
        let (Some(key), intent) = (key.device_key(), intents.next()) else { continue };
        let followed = match names {
            // By its record's names it is found even where it could not be given them; that is tried again by whoever sweeps.
            Some((label, id)) => key.keep(&label, &id).is_ok(),
            None => {
                let error = key.destroy().err();
                let destroyed = error.is_none();
                failed = failed.or(error.map(StoreError::of_a_key_that_goes_later));
                destroyed
            }
        };
        intent.filter(|_| followed).into_iter().for_each(Intent::done);
    }
    failed.map_or(Ok(()), Err)
}

/// A key and its new names; none where it goes.
type Changed = (Arc<dyn PrivateKey>, Option<Names>);

/// What follows in the HSM from changes of records.
#[derive(Default)]
struct Following {
    /// Keys that were made and are to be kept, with the names of their objects.
    made: Vec<(Arc<dyn PrivateKey>, Names)>,
    created: Vec<RecordId>,
    /// Keys as the HSM has them, and what becomes of them.
    changed: Vec<(AtDevice, Changed)>,
    /// Public halves whose objects go, by SubjectPublicKeyInfo and names.
    halves: Vec<(Vec<u8>, Names)>,
}

impl Following {
    fn of(
        changes: &[Change],
        sealed: &dyn Objects,
        private: bool,
        key_of: impl Fn(RecordId) -> Result<Option<Arc<dyn PrivateKey>>, StoreError>,
    ) -> Result<Self, StoreError> {
        let mut all = Self::default();
        for change in changes {
            match change {
                Change::Create { id, attributes, secret } => {
                    all.created.push(*id);
                    if let Some(NewSecret::Private(key)) = secret
                        && key.device_key().is_some()
                    {
                        all.made.push((key.clone(), names(attributes)));
                    }
                }
                Change::Update { id, attributes, .. } => {
                    let new = names(attributes);
                    let found = read(sealed, *id)?.map(|record| at_device(&record, &key_of)).transpose()?;
                    let found = found.flatten().filter(|(old, _)| (&old.label, &old.id) != (&new.0, &new.1));
                    all.changed.extend(found.map(|(old, key)| (old, (key, Some(new)))));
                }
                Change::Destroy { id } => {
                    let Some(record) = read(sealed, *id)? else { continue };
                    all.changed.extend(at_device(&record, &key_of)?.map(|(old, key)| (old, (key, None))));
                    all.halves.extend(half(&record, sealed, private.then_some(&key_of))?);
                }
            }
        }
        Ok(all)
    }
}

/// `None` where there is no such record, which the change itself will tell.
fn read(sealed: &dyn Objects, id: RecordId) -> Result<Option<Arc<Record>>, StoreError> {
    match sealed.read(id) {
        Err(StoreError::NotFound) => Ok(None),
        read => read.map(Some),
    }
}

/// A key as the HSM has it, and to be used.
type Opened = (AtDevice, Arc<dyn PrivateKey>);

/// The key in the HSM that a record names.
fn at_device(
    record: &Record,
    key_of: impl Fn(RecordId) -> Result<Option<Arc<dyn PrivateKey>>, StoreError>,
) -> Result<Option<Opened>, StoreError> {
    if !record.has_secret || record.attributes.ulong(ck::CKA_CLASS) != Some(ck::CKO_PRIVATE_KEY) {
        return Ok(None);
    }
    let Some(key) = key_of(record.id)? else { return Ok(None) };
    let Some(locator) = key.device_key().map(|key| key.locator().to_vec()) else { return Ok(None) };
    let (label, id) = names(&record.attributes);
    Ok(Some((AtDevice { locator, label, id }, key)))
}

/// The public half in the HSM that goes with a record: made with a key of ours, where private keys can be seen, and no other
/// record's as well.
fn half(
    record: &Record,
    sealed: &dyn Objects,
    key_of: Option<impl Fn(RecordId) -> Result<Option<Arc<dyn PrivateKey>>, StoreError>>,
) -> Result<Option<(Vec<u8>, Names)>, StoreError> {
    let attributes = &record.attributes;
    let spki = attributes.bytes(ck::CKA_PUBLIC_KEY_INFO);
    let Some(spki) = spki.filter(|_| attributes.ulong(ck::CKA_CLASS) == Some(ck::CKO_PUBLIC_KEY)) else {
        return Ok(None);
    };
    let named = |class: u64| -> Result<Vec<Arc<Record>>, StoreError> {
        let mut template: Attributes = [(ck::CKA_CLASS, class.into())].into_iter().collect();
        let given = |kind: &u64| attributes.bytes(*kind).is_some_and(|value| !value.is_empty());
        if let Some(kind) = [ck::CKA_ID, ck::CKA_LABEL].into_iter().find(given) {
            template.set(kind, attributes.bytes(kind).unwrap_or_default());
        }
        let found = sealed.find(&template)?.into_iter().filter(|id| *id != record.id);
        found.filter_map(|id| read(sealed, id).transpose()).collect()
    };
    let same = |other: &Arc<Record>| other.attributes.bytes(ck::CKA_PUBLIC_KEY_INFO) == Some(spki);
    if named(ck::CKO_PUBLIC_KEY)?.iter().any(same) {
        return Ok(None);
    }
    if let Some(key_of) = key_of {
        let mut ours = false;
        for other in named(ck::CKO_PRIVATE_KEY)? {
            let found = at_device(&other, &key_of)?;
            ours |= found.is_some_and(|(key, _)| native::spki(&key.locator) == Some(spki));
        }
        if !ours {
            return Ok(None);
        }
    }
    Ok(Some((spki.to_vec(), names(attributes))))
}
