//! What a certificate's own bytes say (RFC 5280 section 4.1), read as loosely as a store of certificates should:
//! whatever is not found stays empty.

use algorithms::digest::Hash;
use cryptoki_sys as ck;
use hsm_backends::{AttributeType, Attributes, Value};

use crate::error::{Error, Result};

use super::der::{self, Element, tag};

/// The attributes that a certificate gives its object: issuer, serial number, public key, dates' check value. A
/// CKA_VALUE that is not one SEQUENCE is CKR_ATTRIBUTE_VALUE_INVALID; without one CKA_URL and both hashes are needed,
/// otherwise CKR_TEMPLATE_INCOMPLETE.
pub(crate) fn contributed(given: &Attributes) -> Result<Attributes> {
    let bytes_of = |kind| given.bytes(kind).unwrap_or_default();
    let value = bytes_of(ck::CKA_VALUE);
    if value.is_empty() {
        let needed = [ck::CKA_URL, ck::CKA_HASH_OF_SUBJECT_PUBLIC_KEY, ck::CKA_HASH_OF_ISSUER_PUBLIC_KEY];
        let complete = needed.into_iter().all(|kind| !bytes_of(kind).is_empty());
        return if complete { Ok(Attributes::new()) } else { Err(Error::TemplateIncomplete) };
    }
    let certificate = der::only(tag::SEQUENCE, value).ok_or(Error::AttributeValueInvalid)?;
    let mut attributes: Attributes = fields(certificate)
        .into_iter()
        .flatten()
        .map(|(kind, bytes)| (kind, Value::Bytes(bytes.to_vec())))
        .collect();
    let mut check_value = Hash::Sha1.digest(value)?;
    check_value.truncate(3);
    attributes.set(ck::CKA_CHECK_VALUE, check_value);
    Ok(attributes)
}

/// Walks TBSCertificate: version, serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo.
fn fields(certificate: &[u8]) -> Option<[(AttributeType, &[u8]); 3]> {
    let (tbs, _) = der::element(certificate)?;
    let mut rest = tbs.content;
    let mut next = || -> Option<Element<'_>> {
        let (element, after) = der::element(rest)?;
        rest = after;
        Some(element)
    };
    let mut serial = next()?;
    if serial.tag == tag::CONTEXT_0 {
        serial = next()?;
    }
    let (_signature, issuer, _validity, _subject, key) = (next()?, next()?, next()?, next()?, next()?);
    (serial.tag == tag::INTEGER && issuer.tag == tag::SEQUENCE && key.tag == tag::SEQUENCE).then_some([
        (ck::CKA_ISSUER, issuer.whole),
        (ck::CKA_SERIAL_NUMBER, serial.whole),
        (ck::CKA_PUBLIC_KEY_INFO, key.whole),
    ])
}
