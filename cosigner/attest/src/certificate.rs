//! One certificate (RFC 5280 section 4), brought down to what the chain's rules ask about.

use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1, UnparsedPublicKey};
use der::{Decode, Encode, Reader, SliceReader, asn1::ObjectIdentifier, oid::AssociatedOid};
use x509_cert::{
    Certificate as X509, TbsCertificate, Version,
    ext::{
        Extension,
        pkix::{BasicConstraints, KeyUsage},
    },
};

use crate::Error;

const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// 04, x, y.
const POINT: usize = 97;

/// A certificate of which nothing is verified yet but its form.
pub(crate) struct Certificate {
    /// The signed part, byte for byte.
    tbs: Vec<u8>,
    signature: Vec<u8>,
    /// DER of the names.
    pub(crate) issuer: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    /// The first and the last moment of validity, in milliseconds since 1970.
    pub(crate) validity: (u64, u64),
    /// An uncompressed point on P-384 by its form; the engine checks that it is on the curve.
    pub(crate) point: Vec<u8>,
    pub(crate) basic_constraints: Option<BasicConstraints>,
    pub(crate) key_usage: Option<KeyUsage>,
}

impl Certificate {
    /// `at` is its place in the chain, for the errors.
    pub(crate) fn decode(der: &[u8], at: usize) -> Result<Self, Error> {
        let form = |_| Error::CertificateForm(at);
        let x509 = X509::from_der(der).map_err(form)?;
        let tbs = x509.tbs_certificate();
        if tbs.version() != Version::V3 {
            return Err(Error::CertificateVersion(at));
        }
        let algorithm = x509.signature_algorithm();
        if algorithm.oid != ECDSA_WITH_SHA384
            || algorithm.parameters.is_some()
            || tbs.signature() != algorithm
        {
            return Err(Error::CertificateAlgorithm(at));
        }
        let validity = tbs.validity();
        let (basic_constraints, key_usage) = extensions(tbs, at)?;
        Ok(Self {
            tbs: signed_part(der).map_err(form)?,
            signature: x509.signature().as_bytes().ok_or(Error::CertificateForm(at))?.to_vec(),
            issuer: tbs.issuer().to_der().map_err(form)?,
            subject: tbs.subject().to_der().map_err(form)?,
            validity: (
                milliseconds(validity.not_before.to_unix_duration().as_secs()),
                // A certificate is valid to the end of the second that it names.
                milliseconds(validity.not_after.to_unix_duration().as_secs()).saturating_add(999),
            ),
            point: point(tbs).ok_or(Error::CertificateKey(at))?,
            basic_constraints,
            key_usage,
        })
    }

    /// Whether the holder of this certificate's key has signed `other`.
    pub(crate) fn has_signed(&self, other: &Self) -> bool {
        let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, &self.point);
        key.verify(&other.tbs, &other.signature).is_ok()
    }
}

fn milliseconds(seconds: u64) -> u64 {
    seconds.saturating_mul(1000)
}

/// The bytes of tbsCertificate as they stand there: encoding them anew might give others.
fn signed_part(der: &[u8]) -> der::Result<Vec<u8>> {
    let mut reader = SliceReader::new(der)?;
    let tbs = reader.sequence(|inner| {
        let tbs = inner.tlv_bytes()?.to_vec();
        inner.tlv_bytes()?;
        inner.tlv_bytes()?;
        der::Result::Ok(tbs)
    })?;
    reader.finish()?;
    Ok(tbs)
}

fn point(tbs: &TbsCertificate) -> Option<Vec<u8>> {
    let info = tbs.subject_public_key_info();
    let curve: ObjectIdentifier = info.algorithm.parameters.as_ref()?.decode_as().ok()?;
    let point = info.subject_public_key.as_bytes()?;
    let right = info.algorithm.oid == EC_PUBLIC_KEY
        && curve == SECP384R1
        && point.len() == POINT
        && point.first() == Some(&4);
    right.then(|| point.to_vec())
}

/// The two extensions that the rules ask about; others must not be critical, and none may stand there twice
/// (RFC 5280 section 4.2).
fn extensions(
    tbs: &TbsCertificate,
    at: usize,
) -> Result<(Option<BasicConstraints>, Option<KeyUsage>), Error> {
    let all = tbs.extensions().map(Vec::as_slice).unwrap_or_default();
    for (index, extension) in all.iter().enumerate() {
        if all[..index].iter().any(|before| before.extn_id == extension.extn_id) {
            return Err(Error::ExtensionForm(at));
        }
        let known = [BasicConstraints::OID, KeyUsage::OID].contains(&extension.extn_id);
        if extension.critical && !known {
            return Err(Error::ExtensionCritical(at));
        }
    }
    Ok((find(all, at)?, find(all, at)?))
}

fn find<'a, T: Decode<'a> + AssociatedOid>(all: &'a [Extension], at: usize) -> Result<Option<T>, Error> {
    let extension = all.iter().find(|extension| extension.extn_id == T::OID);
    let decoded = extension.map(|extension| T::from_der(extension.extn_value.as_bytes()));
    decoded.transpose().map_err(|_| Error::ExtensionForm(at))
}
