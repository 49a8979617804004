//! The deterministic variant (FIPS 204 section 3.4), which AWS-LC does not have: `fips204` signs messages and digests,
//! and `ml-dsa` signs mu, because `fips204` does not take it.

use zeroize::Zeroizing;

use super::{Input, ParameterSet};
use crate::{Error, SecretBytes};

/// rnd of the deterministic variant.
const RND: [u8; 32] = [0; 32];

/// Signs a message or a digest with an expanded key; mu needs [`sign_mu`].
pub(super) fn sign(set: ParameterSet, expanded: &SecretBytes, input: Input<'_>) -> Result<Vec<u8>, Error> {
    wiping_the_stack(|| match set {
        ParameterSet::MlDsa44 => set_44::sign(expanded, input),
        ParameterSet::MlDsa65 => set_65::sign(expanded, input),
        ParameterSet::MlDsa87 => set_87::sign(expanded, input),
    })
}

/// Verifies with `fips204`: the second opinion of the self-test.
pub(super) fn verify(
    set: ParameterSet,
    public: &[u8],
    input: Input<'_>,
    signature: &[u8],
) -> Result<(), Error> {
    match set {
        ParameterSet::MlDsa44 => set_44::verify(public, input, signature),
        ParameterSet::MlDsa65 => set_65::verify(public, input, signature),
        ParameterSet::MlDsa87 => set_87::verify(public, input, signature),
    }
}

/// Signs mu with a key of known seed.
pub(super) fn sign_mu(set: ParameterSet, seed: &SecretBytes, mu: &[u8; 64]) -> Result<Vec<u8>, Error> {
    wiping_the_stack(|| match set {
        ParameterSet::MlDsa44 => sign_mu_with::<ml_dsa::MlDsa44>(seed, mu),
        ParameterSet::MlDsa65 => sign_mu_with::<ml_dsa::MlDsa65>(seed, mu),
        ParameterSet::MlDsa87 => sign_mu_with::<ml_dsa::MlDsa87>(seed, mu),
    })
}

/// `fips204` has a module of types for each parameter set. Nothing is inlined, so that a caller who signs hedged does
/// not pay for the stack that these need.
macro_rules! for_set {
    ($module:ident, $engine:ident) => {
        mod $module {
            use fips204::{
                traits::{SerDes, Signer, Verifier},
                $engine::{PrivateKey, PublicKey},
            };
            use zeroize::Zeroizing;

            use super::{Error, Input, RND, SecretBytes};

            #[inline(never)]
            pub(super) fn sign(expanded: &SecretBytes, input: Input<'_>) -> Result<Vec<u8>, Error> {
                let bytes = Zeroizing::new(expanded.expose().try_into().map_err(|_| Error::KeyInvalid)?);
                let key = PrivateKey::try_from_bytes(*bytes).map_err(|_| Error::KeyInvalid)?;
                let signature = match input {
                    Input::Message { context, message } => key.try_sign_with_seed(&RND, message, context),
                    Input::Hash { context, hash, digest } => {
                        key.try_hash_sign_with_seed(&RND, digest, context, hash.oid_der())
                    }
                    Input::Mu(_) => return Err(Error::ParameterInvalid),
                };
                Ok(signature.map_err(|_| Error::EngineFailed)?.to_vec())
            }

            #[inline(never)]
            pub(super) fn verify(public: &[u8], input: Input<'_>, signature: &[u8]) -> Result<(), Error> {
                let public = public.try_into().map_err(|_| Error::KeyInvalid)?;
                let public = PublicKey::try_from_bytes(public).map_err(|_| Error::KeyInvalid)?;
                let signature = signature.try_into().map_err(|_| Error::SignatureLength)?;
                let good = match input {
                    Input::Message { context, message } => public.verify(message, &signature, context),
                    Input::Hash { context, hash, digest } => {
                        public.hash_verify(digest, &signature, context, hash.oid_der())
                    }
                    Input::Mu(_) => return Err(Error::ParameterInvalid),
                };
                good.then_some(()).ok_or(Error::SignatureInvalid)
            }
        }
    };
}

for_set!(set_44, ml_dsa_44);
for_set!(set_65, ml_dsa_65);
for_set!(set_87, ml_dsa_87);

#[inline(never)]
fn sign_mu_with<P: ml_dsa::MlDsaParams>(seed: &SecretBytes, mu: &[u8; 64]) -> Result<Vec<u8>, Error> {
    let seed = Zeroizing::new(ml_dsa::Seed::try_from(seed.expose()).map_err(|_| Error::KeyInvalid)?);
    let key = ml_dsa::ExpandedSigningKey::<P>::from_seed(&seed);
    Ok(key.sign_mu_deterministic(&(*mu).into()).encode().to_vec())
}

/// Both crates pass keys by value, which leaves copies in dead stack frames; this overwrites the frames afterwards.
fn wiping_the_stack<T>(run: impl FnOnce() -> T) -> T {
    #[inline(never)]
    fn wipe() {
        let mut frames = [0_u8; SIGNING_STACK];
        std::hint::black_box(&mut frames);
    }
    let result = run();
    wipe();
    result
}

/// No more than signing with ML-DSA-44 takes, so that what could sign can wipe; unoptimised code takes more.
const SIGNING_STACK: usize = if cfg!(debug_assertions) { 512 << 10 } else { 128 << 10 };
