//! The value of a key out of its token: read where it is not sensitive, wrapped under a key of this run where it is.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrap, KeyWrapPadded};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki_sys::{CK_MECHANISM_TYPE, CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_KWP, CKM_AES_KEY_WRAP_PAD};
use der::{Reader, SliceReader};
use zeroize::Zeroizing;

use crate::algorithm::{Algorithm, ED25519_KEY};
use crate::error::{Error, Result, While};
use crate::object::{self, Object};
use crate::private_key::{PrivateKey, SecretTemplate};
use crate::public_key::PublicKey;
use crate::secret::{Secret, fill_random};
use crate::token::OpenToken;

/// The ways to wrap, best first. Which of RFC 3394 and RFC 5649 CKM_AES_KEY_WRAP_PAD is, tokens do not agree on.
const WAYS: [CK_MECHANISM_TYPE; 3] = [CKM_AES_KEY_WRAP_KWP, CKM_AES_KEY_WRAP_PAD, CKM_AES_KEY_WRAP];

/// Length of the wrapping key in bytes.
const KEK: usize = 32;

/// What RFC 3394 and RFC 5649 add at most, in bytes.
const OVERHEAD: usize = 16;

/// A key on its way: what C_CreateObject needs of it, without names and policy.
pub(super) struct Exported {
    pub(super) template: SecretTemplate,
    /// The public half, where the private one told it.
    pub(super) public: Option<PublicKey>,
}

/// A random AES-256 key that this process knows and the token holds for as long as the session lasts.
pub(super) struct SessionKey {
    handle: ObjectHandle,
    bytes: Zeroizing<[u8; KEK]>,
    ways: Vec<CK_MECHANISM_TYPE>,
}

impl SessionKey {
    /// Puts one into the token.
    pub(super) fn new(open: &OpenToken) -> Result<Self> {
        let offered = open.abilities()?.mechanisms;
        let ways: Vec<_> = WAYS.into_iter().filter(|way| offered.contains(way)).collect();
        if ways.is_empty() {
            return Err(Error::unsupported("it does not wrap keys with AES (CKM_AES_KEY_WRAP_PAD)"));
        }
        let mut bytes = Zeroizing::new([0; KEK]);
        fill_random(&mut bytes[..])?;
        let mut template = SecretTemplate::new(vec![
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Value(bytes.to_vec()),
        ]);
        template.extend([
            Attribute::Token(false),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Wrap(true),
            Attribute::Encrypt(false),
            Attribute::Decrypt(false),
        ]);
        let handle = open.session().create_object(template.attributes());
        let handle = handle.while_doing("making a wrapping key for this session")?;
        Ok(Self { handle, bytes, ways })
    }

    /// The bytes of a sensitive key, perhaps with zeros after them.
    fn wrap(&self, open: &OpenToken, key: ObjectHandle) -> Result<Secret> {
        let raw = open.module.raw()?;
        let mut refusal = None;
        for way in &self.ways {
            match raw.wrap_key(open.session().handle(), *way, self.handle, key) {
                Ok(wrapped) => return unwrap(&self.bytes, &wrapped),
                // What the key forbids, another mechanism does not allow.
                Err(error) if error.is("CKR_KEY_UNEXTRACTABLE") => return Err(error),
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        Err(refusal.unwrap_or_else(|| Error::module("there is no way to wrap")))
    }
}

fn unwrap(kek: &[u8; KEK], wrapped: &[u8]) -> Result<Secret> {
    let kek = || AesKek::new(&AES_256, kek).expect("the key has 32 bytes");
    let mut plain = Zeroizing::new(vec![0; wrapped.len() + OVERHEAD]);
    let length = match kek().unwrap_with_padding(wrapped, &mut plain) {
        Ok(bytes) => bytes.len(),
        Err(_) => kek().unwrap(wrapped, &mut plain).map(|bytes| bytes.len()).map_err(|_| {
            Error::module("the token wrapped the key in a form that is neither RFC 3394 nor RFC 5649")
        })?,
    };
    Ok(Secret::new(plain[..length].to_vec()))
}

/// The private half of a pair.
pub(super) fn private_key(
    open: &OpenToken,
    kek: &Result<SessionKey>,
    key: &Object,
    algorithm: Algorithm,
) -> Result<Exported> {
    if let Some(exported) = readable_private(open, key, algorithm)? {
        return Ok(exported);
    }
    let wrapped = kek.as_ref().map_err(no_way)?.wrap(open, key.handle)?;
    let exported = PrivateKey::from_pkcs8(der_only(wrapped.bytes())?)?;
    if exported.algorithm != algorithm {
        return Err(Error::module(format!("the token wrapped an {} key", exported.algorithm)));
    }
    Ok(Exported { template: exported.template, public: exported.public })
}

/// A secret key, whatever its type.
pub(super) fn secret_key(
    open: &OpenToken,
    kek: &Result<SessionKey>,
    key: &Object,
    kind: KeyType,
) -> Result<Exported> {
    let value = secret_value(open, kek, key)?;
    let template = SecretTemplate::new(vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(kind),
        Attribute::Value(value.bytes().to_vec()),
    ]);
    Ok(Exported { template, public: None })
}

/// Whether two secret keys have one value.
pub(super) fn same_value(
    ours: (&OpenToken, &Result<SessionKey>, &Object),
    theirs: (&OpenToken, &Result<SessionKey>, &Object),
) -> Result<bool> {
    let ours = secret_value(ours.0, ours.1, ours.2)?;
    let theirs = secret_value(theirs.0, theirs.1, theirs.2)?;
    Ok(verify_slices_are_equal(ours.bytes(), theirs.bytes()).is_ok())
}

fn secret_value(open: &OpenToken, kek: &Result<SessionKey>, key: &Object) -> Result<Secret> {
    if readable(key)
        && let Some(value) = value_of(open, key.handle)?
    {
        return Ok(value);
    }
    let wrapped = kek.as_ref().map_err(no_way)?.wrap(open, key.handle)?;
    let bytes = wrapped.bytes();
    let length = key.value_len().unwrap_or(bytes.len());
    if bytes.len() < length || bytes[length..].iter().any(|byte| *byte != 0) {
        return Err(Error::module("the token wrapped the key with another length than it says"));
    }
    Ok(Secret::new(bytes[..length].to_vec()))
}

/// Whether C_GetAttributeValue shows the value.
fn readable(key: &Object) -> bool {
    key.flag(AttributeType::Sensitive) == Some(false) && key.flag(AttributeType::Extractable) == Some(true)
}

fn readable_private(open: &OpenToken, key: &Object, algorithm: Algorithm) -> Result<Option<Exported>> {
    if !readable(key) {
        return Ok(None);
    }
    let kinds: &[AttributeType] = match algorithm {
        Algorithm::Rsa(_) => &[
            AttributeType::Modulus,
            AttributeType::PublicExponent,
            AttributeType::PrivateExponent,
            AttributeType::Prime1,
            AttributeType::Prime2,
            AttributeType::Exponent1,
            AttributeType::Exponent2,
            AttributeType::Coefficient,
        ],
        Algorithm::MlDsa(_) => &[AttributeType::ParameterSet, AttributeType::Seed, AttributeType::Value],
        _ => &[AttributeType::Value],
    };
    let mut found = object::attributes(open.session(), key.handle, kinds)?;
    found.retain(|attribute| !is_empty(attribute));
    let mut values = SecretTemplate::new(found);
    let whole = match algorithm {
        Algorithm::Rsa(_) => values.attributes().len() == kinds.len(),
        Algorithm::MlDsa(_) => values.attributes().len() >= 2,
        _ => values.attributes().len() == 1,
    };
    let field = match algorithm {
        Algorithm::Ecdsa(curve) => Some(curve.field),
        Algorithm::Ed25519 => Some(ED25519_KEY),
        _ => None,
    };
    // An elliptic curve's number may come without its leading zeros.
    if !whole || field.is_some_and(|field| !values.fill_value(field)) {
        return Ok(None);
    }
    values.extend([Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::KeyType(algorithm.key_type())]);
    if field.is_some() {
        values.extend(algorithm.parameters());
    }
    Ok(Some(Exported { template: values, public: key.public_key() }))
}

fn value_of(open: &OpenToken, key: ObjectHandle) -> Result<Option<Secret>> {
    let mut found = object::attributes(open.session(), key, &[AttributeType::Value])?;
    Ok(match found.pop() {
        Some(Attribute::Value(value)) if !value.is_empty() => Some(Secret::new(value)),
        _ => None,
    })
}

fn is_empty(attribute: &Attribute) -> bool {
    matches!(attribute, Attribute::Value(bytes) | Attribute::Seed(bytes) if bytes.is_empty())
}

/// Without what a token has filled up with: DER tells its own length.
fn der_only(bytes: &[u8]) -> Result<&[u8]> {
    let first = SliceReader::new(bytes).and_then(|mut reader| reader.tlv_bytes());
    first.map_err(|_| Error::module("the token wrapped the private key in another form than PKCS#8"))
}

fn no_way(error: &Error) -> Error {
    Error::unsupported(format!(
        "the key is sensitive, and its token gives out no such key: {}",
        error.cause()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_wrapping_are_read_and_a_changed_bit_is_not() {
        let kek = || AesKek::new(&AES_256, &[7; KEK]).unwrap();
        let secret = [9; 24];
        let mut room = [0; 64];
        let padded = kek().wrap_with_padding(&secret[..21], &mut room).unwrap().to_vec();
        assert_eq!(unwrap(&[7; KEK], &padded).unwrap().bytes(), &secret[..21]);
        let plain = kek().wrap(&secret, &mut room).unwrap().to_vec();
        assert_eq!(unwrap(&[7; KEK], &plain).unwrap().bytes(), secret);
        for mut wrapped in [padded, plain] {
            wrapped[9] ^= 1;
            assert!(unwrap(&[7; KEK], &wrapped).is_err());
        }
    }

    #[test]
    fn zeros_after_der_are_cut_off_and_less_than_der_is_refused() {
        assert_eq!(der_only(&[0x30, 2, 5, 0, 0, 0, 0, 0]).unwrap(), [0x30, 2, 5, 0]);
        assert!(der_only(&[0x30, 3, 5, 0]).is_err());
        assert!(der_only(&[]).is_err());
    }
}
