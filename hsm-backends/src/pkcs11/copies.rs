//! Certificates and data objects are in the HSM as well as on record, where keys may be: whoever uses the HSM's own tools
//! finds them beside the keys. The record is what counts. An HSM that takes none, or no more, changes nothing.

use cryptoki_sys as ck;

use super::{
    device::{Device, Session},
    keeper::number,
    raw::{Rv, Template},
};
use crate::{Attributes, Change, Objects, Record, RecordId};

/// What an X.509 certificate has in the HSM, besides class, type, CKA_TOKEN and CKA_PRIVATE. The value is needed.
const CERTIFICATE: [u64; 6] =
    [ck::CKA_VALUE, ck::CKA_LABEL, ck::CKA_ID, ck::CKA_SUBJECT, ck::CKA_ISSUER, ck::CKA_SERIAL_NUMBER];
/// And a data object.
const DATA: [u64; 4] = [ck::CKA_VALUE, ck::CKA_LABEL, ck::CKA_APPLICATION, ck::CKA_OBJECT_ID];
/// How many of these, from the first on, an object is found again by.
const NAMES: usize = 3;

/// What follows in the HSM from changes of records.
#[derive(Debug, Default)]
pub(super) struct Copies {
    created: Vec<Attributes>,
    /// From what, to what.
    renamed: Vec<(Attributes, Attributes)>,
    destroyed: Vec<Attributes>,
}

impl Copies {
    /// Call before the changes are made. New ones are put into the HSM where `creates` says so of their class.
    pub(super) fn of(changes: &[Change], sealed: &dyn Objects, creates: impl Fn(u64) -> bool) -> Self {
        let create = |new: &Attributes| is_copied(new) && new.ulong(ck::CKA_CLASS).is_some_and(&creates);
        let mut all = Self::default();
        let before = |id| {
            let record = sealed.read(id).ok().filter(|record| is_copied(&record.attributes))?;
            Some(marked(id, &record.attributes))
        };
        for change in changes {
            match change {
                Change::Create { id, attributes, secret: None } if create(attributes) => {
                    all.created.push(marked(*id, attributes));
                }
                Change::Create { .. } => {}
                Change::Update { id, attributes, .. } => {
                    all.renamed.extend(before(*id).map(|before| (before, marked(*id, attributes))));
                }
                Change::Destroy { id } => all.destroyed.extend(before(*id)),
            }
        }
        all
    }

    /// Call after the changes have been made.
    pub(super) fn follow(&self, device: &Device) {
        // What the HSM refuses it does without.
        for attributes in &self.created {
            let mut begun = false;
            let _ = device.call(|session| {
                // A marker is nobody else's, so nothing has it unless this was begun before.
                let looks = std::mem::replace(&mut begun, true) || !is_marked(attributes);
                if looks && !find(session, attributes)?.is_empty() {
                    // The HSM had it, or took it before it went away.
                    return Ok(());
                }
                create(session, attributes)
            });
        }
        for (before, after) in &self.renamed {
            let names: Template = names(after).split_off(1);
            let same_value = before.bytes(ck::CKA_VALUE) == after.bytes(ck::CKA_VALUE);
            let _ = device.call(|session| {
                let found = find(session, before)?;
                let rename = |object: &_| session.raw.set_values(session.handle, *object, &names);
                if found.is_empty() || same_value && found.iter().all(|object| rename(object).is_ok()) {
                    return Ok(());
                }
                // What the HSM does not change is made anew.
                found.into_iter().try_for_each(|object| session.raw.destroy(session.handle, object))?;
                create(session, after)
            });
        }
        for attributes in &self.destroyed {
            let _ = device.call(|session| {
                let found = find(session, attributes)?;
                found.into_iter().try_for_each(|object| session.raw.destroy(session.handle, object))
            });
        }
    }
}

/// Whether an object is one that the HSM has as well: an X.509 certificate or data, with a value.
pub(super) fn is_copied(attributes: &Attributes) -> bool {
    kinds(attributes).is_some() && attributes.bytes(ck::CKA_VALUE).is_some_and(|value| !value.is_empty())
}

/// A record's attributes as its copy has them. A data object without CKA_OBJECT_ID gets one that says which record it is
/// the copy of, so that a process that dies between the two leaves nothing that looks like an object of its own.
fn marked(id: RecordId, attributes: &Attributes) -> Attributes {
    let mut attributes = attributes.clone();
    let own = attributes.bytes(ck::CKA_OBJECT_ID).is_some_and(|own| !own.is_empty());
    if attributes.ulong(ck::CKA_CLASS) == Some(ck::CKO_DATA) && !own {
        attributes.set(ck::CKA_OBJECT_ID, marker(id));
    }
    attributes
}

/// DER of the object identifier 2.25.N, where N is the record's id (ITU-T X.667).
fn marker(id: RecordId) -> Vec<u8> {
    let number = u128::from_be_bytes(id.0);
    let groups = (0..19).rev().map(|at| (number >> (7 * at)) as u8 & 0x7F);
    let mut arc: Vec<u8> = groups.skip_while(|group| *group == 0).collect();
    if arc.is_empty() {
        arc.push(0);
    }
    let last = arc.len() - 1;
    arc[..last].iter_mut().for_each(|group| *group |= 0x80);
    // At most 20 bytes, so that the length is one.
    [&[0x06, arc.len() as u8 + 1, MARKED], &*arc].concat()
}

/// The record whose copy a data object may be: what [`marker`] has made of its id.
pub(super) fn marked_id(attributes: &Attributes) -> Option<RecordId> {
    let own = attributes.bytes(ck::CKA_OBJECT_ID)?;
    let arc = own.get(3..).filter(|_| is_marked(attributes) && is_copied(attributes))?;
    let number = arc.iter().fold(0_u128, |number, group| number << 7 | u128::from(group & 0x7F));
    let id = RecordId(number.to_be_bytes());
    (marker(id) == own).then_some(id)
}

/// The first byte of the identifiers below 2.25.
const MARKED: u8 = 0x69;

fn is_marked(attributes: &Attributes) -> bool {
    matches!(attributes.bytes(ck::CKA_OBJECT_ID), Some([0x06, _, MARKED, ..]))
}

/// By what an object of the HSM is told to be the copy of a record, given the record's attributes with
/// [`record_identity`].
pub(super) fn identity(attributes: &Attributes) -> Option<(u64, Vec<u8>)> {
    let value = attributes.bytes(ck::CKA_VALUE).filter(|_| is_copied(attributes))?;
    let class = attributes.ulong(ck::CKA_CLASS)?;
    // Certificates say who they are.
    if class == ck::CKO_CERTIFICATE {
        return Some((class, value.to_vec()));
    }
    if is_marked(attributes) {
        return Some((class, attributes.bytes(ck::CKA_OBJECT_ID)?.to_vec()));
    }
    let mut identity = value.to_vec();
    for kind in [ck::CKA_LABEL, ck::CKA_APPLICATION] {
        let name = attributes.bytes(kind).unwrap_or_default();
        identity.extend(number(name.len() as u64));
        identity.extend(name);
    }
    Some((class, identity))
}

/// The identity of a record's copy.
pub(super) fn record_identity(record: &Record) -> Option<(u64, Vec<u8>)> {
    identity(&marked(record.id, &record.attributes))
}

fn kinds(attributes: &Attributes) -> Option<&'static [u64]> {
    match attributes.ulong(ck::CKA_CLASS)? {
        ck::CKO_DATA => Some(&DATA),
        ck::CKO_CERTIFICATE if attributes.ulong(ck::CKA_CERTIFICATE_TYPE) == Some(ck::CKC_X_509) => {
            Some(&CERTIFICATE)
        }
        _ => None,
    }
}

fn create(session: &Session, attributes: &Attributes) -> Result<(), Rv> {
    let mut template = class(attributes);
    template.push((ck::CKA_TOKEN, vec![ck::CK_TRUE]));
    template.push((ck::CKA_PRIVATE, vec![u8::from(attributes.flag(ck::CKA_PRIVATE))]));
    let kinds = kinds(attributes).unwrap_or_default();
    template.extend(kinds.iter().filter_map(|kind| Some((*kind, attributes.bytes(*kind)?.to_vec()))));
    session.raw.create(session.handle, &template).map(drop)
}

fn class(attributes: &Attributes) -> Template {
    let numbers = [ck::CKA_CLASS, ck::CKA_CERTIFICATE_TYPE];
    numbers.into_iter().filter_map(|kind| Some((kind, number(attributes.ulong(kind)?)))).collect()
}

/// Value and names, as the HSM has them.
fn names(attributes: &Attributes) -> Template {
    let kinds = kinds(attributes).unwrap_or_default().iter().take(NAMES);
    kinds.map(|kind| (*kind, attributes.bytes(*kind).unwrap_or_default().to_vec())).collect()
}

fn find(session: &Session, attributes: &Attributes) -> Result<Vec<ck::CK_OBJECT_HANDLE>, Rv> {
    let mut template: Template = class(attributes).into_iter().take(1).collect();
    match attributes.bytes(ck::CKA_OBJECT_ID).filter(|_| is_marked(attributes)) {
        Some(marker) => template.push((ck::CKA_OBJECT_ID, marker.to_vec())),
        None => template.extend(names(attributes)),
    }
    session.raw.find(session.handle, &template)
}
