//! The seam at which a faster ML-DSA can be put in: mu goes in, a signature comes out.

use std::fmt::Debug;

use super::ParameterSet;
use crate::{Error, SecretBytes, engine::aws_lc::modern::Pkey};

/// An implementation of ML-DSA.
pub(super) trait Engine {
    /// A private key, ready to sign in several threads at once.
    type PreparedKey: Debug + Send + Sync;
    /// A public key, ready to verify in several threads at once.
    type PreparedPublic: Debug + Send + Sync;

    /// Takes a 32-byte seed or an expanded key; [`Error::KeyInvalid`] unless every part of the latter agrees.
    fn prepare(set: ParameterSet, secret: &SecretBytes) -> Result<Self::PreparedKey, Error>;
    /// The expanded private key.
    fn expanded(set: ParameterSet, key: &Self::PreparedKey) -> Result<SecretBytes, Error>;
    /// The encoded public key that belongs to a private one.
    fn public_of(set: ParameterSet, key: &Self::PreparedKey) -> Result<Vec<u8>, Error>;
    /// Signs with fresh randomness.
    fn sign_mu(set: ParameterSet, key: &Self::PreparedKey, mu: &[u8; 64]) -> Result<Vec<u8>, Error>;
    /// Takes an encoded public key of the right length.
    fn prepare_public(set: ParameterSet, encoded: &[u8]) -> Result<Self::PreparedPublic, Error>;
    /// Verifies a signature of the right length.
    fn verify_mu(key: &Self::PreparedPublic, mu: &[u8; 64], signature: &[u8]) -> Result<(), Error>;
}

/// AWS-LC, whose code for this is mldsa-native.
#[derive(Debug)]
pub(super) struct AwsLc;

impl Engine for AwsLc {
    type PreparedKey = Pkey;
    type PreparedPublic = Pkey;

    fn prepare(set: ParameterSet, secret: &SecretBytes) -> Result<Pkey, Error> {
        Pkey::ml_dsa_private(set, secret.expose())
    }

    fn expanded(set: ParameterSet, key: &Pkey) -> Result<SecretBytes, Error> {
        SecretBytes::filled(set.private_key_len(), |out| key.raw_private(out))
    }

    fn public_of(set: ParameterSet, key: &Pkey) -> Result<Vec<u8>, Error> {
        let mut out = vec![0; set.public_key_len()];
        key.raw_public(&mut out)?;
        Ok(out)
    }

    fn sign_mu(set: ParameterSet, key: &Pkey, mu: &[u8; 64]) -> Result<Vec<u8>, Error> {
        let mut out = vec![0; set.signature_len()];
        key.sign_mu(mu, &mut out)?;
        Ok(out)
    }

    fn prepare_public(set: ParameterSet, encoded: &[u8]) -> Result<Pkey, Error> {
        Pkey::ml_dsa_public(set, encoded)
    }

    fn verify_mu(key: &Pkey, mu: &[u8; 64], signature: &[u8]) -> Result<(), Error> {
        key.verify_mu(mu, signature)
    }
}
