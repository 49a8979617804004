//! CKA_EC_PARAMS and CKA_EC_POINT in all the forms that clients give them, and the one form that is kept.

use algorithms::{Algorithm, ecdsa::Curve};

use crate::{
    attribute::PairType,
    error::{Error, Result},
};

use super::der::{self, tag};

/// id-Ed25519 (RFC 8410), the OBJECT IDENTIFIER with its tag: the CKA_EC_PARAMS that is kept.
pub(crate) const ED25519_OID: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];

/// The names that stand for Ed25519 as a curveName: that of PKCS#11 and those that clients use.
const ED25519_NAMES: &[&[u8]] = &[b"edwards25519", b"id-Ed25519", b"Ed25519"];

/// The names of the NIST curves (SEC 2, and X9.62 for the first).
fn named_curve(name: &[u8]) -> Option<Curve> {
    match name {
        b"secp256r1" | b"prime256v1" => Some(Curve::P256),
        b"secp384r1" => Some(Curve::P384),
        b"secp521r1" => Some(Curve::P521),
        _ => None,
    }
}

/// The algorithm of a CKA_EC_PARAMS: an OBJECT IDENTIFIER or a curveName. A curve that the module does not do is
/// CKR_CURVE_NOT_SUPPORTED; explicit parameters and anything else, CKR_DOMAIN_PARAMS_INVALID.
pub(crate) fn algorithm(pair: PairType, params: &[u8]) -> Result<Algorithm> {
    let Some((found, [])) = der::element(params) else { return Err(Error::DomainParamsInvalid) };
    if !matches!(found.tag, tag::OID | tag::PRINTABLE_STRING | tag::UTF8_STRING) {
        return Err(Error::DomainParamsInvalid);
    }
    match (pair, curve(params)) {
        (PairType::EcEdwards, Some(Algorithm::Ed25519)) => Ok(Algorithm::Ed25519),
        (PairType::Ec, Some(algorithm @ Algorithm::Ecdsa(_))) => Ok(algorithm),
        _ => Err(Error::CurveNotSupported),
    }
}

fn curve(params: &[u8]) -> Option<Algorithm> {
    if params == ED25519_OID {
        return Some(Algorithm::Ed25519);
    }
    if let Some(curve) = Curve::ALL.into_iter().find(|curve| curve.oid_der() == params) {
        return Some(Algorithm::Ecdsa(curve));
    }
    let name = der::only(tag::PRINTABLE_STRING, params).or_else(|| der::only(tag::UTF8_STRING, params))?;
    if ED25519_NAMES.contains(&name) {
        return Some(Algorithm::Ed25519);
    }
    named_curve(name).map(Algorithm::Ecdsa)
}

/// The CKA_EC_PARAMS that is kept for an algorithm.
pub(crate) fn params_of(algorithm: Algorithm) -> Option<&'static [u8]> {
    match algorithm {
        Algorithm::Ed25519 => Some(ED25519_OID),
        Algorithm::Ecdsa(curve) => Some(curve.oid_der()),
        _ => None,
    }
}

/// The CKA_EC_PARAMS to look for when a client looks for `params`.
pub(crate) fn kept_params(params: &[u8]) -> Vec<u8> {
    curve(params).and_then(params_of).unwrap_or(params).to_vec()
}

/// The CKA_EC_POINT that is kept of a point given raw, as an OCTET STRING or as a BIT STRING: raw for Ed25519, an
/// OCTET STRING for ECDSA. What is no point is kept as it is; no key will come of it.
pub(crate) fn kept_point(given: &[u8]) -> Vec<u8> {
    let bits = || der::only(tag::BIT_STRING, given).and_then(|bits| bits.strip_prefix(&[0]));
    let raw = [Some(given), der::only(tag::OCTET_STRING, given), bits()];
    match raw.into_iter().flatten().find(|point| is_point(point)) {
        Some(raw) if raw.len() == ED25519_POINT_LEN => raw.to_vec(),
        Some(raw) => der::octet_string(raw),
        None => given.to_vec(),
    }
}

const ED25519_POINT_LEN: usize = 32;

/// Whether these may be the raw bytes of a point: of edwards25519, or uncompressed or compressed (SEC 1 section 2.3.3).
/// No wrapped point can be mistaken for one: tags, lengths and first bytes differ.
fn is_point(bytes: &[u8]) -> bool {
    let field_lens = Curve::ALL.map(Curve::field_len);
    match (bytes.first(), bytes.len()) {
        (_, ED25519_POINT_LEN) => true,
        (Some(4), len) => field_lens.into_iter().any(|field| len == 1 + 2 * field),
        (Some(2 | 3), len) => field_lens.into_iter().any(|field| len == 1 + field),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printable(name: &str) -> Vec<u8> {
        let mut der = der::octet_string(name.as_bytes());
        der[0] = tag::PRINTABLE_STRING;
        der
    }

    #[test]
    fn edwards25519_in_every_form() {
        let names = ["edwards25519", "id-Ed25519", "Ed25519"].map(printable);
        for params in names.iter().map(Vec::as_slice).chain([ED25519_OID]) {
            assert_eq!(algorithm(PairType::EcEdwards, params), Ok(Algorithm::Ed25519));
            assert_eq!(kept_params(params), ED25519_OID);
            assert_eq!(algorithm(PairType::Ec, params), Err(Error::CurveNotSupported));
        }
    }

    #[test]
    fn params_that_are_refused() {
        let ed448 = [0x06, 0x03, 0x2b, 0x65, 0x71];
        for (params, error) in [
            (&ed448[..], Error::CurveNotSupported),
            (&printable("edwards448"), Error::CurveNotSupported),
            (&[], Error::DomainParamsInvalid),
            (&[0x30, 0], Error::DomainParamsInvalid),
            (&[0x05, 0], Error::DomainParamsInvalid),
            (&[0x06, 0x03, 0x2b, 0x65], Error::DomainParamsInvalid),
            (&[0x06, 0x03, 0x2b, 0x65, 0x70, 0], Error::DomainParamsInvalid),
        ] {
            assert_eq!(algorithm(PairType::EcEdwards, params), Err(error), "{params:?}");
        }
    }

    #[test]
    fn points_in_every_form() {
        let raw = [9; 32];
        let octets = der::octet_string(&raw);
        let mut bits = vec![tag::BIT_STRING, 33, 0];
        bits.extend(raw);
        for given in [&raw[..], &octets, &bits] {
            assert_eq!(kept_point(given), raw);
        }
        for (first, len) in [(4, 65), (4, 97), (4, 133), (2, 33), (3, 49), (2, 67)] {
            let mut raw = vec![7; len];
            raw[0] = first;
            let octets = der::octet_string(&raw);
            let mut bits = der::octet_string(&[&[0][..], &raw].concat());
            bits[0] = tag::BIT_STRING;
            for given in [&raw, &octets, &bits] {
                assert_eq!(kept_point(given), octets, "{first} {len}");
            }
        }
        assert_eq!(kept_point(&[1, 2, 3]), [1, 2, 3]);
    }
}
