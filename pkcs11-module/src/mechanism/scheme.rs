//! What a mechanism does: the one value from which its flags, key sizes and parameters follow, and by which every
//! operation dispatches.

use algorithms::{digest::Hash, rsa};
use cryptoki_sys as ck;

use super::ParameterKind;

/// What a mechanism does. A hash in a signature scheme is run over the message here; without one the caller gives
/// the digest (or, for CKM_RSA_PKCS, the encoded DigestInfo) and the mechanism is single-part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// CKM_ML_DSA_KEY_PAIR_GEN.
    GenerateMlDsa,
    /// CKM_EC_EDWARDS_KEY_PAIR_GEN.
    GenerateEdwards,
    /// CKM_EC_KEY_PAIR_GEN.
    GenerateEc,
    /// CKM_RSA_PKCS_KEY_PAIR_GEN.
    GenerateRsa,
    /// CKM_AES_KEY_GEN.
    GenerateAes,
    /// CKM_GENERIC_SECRET_KEY_GEN.
    GenerateGenericSecret,
    /// CKM_ML_DSA.
    MlDsa,
    /// CKM_HASH_ML_DSA, of a digest whose function the parameter names, and CKM_HASH_ML_DSA_*.
    HashMlDsa(Option<Hash>),
    /// CKM_EDDSA.
    Eddsa,
    /// CKM_ECDSA and CKM_ECDSA_*.
    Ecdsa(Option<Hash>),
    /// CKM_RSA_PKCS and CKM_*_RSA_PKCS.
    RsaPkcs(Option<Hash>),
    /// CKM_RSA_PKCS_PSS, of a digest whose function the parameter names, and CKM_*_RSA_PKCS_PSS.
    RsaPss(Option<Hash>),
    /// CKM_*_HMAC.
    Hmac(Hash),
    /// CKM_*_HMAC_GENERAL: the parameter says how many bytes of the MAC are used.
    HmacGeneral(Hash),
    /// Digesting.
    Digest(Hash),
    /// CKM_AES_CBC.
    AesCbc,
    /// CKM_AES_CBC_PAD.
    AesCbcPad,
    /// CKM_AES_CTR.
    AesCtr,
    /// CKM_AES_GCM.
    AesGcm,
    /// CKM_AES_KEY_WRAP.
    AesKeyWrap,
    /// CKM_AES_KEY_WRAP_KWP.
    AesKeyWrapPadded,
}

/// The lengths that a generic secret may have, in bytes.
pub const GENERIC_SECRET_LEN: std::ops::RangeInclusive<u64> = 1..=4096;

const NO_KEY: u64 = ck::CK_UNAVAILABLE_INFORMATION;
const EC: u64 = ck::CKF_EC_F_P | ck::CKF_EC_OID | ck::CKF_EC_CURVENAME | ck::CKF_EC_UNCOMPRESS;
/// A point of edwards25519 is always in the compressed form of RFC 8032 section 5.1.2.
const EDWARDS: u64 = ck::CKF_EC_F_P | ck::CKF_EC_OID | ck::CKF_EC_CURVENAME | ck::CKF_EC_COMPRESS;
const VERIFY: u64 = ck::CKF_VERIFY | ck::CKF_MESSAGE_VERIFY;
const SIGN: u64 = ck::CKF_SIGN | ck::CKF_MESSAGE_SIGN;
const ENCRYPT: u64 = ck::CKF_ENCRYPT | ck::CKF_DECRYPT;
const WRAP: u64 = ck::CKF_WRAP | ck::CKF_UNWRAP;

impl Scheme {
    /// CKF_* for C_GetMechanismInfo.
    pub(super) const fn flags(self) -> u64 {
        let of_kind = match self {
            Self::GenerateMlDsa | Self::GenerateRsa => ck::CKF_GENERATE_KEY_PAIR,
            Self::GenerateEdwards => ck::CKF_GENERATE_KEY_PAIR | EDWARDS,
            Self::GenerateEc => ck::CKF_GENERATE_KEY_PAIR | EC,
            Self::GenerateAes | Self::GenerateGenericSecret => ck::CKF_GENERATE,
            // SHA-1 makes no new signatures; old ones can be verified. HMAC does not lean on collisions.
            Self::Ecdsa(Some(Hash::Sha1)) => VERIFY | EC,
            Self::RsaPkcs(Some(Hash::Sha1)) | Self::RsaPss(Some(Hash::Sha1)) => VERIFY,
            Self::Ecdsa(_) => SIGN | VERIFY | EC,
            Self::Eddsa => SIGN | VERIFY | EDWARDS,
            Self::MlDsa
            | Self::HashMlDsa(_)
            | Self::RsaPkcs(_)
            | Self::RsaPss(_)
            | Self::Hmac(_)
            | Self::HmacGeneral(_) => SIGN | VERIFY,
            Self::Digest(_) => ck::CKF_DIGEST,
            Self::AesCbc | Self::AesCtr => ENCRYPT,
            Self::AesCbcPad | Self::AesGcm => ENCRYPT | WRAP,
            Self::AesKeyWrap | Self::AesKeyWrapPadded => WRAP,
        };
        if of_kind & VERIFY != 0 && !self.is_single_part() {
            of_kind | ck::CKF_MULTI_MESSAGE
        } else {
            of_kind
        }
    }

    /// Whether a signature scheme takes its input in one piece only, because the input is a digest already.
    pub const fn is_single_part(self) -> bool {
        matches!(self, Self::HashMlDsa(None) | Self::Ecdsa(None) | Self::RsaPkcs(None) | Self::RsaPss(None))
    }

    /// CKK_*, or CK_UNAVAILABLE_INFORMATION where there is no key.
    pub(super) const fn key_type(self) -> u64 {
        match self {
            Self::GenerateMlDsa | Self::MlDsa | Self::HashMlDsa(_) => ck::CKK_ML_DSA,
            Self::GenerateEdwards | Self::Eddsa => ck::CKK_EC_EDWARDS,
            Self::GenerateEc | Self::Ecdsa(_) => ck::CKK_EC,
            Self::GenerateRsa | Self::RsaPkcs(_) | Self::RsaPss(_) => ck::CKK_RSA,
            Self::GenerateGenericSecret | Self::Hmac(_) | Self::HmacGeneral(_) => ck::CKK_GENERIC_SECRET,
            Self::GenerateAes
            | Self::AesCbc
            | Self::AesCbcPad
            | Self::AesCtr
            | Self::AesGcm
            | Self::AesKeyWrap
            | Self::AesKeyWrapPadded => ck::CKK_AES,
            Self::Digest(_) => NO_KEY,
        }
    }

    /// ulMinKeySize and ulMaxKeySize. The unit is the standard's: bytes of the public key for ML-DSA, bits for EC, RSA
    /// and the generation of generic secrets, bytes for the other secret keys.
    pub(super) const fn key_size(self) -> (u64, u64) {
        match self {
            Self::GenerateMlDsa | Self::MlDsa | Self::HashMlDsa(_) => (1312, 2592),
            Self::GenerateEdwards | Self::Eddsa => (255, 255),
            Self::GenerateEc | Self::Ecdsa(_) => (256, 521),
            Self::GenerateRsa | Self::RsaPkcs(_) | Self::RsaPss(_) => {
                (*rsa::MODULUS_BITS.start() as u64, *rsa::MODULUS_BITS.end() as u64)
            }
            Self::GenerateGenericSecret => (*GENERIC_SECRET_LEN.start() * 8, *GENERIC_SECRET_LEN.end() * 8),
            Self::Hmac(_) | Self::HmacGeneral(_) => (*GENERIC_SECRET_LEN.start(), *GENERIC_SECRET_LEN.end()),
            Self::GenerateAes
            | Self::AesCbc
            | Self::AesCbcPad
            | Self::AesCtr
            | Self::AesGcm
            | Self::AesKeyWrap
            | Self::AesKeyWrapPadded => (16, 32),
            Self::Digest(_) => (0, 0),
        }
    }

    /// Which parameters the mechanism takes.
    pub(super) const fn parameter(self) -> ParameterKind {
        match self {
            Self::MlDsa | Self::HashMlDsa(Some(_)) => ParameterKind::SignContext,
            Self::HashMlDsa(None) => ParameterKind::HashSignContext,
            Self::Eddsa => ParameterKind::Eddsa,
            Self::RsaPss(_) => ParameterKind::Pss,
            Self::HmacGeneral(_) => ParameterKind::MacLength,
            Self::AesCbc | Self::AesCbcPad => ParameterKind::Iv16,
            Self::AesCtr => ParameterKind::Ctr,
            Self::AesGcm => ParameterKind::Gcm,
            Self::AesKeyWrap => ParameterKind::KeyWrapIv,
            Self::AesKeyWrapPadded => ParameterKind::PaddedKeyWrapIv,
            _ => ParameterKind::None,
        }
    }

    /// The key type of the standard's own for keys of one HMAC, which the mechanism takes besides generic secrets.
    pub(crate) const fn hmac_key_type(self) -> Option<u64> {
        match self {
            Self::Hmac(hash) | Self::HmacGeneral(hash) => match hash {
                Hash::Sha1 => Some(ck::CKK_SHA_1_HMAC),
                Hash::Sha224 => Some(ck::CKK_SHA224_HMAC),
                Hash::Sha256 => Some(ck::CKK_SHA256_HMAC),
                Hash::Sha384 => Some(ck::CKK_SHA384_HMAC),
                Hash::Sha512 => Some(ck::CKK_SHA512_HMAC),
                Hash::Sha3_224 => Some(ck::CKK_SHA3_224_HMAC),
                Hash::Sha3_256 => Some(ck::CKK_SHA3_256_HMAC),
                Hash::Sha3_384 => Some(ck::CKK_SHA3_384_HMAC),
                Hash::Sha3_512 => Some(ck::CKK_SHA3_512_HMAC),
                Hash::Shake128 | Hash::Shake256 => None,
            },
            _ => None,
        }
    }
}
