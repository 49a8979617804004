//! SubjectPublicKeyInfo and its AlgorithmIdentifier (RFC 5280 section 4.1.2.7; RFC 9881, 8410, 5480, 3279).

use crate::{
    Algorithm, Error, PublicKey,
    der::{self, Reader},
    ecdsa::{self, Curve},
    ed25519,
    facts::EC_PUBLIC_KEY,
    ml_dsa, rsa,
};

pub(crate) fn encode(key: &PublicKey) -> Vec<u8> {
    let rsa;
    let bytes = match key {
        PublicKey::MlDsa(key) => key.as_bytes(),
        PublicKey::Ed25519(key) => key.as_bytes(),
        PublicKey::Ecdsa(key) => key.as_bytes(),
        PublicKey::Rsa(key) => {
            rsa = rsa_public_key(key);
            &rsa
        }
    };
    der::element(der::SEQUENCE, &[&algorithm_identifier(key.algorithm()), &der::bits(bytes)]).to_vec()
}

pub(crate) fn decode(encoded: &[u8]) -> Result<PublicKey, Error> {
    let mut outer = Reader::new(encoded);
    let mut info = outer.inside(der::SEQUENCE)?;
    outer.end()?;
    let algorithm = read_algorithm_identifier(&mut info)?;
    let bytes = info.bits()?;
    info.end()?;
    decode_bytes(algorithm, bytes)
}

/// The contents of the BIT STRING.
pub(crate) fn decode_bytes(algorithm: Algorithm, bytes: &[u8]) -> Result<PublicKey, Error> {
    Ok(match algorithm {
        Algorithm::MlDsa(set) => PublicKey::MlDsa(ml_dsa::PublicKey::from_bytes(set, bytes)?),
        Algorithm::Ed25519 => PublicKey::Ed25519(ed25519::PublicKey::from_bytes(bytes)?),
        Algorithm::Ecdsa(curve) => PublicKey::Ecdsa(ecdsa::PublicKey::from_bytes(curve, bytes)?),
        Algorithm::Rsa => {
            let mut outer = Reader::new(bytes);
            let mut numbers = outer.inside(der::SEQUENCE)?;
            outer.end()?;
            let (modulus, public_exponent) = (numbers.unsigned()?, numbers.unsigned()?);
            numbers.end()?;
            PublicKey::Rsa(rsa::PublicKey::from_components(modulus, public_exponent)?)
        }
    })
}

/// RSAPublicKey (RFC 8017 appendix A.1.1).
fn rsa_public_key(key: &rsa::PublicKey) -> Vec<u8> {
    let numbers = [der::unsigned(key.modulus()), der::unsigned(key.public_exponent())];
    der::element(der::SEQUENCE, &[&numbers[0], &numbers[1]]).to_vec()
}

/// Only ECDSA keys (the curve) and RSA keys (NULL) have parameters.
pub(crate) fn algorithm_identifier(algorithm: Algorithm) -> Vec<u8> {
    let parameters: &[u8] = match algorithm {
        Algorithm::MlDsa(_) | Algorithm::Ed25519 => &[],
        Algorithm::Ecdsa(curve) => curve.oid_der(),
        Algorithm::Rsa => &[der::NULL, 0],
    };
    der::element(der::SEQUENCE, &[algorithm.oid_der(), parameters]).to_vec()
}

/// [`Error::KeySizeRange`] for algorithms and curves that are not in the table.
pub(crate) fn read_algorithm_identifier(reader: &mut Reader<'_>) -> Result<Algorithm, Error> {
    let mut identifier = reader.inside(der::SEQUENCE)?;
    let oid = identifier.element(der::OBJECT_IDENTIFIER)?;
    let is = |known: &[u8]| known[2..] == *oid;
    if is(EC_PUBLIC_KEY) {
        let curve = identifier.element(der::OBJECT_IDENTIFIER)?;
        identifier.end()?;
        let curve = Curve::ALL.into_iter().find(|known| known.oid_der()[2..] == *curve);
        return curve.map(Algorithm::Ecdsa).ok_or(Error::KeySizeRange);
    }
    let algorithm = Algorithm::all().find(|known| is(known.oid_der())).ok_or(Error::KeySizeRange)?;
    if algorithm == Algorithm::Rsa && !identifier.element(der::NULL)?.is_empty() {
        return Err(Error::KeyInvalid);
    }
    identifier.end()?;
    Ok(algorithm)
}
