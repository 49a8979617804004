//! C_GetAttributeValue: who may see what.

use algorithms::SecretBytes;
use cryptoki_sys as ck;
use hsm_backends::{AttributeType, Attributes, Birth, Place, Role, SealedBy, SecretPart, StoreError, Value};
use zeroize::Zeroizing;

use crate::{
    attribute::{self, Attribute, Fallback, Form, ObjectKind, PairType, notes, row},
    error::Result,
    slot::Slot,
    template::Answer,
};

use super::{Object, Source, der};

/// The answer for one attribute of an object. Ed25519 points are raw unless `ec_point_der`.
pub(crate) fn answer(
    object: &Object,
    slot: &Slot,
    kind: AttributeType,
    ec_point_der: bool,
) -> Result<Answer> {
    let attributes = object.attributes();
    match kind {
        CKA_TRELLIS_PLACE => return place(object, slot),
        CKA_TRELLIS_BIRTH_ATTESTATION => return birth(object, slot, |birth| birth.attestation),
        CKA_TRELLIS_BIRTH_RECORD => return birth(object, slot, |birth| birth.record.into_bytes()),
        _ => {}
    }
    let Some((of, row)) = ObjectKind::of(attributes).and_then(|of| Some((of, row(kind, of)?))) else {
        return Ok(Answer::TypeInvalid);
    };
    if row.has(notes::N7) {
        return secret(object, slot, of, kind);
    }
    let edwards =
        matches!(of, ObjectKind::Public(PairType::EcEdwards) | ObjectKind::Private(PairType::EcEdwards));
    Ok(match attributes.value(kind) {
        _ if kind == ck::CKA_UNIQUE_ID => unique_id(object).map_or(Answer::TypeInvalid, shown),
        Some(Value::Bytes(point)) if kind == ck::CKA_EC_POINT && edwards && ec_point_der => {
            shown(der::octet_string(point))
        }
        Some(value) => attribute::answer(value),
        None => absent(row),
    })
}

/// Where a key on the token is. Vendor-defined, a CK_ULONG: 0 sealed under a PIN, 1 sealed under a key in the HSM, 2 in the
/// HSM itself, 3 sealed by an enclave, 4 in the enclave itself. docs/vendor-interface.md says more.
pub(crate) const CKA_TRELLIS_PLACE: AttributeType = ck::CKA_VENDOR_DEFINED | 0x5452_4C01;
/// Vendor-defined, a byte string: the attestation document that an enclave gave a private key at its birth.
pub(crate) const CKA_TRELLIS_BIRTH_ATTESTATION: AttributeType = ck::CKA_VENDOR_DEFINED | 0x5452_4C02;
/// Vendor-defined, JSON: what the document is to be compared with.
pub(crate) const CKA_TRELLIS_BIRTH_RECORD: AttributeType = ck::CKA_VENDOR_DEFINED | 0x5452_4C03;

/// Only private keys that were born in an enclave have it, for whoever is logged in.
fn birth(object: &Object, slot: &Slot, part: impl FnOnce(Birth) -> Vec<u8>) -> Result<Answer> {
    let Source::Token(record) = &object.source else { return Ok(Answer::TypeInvalid) };
    if !record.has_secret || record.attributes.ulong(ck::CKA_CLASS) != Some(ck::CKO_PRIVATE_KEY) {
        return Ok(Answer::TypeInvalid);
    }
    if slot.role() != Some(Role::User) {
        return Ok(Answer::Sensitive);
    }
    match slot.user_vault()?.private_key_of(record) {
        Ok(key) => Ok(key.birth()?.map_or(Answer::TypeInvalid, |birth| shown(part(birth)))),
        Err(StoreError::Unsupported) => Ok(Answer::TypeInvalid),
        Err(error) => Err(error.into()),
    }
}

/// Other objects, and keys that are not on the token, do not have it; before the login nobody can tell.
fn place(object: &Object, slot: &Slot) -> Result<Answer> {
    let Source::Token(record) = &object.source else { return Ok(Answer::TypeInvalid) };
    if !record.has_secret {
        return Ok(Answer::TypeInvalid);
    }
    if slot.role() != Some(Role::User) {
        return Ok(Answer::Sensitive);
    }
    let secret = record.attributes.ulong(ck::CKA_CLASS) == Some(ck::CKO_SECRET_KEY);
    let opened = if secret {
        slot.user_vault()?.secret_key_of(record).map(|_| Place::Process)
    } else {
        slot.user_vault()?.private_key_of(record).map(|key| key.place())
    };
    let place = match opened {
        // A secret key of the HSM's own does not open, nor does a key whose public half the HSM does not have.
        Err(StoreError::Unsupported) => Place::Device,
        opened => opened?,
    };
    let place: ck::CK_ULONG = match (place, slot.store.sealed_by()) {
        (Place::Process, SealedBy::Pin) => 0,
        (Place::Process, SealedBy::Device) => 1,
        (Place::Device, _) => 2,
        (Place::Process, SealedBy::Enclave) => 3,
        (Place::Enclave, _) => 4,
    };
    Ok(shown(place.to_ne_bytes().to_vec()))
}

fn absent(row: &Attribute) -> Answer {
    match (row.fallback, row.form) {
        (Fallback::EmptyList, Form::Template) => Answer::Template(Vec::new()),
        (Fallback::EmptyList, _) => shown(Vec::new()),
        _ => Answer::TypeInvalid,
    }
}

fn shown(bytes: Vec<u8>) -> Answer {
    Answer::Value(Zeroizing::new(bytes))
}

/// CKA_UNIQUE_ID: the text of the record's id.
fn unique_id(object: &Object) -> Option<Vec<u8>> {
    let id = match &object.source {
        Source::Token(record) => record.id,
        Source::Session(object, _) => object.id,
        Source::BuiltIn(_) => return None,
    };
    Some(id.to_string().into_bytes())
}

fn secret(object: &Object, slot: &Slot, of: ObjectKind, kind: AttributeType) -> Result<Answer> {
    // Of a key that all may see the secret is still the user's: one attribute that stays hidden, not a failed call.
    let hidden = object.is_users() && slot.role() != Some(Role::User);
    if hidden || !is_readable(object.attributes()) {
        return Ok(Answer::Sensitive);
    }
    let part: Option<SecretBytes> = match (of, part(kind)) {
        (ObjectKind::Secret(_), _) => Some(object.secret_key(slot)?.bytes().clone()),
        (_, Some(part)) => object.private_key(slot)?.secret_part(part)?,
        (_, None) => None,
    };
    Ok(part.map_or(Answer::TypeInvalid, |part| shown(part.expose().to_vec())))
}

/// Whether the secret attributes of a key may be revealed.
fn is_readable(attributes: &Attributes) -> bool {
    !attributes.flag(ck::CKA_SENSITIVE) && attributes.flag(ck::CKA_EXTRACTABLE)
}

fn part(kind: AttributeType) -> Option<SecretPart> {
    Some(match kind {
        ck::CKA_VALUE => SecretPart::Value,
        ck::CKA_SEED => SecretPart::Seed,
        ck::CKA_PRIVATE_EXPONENT => SecretPart::PrivateExponent,
        ck::CKA_PRIME_1 => SecretPart::Crt(0),
        ck::CKA_PRIME_2 => SecretPart::Crt(1),
        ck::CKA_EXPONENT_1 => SecretPart::Crt(2),
        ck::CKA_EXPONENT_2 => SecretPart::Crt(3),
        ck::CKA_COEFFICIENT => SecretPart::Crt(4),
        _ => return None,
    })
}

/// C_GetObjectSize: the bytes of every attribute that is kept, with 16 for the type and length of each.
pub(crate) fn size(attributes: &Attributes) -> u64 {
    attributes.iter().map(|(_, value)| 16 + attribute::size(value)).sum()
}
