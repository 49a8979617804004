//! From attributes to keys and back: what a key is made of when it is imported, and what it contributes to its object.

use algorithms::{
    Algorithm, PrivateKey, PublicKey, SecretBytes, ecdsa, ed25519,
    ml_dsa::{self, ParameterSet},
    rsa,
};
use cryptoki_sys as ck;
use hsm_backends::{AttributeType, Attributes};

use crate::{
    attribute::{Given, ObjectKind, PairType, SecretType},
    error::{Error, Result},
};

use super::{
    curves,
    der::{self, tag},
};

/// The public key of a template. What is malformed is CKR_ATTRIBUTE_VALUE_INVALID.
pub(crate) fn public_key(pair: PairType, attributes: &Attributes) -> Result<PublicKey> {
    let key = match (pair, pair_algorithm(pair, attributes)?) {
        (PairType::Rsa, _) => PublicKey::Rsa(
            rsa::PublicKey::from_components(
                required(attributes, ck::CKA_MODULUS)?,
                required(attributes, ck::CKA_PUBLIC_EXPONENT)?,
            )
            .map_err(refused)?,
        ),
        (_, Algorithm::MlDsa(set)) => {
            let value = required(attributes, ck::CKA_VALUE)?;
            PublicKey::MlDsa(ml_dsa::PublicKey::from_bytes(set, value).map_err(refused)?)
        }
        (_, algorithm) => point(algorithm, required(attributes, ck::CKA_EC_POINT)?)?,
    };
    Ok(key)
}

/// The public key of a CKA_EC_POINT in the form that is kept.
fn point(algorithm: Algorithm, kept: &[u8]) -> Result<PublicKey> {
    match algorithm {
        Algorithm::Ecdsa(curve) => {
            let raw = der::only(tag::OCTET_STRING, kept).ok_or(Error::AttributeValueInvalid)?;
            ecdsa::PublicKey::from_bytes(curve, raw).map(PublicKey::Ecdsa).map_err(refused)
        }
        _ => ed25519::PublicKey::from_bytes(kept).map(PublicKey::Ed25519).map_err(refused),
    }
}

/// The private key of a template, checked. Parts that disagree are CKR_ATTRIBUTE_VALUE_INVALID.
pub(crate) fn private_key(pair: PairType, given: &Given) -> Result<PrivateKey> {
    let secret = |kind| given.secret(kind).ok_or(Error::TemplateIncomplete);
    let key = match pair_algorithm(pair, &given.attributes)? {
        Algorithm::Rsa => {
            let part = |kind| secret(kind).cloned();
            let components = rsa::Components {
                modulus: required(&given.attributes, ck::CKA_MODULUS)?.to_vec(),
                public_exponent: required(&given.attributes, ck::CKA_PUBLIC_EXPONENT)?.to_vec(),
                private_exponent: part(ck::CKA_PRIVATE_EXPONENT)?,
                crt: [
                    part(ck::CKA_PRIME_1)?,
                    part(ck::CKA_PRIME_2)?,
                    part(ck::CKA_EXPONENT_1)?,
                    part(ck::CKA_EXPONENT_2)?,
                    part(ck::CKA_COEFFICIENT)?,
                ],
            };
            rsa::PrivateKey::from_components(&components).map(PrivateKey::Rsa)
        }
        Algorithm::MlDsa(set) => return ml_dsa_key(set, given).map(PrivateKey::MlDsa),
        Algorithm::Ed25519 => {
            let value = secret(ck::CKA_VALUE)?;
            let wrapped = der::only(tag::OCTET_STRING, value.expose()).map(SecretBytes::new);
            ed25519::PrivateKey::from_seed(wrapped.as_ref().unwrap_or(value)).map(PrivateKey::Ed25519)
        }
        Algorithm::Ecdsa(curve) => {
            ecdsa::PrivateKey::from_scalar(curve, secret(ck::CKA_VALUE)?).map(PrivateKey::Ecdsa)
        }
    };
    let key = key.map_err(refused)?;
    if let Some(given_point) = given.attributes.bytes(ck::CKA_EC_POINT) {
        let theirs = point(key.algorithm(), given_point)?;
        if theirs.to_spki()? != key.public_key()?.to_spki()? {
            return Err(Error::AttributeValueInvalid);
        }
    }
    Ok(key)
}

/// CKA_SEED alone, CKA_VALUE alone, or both; both must be the same key.
fn ml_dsa_key(set: ParameterSet, given: &Given) -> Result<ml_dsa::PrivateKey> {
    match (given.secret(ck::CKA_SEED), given.secret(ck::CKA_VALUE)) {
        (None, None) => Err(Error::TemplateIncomplete),
        (None, Some(expanded)) => ml_dsa::PrivateKey::from_expanded(set, expanded).map_err(refused),
        (Some(seed), expanded) => {
            let key = ml_dsa::PrivateKey::from_seed(set, seed).map_err(refused)?;
            match expanded {
                Some(given) if !algorithms::mac::equal(given.expose(), key.expanded()?.expose()) => {
                    Err(Error::AttributeValueInvalid)
                }
                _ => Ok(key),
            }
        }
    }
}

/// The algorithm that domain parameters name; RSA has none. Without them: CKR_TEMPLATE_INCOMPLETE.
pub(crate) fn pair_algorithm(pair: PairType, attributes: &Attributes) -> Result<Algorithm> {
    match pair {
        PairType::Rsa => Ok(Algorithm::Rsa),
        PairType::Ec | PairType::EcEdwards => {
            curves::algorithm(pair, required(attributes, ck::CKA_EC_PARAMS)?)
        }
        PairType::MlDsa => {
            let ckp = attributes.ulong(ck::CKA_PARAMETER_SET).ok_or(Error::TemplateIncomplete)?;
            ParameterSet::from_ckp(ckp).map(Algorithm::MlDsa).ok_or(Error::ParameterSetNotSupported)
        }
    }
}

/// Checks the length of a secret key, in bytes: CKR_ATTRIBUTE_VALUE_INVALID.
pub(crate) fn check_secret_len(secret: SecretType, len: usize) -> Result<()> {
    /// As many as CKA_VALUE_LEN may ask for.
    const LONGEST: usize = 4096;
    let fits = match secret {
        SecretType::Aes => matches!(len, 16 | 24 | 32),
        SecretType::Generic(_) => (1..=LONGEST).contains(&len),
    };
    if fits { Ok(()) } else { Err(Error::AttributeValueInvalid) }
}

/// The attributes that a key pair gives its objects; `kind` says which of the two.
pub(crate) fn pair_attributes(key: &PublicKey, kind: ObjectKind) -> Result<Attributes> {
    let mut attributes = Attributes::new();
    let public = matches!(kind, ObjectKind::Public(_));
    if let Some(params) = curves::params_of(key.algorithm()) {
        attributes.set(ck::CKA_EC_PARAMS, params);
    }
    match key {
        PublicKey::MlDsa(key) => {
            attributes.set(ck::CKA_PARAMETER_SET, key.parameter_set().ckp());
            if public {
                attributes.set(ck::CKA_VALUE, key.as_bytes());
            }
        }
        PublicKey::Ed25519(key) => {
            attributes.set(ck::CKA_EC_POINT, key.as_bytes());
        }
        PublicKey::Ecdsa(key) => {
            attributes.set(ck::CKA_EC_POINT, der::octet_string(key.as_bytes()));
        }
        PublicKey::Rsa(key) => {
            attributes.set(ck::CKA_MODULUS, key.modulus());
            attributes.set(ck::CKA_PUBLIC_EXPONENT, key.public_exponent());
            if public {
                attributes.set(ck::CKA_MODULUS_BITS, bit_len(key.modulus()));
            }
        }
    }
    attributes.set(ck::CKA_PUBLIC_KEY_INFO, key.to_spki()?);
    Ok(attributes)
}

/// The attributes that a secret key gives its object. A generic secret has no CKA_CHECK_VALUE: it would be a hash of
/// something that may be guessable.
pub(crate) fn secret_attributes(key: &SecretBytes, secret: SecretType) -> Result<Attributes> {
    let mut attributes = Attributes::new();
    attributes.set(ck::CKA_VALUE_LEN, key.len() as u64);
    if secret == SecretType::Aes {
        attributes.set(ck::CKA_CHECK_VALUE, aes_check_value(key)?);
    }
    Ok(attributes)
}

/// The first three bytes of the encryption of a block of zeros (section 4.10).
fn aes_check_value(key: &SecretBytes) -> Result<Vec<u8>> {
    use algorithms::aes::{Cipher, Direction, Mode};
    let mut block = Vec::new();
    Cipher::new(Mode::Cbc { iv: [0; 16] }, Direction::Encrypt, key)?.update(&[0; 16], &mut block)?;
    block.truncate(3);
    Ok(block)
}

/// The bits of a big-endian number without leading zeros.
fn bit_len(number: &[u8]) -> u64 {
    let leading = number.first().map_or(0, |byte| u64::from(byte.leading_zeros()));
    8 * number.len() as u64 - leading
}

fn required(attributes: &Attributes, kind: AttributeType) -> Result<&[u8]> {
    attributes.bytes(kind).ok_or(Error::TemplateIncomplete)
}

/// Why a key of the caller's was refused.
fn refused(error: algorithms::Error) -> Error {
    match error {
        algorithms::Error::EngineFailed => error.into(),
        _ => Error::AttributeValueInvalid,
    }
}
