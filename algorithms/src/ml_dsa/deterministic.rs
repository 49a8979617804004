//! The deterministic variant (FIPS 204 section 3.4), which AWS-LC does not have: `fips204` signs messages and digests,
//! and `ml-dsa` signs mu, because `fips204` does not take it.
//!
//! Both sign with expanded keys, of 12 to 24 KB and of 40 to 103 KB. The process keeps those that were used last
//! ([`MOST_KEPT`]), their secrets in key memory, for as long as the key itself is there.

use std::{
    cell::Cell,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use zeroize::Zeroizing;

use super::{Input, ParameterSet};
use crate::{Error, Recent, SecretBytes, memory::Held};

/// rnd of the deterministic variant.
const RND: [u8; 32] = [0; 32];

/// How many expanded keys there are at most.
pub(super) const MOST_KEPT: usize = 32;

type Kept = Recent<(u64, Takes), Arc<dyn Expanded>>;

static KEPT: Mutex<Kept> = Mutex::new(Recent::new(MOST_KEPT));
static NEXT_NAME: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// What this thread holds while it forks.
    static HELD: Cell<Option<MutexGuard<'static, Kept>>> = const { Cell::new(None) };
}

fn kept() -> MutexGuard<'static, Kept> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Before fork(2): nobody else is at the list meanwhile.
pub(crate) fn fork_prepare() {
    HELD.set(Some(kept()));
}

/// After fork(2), in parent and child.
pub(crate) fn fork_over() {
    HELD.take();
}

/// What an expanded key can sign.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Message,
    Mu,
}

/// An expanded key of one of the engines.
trait Expanded: Send + Sync {
    fn sign(&self, input: Input<'_>) -> Result<Vec<u8>, Error>;
}

/// The expanded keys of one private key: nothing until it is used. They go when it does.
#[derive(Default)]
pub(super) struct Deterministic {
    name: OnceLock<u64>,
}

impl Deterministic {
    /// Signs a message or a digest. `expanded` gives skEncode's bytes.
    pub(super) fn sign(
        &self,
        set: ParameterSet,
        expanded: impl FnOnce() -> Result<SecretBytes, Error>,
        input: Input<'_>,
    ) -> Result<Vec<u8>, Error> {
        wiping_the_stack(|| {
            let key = self.expanded(Takes::Message, || match set {
                ParameterSet::MlDsa44 => set_44::expand(&expanded()?),
                ParameterSet::MlDsa65 => set_65::expand(&expanded()?),
                ParameterSet::MlDsa87 => set_87::expand(&expanded()?),
            })?;
            key.sign(input)
        })
    }

    /// Signs mu with a key of known seed.
    pub(super) fn sign_mu(
        &self,
        set: ParameterSet,
        seed: &SecretBytes,
        mu: &[u8; 64],
    ) -> Result<Vec<u8>, Error> {
        wiping_the_stack(|| {
            let key = self.expanded(Takes::Mu, || match set {
                ParameterSet::MlDsa44 => expand_for_mu::<ml_dsa::MlDsa44>(seed),
                ParameterSet::MlDsa65 => expand_for_mu::<ml_dsa::MlDsa65>(seed),
                ParameterSet::MlDsa87 => expand_for_mu::<ml_dsa::MlDsa87>(seed),
            })?;
            key.sign(Input::Mu(mu))
        })
    }

    /// The expanded key, made at its first use and when it was thrown out since.
    fn expanded(
        &self,
        takes: Takes,
        make: impl FnOnce() -> Result<Arc<dyn Expanded>, Error>,
    ) -> Result<Arc<dyn Expanded>, Error> {
        let name = (*self.name.get_or_init(|| NEXT_NAME.fetch_add(1, Relaxed)), takes);
        if let Some(key) = kept().get(&name) {
            return Ok(key.clone());
        }
        let key = make()?;
        kept().put(name, key.clone());
        Ok(key)
    }
}

impl Drop for Deterministic {
    fn drop(&mut self) {
        if let Some(&own) = self.name.get() {
            kept().retain(|(name, _)| *name != own);
        }
    }
}

impl fmt::Debug for Deterministic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deterministic")
    }
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

/// `fips204` has a module of types for each parameter set. Nothing is inlined, so that a caller who signs hedged does
/// not pay for the stack that these need.
macro_rules! for_set {
    ($module:ident, $engine:ident) => {
        mod $module {
            use std::sync::Arc;

            use fips204::{
                traits::{SerDes, Signer, Verifier},
                $engine::{PrivateKey, PublicKey},
            };
            use zeroize::Zeroizing;

            use super::{Error, Expanded, Held, Input, RND, SecretBytes};

            #[inline(never)]
            pub(super) fn expand(encoded: &SecretBytes) -> Result<Arc<dyn Expanded>, Error> {
                let bytes = Zeroizing::new(encoded.expose().try_into().map_err(|_| Error::KeyInvalid)?);
                let key = PrivateKey::try_from_bytes(*bytes).map_err(|_| Error::KeyInvalid)?;
                Ok(Arc::new(Held::new(key)))
            }

            impl Expanded for Held<PrivateKey> {
                #[inline(never)]
                fn sign(&self, input: Input<'_>) -> Result<Vec<u8>, Error> {
                    let signature = match input {
                        Input::Message { context, message } => {
                            self.try_sign_with_seed(&RND, message, context)
                        }
                        Input::Hash { context, hash, digest } => {
                            self.try_hash_sign_with_seed(&RND, digest, context, hash.oid_der())
                        }
                        Input::Mu(_) => return Err(Error::ParameterInvalid),
                    };
                    Ok(signature.map_err(|_| Error::EngineFailed)?.to_vec())
                }
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
fn expand_for_mu<P: ml_dsa::MlDsaParams + 'static>(seed: &SecretBytes) -> Result<Arc<dyn Expanded>, Error> {
    let seed = Zeroizing::new(ml_dsa::Seed::try_from(seed.expose()).map_err(|_| Error::KeyInvalid)?);
    Ok(Arc::new(ForMu(Held::new(ml_dsa::ExpandedSigningKey::<P>::from_seed(&seed)))))
}

struct ForMu<P: ml_dsa::MlDsaParams>(Held<ml_dsa::ExpandedSigningKey<P>>);

impl<P: ml_dsa::MlDsaParams> Expanded for ForMu<P>
where
    ml_dsa::ExpandedSigningKey<P>: Send + Sync,
{
    #[inline(never)]
    fn sign(&self, input: Input<'_>) -> Result<Vec<u8>, Error> {
        let Input::Mu(mu) = input else { return Err(Error::ParameterInvalid) };
        Ok(self.0.sign_mu_deterministic(&(*mu).into()).encode().to_vec())
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ml_dsa::{Hedging, PrivateKey};

    /// Whether a key's expanded form is kept: making it again would fail.
    fn is_kept(key: &PrivateKey, takes: Takes) -> bool {
        key.deterministic.expanded(takes, || Err(Error::EngineFailed)).is_ok()
    }

    #[test]
    fn a_key_is_expanded_once_while_it_is_among_those_used_last() {
        let keys: Vec<_> =
            (0..=MOST_KEPT).map(|_| PrivateKey::generate(ParameterSet::MlDsa44).unwrap()).collect();
        let message = Input::Message { context: &[], message: b"m" };
        let first = &keys[0];
        for (input, takes) in [(message, Takes::Message), (Input::Mu(&[5; 64]), Takes::Mu)] {
            assert!(!is_kept(first, takes));
            let signature = first.sign(input, Hedging::Deterministic).unwrap();
            assert!(is_kept(first, takes));
            assert_eq!(first.sign(input, Hedging::Deterministic).unwrap(), signature);
            for other in &keys[1..] {
                other.sign(input, Hedging::Deterministic).unwrap();
            }
            assert!(!is_kept(first, takes), "the bound is {MOST_KEPT}");
            assert_eq!(first.sign(input, Hedging::Deterministic).unwrap(), signature);
        }
        let name = *first.deterministic.name.get().unwrap();
        assert!(kept().get(&(name, Takes::Mu)).is_some());
        drop(keys);
        assert!(kept().get(&(name, Takes::Mu)).is_none(), "it goes with its key");
    }
}
