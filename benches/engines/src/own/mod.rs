//! An engine of our own: what depends on the key alone is kept expanded, and one text is compiled for no vectors, for
//! AVX2 and for AVX-512. A file for each subject of FIPS 204; unsafe code is in `simd` and `dispatch`.
//!
//! A prototype. It was not reviewed, and nobody has looked at what its compiled code does in time.

mod dispatch;
mod encode;
mod keccak;
mod key;
mod ntt;
mod params;
mod poly;
mod sampling;
mod sign;
mod simd;
mod verify;

use std::fmt;

use algorithms::{
    Error, SecretBytes,
    ml_dsa::{Engine, Hedging, ParameterSet},
    random,
};

pub use dispatch::Level;
use params::{MlDsa44, MlDsa65, MlDsa87};

/// The engine for a [`Level`], by its number, which keeps the matrix of each key or does not.
pub struct Own<const LEVEL: usize, const KEEP_MATRIX: bool>;

const LEVELS: [Level; 3] = [Level::Portable, Level::Avx2, Level::Avx512];

/// A prepared key; `Debug` prints nothing of it.
pub struct Prepared<K>(K);

impl<K> fmt::Debug for Prepared<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prepared")
    }
}

macro_rules! for_set {
    ($set:expr, $function:ident($($argument:expr),*)) => {
        match $set {
            ParameterSet::MlDsa44 => dispatch::$function::<MlDsa44>($($argument),*),
            ParameterSet::MlDsa65 => dispatch::$function::<MlDsa65>($($argument),*),
            ParameterSet::MlDsa87 => dispatch::$function::<MlDsa87>($($argument),*),
        }
    };
}

impl<const LEVEL: usize, const KEEP_MATRIX: bool> Engine for Own<LEVEL, KEEP_MATRIX> {
    type PreparedKey = Prepared<key::PrivateKey>;
    type PreparedPublic = Prepared<key::PublicKey>;

    fn prepare(set: ParameterSet, seed: &SecretBytes) -> Result<Self::PreparedKey, Error> {
        Ok(Prepared(for_set!(set, private(LEVELS[LEVEL], seed, KEEP_MATRIX))))
    }

    fn sign_mu(
        set: ParameterSet,
        key: &Self::PreparedKey,
        mu: &[u8; 64],
        hedging: Hedging,
        out: &mut [u8],
    ) -> Result<(), Error> {
        let mut rnd = [0; 32];
        if hedging == Hedging::Hedged {
            rnd.copy_from_slice(random::secret(32)?.expose());
        }
        out.copy_from_slice(&for_set!(set, sign(LEVELS[LEVEL], &key.0, mu, &rnd))?);
        Ok(())
    }

    fn prepare_public(set: ParameterSet, encoded: &[u8]) -> Result<Self::PreparedPublic, Error> {
        for_set!(set, public(LEVELS[LEVEL], encoded, KEEP_MATRIX)).map(Prepared)
    }

    fn verify_mu(
        set: ParameterSet,
        key: &Self::PreparedPublic,
        mu: &[u8; 64],
        signature: &[u8],
    ) -> Result<(), Error> {
        let good = for_set!(set, verify(LEVELS[LEVEL], &key.0, mu, signature));
        good.then_some(()).ok_or(Error::SignatureInvalid)
    }
}
