//! The chain from the pinned root to the key that signed the document (RFC 5280 section 6.1, for a PKI without
//! policies, name constraints or certificates that issue themselves).

use crate::{Error, certificate::Certificate, sha256};

/// CAs in a chain. Amazon's have four: root, region, zone, instance.
const LONGEST: usize = 8;

/// Verifies the chain as of `time` (milliseconds since 1970) and returns the last certificate's key, a point on P-384.
pub(crate) fn verify(
    ca_bundle: &[Vec<u8>],
    leaf: &[u8],
    root: [u8; 32],
    time: u64,
) -> Result<Vec<u8>, Error> {
    if !(1..=LONGEST).contains(&ca_bundle.len()) {
        return Err(Error::ChainLength(ca_bundle.len()));
    }
    let found = sha256(&ca_bundle[0]);
    if found != root {
        return Err(Error::Root { found, wanted: root });
    }
    // The root is who it is by its hash; its signature, by itself, would say nothing more.
    let mut last = Certificate::decode(&ca_bundle[0], 0)?;
    valid_at(&last, time, 0)?;
    let below = ca_bundle.iter().map(Vec::as_slice).skip(1).chain([leaf]);
    for (at, der) in (1..).zip(below) {
        // CAs that come after the one that signs this certificate.
        may_issue(&last, ca_bundle.len() - at, at - 1)?;
        let next = Certificate::decode(der, at)?;
        if next.issuer != last.subject {
            return Err(Error::CertificateIssuer(at));
        }
        if !last.has_signed(&next) {
            return Err(Error::CertificateSignature(at));
        }
        valid_at(&next, time, at)?;
        last = next;
    }
    may_sign_documents(&last, ca_bundle.len())?;
    Ok(last.point)
}

fn valid_at(certificate: &Certificate, time: u64, at: usize) -> Result<(), Error> {
    let (first, last) = certificate.validity;
    match time {
        time if time < first => Err(Error::CertificateNotYetValid(at)),
        time if time > last => Err(Error::CertificateExpired(at)),
        _ => Ok(()),
    }
}

fn may_issue(certificate: &Certificate, cas_below: usize, at: usize) -> Result<(), Error> {
    let constraints = certificate.basic_constraints.as_ref().filter(|constraints| constraints.ca);
    let constraints = constraints.ok_or(Error::NotCa(at))?;
    if constraints.path_len_constraint.is_some_and(|most| cas_below > usize::from(most)) {
        return Err(Error::PathLength(at));
    }
    let usage = certificate.key_usage.as_ref();
    if usage.is_some_and(|usage| usage.key_cert_sign()) { Ok(()) } else { Err(Error::KeyUsage(at)) }
}

fn may_sign_documents(certificate: &Certificate, at: usize) -> Result<(), Error> {
    if certificate.basic_constraints.as_ref().is_some_and(|constraints| constraints.ca) {
        return Err(Error::LeafIsCa);
    }
    let usage = certificate.key_usage.as_ref();
    if usage.is_some_and(|usage| usage.digital_signature()) { Ok(()) } else { Err(Error::KeyUsage(at)) }
}
