//! Certificates and data objects are in the HSM as well as on record, where keys may be: whoever uses the HSM's own tools
//! finds them beside the keys. The record is what counts. An HSM that takes none, or no more, changes nothing.

use cryptoki_sys as ck;

use super::{
    device::{Device, Session},
    keeper::number,
    raw::{Rv, Template},
};
use crate::{Attributes, Change, Objects};

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
    /// Call before the changes are made. Without `create` none is put into the HSM.
    pub(super) fn of(changes: &[Change], sealed: &dyn Objects, create: bool) -> Self {
        let mut all = Self::default();
        let before = |id| sealed.read(id).ok().map(|record| record.attributes.clone()).filter(is_copied);
        for change in changes {
            match change {
                Change::Create { attributes, secret: None, .. } if create && is_copied(attributes) => {
                    all.created.push(attributes.clone());
                }
                Change::Create { .. } => {}
                Change::Update { id, attributes, .. } => {
                    all.renamed.extend(before(*id).map(|before| (before, attributes.clone())));
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
            let _ = device.call(|session| create(session, attributes));
        }
        for (before, after) in &self.renamed {
            let names: Template = names(after).split_off(1);
            let _ = device.call(|session| {
                let found = find(session, before)?;
                let rename = |object: &_| session.raw.set_values(session.handle, *object, &names);
                if found.iter().all(|object| rename(object).is_ok()) {
                    return Ok(());
                }
                // What the HSM does not rename is made anew.
                create(session, after)?;
                found.into_iter().try_for_each(|object| session.raw.destroy(session.handle, object))
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

/// By what an object of the HSM is told to be the copy of a record.
pub(super) fn identity(attributes: &Attributes) -> Option<(u64, Vec<u8>)> {
    let value = attributes.bytes(ck::CKA_VALUE).filter(|_| is_copied(attributes))?;
    let class = attributes.ulong(ck::CKA_CLASS)?;
    // Certificates say who they are; data is told apart by its names.
    let names = (class == ck::CKO_DATA).then_some([ck::CKA_LABEL, ck::CKA_APPLICATION]);
    let mut identity = value.to_vec();
    for kind in names.into_iter().flatten() {
        let name = attributes.bytes(kind).unwrap_or_default();
        identity.extend(number(name.len() as u64));
        identity.extend(name);
    }
    Some((class, identity))
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
    if !find(session, attributes)?.is_empty() {
        // The HSM had it, or took it before it went away.
        return Ok(());
    }
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
    template.extend(names(attributes));
    session.raw.find(session.handle, &template)
}
