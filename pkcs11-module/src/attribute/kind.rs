//! Kinds of objects: what CKA_CLASS, CKA_KEY_TYPE and CKA_CERTIFICATE_TYPE say together. The rows of the attribute
//! table apply to sets of them.

use algorithms::Algorithm;
use cryptoki_sys as ck;
use hsm_backends::Attributes;

use crate::{
    error::{Error, Result},
    template::{RawValue, Template},
};

use super::value::ulong;

/// The key types of key pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the standard's names without CKK_")]
pub enum PairType {
    Rsa,
    Ec,
    EcEdwards,
    MlDsa,
}

impl PairType {
    /// All of them, in the order of their bits in [`Kinds`].
    pub const ALL: [Self; 4] = [Self::Rsa, Self::Ec, Self::EcEdwards, Self::MlDsa];

    /// CKK_*.
    pub fn ckk(self) -> u64 {
        match self {
            Self::Rsa => ck::CKK_RSA,
            Self::Ec => ck::CKK_EC,
            Self::EcEdwards => ck::CKK_EC_EDWARDS,
            Self::MlDsa => ck::CKK_ML_DSA,
        }
    }

    /// Whether keys of an algorithm have this type.
    pub fn is_of(self, algorithm: Algorithm) -> bool {
        matches!(
            (self, algorithm),
            (Self::Rsa, Algorithm::Rsa)
                | (Self::Ec, Algorithm::Ecdsa(_))
                | (Self::EcEdwards, Algorithm::Ed25519)
                | (Self::MlDsa, Algorithm::MlDsa(_))
        )
    }

    fn from_ckk(ckk: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|pair| pair.ckk() == ckk)
    }
}

/// The key types of secret keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecretType {
    /// CKK_AES.
    Aes,
    /// CKK_GENERIC_SECRET, or the CKK_*_HMAC that it is.
    Generic(u64),
}

/// Key types that are byte strings of any length; the HMAC ones bind a key to one hash function.
const GENERIC: &[u64] = &[
    ck::CKK_GENERIC_SECRET,
    ck::CKK_SHA_1_HMAC,
    ck::CKK_SHA224_HMAC,
    ck::CKK_SHA256_HMAC,
    ck::CKK_SHA384_HMAC,
    ck::CKK_SHA512_HMAC,
    ck::CKK_SHA3_224_HMAC,
    ck::CKK_SHA3_256_HMAC,
    ck::CKK_SHA3_384_HMAC,
    ck::CKK_SHA3_512_HMAC,
];

impl SecretType {
    /// CKK_*.
    pub fn ckk(self) -> u64 {
        match self {
            Self::Aes => ck::CKK_AES,
            Self::Generic(ckk) => ckk,
        }
    }

    fn from_ckk(ckk: u64) -> Option<Self> {
        if ckk == ck::CKK_AES {
            Some(Self::Aes)
        } else {
            GENERIC.contains(&ckk).then_some(Self::Generic(ckk))
        }
    }
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// CKO_DATA.
    Data,
    /// CKO_CERTIFICATE, CKC_X_509.
    Certificate,
    /// CKO_PUBLIC_KEY.
    Public(PairType),
    /// CKO_PRIVATE_KEY.
    Private(PairType),
    /// CKO_SECRET_KEY.
    Secret(SecretType),
    /// CKO_PROFILE.
    Profile,
    /// CKO_MECHANISM.
    Mechanism,
}

impl ObjectKind {
    /// What a template for a new object names. CKR_TEMPLATE_INCOMPLETE without class or type,
    /// CKR_ATTRIBUTE_VALUE_INVALID for one that nobody can create here.
    pub fn named_by(template: &Template<'_>) -> Result<Self> {
        let named = |kind| -> Result<u64> {
            let mut found = template.iter().filter(|attribute| attribute.kind == kind);
            match found.next().ok_or(Error::TemplateIncomplete)?.value {
                RawValue::Bytes(bytes) => ulong(bytes),
                _ => Err(Error::AttributeValueInvalid),
            }
        };
        let class = named(ck::CKA_CLASS)?;
        let type_of = match class {
            ck::CKO_DATA => return Ok(Self::Data),
            ck::CKO_CERTIFICATE => named(ck::CKA_CERTIFICATE_TYPE)?,
            ck::CKO_PUBLIC_KEY | ck::CKO_PRIVATE_KEY | ck::CKO_SECRET_KEY => named(ck::CKA_KEY_TYPE)?,
            _ => return Err(Error::AttributeValueInvalid),
        };
        Self::from_parts(class, type_of).ok_or(Error::AttributeValueInvalid)
    }

    /// What an existing object is.
    pub fn of(attributes: &Attributes) -> Option<Self> {
        let class = attributes.ulong(ck::CKA_CLASS)?;
        let type_of =
            attributes.ulong(ck::CKA_KEY_TYPE).or_else(|| attributes.ulong(ck::CKA_CERTIFICATE_TYPE));
        Self::from_parts(class, type_of.unwrap_or(ck::CK_UNAVAILABLE_INFORMATION))
    }

    fn from_parts(class: u64, type_of: u64) -> Option<Self> {
        match class {
            ck::CKO_DATA => Some(Self::Data),
            ck::CKO_CERTIFICATE => (type_of == ck::CKC_X_509).then_some(Self::Certificate),
            ck::CKO_PUBLIC_KEY => PairType::from_ckk(type_of).map(Self::Public),
            ck::CKO_PRIVATE_KEY => PairType::from_ckk(type_of).map(Self::Private),
            ck::CKO_SECRET_KEY => SecretType::from_ckk(type_of).map(Self::Secret),
            ck::CKO_PROFILE => Some(Self::Profile),
            ck::CKO_MECHANISM => Some(Self::Mechanism),
            _ => None,
        }
    }

    /// CKO_*.
    pub fn class(self) -> u64 {
        match self {
            Self::Data => ck::CKO_DATA,
            Self::Certificate => ck::CKO_CERTIFICATE,
            Self::Public(_) => ck::CKO_PUBLIC_KEY,
            Self::Private(_) => ck::CKO_PRIVATE_KEY,
            Self::Secret(_) => ck::CKO_SECRET_KEY,
            Self::Profile => ck::CKO_PROFILE,
            Self::Mechanism => ck::CKO_MECHANISM,
        }
    }

    /// CKK_*, of keys.
    pub fn key_type(self) -> Option<u64> {
        match self {
            Self::Public(pair) | Self::Private(pair) => Some(pair.ckk()),
            Self::Secret(secret) => Some(secret.ckk()),
            _ => None,
        }
    }

    /// Whether the object has a part that only the user may use: a private or secret key.
    pub fn has_secret(self) -> bool {
        matches!(self, Self::Private(_) | Self::Secret(_))
    }
}

/// A set of kinds of objects. The HMAC key types count as one with CKK_GENERIC_SECRET.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds(u16);

impl Kinds {
    /// CKO_DATA.
    pub const DATA: Self = Self(1);
    /// CKC_X_509.
    pub const CERTIFICATE: Self = Self(1 << 1);
    /// CKO_PROFILE.
    pub const PROFILE: Self = Self(1 << 2);
    /// CKO_MECHANISM.
    pub const MECHANISM: Self = Self(1 << 3);
    /// RSA public keys.
    pub const PUBLIC_RSA: Self = Self(1 << 4);
    /// EC and Edwards public keys.
    pub const PUBLIC_EC: Self = Self(0b110 << 4);
    /// ML-DSA public keys.
    pub const PUBLIC_ML_DSA: Self = Self(1 << 7);
    /// All public keys.
    pub const PUBLIC: Self = Self(0b1111 << 4);
    /// RSA private keys.
    pub const PRIVATE_RSA: Self = Self(1 << 8);
    /// EC and Edwards private keys.
    pub const PRIVATE_EC: Self = Self(0b110 << 8);
    /// ML-DSA private keys.
    pub const PRIVATE_ML_DSA: Self = Self(1 << 11);
    /// All private keys.
    pub const PRIVATE: Self = Self(0b1111 << 8);
    /// AES keys.
    pub const AES: Self = Self(1 << 12);
    /// Generic secrets and HMAC keys.
    pub const GENERIC: Self = Self(1 << 13);
    /// All secret keys.
    pub const SECRET: Self = Self::AES.and(Self::GENERIC);
    /// All keys.
    pub const KEYS: Self = Self::PUBLIC.and(Self::PRIVATE).and(Self::SECRET);
    /// Everything that can be stored.
    pub const STORAGE: Self = Self::KEYS.and(Self::DATA).and(Self::CERTIFICATE);
    /// Every object.
    pub const ALL: Self = Self::STORAGE.and(Self::PROFILE).and(Self::MECHANISM);

    /// Both sets together.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a kind is in the set.
    pub fn contain(self, kind: ObjectKind) -> bool {
        let bit = match kind {
            ObjectKind::Data => Self::DATA.0,
            ObjectKind::Certificate => Self::CERTIFICATE.0,
            ObjectKind::Profile => Self::PROFILE.0,
            ObjectKind::Mechanism => Self::MECHANISM.0,
            ObjectKind::Public(pair) => 1 << (4 + pair as u16),
            ObjectKind::Private(pair) => 1 << (8 + pair as u16),
            ObjectKind::Secret(SecretType::Aes) => Self::AES.0,
            ObjectKind::Secret(SecretType::Generic(_)) => Self::GENERIC.0,
        };
        self.0 & bit != 0
    }

    /// Whether the sets share a kind.
    pub fn meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl std::fmt::Display for Kinds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const NAMES: &[(Kinds, &str)] = &[
            (Kinds::ALL, "all objects"),
            (Kinds::STORAGE, "all but profiles and mechanisms"),
            (Kinds::KEYS, "keys"),
            (Kinds::DATA, "data"),
            (Kinds::CERTIFICATE, "certificates"),
            (Kinds::PROFILE, "profiles"),
            (Kinds::MECHANISM, "mechanisms"),
            (Kinds::PUBLIC, "public keys"),
            (Kinds::PUBLIC_RSA, "RSA public keys"),
            (Kinds::PUBLIC_EC, "EC and Edwards public keys"),
            (Kinds::PUBLIC_ML_DSA, "ML-DSA public keys"),
            (Kinds::PRIVATE, "private keys"),
            (Kinds::PRIVATE_RSA, "RSA private keys"),
            (Kinds::PRIVATE_EC, "EC and Edwards private keys"),
            (Kinds::PRIVATE_ML_DSA, "ML-DSA private keys"),
            (Kinds::SECRET, "secret keys"),
            (Kinds::AES, "AES keys"),
            (Kinds::GENERIC, "generic secrets"),
        ];
        let mut left = self.0;
        let mut separator = "";
        for (set, name) in NAMES {
            if left & set.0 == set.0 {
                write!(f, "{separator}{name}")?;
                left &= !set.0;
                separator = ", ";
            }
        }
        Ok(())
    }
}
