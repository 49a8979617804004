//! May this key do this mechanism now? Asked once, when an operation begins.
//!
//! CKA_START_DATE and CKA_END_DATE do not count: PKCS#11 v3.2 section 4.8 says that they are for reference only and
//! that a token does not restrict the use of a key by them.

use cryptoki_sys as ck;
use hsm_backends::Attributes;

use crate::{
    error::{Error, Result},
    handle::ObjectHandle,
    mechanism::Mechanism,
    object::Object,
    slot::Slot,
};

/// What a key is to be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after the attributes that permit them")]
pub enum KeyUse {
    Sign,
    Verify,
    Encrypt,
    Decrypt,
    Wrap,
    Unwrap,
}

/// Resolves the key of an operation and checks that it may do `mechanism`. What is not a key, or not visible, is
/// CKR_KEY_HANDLE_INVALID; then in this order CKR_MECHANISM_INVALID where the mechanism does not do `key_use`,
/// and the answers of [`check`].
pub fn key(slot: &Slot, handle: ObjectHandle, mechanism: &Mechanism, key_use: KeyUse) -> Result<Object> {
    if mechanism.flags & key_use.flag() == 0 {
        return Err(Error::MechanismInvalid);
    }
    let object = Object::resolve_key(slot, handle)?;
    check(object.attributes(), mechanism, key_use)?;
    Ok(object)
}

/// Whether a key with these attributes may do `mechanism`: CKR_KEY_HANDLE_INVALID for what is no key,
/// CKR_KEY_TYPE_INCONSISTENT for another class or type of key, CKR_KEY_FUNCTION_NOT_PERMITTED without the usage
/// attribute, CKR_MECHANISM_INVALID where CKA_ALLOWED_MECHANISMS leaves the mechanism out.
pub fn check(attributes: &Attributes, mechanism: &Mechanism, key_use: KeyUse) -> Result<()> {
    let class = attributes.ulong(ck::CKA_CLASS);
    let Some(ck::CKO_PUBLIC_KEY | ck::CKO_PRIVATE_KEY | ck::CKO_SECRET_KEY) = class else {
        return Err(Error::KeyHandleInvalid);
    };
    let key_type = attributes.ulong(ck::CKA_KEY_TYPE);
    let fits = key_type == Some(mechanism.key_type)
        || (key_type.is_some() && key_type == mechanism.scheme.hmac_key_type());
    if class != Some(key_use.class(mechanism.key_type)) || !fits {
        return Err(Error::KeyTypeInconsistent);
    }
    if !attributes.flag(key_use.attribute()) {
        return Err(Error::KeyFunctionNotPermitted);
    }
    if !attributes.allows(mechanism.kind) {
        return Err(Error::MechanismInvalid);
    }
    Ok(())
}

impl KeyUse {
    /// CKF_*: what a mechanism must be able to do.
    fn flag(self) -> u64 {
        match self {
            Self::Sign => ck::CKF_SIGN,
            Self::Verify => ck::CKF_VERIFY,
            Self::Encrypt => ck::CKF_ENCRYPT,
            Self::Decrypt => ck::CKF_DECRYPT,
            Self::Wrap => ck::CKF_WRAP,
            Self::Unwrap => ck::CKF_UNWRAP,
        }
    }

    /// CKA_*: what the key's owner must have permitted.
    fn attribute(self) -> u64 {
        match self {
            Self::Sign => ck::CKA_SIGN,
            Self::Verify => ck::CKA_VERIFY,
            Self::Encrypt => ck::CKA_ENCRYPT,
            Self::Decrypt => ck::CKA_DECRYPT,
            Self::Wrap => ck::CKA_WRAP,
            Self::Unwrap => ck::CKA_UNWRAP,
        }
    }

    /// Which half of a pair works, for key types that come in pairs.
    fn class(self, key_type: u64) -> u64 {
        match (key_type, self) {
            (ck::CKK_GENERIC_SECRET | ck::CKK_AES, _) => ck::CKO_SECRET_KEY,
            (_, Self::Sign | Self::Decrypt | Self::Unwrap) => ck::CKO_PRIVATE_KEY,
            (_, Self::Verify | Self::Encrypt | Self::Wrap) => ck::CKO_PUBLIC_KEY,
        }
    }
}

#[cfg(test)]
mod tests {
    use hsm_backends::Value;

    use super::*;
    use crate::mechanism::row;

    fn key(class: u64, key_type: u64, permitted: u64) -> Attributes {
        [
            (ck::CKA_CLASS, Value::Ulong(class)),
            (ck::CKA_KEY_TYPE, Value::Ulong(key_type)),
            (permitted, Value::Bool(true)),
        ]
        .into_iter()
        .collect()
    }

    #[test]
    fn class_type_usage_and_allowed_mechanisms_each_have_their_answer() {
        use KeyUse::{Decrypt, Encrypt, Sign, Unwrap, Verify, Wrap};
        let (public, private, secret) = (ck::CKO_PUBLIC_KEY, ck::CKO_PRIVATE_KEY, ck::CKO_SECRET_KEY);
        let wrong_type = Err(Error::KeyTypeInconsistent);
        let not_permitted = Err(Error::KeyFunctionNotPermitted);
        for (class, key_type, permitted, mechanism, key_use, expected) in [
            (private, ck::CKK_ML_DSA, ck::CKA_SIGN, ck::CKM_ML_DSA, Sign, Ok(())),
            (private, ck::CKK_ML_DSA, ck::CKA_VERIFY, ck::CKM_ML_DSA, Sign, not_permitted),
            (public, ck::CKK_ML_DSA, ck::CKA_SIGN, ck::CKM_ML_DSA, Sign, wrong_type),
            (public, ck::CKK_ML_DSA, ck::CKA_VERIFY, ck::CKM_ML_DSA, Verify, Ok(())),
            (private, ck::CKK_ML_DSA, ck::CKA_VERIFY, ck::CKM_ML_DSA, Verify, wrong_type),
            (private, ck::CKK_EC, ck::CKA_SIGN, ck::CKM_EDDSA, Sign, wrong_type),
            (private, ck::CKK_EC_EDWARDS, ck::CKA_SIGN, ck::CKM_EDDSA, Sign, Ok(())),
            (private, ck::CKK_RSA, ck::CKA_SIGN, ck::CKM_SHA256_RSA_PKCS_PSS, Sign, Ok(())),
            (secret, ck::CKK_GENERIC_SECRET, ck::CKA_SIGN, ck::CKM_SHA256_HMAC, Sign, Ok(())),
            (secret, ck::CKK_SHA256_HMAC, ck::CKA_VERIFY, ck::CKM_SHA256_HMAC, Verify, Ok(())),
            (secret, ck::CKK_SHA512_HMAC, ck::CKA_VERIFY, ck::CKM_SHA256_HMAC, Verify, wrong_type),
            (secret, ck::CKK_AES, ck::CKA_SIGN, ck::CKM_SHA256_HMAC, Sign, wrong_type),
            (secret, ck::CKK_AES, ck::CKA_ENCRYPT, ck::CKM_AES_GCM, Encrypt, Ok(())),
            (secret, ck::CKK_AES, ck::CKA_ENCRYPT, ck::CKM_AES_GCM, Decrypt, not_permitted),
            (secret, ck::CKK_AES, ck::CKA_WRAP, ck::CKM_AES_KEY_WRAP, Wrap, Ok(())),
            (secret, ck::CKK_AES, ck::CKA_WRAP, ck::CKM_AES_KEY_WRAP, Unwrap, not_permitted),
            (ck::CKO_CERTIFICATE, 0, ck::CKA_SIGN, ck::CKM_RSA_PKCS, Sign, Err(Error::KeyHandleInvalid)),
        ] {
            let answer = check(&key(class, key_type, permitted), row(mechanism).unwrap(), key_use);
            assert_eq!(answer, expected, "{mechanism:#x} {key_use:?} class {class} type {key_type:#x}");
        }

        let mut limited = key(private, ck::CKK_RSA, ck::CKA_SIGN);
        limited.set(ck::CKA_ALLOWED_MECHANISMS, Value::Ulongs(vec![ck::CKM_SHA256_RSA_PKCS]));
        assert_eq!(check(&limited, row(ck::CKM_SHA256_RSA_PKCS).unwrap(), Sign), Ok(()));
        assert_eq!(check(&limited, row(ck::CKM_RSA_PKCS).unwrap(), Sign), Err(Error::MechanismInvalid));
    }
}
