//! Certificates and data objects are in the HSM as well as on record, where keys may be: whoever uses the HSM's own tools
//! finds them beside the keys. The record is what counts. An HSM that takes none, or no more, changes nothing.
//!
//! Records and HSM are not changed in one step: what a copy is to follow is an intent, committed with the record, until the
//! copy has followed it. Whoever settles what a killed process has left goes by the record.

mod identity;
mod place;

use std::cell::Cell;

use cryptoki_sys as ck;

use super::{
    device::{Device, Session},
    raw::{Rv, Template},
};
use crate::{
    Attributes, Change, Objects, Record, StoreError,
    sealed::{AtDevice, Intent, Settled},
};
use identity::{kinds, marked};
use place::Place;

pub(super) use identity::{identity, is_copy_of, marked_id, record_identity};
pub(super) use place::{Unsettled, record_of};

/// How often a record may change again while its copy follows it.
const TURNS: usize = 10;

/// What follows in the HSM from changes of records.
#[derive(Debug, Default)]
pub(super) struct Copies(Vec<Follower>);

/// A copy, and what becomes of it.
#[derive(Debug)]
struct Follower {
    place: Place,
    after: Option<Attributes>,
}

impl Copies {
    /// Call before the changes are made. New ones are put into the HSM where `creates` says so of their class.
    pub(super) fn of(
        changes: &[Change],
        sealed: &dyn Objects,
        creates: impl Fn(u64) -> bool,
    ) -> Result<Self, StoreError> {
        let before = |id| match sealed.read(id) {
            Ok(record) => Ok(Place::of(id, &record.attributes)),
            // The change itself will tell.
            Err(StoreError::NotFound) => Ok(None),
            Err(error) => Err(error),
        };
        let mut all = Vec::new();
        for change in changes {
            let (place, after) = match change {
                Change::Create { id, attributes, secret: None }
                    if attributes.ulong(ck::CKA_CLASS).is_some_and(&creates) =>
                {
                    (Place::to_come(*id, attributes), Some(marked(*id, attributes)))
                }
                Change::Create { .. } => continue,
                Change::Update { id, attributes, .. } => (before(*id)?, Some(marked(*id, attributes))),
                Change::Destroy { id } => (before(*id)?, None),
            };
            all.extend(place.map(|place| Follower { place, after }));
        }
        Ok(Self(all))
    }

    /// What is to be on record until it is done.
    pub(super) fn at_device(&self) -> Vec<AtDevice> {
        self.0.iter().map(|follower| follower.place.to_device()).collect()
    }

    /// Call after the changes have been made, with the intents of [`Copies::at_device`], if they are on record.
    pub(super) fn follow(self, sealed: &dyn Objects, device: &Device, intents: Vec<Intent>) {
        let mut intents = intents.into_iter();
        for follower in self.0 {
            let intent = intents.next();
            if follower.has_followed(sealed, device) {
                intent.into_iter().for_each(Intent::done);
            }
        }
    }
}

impl Follower {
    /// Whether nothing is left to do. Somebody else may have changed the record again, and have looked for the copy
    /// before it was there or had its names: then it is for this one to follow.
    fn has_followed(mut self, sealed: &dyn Objects, device: &Device) -> bool {
        for _ in 0..TURNS {
            if !self.has_gone(device) {
                return false;
            }
            let Some(after) = self.after else { return true };
            let record = self.place.record();
            let now = match sealed.read(record) {
                Ok(found) => Some(marked(record, &found.attributes)),
                Err(StoreError::NotFound) => None,
                Err(_) => return false,
            };
            if now.as_ref().is_some_and(|now| identity::names(now) == identity::names(&after)) {
                return true;
            }
            let Some(place) = Place::of(record, &after) else { return true };
            self = Self { place, after: now };
        }
        false
    }

    /// One turn: false where the HSM could not do it now, which is left to whoever sweeps.
    fn has_gone(&self, device: &Device) -> bool {
        let Self { place, after } = self;
        let (mut begun, tries) = (false, Tries::default());
        let gone = device.call(|session| {
            // Nothing has a new marker, unless this was begun before.
            let unseen = place.is_to_come() && place.is_marked() && !std::mem::replace(&mut begun, true);
            let found = if unseen { Vec::new() } else { place.find(session)? };
            agree(session, place, &found, after.as_ref(), &tries)?;
            // A search shows nothing private to somebody whose login was taken.
            session.check_login()
        });
        gone.is_ok() || tries.is_refused()
    }
}

/// Makes a copy follow its record, or the end of it, after a process that has died.
pub(super) fn settle(
    device: &Device,
    key: &AtDevice,
    record: Option<&Record>,
) -> Result<Settled, StoreError> {
    let Some(place) = Place::from_device(key) else { return Ok(Settled::ForGood) };
    let now = record.and_then(|record| Place::of(record.id, &record.attributes));
    let after = record.map(|record| marked(record.id, &record.attributes));
    let (mut seen, tries) = (false, Tries::default());
    let done = device.call(|session| {
        let mut found = place.find(session)?;
        if let Some(now) = &now {
            let renamed = now.find(session)?;
            found.extend(renamed.into_iter().filter(|object| !found.contains(object)).collect::<Vec<_>>());
        }
        seen = !found.is_empty();
        agree(session, &place, &found, after.as_ref(), &tries)?;
        session.is_users()
    });
    match done {
        Err(_) if tries.is_refused() => return Ok(Settled::ForGood),
        done => done.map_err(|failure| failure.of(device, "C_CreateObject"))?,
    }
    // What the HSM was about to make may come yet, beside what was there or made here.
    Ok(if seen && !place.is_to_come() { Settled::ForGood } else { Settled::ForNow })
}

/// What was done so far by a call that may be made again.
#[derive(Debug, Default)]
struct Tries {
    /// What was there is destroyed, for another in its place.
    cleared: Cell<bool>,
    /// The HSM's last answer to C_CreateObject, where that was no success.
    refusal: Cell<Option<Rv>>,
}

impl Tries {
    /// What an HSM refuses to take it does without.
    fn is_refused(&self) -> bool {
        self.refusal.get().is_some_and(Rv::is_refusal)
    }
}

/// Makes what was found of a copy agree with what is to be there.
fn agree(
    session: &Session,
    place: &Place,
    mut found: &[ck::CK_OBJECT_HANDLE],
    after: Option<&Attributes>,
    tries: &Tries,
) -> Result<(), Rv> {
    tries.refusal.set(None);
    let destroy = |objects: &[ck::CK_OBJECT_HANDLE]| {
        objects.iter().try_for_each(|object| match session.raw.destroy(session.handle, *object) {
            // Somebody else was faster.
            Err(Rv(ck::CKR_OBJECT_HANDLE_INVALID)) => Ok(()),
            destroyed => destroyed,
        })
    };
    let make = |after| {
        let made = create(session, after);
        tries.refusal.set(made.err());
        made
    };
    let Some(after) = after else { return destroy(found) };
    let Some((_, surplus)) = found.split_first() else {
        // Where the HSM has none it was not to have one, or has not taken it.
        return if place.is_to_come() || tries.cleared.get() { make(after) } else { Ok(()) };
    };
    if place.is_marked() {
        // Of those that were begun for one record one is enough.
        destroy(surplus)?;
        found = &found[..1];
    }
    let names: Template = identity::names(after).split_off(1);
    let rename = |object: &_| session.raw.set_values(session.handle, *object, &names);
    let renamed = found.iter().map(rename).filter(Result::is_ok).count() == found.len();
    // Without a marker, one that was there before it was to come may be the HSM's own.
    if place.has_value(after) && (renamed || place.is_to_come() && !place.is_marked()) {
        return Ok(());
    }
    // What the HSM does not change is made anew.
    destroy(found)?;
    tries.cleared.set(true);
    make(after)
}

fn create(session: &Session, attributes: &Attributes) -> Result<(), Rv> {
    let mut template = identity::class(attributes);
    template.push((ck::CKA_TOKEN, vec![ck::CK_TRUE]));
    template.push((ck::CKA_PRIVATE, vec![u8::from(attributes.flag(ck::CKA_PRIVATE))]));
    let kinds = kinds(attributes).unwrap_or_default();
    template.extend(kinds.iter().filter_map(|kind| Some((*kind, attributes.bytes(*kind)?.to_vec()))));
    session.raw.create(session.handle, &template).map(drop)
}
