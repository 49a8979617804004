//! The bare algorithm: AWS-LC through its own Rust crate, with no PKCS#11 in between.

use std::error::Error;

use aws_lc_rs::signature::{
    ED25519, Ed25519KeyPair, KeyPair, ML_DSA_44, ML_DSA_44_SIGNING, ML_DSA_65, ML_DSA_65_SIGNING, ML_DSA_87,
    ML_DSA_87_SIGNING, PqdsaKeyPair, PqdsaSigningAlgorithm, PqdsaVerificationAlgorithm, UnparsedPublicKey,
};

use crate::{
    measure::{Done, Operation},
    rows::Algorithm,
};

/// Signing `message` with a fresh key.
pub(crate) fn sign<'a>(algorithm: Algorithm, message: &'a [u8]) -> Result<Operation<'a>, Box<dyn Error>> {
    Ok(match ml_dsa(algorithm) {
        Some((signing, _)) => {
            let key = PqdsaKeyPair::generate(signing)?;
            let mut signature = vec![0; signing.signature_len()];
            Box::new(move || {
                key.sign(message, &mut signature)?;
                Ok(Done::ONE)
            })
        }
        None => {
            let key = Ed25519KeyPair::generate()?;
            Box::new(move || {
                std::hint::black_box(key.sign(message));
                Ok(Done::ONE)
            })
        }
    })
}

/// Verifying a signature over `message`; the public key is parsed once.
pub(crate) fn verify<'a>(algorithm: Algorithm, message: &'a [u8]) -> Result<Operation<'a>, Box<dyn Error>> {
    Ok(match ml_dsa(algorithm) {
        Some((signing, verifying)) => {
            let key = PqdsaKeyPair::generate(signing)?;
            let mut signature = vec![0; signing.signature_len()];
            key.sign(message, &mut signature)?;
            let public = UnparsedPublicKey::new(verifying, key.public_key().as_ref().to_vec());
            let public = public.parse()?;
            Box::new(move || {
                public.verify_sig(message, &signature)?;
                Ok(Done::ONE)
            })
        }
        None => {
            let key = Ed25519KeyPair::generate()?;
            let signature = key.sign(message);
            let public = UnparsedPublicKey::new(&ED25519, key.public_key().as_ref().to_vec());
            let public = public.parse()?;
            Box::new(move || {
                public.verify_sig(message, signature.as_ref())?;
                Ok(Done::ONE)
            })
        }
    })
}

/// Generating a key pair.
pub(crate) fn generate<'a>(algorithm: Algorithm) -> Operation<'a> {
    match ml_dsa(algorithm) {
        Some((signing, _)) => Box::new(move || {
            std::hint::black_box(PqdsaKeyPair::generate(signing)?);
            Ok(Done::ONE)
        }),
        None => Box::new(|| {
            std::hint::black_box(Ed25519KeyPair::generate()?);
            Ok(Done::ONE)
        }),
    }
}

fn ml_dsa(
    algorithm: Algorithm,
) -> Option<(&'static PqdsaSigningAlgorithm, &'static PqdsaVerificationAlgorithm)> {
    match algorithm {
        Algorithm::MlDsa44 => Some((&ML_DSA_44_SIGNING, &ML_DSA_44)),
        Algorithm::MlDsa65 => Some((&ML_DSA_65_SIGNING, &ML_DSA_65)),
        Algorithm::MlDsa87 => Some((&ML_DSA_87_SIGNING, &ML_DSA_87)),
        Algorithm::Ed25519 => None,
    }
}
