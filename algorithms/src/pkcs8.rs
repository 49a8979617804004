//! PrivateKeyInfo and OneAsymmetricKey (RFC 5958) around the private keys of RFC 9881, 8410, 5915 and 8017.

use crate::{
    Algorithm, Error, PrivateKey, SecretBytes,
    der::{self, Reader},
    ecdsa::{self, Curve},
    ed25519,
    ml_dsa::{self, ParameterSet},
    rsa, spki,
};

/// `[0] IMPLICIT OCTET STRING` of a seed in ML-DSA-PrivateKey.
const SEED: u8 = 0x80;
/// `[0] EXPLICIT` parameters and `[1] EXPLICIT` public key in ECPrivateKey; attributes `[0]` in OneAsymmetricKey.
const EXPLICIT_0: u8 = 0xa0;
const EXPLICIT_1: u8 = 0xa1;
/// `[1] IMPLICIT BIT STRING` public key in OneAsymmetricKey.
const PUBLIC_KEY: u8 = 0x81;

pub(crate) fn encode(key: &PrivateKey) -> Result<SecretBytes, Error> {
    let inner = match key {
        PrivateKey::MlDsa(key) => match key.seed() {
            Some(seed) => der::element(SEED, &[seed.expose()]),
            None => der::element(der::OCTET_STRING, &[key.expanded()?.expose()]),
        },
        PrivateKey::Ed25519(key) => der::element(der::OCTET_STRING, &[key.seed().expose()]),
        PrivateKey::Ecdsa(key) => {
            let scalar = der::element(der::OCTET_STRING, &[key.scalar()?.expose()]);
            let public = der::element(EXPLICIT_1, &[&der::bits(key.public_key().as_bytes())]);
            der::element(der::SEQUENCE, &[&der::unsigned(&[1]), &scalar, &public])
        }
        PrivateKey::Rsa(key) => {
            let rsa::Components { modulus, public_exponent, private_exponent, crt } = key.components()?;
            let mut numbers =
                vec![der::unsigned(&[]), der::unsigned(&modulus), der::unsigned(&public_exponent)];
            numbers.extend(
                [&private_exponent].into_iter().chain(&crt).map(|number| der::unsigned(number.expose())),
            );
            let numbers: Vec<&[u8]> = numbers.iter().map(|number| number.as_slice()).collect();
            der::element(der::SEQUENCE, &numbers)
        }
    };
    let algorithm = spki::algorithm_identifier(key.algorithm());
    let inner = der::element(der::OCTET_STRING, &[&inner]);
    Ok(SecretBytes::new(&der::element(der::SEQUENCE, &[&der::unsigned(&[]), &algorithm, &inner])))
}

pub(crate) fn decode(encoded: &SecretBytes) -> Result<PrivateKey, Error> {
    let mut outer = Reader::new(encoded.expose());
    let mut info = outer.inside(der::SEQUENCE)?;
    outer.end()?;
    let version = info.unsigned()?;
    let algorithm = spki::read_algorithm_identifier(&mut info)?;
    let inner = info.inside(der::OCTET_STRING)?;
    info.optional(EXPLICIT_0)?;
    let public = info.optional(PUBLIC_KEY)?;
    info.end()?;
    // RFC 5958 section 2: version 1 (v2) is for keys that carry their public key.
    if !matches!((version, public), ([], None) | ([1], _)) {
        return Err(Error::KeyInvalid);
    }
    let key = match algorithm {
        Algorithm::MlDsa(set) => PrivateKey::MlDsa(decode_ml_dsa(set, inner)?),
        Algorithm::Ed25519 => PrivateKey::Ed25519(decode_ed25519(inner)?),
        Algorithm::Ecdsa(curve) => PrivateKey::Ecdsa(decode_ecdsa(curve, inner)?),
        Algorithm::Rsa => PrivateKey::Rsa(decode_rsa(inner)?),
    };
    if let Some(public) = public {
        check_public(&key, der::whole_bytes(public)?)?;
    }
    Ok(key)
}

/// A public key that comes with a private one must be its own.
fn check_public(key: &PrivateKey, bytes: &[u8]) -> Result<(), Error> {
    let claimed = spki::decode_bytes(key.algorithm(), bytes)?;
    if spki::encode(&claimed) == key.public_key()?.to_spki()? { Ok(()) } else { Err(Error::KeyInvalid) }
}

/// RFC 9881 section 6: seed, expandedKey, or both.
fn decode_ml_dsa(set: ParameterSet, mut inner: Reader<'_>) -> Result<ml_dsa::PrivateKey, Error> {
    let key = if let Some(seed) = inner.optional(SEED)? {
        ml_dsa::PrivateKey::from_seed(set, &SecretBytes::new(seed))
    } else if let Some(expanded) = inner.optional(der::OCTET_STRING)? {
        ml_dsa::PrivateKey::from_expanded(set, &SecretBytes::new(expanded))
    } else {
        let mut both = inner.inside(der::SEQUENCE)?;
        let [seed, expanded] = [both.element(der::OCTET_STRING)?, both.element(der::OCTET_STRING)?];
        both.end()?;
        ml_dsa::PrivateKey::from_both(set, &SecretBytes::new(seed), &SecretBytes::new(expanded))
    }?;
    inner.end()?;
    Ok(key)
}

/// RFC 8410 section 7: CurvePrivateKey.
fn decode_ed25519(mut inner: Reader<'_>) -> Result<ed25519::PrivateKey, Error> {
    let seed = inner.element(der::OCTET_STRING)?;
    inner.end()?;
    ed25519::PrivateKey::from_seed(&SecretBytes::new(seed))
}

/// RFC 5915 section 3: ECPrivateKey.
fn decode_ecdsa(curve: Curve, mut inner: Reader<'_>) -> Result<ecdsa::PrivateKey, Error> {
    let mut fields = inner.inside(der::SEQUENCE)?;
    inner.end()?;
    let version = fields.unsigned()?;
    let scalar = fields.element(der::OCTET_STRING)?;
    let parameters = fields.optional(EXPLICIT_0)?;
    let public = fields.optional(EXPLICIT_1)?;
    fields.end()?;
    if version != [1] || parameters.is_some_and(|parameters| parameters != curve.oid_der()) {
        return Err(Error::KeyInvalid);
    }
    let key = ecdsa::PrivateKey::from_scalar(curve, &SecretBytes::new(scalar))?;
    if let Some(public) = public {
        let mut public = Reader::new(public);
        let claimed = ecdsa::PublicKey::from_bytes(curve, public.bits()?)?;
        public.end()?;
        if claimed.as_bytes() != key.public_key().as_bytes() {
            return Err(Error::KeyInvalid);
        }
    }
    Ok(key)
}

/// RFC 8017 appendix A.1.2: RSAPrivateKey with two primes.
fn decode_rsa(mut inner: Reader<'_>) -> Result<rsa::PrivateKey, Error> {
    let mut fields = inner.inside(der::SEQUENCE)?;
    inner.end()?;
    if !fields.unsigned()?.is_empty() {
        return Err(Error::KeySizeRange);
    }
    let (modulus, public_exponent) = (fields.unsigned()?.to_vec(), fields.unsigned()?.to_vec());
    let mut secret = || fields.unsigned().map(SecretBytes::new);
    let private_exponent = secret()?;
    let crt = [secret()?, secret()?, secret()?, secret()?, secret()?];
    fields.end()?;
    rsa::PrivateKey::from_components(&rsa::Components { modulus, public_exponent, private_exponent, crt })
}
