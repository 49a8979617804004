//! Keys are made, born with a document, sealed, opened again and used.

use std::collections::BTreeMap;

use algorithms::{
    PublicKey, Signing, ed25519,
    ml_dsa::{self, Hedging, ParameterSet},
};
use attest::{
    Policy,
    birth::{Claims, Layout},
    sha256,
};
use cosigner_protocol::{
    Algorithm, Bytes, Secret,
    message::{Class, FromEnclave, Input, Layer, SealedKey, ToEnclave},
};

use crate::world::{World, kms_key, sign, signature, text, user};

fn public(key: &SealedKey) -> PublicKey {
    let bytes = &key.public_key.0;
    let ml_dsa = |set| PublicKey::MlDsa(ml_dsa::PublicKey::from_bytes(set, bytes).unwrap());
    match key.algorithm {
        Algorithm::MlDsa44 => ml_dsa(ParameterSet::MlDsa44),
        Algorithm::MlDsa65 => ml_dsa(ParameterSet::MlDsa65),
        Algorithm::MlDsa87 => ml_dsa(ParameterSet::MlDsa87),
        Algorithm::Ed25519 => PublicKey::Ed25519(ed25519::PublicKey::from_bytes(bytes).unwrap()),
    }
}

/// Every form of input that a key takes, beside the same in the verifier's words.
fn inputs(algorithm: Algorithm) -> Vec<(Input, Signing<'static>)> {
    const DIGEST: &[u8; 64] = &[7; 64];
    let message = || Secret::new(b"message".to_vec());
    let context = || Bytes(b"context".to_vec());
    let digest = || Secret::new(DIGEST.to_vec());
    if algorithm == Algorithm::Ed25519 {
        let forms = [
            (text("message"), ed25519::Input::Pure(b"message")),
            (
                Input::Ed25519Context { context: context(), message: message() },
                ed25519::Input::Context { context: b"context", message: b"message" },
            ),
            (
                Input::Ed25519Prehashed { context: context(), digest: digest() },
                ed25519::Input::Prehashed { context: b"context", digest: DIGEST },
            ),
        ];
        return forms.map(|(input, form)| (input, Signing::Ed25519(form))).into();
    }
    let hedging = Hedging::Hedged;
    let message = Input::Message { context: context(), message: message() };
    let input = ml_dsa::Input::Message { context: b"context", message: b"message" };
    let mu = (Input::Mu(digest()), Signing::MlDsa { input: ml_dsa::Input::Mu(DIGEST), hedging });
    vec![(message, Signing::MlDsa { input, hedging }), mu]
}

#[test]
fn every_algorithm_is_born_and_signs_and_outlives_the_enclave() {
    let mut world = World::new(&[]);
    let keys: Vec<_> =
        Algorithm::ALL.iter().map(|algorithm| world.generate(algorithm.name(), *algorithm)).collect();
    for again in 0..2 {
        for (key, birth) in &keys {
            let document = Policy {
                root: world.root,
                pcrs: &BTreeMap::new(),
                allow_debug: false,
                nonce: None,
                freshness: None,
            };
            let kms_key = kms_key();
            let claims = Claims {
                public_key_sha256: sha256(&key.public_key.0),
                wrapped_key_sha256: sha256(&key.wrapped_key.0),
                user_id: key.algorithm.name(),
                kms_key: kms_key.as_str(),
                algorithm: key.algorithm.name(),
            };
            claims.verify(&document.verify(&birth.0).unwrap(), Layout::V1).unwrap();
            for (input, signing) in inputs(key.algorithm) {
                let signature = world.sign(key, input).unwrap();
                public(key).verify(signing, &signature).unwrap();
            }
        }
        if again == 0 {
            world.restart();
        }
    }
}

#[test]
fn deterministic_signatures_are_those_of_the_standard() {
    let world = World::new(&[]);
    let (key, _) = world.generate("u", Algorithm::MlDsa65);
    let ask = |deterministic| {
        let request = ToEnclave::Sign { key: key.clone(), input: text("message"), deterministic };
        signature(world.ask(&request)).unwrap()
    };
    assert_eq!(ask(true), ask(true));
    assert_ne!(ask(false), ask(false));
}

#[test]
fn what_an_algorithm_does_not_sign_is_malformed() {
    let world = World::new(&[]);
    let (pq, _) = world.generate("pq", Algorithm::MlDsa44);
    let (classical, _) = world.generate("classical", Algorithm::Ed25519);
    let bytes = |len| Secret::new(vec![7; len]);
    let message = |context: usize| Input::Message { context: Bytes(vec![7; context]), message: bytes(1) };
    for (key, input, layer) in [
        (&pq, Input::Mu(bytes(63)), Layer::Request),
        (&pq, message(256), Layer::Request),
        (&pq, Input::Ed25519Context { context: Bytes::default(), message: bytes(1) }, Layer::Algorithm),
        (&classical, Input::Mu(bytes(64)), Layer::Algorithm),
        (&classical, message(1), Layer::Algorithm),
        (
            &classical,
            Input::Ed25519Context { context: Bytes(vec![7; 256]), message: bytes(1) },
            Layer::Request,
        ),
        (
            &classical,
            Input::Ed25519Prehashed { context: Bytes::default(), digest: bytes(65) },
            Layer::Request,
        ),
    ] {
        assert_eq!(world.sign(key, input.clone()), Err((Class::MalformedRequest, layer)), "{input:?}");
    }
}

#[test]
fn open_keys_are_kept_for_a_while_or_not_at_all() {
    for (options, questions) in [(&["--keep-open=300"][..], [0, 0, 1, 0]), (&["--keep-open=0"], [1, 1, 1, 1])]
    {
        let mut world = World::new(options);
        let (key, _) = world.generate("u", Algorithm::MlDsa44);
        let mut asked = Vec::new();
        for step in 0..4 {
            if step == 2 {
                world.restart();
            }
            let (answer, questions) = world.ask_counting(&sign(&key, text("message")));
            signature(answer).unwrap();
            asked.push(questions);
        }
        assert_eq!(asked, questions, "{options:?}");
    }
}

#[test]
fn an_enclave_says_what_it_is() {
    let world = World::new(&["--pcr", &format!("3={}", "ab".repeat(48))]);
    let FromEnclave::Health(health) = world.ask(&ToEnclave::Health {}) else { panic!("no health") };
    assert_eq!(health.algorithms, Algorithm::ALL);
    let pcrs = BTreeMap::from([(3, attest::Pcr::try_from(&[0xab; 48][..]).unwrap())]);
    let policy = Policy { root: world.root, pcrs: &pcrs, allow_debug: false, nonce: None, freshness: None };
    let document = policy.verify(&health.attestation.0).unwrap();
    assert_eq!((document.user_data(), document.public_key()), (None, None));
}

#[test]
fn killed_before_it_answers_it_answers_the_next_time() {
    let mut world = World::new(&[]);
    let (key, _) = world.generate("u", Algorithm::MlDsa44);
    world.restart();
    let mut transport = world.connect();
    let question: FromEnclave = transport.ask(&sign(&key, text("message"))).unwrap();
    assert!(matches!(question, FromEnclave::KmsDecryptDataKey { .. }));
    world.restart();
    let answer = world.kms.answer(&question);
    let heard = transport.say(&answer).and_then(|()| transport.hear::<FromEnclave>());
    heard.expect_err("the enclave that asked is gone");
    world.sign(&key, text("message")).unwrap();
    // A key that was asked for and not given can be asked for again.
    let mut transport = world.connect();
    let request =
        ToEnclave::Generate { user_id: user("v"), algorithm: Algorithm::MlDsa44, kms_key: kms_key() };
    transport.ask::<_, FromEnclave>(&request).unwrap();
    world.restart();
    world.generate("v", Algorithm::MlDsa44);
}
