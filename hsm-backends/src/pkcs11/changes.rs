//! Changes of records, and what follows from them in the HSM.

use std::sync::Arc;

use cryptoki_sys as ck;

use super::{claims::names, foreign::ForeignObjects};
use crate::{
    Change, NewSecret, Objects, PrivateKey, RecordId, StoreError,
    sealed::{AtDevice, Intent},
};

/// Makes the changes: those of records by `write`, in one transaction together with the intents for the keys that the HSM has
/// to change after it, which it gives back; then what follows in the HSM. Changes of the HSM's own objects come one by one,
/// and not together with others.
pub(super) fn commit(
    sealed: &dyn Objects,
    foreign: &ForeignObjects,
    changes: Vec<Change>,
    key_of: impl Fn(RecordId) -> Option<Arc<dyn PrivateKey>>,
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
    let Following { made, created, changed, halves } = Following::of(&changes, sealed, key_of);
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
    for spki in halves {
        failed = failed.or(foreign.destroy_public(&spki).err());
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

type Names = (Vec<u8>, Vec<u8>);
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
    /// Public keys whose objects go.
    halves: Vec<Vec<u8>>,
}

impl Following {
    fn of(
        changes: &[Change],
        sealed: &dyn Objects,
        key_of: impl Fn(RecordId) -> Option<Arc<dyn PrivateKey>>,
    ) -> Self {
        let mut all = Self::default();
        let at_device = |id| {
            let record = sealed.read(id).ok()?;
            let private = record.attributes.ulong(ck::CKA_CLASS) == Some(ck::CKO_PRIVATE_KEY);
            let key = key_of(id).filter(|_| record.has_secret && private)?;
            let locator = key.device_key()?.locator().to_vec();
            let (label, id) = names(&record.attributes);
            Some((AtDevice { locator, label, id }, key))
        };
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
                    let found = at_device(*id).filter(|(old, _)| (&old.label, &old.id) != (&new.0, &new.1));
                    all.changed.extend(found.map(|(old, key)| (old, (key, Some(new)))));
                }
                Change::Destroy { id } => {
                    all.changed.extend(at_device(*id).map(|(old, key)| (old, (key, None))));
                    if let Ok(record) = sealed.read(*id)
                        && record.attributes.ulong(ck::CKA_CLASS) == Some(ck::CKO_PUBLIC_KEY)
                    {
                        let spki = record.attributes.bytes(ck::CKA_PUBLIC_KEY_INFO);
                        all.halves.extend(spki.map(<[u8]>::to_vec));
                    }
                }
            }
        }
        all
    }
}
