//! ML-DSA: published answers, the two engines against each other, and keys that must be refused.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use algorithms::{
    Error, SecretBytes,
    digest::Hash,
    ml_dsa::{Hedging, Input, Mu, ParameterSet, PrivateKey, PublicKey},
};
use fips204::traits::{KeyGen, SerDes, Signer, Verifier};
use support::hex;

/// The second engine behind one face: fips204 has a module of types for each parameter set.
struct Other {
    public: Vec<u8>,
    private: Vec<u8>,
    sign: Box<Sign>,
    verify: Box<Verify>,
}

type Sign = dyn Fn(Input<'_>) -> Vec<u8>;
type Verify = dyn Fn(Input<'_>, &[u8]) -> bool;

macro_rules! other {
    ($module:ident, $seed:expr) => {{
        let (public, private) = fips204::$module::KG::keygen_from_seed($seed);
        let (public_bytes, private_bytes) = (public.clone().into_bytes(), private.clone().into_bytes());
        Other {
            public: public_bytes.to_vec(),
            private: private_bytes.to_vec(),
            // Hedged with a fixed rnd that is not zero.
            sign: Box::new(move |input| match input {
                Input::Message { context, message } => {
                    private.try_sign_with_seed(&[9; 32], message, context).unwrap().to_vec()
                }
                Input::Hash { context, hash, digest } => private
                    .try_hash_sign_with_seed(&[9; 32], digest, context, hash.oid_der())
                    .unwrap()
                    .to_vec(),
                Input::Mu(_) => panic!("fips204 takes no mu"),
            }),
            verify: Box::new(move |input, signature| match input {
                Input::Message { context, message } => {
                    public.verify(message, signature.try_into().unwrap(), context)
                }
                Input::Hash { context, hash, digest } => {
                    public.hash_verify(digest, signature.try_into().unwrap(), context, hash.oid_der())
                }
                Input::Mu(_) => panic!("fips204 takes no mu"),
            }),
        }
    }};
}

fn pair(set: ParameterSet, seed: [u8; 32]) -> (PrivateKey, Other) {
    let other = match set {
        ParameterSet::MlDsa44 => other!(ml_dsa_44, &seed),
        ParameterSet::MlDsa65 => other!(ml_dsa_65, &seed),
        ParameterSet::MlDsa87 => other!(ml_dsa_87, &seed),
    };
    (PrivateKey::from_seed(set, &SecretBytes::new(&seed)).unwrap(), other)
}

#[test]
fn acvp_key_generation() {
    let tests = include_str!("vectors/acvp-ml-dsa-keygen.csv").lines().skip(1);
    let mut count = 0;
    for line in tests {
        let [set, _, seed, public, private] = line.split(',').collect::<Vec<_>>().try_into().unwrap();
        let set = ParameterSet::ALL
            [["ML-DSA-44", "ML-DSA-65", "ML-DSA-87"].iter().position(|&name| name == set).unwrap()];
        let key = PrivateKey::from_seed(set, &SecretBytes::new(&hex(seed))).unwrap();
        assert_eq!(Hash::Sha256.digest(key.public_key().as_bytes()).unwrap(), hex(public), "{line}");
        assert_eq!(Hash::Sha256.digest(key.expanded().unwrap().expose()).unwrap(), hex(private), "{line}");
        count += 1;
    }
    assert_eq!(count, 75);
}

#[test]
fn facts() {
    for (index, set) in ParameterSet::ALL.into_iter().enumerate() {
        assert_eq!(set.ckp(), index as u64 + 1);
        assert_eq!(ParameterSet::from_ckp(set.ckp()), Some(set));
        let key = PrivateKey::generate(set).unwrap();
        assert_eq!(key.parameter_set(), set);
        assert_eq!(key.public_key().as_bytes().len(), set.public_key_len());
        assert_eq!(key.expanded().unwrap().len(), set.private_key_len());
        let signature = key.sign(Input::Mu(&[1; 64]), Hedging::Hedged).unwrap();
        assert_eq!(signature.len(), set.signature_len());
    }
    assert_eq!([0, 4, u64::MAX].map(ParameterSet::from_ckp), [None; 3]);
}

#[test]
fn every_input_is_signed_by_one_engine_and_verified_by_the_other() {
    let contexts: [&[u8]; 3] = [&[], b"context", &[0xc5; 255]];
    for set in ParameterSet::ALL {
        let (key, other) = pair(set, [set as u8; 32]);
        assert_eq!(key.public_key().as_bytes(), other.public);
        assert_eq!(key.expanded().unwrap().expose(), other.private);
        let imported = PrivateKey::from_expanded(set, &SecretBytes::new(&other.private)).unwrap();
        let public = PublicKey::from_bytes(set, &other.public).unwrap();

        let long = vec![0x5a; 100_000];
        let digests = Hash::ALL.map(|hash| (hash, hash.digest(b"a message").unwrap()));
        let messages = contexts.iter().flat_map(|&context| {
            [&[][..], b"a message", &long].map(|message| Input::Message { context, message })
        });
        let hashed = contexts.iter().flat_map(|&context| {
            let allowed = digests.iter().filter(|(hash, _)| *hash != Hash::Sha1);
            allowed.map(move |(hash, digest)| Input::Hash { context, hash: *hash, digest })
        });
        for (index, input) in messages.chain(hashed).enumerate() {
            for (signer, hedging) in
                [(&key, Hedging::Hedged), (&imported, Hedging::Hedged), (&key, Hedging::Deterministic)]
            {
                let signature = signer.sign(input, hedging).unwrap();
                assert!((other.verify)(input, &signature), "{set:?} input {index}");
                public.verify(input, &signature).unwrap();
            }
            let signature = (other.sign)(input);
            public.verify(input, &signature).unwrap();
            let mut altered = signature.clone();
            let at = (index * 61) % signature.len();
            altered[at] ^= 0x10;
            assert_eq!(public.verify(input, &altered), Err(Error::SignatureInvalid), "{set:?} byte {at}");
        }
    }
}

#[test]
fn schemes_contexts_and_hashes_are_distinct() {
    let key = PrivateKey::generate(ParameterSet::MlDsa44).unwrap();
    let digest = [7; 32];
    let inputs = [
        Input::Message { context: &[], message: &digest },
        Input::Message { context: b"a", message: &digest },
        Input::Hash { context: &[], hash: Hash::Sha256, digest: &digest },
        Input::Hash { context: b"a", hash: Hash::Sha256, digest: &digest },
        Input::Hash { context: &[], hash: Hash::Sha3_256, digest: &digest },
        Input::Hash { context: &[], hash: Hash::Shake128, digest: &digest },
    ];
    for (made, input) in inputs.iter().enumerate() {
        let signature = key.sign(*input, Hedging::Hedged).unwrap();
        for (read, input) in inputs.iter().enumerate() {
            assert_eq!(key.public_key().verify(*input, &signature).is_ok(), made == read, "{made} {read}");
        }
    }
}

#[test]
fn hedged_signatures_differ_and_deterministic_ones_do_not() {
    for set in ParameterSet::ALL {
        let key = PrivateKey::generate(set).unwrap();
        let mut mu = Mu::pure(key.public_key().tr(), b"context").unwrap();
        mu.update(b"a mess");
        mu.update(b"age");
        let mu = mu.finish().unwrap();
        let message = Input::Message { context: b"context", message: b"a message" };
        let sign = |input, hedging| key.sign(input, hedging).unwrap();
        assert_ne!(sign(message, Hedging::Hedged), sign(message, Hedging::Hedged));
        let known = sign(message, Hedging::Deterministic);
        assert_eq!(sign(message, Hedging::Deterministic), known);
        assert_eq!(sign(Input::Mu(&mu), Hedging::Deterministic), known);
        key.public_key().verify(Input::Mu(&mu), &known).unwrap();
        key.public_key().verify(message, &sign(Input::Mu(&mu), Hedging::Hedged)).unwrap();

        // Without the seed, mu cannot be signed deterministically, and a message can.
        let expanded = PrivateKey::from_expanded(set, &key.expanded().unwrap()).unwrap();
        assert!(expanded.seed().is_none());
        assert_eq!(expanded.sign(Input::Mu(&mu), Hedging::Deterministic), Err(Error::ParameterInvalid));
        assert_eq!(expanded.sign(message, Hedging::Deterministic).unwrap(), known);
    }
}

#[test]
fn lengths() {
    let set = ParameterSet::MlDsa44;
    let key = PrivateKey::generate(set).unwrap();
    let context = [0; 256];
    let refused = [
        (Input::Message { context: &context, message: b"m" }, Error::ParameterInvalid),
        (Input::Hash { context: &context, hash: Hash::Sha256, digest: &[0; 32] }, Error::ParameterInvalid),
        (Input::Hash { context: &[], hash: Hash::Sha1, digest: &[0; 20] }, Error::ParameterInvalid),
        (Input::Hash { context: &[], hash: Hash::Sha256, digest: &[0; 31] }, Error::InputLength),
        (Input::Hash { context: &[], hash: Hash::Sha512, digest: &[0; 65] }, Error::InputLength),
    ];
    for (input, error) in refused {
        assert_eq!(key.sign(input, Hedging::Hedged), Err(error));
        assert_eq!(key.sign(input, Hedging::Deterministic), Err(error));
        assert_eq!(key.public_key().verify(input, &[0; 2420]), Err(error));
    }
    assert_eq!(Mu::pure(&[0; 64], &context).err(), Some(Error::ParameterInvalid));
    for len in [0, 2419, 2421, 3309] {
        let verified = key.public_key().verify(Input::Mu(&[0; 64]), &vec![0; len]);
        assert_eq!(verified, Err(Error::SignatureLength));
    }
    for len in [0, 31, 33, 64, 1311, 1313, 2559, 2561, 4032] {
        let bytes = SecretBytes::new(&vec![1; len]);
        assert_eq!(PrivateKey::from_seed(set, &bytes).err(), Some(Error::KeyInvalid));
        assert_eq!(PrivateKey::from_expanded(set, &bytes).err(), Some(Error::KeyInvalid));
        assert_eq!(PublicKey::from_bytes(set, bytes.expose()).err(), Some(Error::KeyInvalid));
    }
    assert!(
        PrivateKey::from_expanded(set, &SecretBytes::new(&[1; 32])).is_err(),
        "a seed is no expanded key"
    );
}

/// skEncode: rho (32), K (32), tr (64), s1, s2, t0 (13 bits a coefficient).
fn fields(set: ParameterSet) -> [(&'static str, std::ops::Range<usize>); 6] {
    let (k, l, eta_len) = match set {
        ParameterSet::MlDsa44 => (4, 4, 96),
        ParameterSet::MlDsa65 => (6, 5, 128),
        ParameterSet::MlDsa87 => (8, 7, 96),
    };
    let s2 = 128 + l * eta_len;
    let t0 = s2 + k * eta_len;
    assert_eq!(t0 + k * 416, set.private_key_len());
    [
        ("rho", 0..32),
        ("K", 32..64),
        ("tr", 64..128),
        ("s1", 128..s2),
        ("s2", s2..t0),
        ("t0", t0..t0 + k * 416),
    ]
}

#[test]
fn an_expanded_key_that_disagrees_with_itself_is_refused() {
    for set in ParameterSet::ALL {
        let key = PrivateKey::generate(set).unwrap();
        let good = key.expanded().unwrap();
        for (name, range) in fields(set) {
            for at in [range.start, range.start + range.len() / 2, range.end - 1] {
                for bit in [0x01, 0x80] {
                    let mut altered = good.expose().to_vec();
                    altered[at] ^= bit;
                    let altered = SecretBytes::new(&altered);
                    let taken = PrivateKey::from_expanded(set, &altered);
                    // K is independent of all the others: no check can know it.
                    assert_eq!(taken.is_ok(), name == "K", "{set:?} {name} byte {at} bit {bit:02x}");
                    let both = PrivateKey::from_both(set, key.seed().unwrap(), &altered);
                    assert_eq!(both.err(), Some(Error::KeyInvalid), "{set:?} {name}: the seed knows K too");
                }
            }
        }
    }
}

#[test]
fn parts_of_two_good_keys_make_no_key() {
    for set in ParameterSet::ALL {
        let [one, two] = [(); 2].map(|()| PrivateKey::generate(set).unwrap().expanded().unwrap());
        for (name, range) in fields(set) {
            let mut mixed = one.expose().to_vec();
            mixed[range.clone()].copy_from_slice(&two.expose()[range]);
            assert_eq!(
                PrivateKey::from_expanded(set, &SecretBytes::new(&mixed)).is_ok(),
                name == "K",
                "{name}"
            );
        }
        // All ones: every coefficient of s1 and s2 is out of range.
        let mut mixed = one.expose().to_vec();
        mixed[fields(set)[3].1.clone()].fill(0xff);
        assert_eq!(PrivateKey::from_expanded(set, &SecretBytes::new(&mixed)).err(), Some(Error::KeyInvalid));
    }
}

#[test]
fn a_key_signs_in_many_threads_at_once() {
    let key = PrivateKey::generate(ParameterSet::MlDsa65).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8_u8 {
            let key = &key;
            scope.spawn(move || {
                for round in 0..20_u8 {
                    let message = [thread, round];
                    let input = Input::Message { context: &[], message: &message };
                    let signature = key.sign(input, Hedging::Hedged).unwrap();
                    key.public_key().verify(input, &signature).unwrap();
                }
            });
        }
    });
}

#[test]
fn debug_shows_no_secret() {
    let seed = [0xa7; 32];
    let key = PrivateKey::from_seed(ParameterSet::MlDsa44, &SecretBytes::new(&seed)).unwrap();
    let shown = format!("{:?}", algorithms::PrivateKey::MlDsa(key));
    assert!(!shown.contains("167, 167") && !shown.to_lowercase().contains("a7a7"), "{shown}");
}
