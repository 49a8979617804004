//! By what an object of the HSM is told to be the copy of a record.

use cryptoki_sys as ck;

use super::super::{keeper::number, raw::Template};
use crate::{Attributes, Record, RecordId};

/// What an X.509 certificate has in the HSM, besides class, type, CKA_TOKEN and CKA_PRIVATE. The value is needed.
const CERTIFICATE: [u64; 6] =
    [ck::CKA_VALUE, ck::CKA_LABEL, ck::CKA_ID, ck::CKA_SUBJECT, ck::CKA_ISSUER, ck::CKA_SERIAL_NUMBER];
/// And a data object.
const DATA: [u64; 4] = [ck::CKA_VALUE, ck::CKA_LABEL, ck::CKA_APPLICATION, ck::CKA_OBJECT_ID];
/// How many of these, from the first on, change with the record.
const NAMES: usize = 3;

/// Whether an object is one that the HSM has as well: an X.509 certificate or data, with a value.
pub(super) fn is_copied(attributes: &Attributes) -> bool {
    kinds(attributes).is_some() && attributes.bytes(ck::CKA_VALUE).is_some_and(|value| !value.is_empty())
}

/// A record's attributes as its copy has them. A data object without CKA_OBJECT_ID gets one that says which record it is
/// the copy of, so that a process that dies between the two leaves nothing that looks like an object of its own.
pub(super) fn marked(id: RecordId, attributes: &Attributes) -> Attributes {
    let mut attributes = attributes.clone();
    let own = attributes.bytes(ck::CKA_OBJECT_ID).is_some_and(|own| !own.is_empty());
    if attributes.ulong(ck::CKA_CLASS) == Some(ck::CKO_DATA) && !own {
        attributes.set(ck::CKA_OBJECT_ID, marker(id));
    }
    attributes
}

/// DER of the object identifier 2.25.N, where N is the record's id (ITU-T X.667).
pub(super) fn marker(id: RecordId) -> Vec<u8> {
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
pub(in crate::pkcs11) fn marked_id(attributes: &Attributes) -> Option<RecordId> {
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
pub(in crate::pkcs11) fn identity(attributes: &Attributes) -> Option<(u64, Vec<u8>)> {
    let value = attributes.bytes(ck::CKA_VALUE).filter(|_| is_copied(attributes))?;
    let class = attributes.ulong(ck::CKA_CLASS)?;
    // Certificates say who they are.
    if class == ck::CKO_CERTIFICATE {
        return Some((class, value.to_vec()));
    }
    let mut identity = value.to_vec();
    for kind in [ck::CKA_LABEL, ck::CKA_APPLICATION, ck::CKA_OBJECT_ID] {
        let name = attributes.bytes(kind).unwrap_or_default();
        identity.extend(number(name.len() as u64));
        identity.extend(name);
    }
    Some((class, identity))
}

/// Whether an object with a marker is the copy of the record that the marker names.
pub(in crate::pkcs11) fn is_copy_of(record: &Record, attributes: &Attributes) -> bool {
    let marked = marked(record.id, &record.attributes);
    marked.bytes(ck::CKA_OBJECT_ID) == attributes.bytes(ck::CKA_OBJECT_ID)
}

/// The identity of a record's copy.
pub(in crate::pkcs11) fn record_identity(record: &Record) -> Option<(u64, Vec<u8>)> {
    identity(&marked(record.id, &record.attributes))
}

pub(super) fn kinds(attributes: &Attributes) -> Option<&'static [u64]> {
    match attributes.ulong(ck::CKA_CLASS)? {
        ck::CKO_DATA => Some(&DATA),
        ck::CKO_CERTIFICATE if attributes.ulong(ck::CKA_CERTIFICATE_TYPE) == Some(ck::CKC_X_509) => {
            Some(&CERTIFICATE)
        }
        _ => None,
    }
}

/// Class and type, as the HSM has them.
pub(super) fn class(attributes: &Attributes) -> Template {
    let numbers = [ck::CKA_CLASS, ck::CKA_CERTIFICATE_TYPE];
    numbers.into_iter().filter_map(|kind| Some((kind, number(attributes.ulong(kind)?)))).collect()
}

/// Value and names, as the HSM has them.
pub(super) fn names(attributes: &Attributes) -> Template {
    let kinds = kinds(attributes).unwrap_or_default().iter().take(NAMES);
    kinds.map(|kind| (*kind, attributes.bytes(*kind).unwrap_or_default().to_vec())).collect()
}
