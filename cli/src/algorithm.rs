//! The algorithms that the command knows, as tables of facts: names, object identifiers, sizes.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, KeyType, MlDsaParameterSetType};
use cryptoki::types::Ulong;
use der::asn1::ObjectIdentifier;

/// The algorithm of a key, with its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    MlDsa(&'static MlDsa),
    Ed25519,
    Ecdsa(&'static Curve),
    /// Modulus length in bits.
    Rsa(u32),
    /// Key length in bits.
    Aes(u32),
}

/// One parameter set of FIPS 204; lengths in bytes.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct MlDsa {
    pub(crate) name: &'static str,
    pub(crate) oid: ObjectIdentifier,
    pub(crate) public_key: usize,
    pub(crate) private_key: usize,
    pub(crate) signature: usize,
}

/// One curve of FIPS 186-5, named by its OID in CKA_EC_PARAMS; lengths in bytes.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    pub(crate) oid: ObjectIdentifier,
    /// Length of a coordinate, and of each half of a signature.
    pub(crate) field: usize,
    /// The hash that goes with its strength.
    pub(crate) hash: Hash,
}

/// Hashes that a signature may begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
#[value(rename_all = "lowercase")]
pub(crate) enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    #[value(name = "sha3-224")]
    Sha3_224,
    #[value(name = "sha3-256")]
    Sha3_256,
    #[value(name = "sha3-384")]
    Sha3_384,
    #[value(name = "sha3-512")]
    Sha3_512,
    Shake128,
    Shake256,
}

pub(crate) static ML_DSA: [MlDsa; 3] = [
    MlDsa {
        name: "ml-dsa-44",
        oid: ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.17"),
        public_key: 1312,
        private_key: 2560,
        signature: 2420,
    },
    MlDsa {
        name: "ml-dsa-65",
        oid: ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18"),
        public_key: 1952,
        private_key: 4032,
        signature: 3309,
    },
    MlDsa {
        name: "ml-dsa-87",
        oid: ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.19"),
        public_key: 2592,
        private_key: 4896,
        signature: 4627,
    },
];

pub(crate) static CURVES: [Curve; 3] = [
    Curve {
        name: "ecdsa-p256",
        oid: ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"),
        field: 32,
        hash: Hash::Sha256,
    },
    Curve {
        name: "ecdsa-p384",
        oid: ObjectIdentifier::new_unwrap("1.3.132.0.34"),
        field: 48,
        hash: Hash::Sha384,
    },
    Curve {
        name: "ecdsa-p521",
        oid: ObjectIdentifier::new_unwrap("1.3.132.0.35"),
        field: 66,
        hash: Hash::Sha512,
    },
];

pub(crate) const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
pub(crate) const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
pub(crate) const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// Length of an Ed25519 key, private or public, in bytes.
pub(crate) const ED25519_KEY: usize = 32;

/// Length of the ML-DSA seed (xi) in bytes.
pub(crate) const ML_DSA_SEED: usize = 32;

/// What `key generate --algorithm` offers, best first.
static OFFERED: [Algorithm; 12] = [
    Algorithm::MlDsa(&ML_DSA[0]),
    Algorithm::MlDsa(&ML_DSA[1]),
    Algorithm::MlDsa(&ML_DSA[2]),
    Algorithm::Ed25519,
    Algorithm::Ecdsa(&CURVES[0]),
    Algorithm::Ecdsa(&CURVES[1]),
    Algorithm::Ecdsa(&CURVES[2]),
    Algorithm::Rsa(2048),
    Algorithm::Rsa(3072),
    Algorithm::Rsa(4096),
    Algorithm::Aes(128),
    Algorithm::Aes(256),
];

impl Algorithm {
    pub(crate) fn key_type(self) -> KeyType {
        match self {
            Self::MlDsa(_) => KeyType::ML_DSA,
            Self::Ed25519 => KeyType::EC_EDWARDS,
            Self::Ecdsa(_) => KeyType::EC,
            Self::Rsa(_) => KeyType::RSA,
            Self::Aes(_) => KeyType::AES,
        }
    }

    pub(crate) fn is_secret_key(self) -> bool {
        matches!(self, Self::Aes(_))
    }

    pub(crate) fn generation(self) -> (MechanismType, Mechanism<'static>) {
        match self {
            Self::MlDsa(_) => (MechanismType::ML_DSA_KEY_PAIR_GEN, Mechanism::MlDsaKeyPairGen),
            Self::Ed25519 => (MechanismType::ECC_EDWARDS_KEY_PAIR_GEN, Mechanism::EccEdwardsKeyPairGen),
            Self::Ecdsa(_) => (MechanismType::ECC_KEY_PAIR_GEN, Mechanism::EccKeyPairGen),
            Self::Rsa(_) => (MechanismType::RSA_PKCS_KEY_PAIR_GEN, Mechanism::RsaPkcsKeyPairGen),
            Self::Aes(_) => (MechanismType::AES_KEY_GEN, Mechanism::AesKeyGen),
        }
    }

    /// The attributes that fix size or curve: of the public template, or of a secret key.
    pub(crate) fn parameters(self) -> Vec<Attribute> {
        match self {
            Self::MlDsa(set) => vec![Attribute::ParameterSet(set.parameter_set().into())],
            Self::Ed25519 => vec![Attribute::EcParams(der_of(ED25519))],
            Self::Ecdsa(curve) => vec![Attribute::EcParams(der_of(curve.oid))],
            Self::Rsa(bits) => vec![
                Attribute::ModulusBits(Ulong::new(bits.into())),
                Attribute::PublicExponent(vec![0x01, 0x00, 0x01]),
            ],
            Self::Aes(bits) => vec![Attribute::ValueLen(Ulong::new(u64::from(bits / 8)))],
        }
    }

    /// Length of a raw signature in bytes.
    pub(crate) fn signature_len(self) -> Option<usize> {
        match self {
            Self::MlDsa(set) => Some(set.signature),
            Self::Ed25519 => Some(64),
            Self::Ecdsa(curve) => Some(2 * curve.field),
            Self::Rsa(bits) => usize::try_from(bits.div_ceil(8)).ok(),
            Self::Aes(_) => None,
        }
    }
}

impl MlDsa {
    pub(crate) fn parameter_set(&self) -> MlDsaParameterSetType {
        [MlDsaParameterSetType::ML_DSA_44, MlDsaParameterSetType::ML_DSA_65, MlDsaParameterSetType::ML_DSA_87]
            [ML_DSA.iter().position(|set| set == self).unwrap_or(0)]
    }
}

/// The DER of an object identifier, as CKA_EC_PARAMS wants it.
pub(crate) fn der_of(oid: ObjectIdentifier) -> Vec<u8> {
    let body = oid.as_bytes();
    let mut der = vec![0x06, u8::try_from(body.len()).expect("an identifier of the tables is short")];
    der.extend_from_slice(body);
    der
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MlDsa(set) => f.write_str(set.name),
            Self::Ed25519 => f.write_str("ed25519"),
            Self::Ecdsa(curve) => f.write_str(curve.name),
            Self::Rsa(bits) => write!(f, "rsa-{bits}"),
            Self::Aes(bits) => write!(f, "aes-{bits}"),
        }
    }
}

impl FromStr for Algorithm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        <Self as ValueEnum>::from_str(text, true)
    }
}

impl ValueEnum for Algorithm {
    fn value_variants<'a>() -> &'a [Self] {
        &OFFERED
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let name = match self {
            Self::MlDsa(set) => set.name,
            Self::Ed25519 => "ed25519",
            Self::Ecdsa(curve) => {
                return Some(PossibleValue::new(curve.name).alias(curve.name.strip_prefix("ecdsa-")?));
            }
            Self::Rsa(2048) => "rsa-2048",
            Self::Rsa(3072) => "rsa-3072",
            Self::Rsa(4096) => "rsa-4096",
            Self::Aes(128) => "aes-128",
            Self::Aes(256) => "aes-256",
            Self::Rsa(_) | Self::Aes(_) => return None,
        };
        Some(PossibleValue::new(name))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().expect("no hash is hidden").get_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offered_name_reads_back() {
        for algorithm in Algorithm::value_variants() {
            assert_eq!(algorithm.to_string().parse(), Ok(*algorithm));
        }
        assert_eq!("p384".parse(), Ok(Algorithm::Ecdsa(&CURVES[1])));
    }

    #[test]
    fn parameter_sets_go_with_their_names() {
        let names: Vec<_> = ML_DSA.iter().map(|set| set.parameter_set().to_string()).collect();
        assert_eq!(names, ["CKP_ML_DSA_44", "CKP_ML_DSA_65", "CKP_ML_DSA_87"]);
    }

    #[test]
    fn object_identifiers_encode_as_in_their_standards() {
        assert_eq!(der_of(ED25519), [0x06, 0x03, 0x2b, 0x65, 0x70]);
        assert_eq!(der_of(CURVES[0].oid), [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]);
    }
}
