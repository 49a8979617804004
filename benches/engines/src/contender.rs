//! Who is measured, behind one face: a message goes in, with an empty context and rnd of zeros, and a signature comes
//! out. The message representative is part of the work.

use algorithms::{
    SecretBytes,
    ml_dsa::{self, AwsLc, Engine, Hedging, Mu, ParameterSet},
};

use crate::{
    aws_lc::Deterministic,
    own::{Level, Own},
    registry,
};

/// A pair of keys that one engine has prepared.
pub trait Pair {
    /// Signs; deterministically, where the engine can.
    fn sign(&self, message: &[u8]) -> Vec<u8>;
    /// Whether the signature is good.
    fn verify(&self, message: &[u8], signature: &[u8]) -> bool;
}

/// One line of the table.
pub struct Contender {
    /// What it is.
    pub name: &'static str,
    /// Whether the matrix of a key is kept.
    pub keeps_matrix: bool,
    /// Whether its signatures are the deterministic ones.
    pub is_deterministic: bool,
    /// Prepares the keys of a seed.
    pub prepare: fn(ParameterSet, &SecretBytes) -> Box<dyn Pair>,
}

/// All that this CPU can run; the first is what Trellis has.
pub fn contenders() -> Vec<Contender> {
    let one = |name, keeps_matrix, prepare| Contender { name, keeps_matrix, is_deterministic: true, prepare };
    let mut all = vec![
        Contender { is_deterministic: false, ..one("AWS-LC, hedged", false, over::<AwsLc>) },
        one("AWS-LC, deterministic", false, over::<Deterministic>),
        one("fips204", false, registry::fips204),
        one("ml-dsa", true, registry::ml_dsa),
        one("libcrux-ml-dsa", false, registry::libcrux),
        one("own, portable", false, over::<Own<0, false>>),
        one("own, portable", true, over::<Own<0, true>>),
    ];
    if Level::Avx2.is_available() {
        all.push(one("own, AVX2", false, over::<Own<1, false>>));
        all.push(one("own, AVX2", true, over::<Own<1, true>>));
    }
    if Level::Avx512.is_available() {
        all.push(one("own, AVX-512", false, over::<Own<2, false>>));
        all.push(one("own, AVX-512", true, over::<Own<2, true>>));
    }
    all
}

struct Over<E: Engine> {
    set: ParameterSet,
    tr: [u8; 64],
    private: E::PreparedKey,
    public: E::PreparedPublic,
}

/// A pair of an engine that takes mu.
fn over<E: Engine + 'static>(set: ParameterSet, seed: &SecretBytes) -> Box<dyn Pair> {
    let key = ml_dsa::PrivateKey::from_seed(set, seed).expect("a seed is a key");
    let public = key.public_key();
    Box::new(Over::<E> {
        set,
        tr: *public.tr(),
        private: E::prepare(set, seed).expect("a seed is a key"),
        public: E::prepare_public(set, public.as_bytes()).expect("a key that was made"),
    })
}

impl<E: Engine> Over<E> {
    fn mu(&self, message: &[u8]) -> [u8; 64] {
        let mut mu = Mu::pure(&self.tr, &[]).expect("no context");
        mu.update(message);
        mu.finish().expect("a hash has an end")
    }
}

impl<E: Engine> Pair for Over<E> {
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mu = self.mu(message);
        let mut signature = vec![0; self.set.signature_len()];
        let mut sign = |hedging| E::sign_mu(self.set, &self.private, &mu, hedging, &mut signature);
        sign(Hedging::Deterministic).or_else(|_| sign(Hedging::Hedged)).expect("a signature");
        signature
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        E::verify_mu(self.set, &self.public, &self.mu(message), signature).is_ok()
    }
}
