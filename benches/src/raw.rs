//! The bare algorithm: AWS-LC through its own Rust crate, with no PKCS#11 in between.

use aws_lc_rs::{
    digest::{Digest, SHA256},
    rand::SystemRandom,
    rsa::{KeySize, PublicKey as RsaPublicKey},
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
        KeyPair, ML_DSA_44, ML_DSA_44_SIGNING, ML_DSA_65, ML_DSA_65_SIGNING, ML_DSA_87, ML_DSA_87_SIGNING,
        ParsedPublicKey, PqdsaKeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
        UnparsedPublicKey, VerificationAlgorithm,
    },
};

use crate::{algorithm::Algorithm, measure::Result};

/// A private key of the engine's own.
pub(crate) enum RawKey {
    MlDsa(PqdsaKeyPair, &'static dyn VerificationAlgorithm),
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl RawKey {
    /// A new key; `None` for what the engine does not have.
    pub(crate) fn generate(algorithm: Algorithm) -> Result<Option<Self>> {
        Ok(Some(match algorithm {
            Algorithm::MlDsa44 => Self::MlDsa(PqdsaKeyPair::generate(&ML_DSA_44_SIGNING)?, &ML_DSA_44),
            Algorithm::MlDsa65 => Self::MlDsa(PqdsaKeyPair::generate(&ML_DSA_65_SIGNING)?, &ML_DSA_65),
            Algorithm::MlDsa87 => Self::MlDsa(PqdsaKeyPair::generate(&ML_DSA_87_SIGNING)?, &ML_DSA_87),
            Algorithm::HashMlDsa65 => return Ok(None),
            Algorithm::Ed25519 => Self::Ed25519(Ed25519KeyPair::generate()?),
            Algorithm::P256 => Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?),
            Algorithm::Rsa2048 => Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048)?),
        }))
    }

    /// The signature. For P-256 the message is the digest.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        Ok(match self {
            Self::MlDsa(key, _) => {
                let mut signature = vec![0; key.algorithm().signature_len()];
                key.sign(message, &mut signature)?;
                signature
            }
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Self::P256(key) => key.sign_digest(&imported(message)?)?.as_ref().to_vec(),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)?;
                signature
            }
        })
    }

    /// The public key, parsed once.
    pub(crate) fn public_key(&self) -> Result<RawPublicKey> {
        let parse = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key.to_vec()).parse()
        };
        Ok(match self {
            Self::MlDsa(key, algorithm) => {
                RawPublicKey::Message(parse(*algorithm, key.public_key().as_ref())?)
            }
            Self::Ed25519(key) => RawPublicKey::Message(parse(&ED25519, key.public_key().as_ref())?),
            Self::P256(key) => {
                RawPublicKey::Digest(parse(&ECDSA_P256_SHA256_FIXED, key.public_key().as_ref())?)
            }
            Self::Rsa(key) => {
                let key: &RsaPublicKey = key.public_key();
                RawPublicKey::Message(parse(&RSA_PKCS1_2048_8192_SHA256, key.as_ref())?)
            }
        })
    }
}

/// A public key of the engine's own.
pub(crate) enum RawPublicKey {
    Message(ParsedPublicKey),
    Digest(ParsedPublicKey),
}

impl RawPublicKey {
    /// An error when the signature is not good.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<()> {
        match self {
            Self::Message(key) => key.verify_sig(message, signature)?,
            Self::Digest(key) => key.verify_digest_sig(&imported(message)?, signature)?,
        }
        Ok(())
    }
}

fn imported(digest: &[u8]) -> Result<Digest> {
    Ok(Digest::import_less_safe(digest, &SHA256)?)
}
