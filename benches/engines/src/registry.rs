//! Crates from the registry.

use algorithms::{
    SecretBytes,
    ml_dsa::{Mu, ParameterSet, SEED_LEN},
};

use crate::contender::Pair;

const RND: [u8; 32] = [0; 32];

fn array(seed: &SecretBytes) -> [u8; SEED_LEN] {
    seed.expose().try_into().expect("32 bytes")
}

/// `$pair` with the types of each parameter set.
macro_rules! for_set {
    ($set:expr, $pair:ident, $seed:expr, $one:ident, $two:ident, $three:ident) => {
        match $set {
            ParameterSet::MlDsa44 => $pair!($one, $seed),
            ParameterSet::MlDsa65 => $pair!($two, $seed),
            ParameterSet::MlDsa87 => $pair!($three, $seed),
        }
    };
}

macro_rules! fips204_pair {
    ($module:ident, $seed:expr) => {{
        use fips204::{
            traits::{KeyGen, Signer, Verifier},
            $module::{KG, PrivateKey, PublicKey},
        };

        struct Fips204(PublicKey, PrivateKey);

        impl Pair for Fips204 {
            fn sign(&self, message: &[u8]) -> Vec<u8> {
                self.1.try_sign_with_seed(&RND, message, &[]).expect("a signature").to_vec()
            }

            fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
                signature.try_into().is_ok_and(|signature| self.0.verify(message, signature, &[]))
            }
        }

        let (public, private) = KG::keygen_from_seed(&array($seed));
        Box::new(Fips204(public, private))
    }};
}

pub(crate) fn fips204(set: ParameterSet, seed: &SecretBytes) -> Box<dyn Pair> {
    for_set!(set, fips204_pair, seed, ml_dsa_44, ml_dsa_65, ml_dsa_87)
}

struct RustCrypto<P: ml_dsa::MlDsaParams> {
    tr: [u8; 64],
    key: ml_dsa::SigningKey<P>,
}

impl<P: ml_dsa::MlDsaParams> RustCrypto<P> {
    fn mu(&self, message: &[u8]) -> [u8; 64] {
        let mut mu = Mu::pure(&self.tr, &[]).expect("no context");
        mu.update(message);
        mu.finish().expect("a hash has an end")
    }
}

impl<P: ml_dsa::MlDsaParams> Pair for RustCrypto<P> {
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.key.expanded_key().sign_mu_deterministic(&self.mu(message).into()).encode().to_vec()
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let public: &ml_dsa::VerifyingKey<P> = self.key.as_ref();
        ml_dsa::Signature::try_from(signature)
            .is_ok_and(|signature| public.verify_mu(&self.mu(message).into(), &signature))
    }
}

macro_rules! ml_dsa_pair {
    ($set:ident, $seed:expr) => {{
        let key =
            algorithms::ml_dsa::PrivateKey::from_seed(ParameterSet::$set, $seed).expect("a seed is a key");
        Box::new(RustCrypto::<ml_dsa::$set> {
            tr: *key.public_key().tr(),
            key: ml_dsa::SigningKey::from_seed(&array($seed).into()),
        })
    }};
}

pub(crate) fn ml_dsa(set: ParameterSet, seed: &SecretBytes) -> Box<dyn Pair> {
    for_set!(set, ml_dsa_pair, seed, MlDsa44, MlDsa65, MlDsa87)
}

/// Its types by the names of its modules.
#[expect(non_camel_case_types, reason = "they are named after modules")]
mod libcrux_keys {
    pub(super) type ml_dsa_44 = libcrux_ml_dsa::ml_dsa_44::MLDSA44KeyPair;
    pub(super) type ml_dsa_65 = libcrux_ml_dsa::ml_dsa_65::MLDSA65KeyPair;
    pub(super) type ml_dsa_87 = libcrux_ml_dsa::ml_dsa_87::MLDSA87KeyPair;
}

macro_rules! libcrux_pair {
    ($module:ident, $seed:expr) => {{
        use libcrux_ml_dsa::$module as engine;

        struct Libcrux(libcrux_keys::$module);

        impl Pair for Libcrux {
            fn sign(&self, message: &[u8]) -> Vec<u8> {
                let signed = engine::sign(&self.0.signing_key, message, &[], RND);
                signed.unwrap_or_else(|_| panic!("a signature")).as_slice().to_vec()
            }

            fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
                let Ok(signature) = signature.try_into().map(libcrux_ml_dsa::MLDSASignature::new) else {
                    return false;
                };
                engine::verify(&self.0.verification_key, message, &[], &signature).is_ok()
            }
        }

        Box::new(Libcrux(engine::generate_key_pair(array($seed))))
    }};
}

pub(crate) fn libcrux(set: ParameterSet, seed: &SecretBytes) -> Box<dyn Pair> {
    for_set!(set, libcrux_pair, seed, ml_dsa_44, ml_dsa_65, ml_dsa_87)
}
