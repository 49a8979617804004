//! One object of the HSM as it is read, and the id that it has here.

use std::collections::BTreeMap;

use algorithms::{PublicKey, digest::Hash};
use cryptoki_sys as ck;

use super::super::{
    device::Session,
    keeper::number,
    native::{UNFINISHED, public_of, read_number},
    raw::Rv,
    wrap::KEK_LABEL,
};
use crate::{Attributes, RecordId, StoreError};

const NUMBERS: [u64; 5] =
    [ck::CKA_CLASS, ck::CKA_KEY_TYPE, ck::CKA_CERTIFICATE_TYPE, ck::CKA_VALUE_LEN, ck::CKA_MODULUS_BITS];
const FLAGS: [u64; 20] = [
    ck::CKA_PRIVATE,
    ck::CKA_MODIFIABLE,
    ck::CKA_COPYABLE,
    ck::CKA_DESTROYABLE,
    ck::CKA_TRUSTED,
    ck::CKA_LOCAL,
    ck::CKA_DERIVE,
    ck::CKA_ENCRYPT,
    ck::CKA_DECRYPT,
    ck::CKA_SIGN,
    ck::CKA_SIGN_RECOVER,
    ck::CKA_VERIFY,
    ck::CKA_VERIFY_RECOVER,
    ck::CKA_WRAP,
    ck::CKA_UNWRAP,
    ck::CKA_SENSITIVE,
    ck::CKA_EXTRACTABLE,
    ck::CKA_ALWAYS_SENSITIVE,
    ck::CKA_NEVER_EXTRACTABLE,
    ck::CKA_ALWAYS_AUTHENTICATE,
];
const BYTES: [u64; 12] = [
    ck::CKA_LABEL,
    ck::CKA_ID,
    ck::CKA_SUBJECT,
    ck::CKA_ISSUER,
    ck::CKA_SERIAL_NUMBER,
    ck::CKA_APPLICATION,
    ck::CKA_OBJECT_ID,
    ck::CKA_URL,
    ck::CKA_EC_PARAMS,
    ck::CKA_MODULUS,
    ck::CKA_PUBLIC_EXPONENT,
    ck::CKA_START_DATE,
];

/// One object as it was read.
pub(super) struct Found {
    pub(super) handle: ck::CK_OBJECT_HANDLE,
    pub(super) attributes: Attributes,
    pub(super) public: Option<PublicKey>,
    pub(super) spki: Option<Vec<u8>>,
}

/// An object; `None` for what this store keeps in the HSM for itself.
pub(super) fn read(session: &Session, handle: ck::CK_OBJECT_HANDLE) -> Result<Option<Found>, Rv> {
    let kinds: Vec<u64> = NUMBERS.into_iter().chain(FLAGS).chain(BYTES).collect();
    let values = session.raw.values(session.handle, handle, &kinds)?;
    let mut attributes = Attributes::new();
    for (kind, value) in kinds.into_iter().zip(values) {
        let Some(value) = value else { continue };
        if NUMBERS.contains(&kind) {
            if let Some(number) = read_number(&value) {
                attributes.set(kind, number);
            }
        } else if FLAGS.contains(&kind) {
            attributes.set(kind, value.first().is_some_and(|flag| *flag != ck::CK_FALSE));
        } else {
            attributes.set(kind, value);
        }
    }
    attributes.set(ck::CKA_TOKEN, true);
    let label = attributes.bytes(ck::CKA_LABEL).unwrap_or_default();
    let class = attributes.ulong(ck::CKA_CLASS);
    if label == UNFINISHED || (class == Some(ck::CKO_SECRET_KEY) && label == KEK_LABEL) {
        return Ok(None);
    }
    if matches!(class, Some(ck::CKO_CERTIFICATE | ck::CKO_DATA)) {
        let value = session.raw.values(session.handle, handle, &[ck::CKA_VALUE])?.pop().flatten();
        attributes.set(ck::CKA_VALUE, value.unwrap_or_default());
    }
    let is_pair = matches!(class, Some(ck::CKO_PUBLIC_KEY | ck::CKO_PRIVATE_KEY));
    let public = if is_pair { public_of(session, handle)? } else { None };
    let spki = public.as_ref().and_then(|public| public.to_spki().ok());
    let mut found = Found { handle, attributes, public, spki };
    describe(&mut found);
    Ok(Some(found))
}

/// What a known public key adds to an object, in the form that records have it.
fn describe(found: &mut Found) {
    if let Some(spki) = &found.spki {
        found.attributes.set(ck::CKA_PUBLIC_KEY_INFO, spki.clone());
    }
    let public = found.attributes.ulong(ck::CKA_CLASS) == Some(ck::CKO_PUBLIC_KEY);
    match &found.public {
        Some(PublicKey::Ed25519(key)) if public => {
            found.attributes.set(ck::CKA_EC_POINT, key.as_bytes());
        }
        Some(PublicKey::Ecdsa(key)) if public => {
            let point = key.as_bytes();
            let len = u8::try_from(point.len()).unwrap_or(u8::MAX);
            let head: &[u8] = if len < 0x80 { &[0x04, len] } else { &[0x04, 0x81, len] };
            found.attributes.set(ck::CKA_EC_POINT, [head, point].concat());
        }
        Some(PublicKey::MlDsa(key)) => {
            found.attributes.set(ck::CKA_PARAMETER_SET, key.parameter_set().ckp());
            if public {
                found.attributes.set(ck::CKA_VALUE, key.as_bytes());
            }
        }
        _ => {}
    }
}

/// A private key's public half is the public key object of the same type, CKA_ID and CKA_LABEL, or of the same type and
/// CKA_ID where there is one of that only. That it is will be proved before the key is used.
pub(super) fn match_halves(found: &mut [Found]) {
    let name = |object: &Found, kind| object.attributes.bytes(kind).unwrap_or_default().to_vec();
    let id = |object: &Found| (object.attributes.ulong(ck::CKA_KEY_TYPE), name(object, ck::CKA_ID));
    let is = |object: &Found, class| object.attributes.ulong(ck::CKA_CLASS) == Some(class);
    let mut halves: BTreeMap<_, Vec<(Vec<u8>, Vec<u8>)>> = BTreeMap::new();
    for half in found.iter().filter(|object| is(object, ck::CKO_PUBLIC_KEY)) {
        if let Some(spki) = &half.spki {
            halves.entry(id(half)).or_default().push((name(half, ck::CKA_LABEL), spki.clone()));
        }
    }
    for object in found.iter_mut().filter(|object| object.spki.is_none() && is(object, ck::CKO_PRIVATE_KEY)) {
        let Some(candidates) = halves.get(&id(object)) else { continue };
        let label = name(object, ck::CKA_LABEL);
        let half = match &candidates[..] {
            [only] => Some(only),
            several => several.iter().find(|(theirs, _)| *theirs == label),
        };
        if let Some((_, spki)) = half {
            object.public = PublicKey::from_spki(spki).ok();
            object.spki = Some(spki.clone());
            describe(object);
        }
    }
}

/// What cannot change about an object, as far as it can be told.
pub(super) fn identity(serial: &str, object: &Found) -> Vec<u8> {
    let attributes = &object.attributes;
    let name = |kind| attributes.bytes(kind).unwrap_or_default();
    let mut identity = Vec::new();
    let mut part = |bytes: &[u8]| {
        identity.extend((bytes.len() as u64).to_be_bytes());
        identity.extend(bytes);
    };
    part(serial.as_bytes());
    part(&number(attributes.ulong(ck::CKA_CLASS).unwrap_or(u64::MAX)));
    part(&number(attributes.ulong(ck::CKA_KEY_TYPE).unwrap_or(u64::MAX)));
    match &object.spki {
        Some(spki) => part(spki),
        None => {
            [ck::CKA_VALUE, ck::CKA_LABEL, ck::CKA_ID, ck::CKA_APPLICATION]
                .into_iter()
                .for_each(|kind| part(name(kind)));
        }
    }
    identity
}

pub(super) fn id(identity: &[u8], ordinal: u64) -> Result<RecordId, StoreError> {
    let hash = Hash::Sha256.digest(&[b"trellis hsm object 1", identity, &ordinal.to_be_bytes()].concat())?;
    Ok(RecordId(*hash.first_chunk().expect("SHA-256 gives 32 bytes")))
}
