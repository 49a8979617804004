//! The seam at which a faster ML-DSA can be put in: what depends on the key alone is prepared once, then mu goes in and
//! a signature comes out.

use std::fmt::Debug;

use super::{Hedging, ParameterSet};
use crate::{Error, SecretBytes, engine::aws_lc::modern::Pkey};

/// An implementation of ML-DSA.
pub trait Engine {
    /// A private key, ready to sign in several threads at once. Dropping it wipes it.
    type PreparedKey: Debug + Send + Sync;
    /// A public key, ready to verify in several threads at once.
    type PreparedPublic: Debug + Send + Sync;

    /// Takes a 32-byte seed.
    fn prepare(set: ParameterSet, seed: &SecretBytes) -> Result<Self::PreparedKey, Error>;
    /// Signs, into a buffer as long as a signature; [`Error::ParameterInvalid`] where the engine cannot hedge, or cannot but.
    fn sign_mu(
        set: ParameterSet,
        key: &Self::PreparedKey,
        mu: &[u8; 64],
        hedging: Hedging,
        out: &mut [u8],
    ) -> Result<(), Error>;
    /// Takes an encoded public key of the right length.
    fn prepare_public(set: ParameterSet, encoded: &[u8]) -> Result<Self::PreparedPublic, Error>;
    /// Verifies a signature of the right length.
    fn verify_mu(
        set: ParameterSet,
        key: &Self::PreparedPublic,
        mu: &[u8; 64],
        signature: &[u8],
    ) -> Result<(), Error>;
}

/// AWS-LC, whose code for this is mldsa-native. It keeps keys encoded, and expands them for each signature.
#[derive(Debug)]
pub struct AwsLc;

impl Engine for AwsLc {
    type PreparedKey = AwsLcKey;
    type PreparedPublic = AwsLcKey;

    fn prepare(set: ParameterSet, seed: &SecretBytes) -> Result<AwsLcKey, Error> {
        Pkey::ml_dsa_private(set, seed.expose()).map(AwsLcKey)
    }

    /// Hedged only.
    fn sign_mu(
        _set: ParameterSet,
        key: &AwsLcKey,
        mu: &[u8; 64],
        hedging: Hedging,
        out: &mut [u8],
    ) -> Result<(), Error> {
        if hedging != Hedging::Hedged {
            return Err(Error::ParameterInvalid);
        }
        key.0.sign_mu(mu, out)
    }

    fn prepare_public(set: ParameterSet, encoded: &[u8]) -> Result<AwsLcKey, Error> {
        Pkey::ml_dsa_public(set, encoded).map(AwsLcKey)
    }

    fn verify_mu(_set: ParameterSet, key: &AwsLcKey, mu: &[u8; 64], signature: &[u8]) -> Result<(), Error> {
        key.0.verify_mu(mu, signature)
    }
}

/// A key as AWS-LC holds it, in [`crate::memory`].
#[derive(Debug)]
pub struct AwsLcKey(Pkey);

impl AwsLcKey {
    /// Takes an expanded key; [`Error::KeyInvalid`] unless every part agrees with the others.
    pub(super) fn from_expanded(set: ParameterSet, expanded: &SecretBytes) -> Result<Self, Error> {
        Pkey::ml_dsa_private(set, expanded.expose()).map(Self)
    }

    /// The expanded private key.
    pub(super) fn expanded(&self, set: ParameterSet) -> Result<SecretBytes, Error> {
        SecretBytes::filled(set.private_key_len(), |out| self.0.raw_private(out))
    }

    /// The encoded public key that belongs to a private one.
    pub(super) fn public(&self, set: ParameterSet) -> Result<Vec<u8>, Error> {
        let mut out = vec![0; set.public_key_len()];
        self.0.raw_public(&mut out)?;
        Ok(out)
    }
}
