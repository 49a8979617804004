//! C_WrapKey and C_UnwrapKey with their Authenticated forms (PKCS#11 v3.2 section 5.18), under AES keys. Private keys
//! travel as PKCS#8. An unwrapped key is never easier to get at than a new one would be: docs/decisions/0005-wrapping.md.

use algorithms::{
    PrivateKey, SecretBytes,
    aes::{self, Cipher, Direction, Mode},
};
use cryptoki_sys as ck;
use hsm_backends::{Attributes, SecretPart, Value};
use zeroize::Zeroizing;

use crate::{
    attribute::{Given, ObjectKind, Origin, because, notes, row},
    error::{Error, Result},
    handle::ObjectHandle,
    mechanism::{MechanismCall, Parameters, Scheme},
    operation::{
        cipher_mode,
        key_use::{self, KeyUse},
    },
    session::Session,
    template::Template,
};

use super::{
    Object, der, material,
    new::{self, NewObject},
};

/// The wrapped form of `key`. `associated_data` is there for C_WrapKeyAuthenticated.
pub(crate) fn wrap(
    session: &Session,
    call: &MechanismCall,
    wrapping_key: ObjectHandle,
    key: ObjectHandle,
    associated_data: Option<&[u8]>,
) -> Result<Vec<u8>> {
    let slot = &session.slot;
    let wrapper = work(call, associated_data)?;
    let wrapping =
        wrapping_object(session, call, wrapping_key, KeyUse::Wrap).map_err(|error| match error {
            Error::KeyHandleInvalid => Error::WrappingKeyHandleInvalid,
            Error::KeyTypeInconsistent => Error::WrappingKeyTypeInconsistent,
            error => error,
        })?;
    let object = Object::resolve_key(slot, key)?;
    let kind = ObjectKind::of(object.attributes()).ok_or(Error::KeyHandleInvalid)?;
    may_wrap(wrapping.attributes(), object.attributes(), kind)?;
    let secret = match kind {
        ObjectKind::Private(_) => {
            object.private_key(slot)?.secret_part(SecretPart::Pkcs8)?.ok_or(Error::KeyNotWrappable)?
        }
        _ => object.secret_key(slot)?.bytes().clone(),
    };
    wrapper.wrap(wrapping.secret_key(slot)?.bytes(), &secret)
}

/// Whether the owner of `key` and the owner of the wrapping key let one leave under the other.
fn may_wrap(wrapping: &Attributes, key: &Attributes, kind: ObjectKind) -> Result<()> {
    match kind {
        ObjectKind::Private(_) | ObjectKind::Secret(_) => {}
        ObjectKind::Public(_) => return Err(Error::KeyNotWrappable),
        _ => return Err(Error::KeyHandleInvalid),
    }
    if !key.flag(ck::CKA_EXTRACTABLE) {
        return Err(because(Error::KeyUnextractable, format_args!("CKA_EXTRACTABLE is false")));
    }
    if key.flag(ck::CKA_WRAP_WITH_TRUSTED) && !wrapping.flag(ck::CKA_TRUSTED) {
        let why = format_args!("CKA_WRAP_WITH_TRUSTED is true and the wrapping key has no CKA_TRUSTED");
        return Err(because(Error::KeyNotWrappable, why));
    }
    // The wrapped form says nothing of these, so whoever unwraps it would have the key without them.
    let restricted = [ck::CKA_ALWAYS_AUTHENTICATE, ck::CKA_ALLOWED_MECHANISMS]
        .into_iter()
        .find(|attribute| !matches!(key.value(*attribute), None | Some(Value::Bool(false))));
    if let Some(attribute) = restricted
        && !wrapping.flag(ck::CKA_TRUSTED)
    {
        let why =
            format_args!("attribute {attribute:#x} would be lost, and the wrapping key has no CKA_TRUSTED");
        return Err(because(Error::KeyNotWrappable, why));
    }
    match wrapping.value(ck::CKA_WRAP_TEMPLATE) {
        Some(Value::Template(template)) if !key.matches(template) => {
            let why = format_args!("the key does not match the wrapping key's CKA_WRAP_TEMPLATE");
            Err(because(Error::KeyHandleInvalid, why))
        }
        _ => Ok(()),
    }
}

/// Unwraps a key into a new object. `associated_data` is there for C_UnwrapKeyAuthenticated.
pub(crate) fn unwrap(
    session: &Session,
    call: &MechanismCall,
    unwrapping_key: ObjectHandle,
    wrapped: &[u8],
    template: &Template<'_>,
    associated_data: Option<&[u8]>,
) -> Result<NewObject> {
    let unwrapper = work(call, associated_data)?;
    let may_be_padded = matches!(unwrapper, Work::KeyWrap(_));
    // A length that is wrong inside CBC padding must look like padding that is wrong.
    let wrong_len = match unwrapper {
        Work::Cipher(Mode::CbcPad { .. }) => Error::WrappedKeyInvalid,
        _ => Error::WrappedKeyLenRange,
    };
    let unwrapping =
        wrapping_object(session, call, unwrapping_key, KeyUse::Unwrap).map_err(|error| match error {
            Error::KeyHandleInvalid => Error::UnwrappingKeyHandleInvalid,
            Error::KeyTypeInconsistent => Error::UnwrappingKeyTypeInconsistent,
            error => error,
        })?;
    let kind = ObjectKind::named_by(template)?;
    if !kind.has_secret() {
        return Err(Error::TemplateInconsistent);
    }
    let mut attributes = Given::parse(template, kind, Origin::Unwrap)?.attributes;
    apply_unwrap_template(&mut attributes, kind, unwrapping.attributes())?;
    new::permit(session, &mut attributes, kind)?;

    let authenticated = associated_data.is_some();
    let secret = unwrapper.unwrap(unwrapping.secret_key(&session.slot)?.bytes(), wrapped).map_err(
        |error| match error {
            algorithms::Error::TagMismatch if authenticated => Error::AeadDecryptFailed,
            error => wrapped_key_invalid(error),
        },
    )?;
    // One answer for whatever is wrong inside: it must not tell good padding from bad (the padding oracles on
    // C_UnwrapKey of CRYPTO 2012 lived on that difference).
    let secret = match kind {
        ObjectKind::Private(pair) => {
            let encoded_len = der::element(secret.expose()).map(|(found, _)| found.whole.len());
            let secret = match encoded_len {
                Some(len) if may_be_padded => without_padding(secret, len),
                _ => secret,
            };
            let key = PrivateKey::from_pkcs8(&secret).map_err(|error| match error {
                algorithms::Error::EngineFailed => error.into(),
                _ => Error::WrappedKeyInvalid,
            })?;
            if !pair.is_of(key.algorithm()) {
                return Err(Error::WrappedKeyInvalid);
            }
            new::imported(key)
        }
        ObjectKind::Secret(of) => {
            let wanted =
                attributes.ulong(ck::CKA_VALUE_LEN).map(|len| usize::try_from(len).unwrap_or(usize::MAX));
            let secret = match wanted {
                Some(len) if may_be_padded => without_padding(secret, len),
                _ => secret,
            };
            if wanted.is_some_and(|len| len != secret.len())
                || material::check_secret_len(of, secret.len()).is_err()
            {
                return Err(wrong_len);
            }
            new::secret_key(secret)
        }
        _ => return Err(Error::TemplateInconsistent),
    };
    new::assemble(attributes, kind, Some(secret)).map_err(|error| match error {
        Error::AttributeValueInvalid => Error::WrappedKeyInvalid,
        error => error,
    })
}

/// Adds what the unwrapping key's CKA_UNWRAP_TEMPLATE demands; a template that says otherwise, or that asks for a key
/// weaker than the unwrapping key's owner expressly granted, is CKR_TEMPLATE_INCONSISTENT.
fn apply_unwrap_template(
    attributes: &mut Attributes,
    kind: ObjectKind,
    unwrapping: &Attributes,
) -> Result<()> {
    let empty = Attributes::new();
    let demanded = match unwrapping.value(ck::CKA_UNWRAP_TEMPLATE) {
        Some(Value::Template(template)) => template,
        _ => &empty,
    };
    let granted = |attribute, value: bool| demanded.value(attribute) == Some(&Value::Bool(value));
    let asked = |attribute, value: bool| attributes.value(attribute) == Some(&Value::Bool(value));
    let weaker = (asked(ck::CKA_SENSITIVE, false) && !granted(ck::CKA_SENSITIVE, false))
        || (asked(ck::CKA_EXTRACTABLE, true) && !granted(ck::CKA_EXTRACTABLE, true))
        || (asked(ck::CKA_PRIVATE, false) && unwrapping.flag(ck::CKA_PRIVATE));
    if weaker {
        let why = format_args!("the unwrapping key's CKA_UNWRAP_TEMPLATE does not grant a key so weak");
        return Err(because(Error::TemplateInconsistent, why));
    }
    for (attribute, value) in demanded.iter() {
        let contrary = attributes.value(attribute).is_some_and(|given| given != value);
        let fits = row(attribute, kind).is_some_and(|row| !row.has(notes::N6));
        if contrary || !fits {
            let why = format_args!(
                "attribute {attribute:#x} is contrary to the unwrapping key's CKA_UNWRAP_TEMPLATE"
            );
            return Err(because(Error::TemplateInconsistent, why));
        }
        attributes.set(attribute, value.clone());
    }
    Ok(())
}

/// The key that wraps or unwraps, if it may.
fn wrapping_object(
    session: &Session,
    call: &MechanismCall,
    handle: ObjectHandle,
    key_use: KeyUse,
) -> Result<Object> {
    let row = call.row;
    let object = key_use::key(&session.slot, handle, row, key_use)?;
    // Two keys under one GCM IV, or parts of a CBC ciphertext unwrapped as short keys, would show what was wrapped.
    let is_robust = matches!(row.scheme, Scheme::AesKeyWrap | Scheme::AesKeyWrapPadded);
    if object.attributes().flag(ck::CKA_TRUSTED) && !is_robust {
        let why = format_args!("a key with CKA_TRUSTED does not wrap or unwrap with {}", row.name);
        return Err(because(Error::KeyFunctionNotPermitted, why));
    }
    Ok(object)
}

/// What a wrapping mechanism does to bytes.
enum Work {
    KeyWrap(Option<[u8; 8]>),
    KeyWrapPadded,
    Cipher(Mode),
}

/// The work of a mechanism with its parameters: CKR_MECHANISM_INVALID where it does not wrap, or not in this form.
fn work(call: &MechanismCall, associated_data: Option<&[u8]>) -> Result<Work> {
    let scheme = call.row.scheme;
    if associated_data.is_some() && scheme != Scheme::AesGcm {
        return Err(Error::MechanismInvalid);
    }
    match (scheme, &call.parameters) {
        (Scheme::AesKeyWrap, Parameters::None) => Ok(Work::KeyWrap(None)),
        (Scheme::AesKeyWrap, Parameters::KeyWrapIv(iv)) => Ok(Work::KeyWrap(Some(*iv))),
        (Scheme::AesKeyWrapPadded, Parameters::None) => Ok(Work::KeyWrapPadded),
        (Scheme::AesKeyWrap | Scheme::AesKeyWrapPadded, _) => Err(Error::MechanismParamInvalid),
        (Scheme::AesCbcPad | Scheme::AesGcm, parameters) => {
            let parameters = authenticating(parameters.clone(), associated_data.unwrap_or_default())?;
            cipher_mode(scheme, parameters).map(Work::Cipher)
        }
        _ => Err(Error::MechanismInvalid),
    }
}

/// Parameters of AES-GCM with associated data, which may stand in them or beside them, but not in both places.
fn authenticating(mut parameters: Parameters, associated_data: &[u8]) -> Result<Parameters> {
    if let Parameters::Gcm { aad, .. } = &mut parameters
        && !associated_data.is_empty()
    {
        if !aad.is_empty() {
            return Err(Error::MechanismParamInvalid);
        }
        *aad = associated_data.to_vec();
    }
    Ok(parameters)
}

impl Work {
    fn wrap(self, key: &SecretBytes, secret: &SecretBytes) -> Result<Vec<u8>> {
        let wrapped = match self {
            Self::KeyWrap(iv) => aes::wrap(key, iv.as_ref(), zero_padded(secret).expose()),
            Self::KeyWrapPadded => aes::wrap_padded(key, secret.expose()),
            Self::Cipher(mode) => Cipher::new(mode, Direction::Encrypt, key).and_then(|mut cipher| {
                let mut out = Vec::new();
                cipher.update(secret.expose(), &mut out)?;
                cipher.finish(&mut out)?;
                Ok(out)
            }),
        };
        wrapped.map_err(|error| match error {
            algorithms::Error::InputLength => Error::KeySizeRange,
            error => error.into(),
        })
    }

    fn unwrap(
        self,
        key: &SecretBytes,
        wrapped: &[u8],
    ) -> std::result::Result<SecretBytes, algorithms::Error> {
        match self {
            Self::KeyWrap(iv) => aes::unwrap(key, iv.as_ref(), wrapped),
            Self::KeyWrapPadded => aes::unwrap_padded(key, wrapped),
            Self::Cipher(mode) => Cipher::new(mode, Direction::Decrypt, key).and_then(|mut cipher| {
                // Room for everything at once: growing would leave copies of the secret behind.
                let mut out = Zeroizing::new(Vec::with_capacity(wrapped.len() + 32));
                cipher.update(wrapped, &mut out)?;
                cipher.finish(&mut out)?;
                Ok(SecretBytes::new(&out))
            }),
        }
    }
}

/// What CKM_AES_KEY_WRAP works in: half blocks of AES.
const SEMIBLOCK: usize = 8;

/// A key of any length as CKM_AES_KEY_WRAP takes it (section 6.16): with zeros up to a whole number of half blocks.
fn zero_padded(secret: &SecretBytes) -> SecretBytes {
    let mut padded = Zeroizing::new(vec![0; secret.len().next_multiple_of(SEMIBLOCK)]);
    padded[..secret.len()].copy_from_slice(secret.expose());
    SecretBytes::new(&padded)
}

/// The inverse of [`zero_padded`] for a key of `len` bytes. What cannot be padding stays.
fn without_padding(padded: SecretBytes, len: usize) -> SecretBytes {
    match padded.expose().split_at_checked(len) {
        Some((secret, zeros)) if zeros.len() < SEMIBLOCK && zeros.iter().all(|byte| *byte == 0) => {
            SecretBytes::new(secret)
        }
        _ => padded,
    }
}

fn wrapped_key_invalid(error: algorithms::Error) -> Error {
    match error {
        algorithms::Error::InputLength => Error::WrappedKeyLenRange,
        algorithms::Error::ParameterInvalid | algorithms::Error::EngineFailed => error.into(),
        _ => Error::WrappedKeyInvalid,
    }
}
