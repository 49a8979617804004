//! The mechanism table: everything C_GetMechanismList, C_GetMechanismInfo and the dispatch of operations know.

use algorithms::digest::Hash;
use cryptoki_sys as ck;

use super::{ParameterKind, Scheme};

/// One mechanism.
#[derive(Debug, Clone, Copy)]
pub struct Mechanism {
    /// CKM_*.
    pub kind: u64,
    /// The standard's name.
    pub name: &'static str,
    /// What it does; the other fields follow from it.
    pub scheme: Scheme,
    /// CKF_* for C_GetMechanismInfo.
    pub flags: u64,
    /// CKK_* of the keys it works with, CK_UNAVAILABLE_INFORMATION where it works with none.
    pub key_type: u64,
    /// ulMinKeySize and ulMaxKeySize, in the unit the standard gives for the mechanism.
    pub key_size: (u64, u64),
    /// Which parameters it takes.
    pub parameter: ParameterKind,
}

/// The row of a mechanism by its standard name, such as `CKM_ML_DSA`.
pub fn row_named(name: &str) -> Option<&'static Mechanism> {
    MECHANISMS.iter().find(|row| row.name == name)
}

/// The hash function that a digest mechanism computes: how parameters name hash functions.
pub fn hash_of(kind: u64) -> Option<Hash> {
    match row(kind)?.scheme {
        Scheme::Digest(hash) => Some(hash),
        _ => None,
    }
}

const fn mechanism(kind: u64, name: &'static str, scheme: Scheme) -> Mechanism {
    Mechanism {
        kind,
        name,
        scheme,
        flags: scheme.flags(),
        key_type: scheme.key_type(),
        key_size: scheme.key_size(),
        parameter: scheme.parameter(),
    }
}

macro_rules! mechanisms {
    ($($name:ident $scheme:expr;)*) => {
        /// Every mechanism of the module, in ascending order of number.
        pub static MECHANISMS: &[Mechanism] = &[$(mechanism(ck::$name, stringify!($name), $scheme),)*];

        #[expect(non_camel_case_types, reason = "the names are the standard's")]
        enum Position { $($name,)* }

        /// The row of a mechanism.
        pub fn row(kind: u64) -> Option<&'static Mechanism> {
            // Every signature asks, and a search of the table takes longer than a match.
            match kind {
                $(ck::$name => Some(&MECHANISMS[Position::$name as usize]),)*
                _ => None,
            }
        }
    };
}

use Hash::{
    Sha1, Sha3_224, Sha3_256, Sha3_384, Sha3_512, Sha224, Sha256, Sha384, Sha512, Shake128, Shake256,
};
use Scheme::{Digest, Ecdsa, HashMlDsa, Hmac, HmacGeneral, RsaPkcs, RsaPss};

#[rustfmt::skip]
mechanisms! {
    CKM_RSA_PKCS_KEY_PAIR_GEN       Scheme::GenerateRsa;
    CKM_RSA_PKCS                    RsaPkcs(None);
    CKM_SHA1_RSA_PKCS               RsaPkcs(Some(Sha1));
    CKM_RSA_PKCS_PSS                RsaPss(None);
    CKM_SHA1_RSA_PKCS_PSS           RsaPss(Some(Sha1));
    CKM_ML_DSA_KEY_PAIR_GEN         Scheme::GenerateMlDsa;
    CKM_ML_DSA                      Scheme::MlDsa;
    CKM_HASH_ML_DSA                 HashMlDsa(None);
    CKM_HASH_ML_DSA_SHA224          HashMlDsa(Some(Sha224));
    CKM_HASH_ML_DSA_SHA256          HashMlDsa(Some(Sha256));
    CKM_HASH_ML_DSA_SHA384          HashMlDsa(Some(Sha384));
    CKM_HASH_ML_DSA_SHA512          HashMlDsa(Some(Sha512));
    CKM_HASH_ML_DSA_SHA3_224        HashMlDsa(Some(Sha3_224));
    CKM_HASH_ML_DSA_SHA3_256        HashMlDsa(Some(Sha3_256));
    CKM_HASH_ML_DSA_SHA3_384        HashMlDsa(Some(Sha3_384));
    CKM_HASH_ML_DSA_SHA3_512        HashMlDsa(Some(Sha3_512));
    CKM_HASH_ML_DSA_SHAKE128        HashMlDsa(Some(Shake128));
    CKM_HASH_ML_DSA_SHAKE256        HashMlDsa(Some(Shake256));
    CKM_SHA256_RSA_PKCS             RsaPkcs(Some(Sha256));
    CKM_SHA384_RSA_PKCS             RsaPkcs(Some(Sha384));
    CKM_SHA512_RSA_PKCS             RsaPkcs(Some(Sha512));
    CKM_SHA256_RSA_PKCS_PSS         RsaPss(Some(Sha256));
    CKM_SHA384_RSA_PKCS_PSS         RsaPss(Some(Sha384));
    CKM_SHA512_RSA_PKCS_PSS         RsaPss(Some(Sha512));
    CKM_SHA224_RSA_PKCS             RsaPkcs(Some(Sha224));
    CKM_SHA224_RSA_PKCS_PSS         RsaPss(Some(Sha224));
    CKM_SHA3_256_RSA_PKCS           RsaPkcs(Some(Sha3_256));
    CKM_SHA3_384_RSA_PKCS           RsaPkcs(Some(Sha3_384));
    CKM_SHA3_512_RSA_PKCS           RsaPkcs(Some(Sha3_512));
    CKM_SHA3_256_RSA_PKCS_PSS       RsaPss(Some(Sha3_256));
    CKM_SHA3_384_RSA_PKCS_PSS       RsaPss(Some(Sha3_384));
    CKM_SHA3_512_RSA_PKCS_PSS       RsaPss(Some(Sha3_512));
    CKM_SHA3_224_RSA_PKCS           RsaPkcs(Some(Sha3_224));
    CKM_SHA3_224_RSA_PKCS_PSS       RsaPss(Some(Sha3_224));
    CKM_SHA_1                       Digest(Sha1);
    CKM_SHA_1_HMAC                  Hmac(Sha1);
    CKM_SHA_1_HMAC_GENERAL          HmacGeneral(Sha1);
    CKM_SHA256                      Digest(Sha256);
    CKM_SHA256_HMAC                 Hmac(Sha256);
    CKM_SHA256_HMAC_GENERAL         HmacGeneral(Sha256);
    CKM_SHA224                      Digest(Sha224);
    CKM_SHA224_HMAC                 Hmac(Sha224);
    CKM_SHA224_HMAC_GENERAL         HmacGeneral(Sha224);
    CKM_SHA384                      Digest(Sha384);
    CKM_SHA384_HMAC                 Hmac(Sha384);
    CKM_SHA384_HMAC_GENERAL         HmacGeneral(Sha384);
    CKM_SHA512                      Digest(Sha512);
    CKM_SHA512_HMAC                 Hmac(Sha512);
    CKM_SHA512_HMAC_GENERAL         HmacGeneral(Sha512);
    CKM_SHA3_256                    Digest(Sha3_256);
    CKM_SHA3_256_HMAC               Hmac(Sha3_256);
    CKM_SHA3_256_HMAC_GENERAL       HmacGeneral(Sha3_256);
    CKM_SHA3_224                    Digest(Sha3_224);
    CKM_SHA3_224_HMAC               Hmac(Sha3_224);
    CKM_SHA3_224_HMAC_GENERAL       HmacGeneral(Sha3_224);
    CKM_SHA3_384                    Digest(Sha3_384);
    CKM_SHA3_384_HMAC               Hmac(Sha3_384);
    CKM_SHA3_384_HMAC_GENERAL       HmacGeneral(Sha3_384);
    CKM_SHA3_512                    Digest(Sha3_512);
    CKM_SHA3_512_HMAC               Hmac(Sha3_512);
    CKM_SHA3_512_HMAC_GENERAL       HmacGeneral(Sha3_512);
    CKM_GENERIC_SECRET_KEY_GEN      Scheme::GenerateGenericSecret;
    CKM_EC_KEY_PAIR_GEN             Scheme::GenerateEc;
    CKM_ECDSA                       Ecdsa(None);
    CKM_ECDSA_SHA1                  Ecdsa(Some(Sha1));
    CKM_ECDSA_SHA224                Ecdsa(Some(Sha224));
    CKM_ECDSA_SHA256                Ecdsa(Some(Sha256));
    CKM_ECDSA_SHA384                Ecdsa(Some(Sha384));
    CKM_ECDSA_SHA512                Ecdsa(Some(Sha512));
    CKM_ECDSA_SHA3_224              Ecdsa(Some(Sha3_224));
    CKM_ECDSA_SHA3_256              Ecdsa(Some(Sha3_256));
    CKM_ECDSA_SHA3_384              Ecdsa(Some(Sha3_384));
    CKM_ECDSA_SHA3_512              Ecdsa(Some(Sha3_512));
    CKM_EC_EDWARDS_KEY_PAIR_GEN     Scheme::GenerateEdwards;
    CKM_EDDSA                       Scheme::Eddsa;
    CKM_AES_KEY_GEN                 Scheme::GenerateAes;
    CKM_AES_CBC                     Scheme::AesCbc;
    CKM_AES_CBC_PAD                 Scheme::AesCbcPad;
    CKM_AES_CTR                     Scheme::AesCtr;
    CKM_AES_GCM                     Scheme::AesGcm;
    CKM_AES_KEY_WRAP                Scheme::AesKeyWrap;
    CKM_AES_KEY_WRAP_KWP            Scheme::AesKeyWrapPadded;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_ascend_and_each_is_found_by_number_and_name() {
        assert!(MECHANISMS.windows(2).all(|pair| pair[0].kind < pair[1].kind));
        for mechanism in MECHANISMS {
            assert_eq!(row(mechanism.kind).unwrap().name, mechanism.name);
            assert_eq!(row_named(mechanism.name).unwrap().kind, mechanism.kind);
        }
        assert!(row(ck::CKM_MD5).is_none());
        assert!(row(ck::CKM_VENDOR_DEFINED).is_none());
    }

    #[test]
    fn numbers_and_flags_of_well_known_mechanisms_are_those_of_the_header() {
        let info = |kind| {
            let row = row(kind).unwrap();
            (row.flags, row.key_size)
        };
        let sign = ck::CKF_SIGN | ck::CKF_VERIFY | ck::CKF_MESSAGE_SIGN | ck::CKF_MESSAGE_VERIFY;
        assert_eq!(row(0x1d).unwrap().name, "CKM_ML_DSA");
        assert_eq!(info(ck::CKM_ML_DSA), (sign | ck::CKF_MULTI_MESSAGE, (1312, 2592)));
        assert_eq!(info(ck::CKM_HASH_ML_DSA).0, sign);
        assert_eq!(info(ck::CKM_ECDSA).0 & ck::CKF_MULTI_MESSAGE, 0);
        assert_ne!(info(ck::CKM_ECDSA_SHA256).0 & ck::CKF_EC_F_P, 0);
        assert_eq!(info(ck::CKM_EDDSA).1, (255, 255));
        assert_eq!(info(ck::CKM_RSA_PKCS_KEY_PAIR_GEN), (ck::CKF_GENERATE_KEY_PAIR, (2048, 4096)));
        assert_eq!(info(ck::CKM_SHA256), (ck::CKF_DIGEST, (0, 0)));
        assert_eq!(info(ck::CKM_AES_GCM).1, (16, 32));
        for verify_only in [ck::CKM_SHA1_RSA_PKCS, ck::CKM_SHA1_RSA_PKCS_PSS, ck::CKM_ECDSA_SHA1] {
            assert_eq!(info(verify_only).0 & (ck::CKF_SIGN | ck::CKF_MESSAGE_SIGN), 0);
            assert_ne!(info(verify_only).0 & ck::CKF_VERIFY, 0);
        }
    }

    #[test]
    fn parameters_name_hash_functions_by_digest_mechanisms_only() {
        assert_eq!(hash_of(ck::CKM_SHA512), Some(Sha512));
        assert_eq!(hash_of(ck::CKM_SHA512_HMAC), None);
        assert_eq!(hash_of(ck::CKM_MD5), None);
    }
}
