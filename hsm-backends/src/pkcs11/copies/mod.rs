//! Certificates and data objects are in the HSM as well as on record, where keys may be: whoever uses the HSM's own tools
//! finds them beside the keys. The record is what counts. An HSM that takes none, or no more, changes nothing.
//!
//! Records and HSM are not changed in one step: what a copy is to follow is an intent, committed with the record, until the
//! copy has followed it. Whoever settles what a killed process has left goes by the record.

mod identity;
mod place;

use std::sync::Arc;

use cryptoki_sys as ck;

use super::{
    device::{Device, Failure, Session},
    raw::{Rv, Template},
};
use crate::{
    Attributes, Change, Objects, Record, StoreError,
    sealed::{AtDevice, Intent, Settled},
};
use identity::{kinds, marked};
use place::Place;

pub(super) use identity::{identity, marked_id, record_identity};
pub(super) use place::{Pending, record_of};

/// What follows in the HSM from changes of records.
#[derive(Debug, Default)]
pub(super) struct Copies(Vec<Following>);

/// A copy, and what becomes of it.
#[derive(Debug)]
struct Following {
    place: Place,
    after: Option<Attributes>,
}

impl Copies {
    /// Call before the changes are made. New ones are put into the HSM where `creates` says so of their class.
    pub(super) fn of(changes: &[Change], sealed: &dyn Objects, creates: impl Fn(u64) -> bool) -> Self {
        let create = |new: &Attributes| new.ulong(ck::CKA_CLASS).is_some_and(&creates);
        let before = |id| -> Option<Arc<Record>> { sealed.read(id).ok() };
        let following = |change: &Change| {
            let (place, after) = match change {
                Change::Create { id, attributes, secret: None } if create(attributes) => {
                    (Place::to_come(*id, attributes)?, Some(marked(*id, attributes)))
                }
                Change::Create { .. } => return None,
                Change::Update { id, attributes, .. } => {
                    (Place::of(*id, &before(*id)?.attributes)?, Some(marked(*id, attributes)))
                }
                Change::Destroy { id } => (Place::of(*id, &before(*id)?.attributes)?, None),
            };
            Some(Following { place, after })
        };
        Self(changes.iter().filter_map(following).collect())
    }

    /// What is to be on record until it is done.
    pub(super) fn at_device(&self) -> Vec<AtDevice> {
        self.0.iter().map(|following| following.place.to_device()).collect()
    }

    /// Call after the changes have been made, with the intents of [`Copies::at_device`], if they are on record.
    pub(super) fn follow(&self, device: &Device, intents: Vec<Intent>) {
        let mut intents = intents.into_iter();
        for Following { place, after } in &self.0 {
            let intent = intents.next();
            let mut begun = false;
            let followed = device.call(|session| {
                // Nothing has a new marker, unless this was begun before.
                let unseen = place.is_to_come() && place.is_marked() && !std::mem::replace(&mut begun, true);
                let found = if unseen { Vec::new() } else { place.find(session)? };
                agree(session, place, &found, after.as_ref())
            });
            // What the HSM refuses it does without. What it could not be asked for is left to whoever sweeps.
            if matches!(followed, Ok(()) | Err(Failure::Said(_))) {
                intent.into_iter().for_each(Intent::done);
            }
        }
    }
}

/// Makes a copy follow its record, or the end of it, after a process that has died.
pub(super) fn settle(
    device: &Device,
    key: &AtDevice,
    record: Option<&Record>,
) -> Result<Settled, StoreError> {
    let Some(place) = Place::from_device(key) else { return Ok(Settled::ForGood) };
    let after = record.map(|record| marked(record.id, &record.attributes));
    let mut seen = false;
    let done = device.call(|session| {
        let found = place.find(session)?;
        seen = !found.is_empty();
        agree(session, &place, &found, after.as_ref())?;
        // A search shows nothing private to somebody whose login was taken.
        session.is_users()
    });
    match done {
        // What it does not take now it does not take later.
        Ok(()) | Err(Failure::Said(_)) => {}
        Err(failure) => return Err(failure.of(device, "C_CreateObject")),
    }
    // What the HSM was about to make may come yet, beside what was there or made here.
    Ok(if seen && !place.is_to_come() { Settled::ForGood } else { Settled::ForNow })
}

/// Makes what was found of a copy agree with what is to be there.
fn agree(
    session: &Session,
    place: &Place,
    mut found: &[ck::CK_OBJECT_HANDLE],
    after: Option<&Attributes>,
) -> Result<(), Rv> {
    let destroy = |objects: &[ck::CK_OBJECT_HANDLE]| {
        objects.iter().try_for_each(|object| session.raw.destroy(session.handle, *object))
    };
    let Some(after) = after else { return destroy(found) };
    let Some((_, surplus)) = found.split_first() else {
        // Where the HSM has none it was not to have one, or has not taken it.
        return if place.is_to_come() { create(session, after) } else { Ok(()) };
    };
    if place.is_marked() {
        // Of those that were begun for one record one is enough.
        destroy(surplus)?;
        found = &found[..1];
    }
    let names: Template = identity::names(after).split_off(1);
    let rename = |object: &_| session.raw.set_values(session.handle, *object, &names);
    if place.has_value(after) && (place.is_to_come() || found.iter().all(|object| rename(object).is_ok())) {
        return Ok(());
    }
    // What the HSM does not change is made anew.
    destroy(found)?;
    create(session, after)
}

fn create(session: &Session, attributes: &Attributes) -> Result<(), Rv> {
    let mut template = identity::class(attributes);
    template.push((ck::CKA_TOKEN, vec![ck::CK_TRUE]));
    template.push((ck::CKA_PRIVATE, vec![u8::from(attributes.flag(ck::CKA_PRIVATE))]));
    let kinds = kinds(attributes).unwrap_or_default();
    template.extend(kinds.iter().filter_map(|kind| Some((*kind, attributes.bytes(*kind)?.to_vec()))));
    session.raw.create(session.handle, &template).map(drop)
}
