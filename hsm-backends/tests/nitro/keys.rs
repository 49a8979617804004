//! Keys in the enclave: what was attested of them, what they sign, and what becomes of them.

use std::collections::BTreeMap;

use algorithms::{Signing, ed25519};
use attest::{
    Policy,
    birth::{Claims, Layout},
    sha256,
};
use cosigner_protocol::{
    Timeouts, Transport,
    message::{Request, Response},
};
use hsm_backends::{
    Attributes, Change, KeySpec, NewSecret, Place, Role, StoreError, Value, conformance::Fixture,
    nitro::NitroStore,
};
use test_stand::Stand;

use crate::{
    fixture::Nitro,
    flip::flip,
    healing::{ED25519, ML_DSA, make, signs},
    killed::intents,
};

/// The user ids that the host knows of a token.
pub(crate) fn at_host(token: &Nitro) -> Vec<String> {
    at_host_of(token, &token.token_id())
}

/// The same of the token that had this name in the same place.
pub(crate) fn at_host_of(token: &Nitro, token_id: &str) -> Vec<String> {
    let address = token.options("token").host;
    let mut host = Transport::connect(&address, Timeouts::default()).unwrap();
    let mut after = None;
    let mut all = Vec::new();
    loop {
        let Response::Keys { keys, more } = host.ask(&Request::List { after }).unwrap() else {
            panic!("no keys")
        };
        all.extend(keys.iter().map(|key| key.user_id.as_str().to_owned()));
        after = keys.last().map(|key| key.user_id.clone());
        if !more {
            let own = format!("trellis-key/{token_id}");
            return all.into_iter().filter(|id| id.starts_with(&own)).collect();
        }
    }
}

#[test]
fn a_key_has_the_document_of_its_birth() {
    let token = Nitro::new();
    let store = token.open();
    let vault = store.unlock(Role::User, &token.user_pin()).unwrap();
    let id = make(&*vault, &ML_DSA);
    let other = make(&*vault, &ML_DSA);
    let born = |id| vault.private_key(id).unwrap().birth().unwrap().unwrap();
    let (birth, another) = (born(id), born(other));
    let root = (0..32).map(|at| u8::from_str_radix(&Stand::shared().root()[2 * at..2 * at + 2], 16).unwrap());
    let root: Vec<u8> = root.collect();
    let policy = Policy {
        root: root.try_into().unwrap(),
        pcrs: &BTreeMap::new(),
        allow_debug: false,
        nonce: None,
        freshness: None,
    };
    let document = policy.verify(&birth.attestation).unwrap();
    let record: serde_json::Value = serde_json::from_str(&birth.record).unwrap();
    let text = |name: &str| record[name].as_str().unwrap().to_owned();
    let bytes =
        |name: &str| serde_json::from_value::<cosigner_protocol::Bytes>(record[name].clone()).unwrap().0;
    let (user_id, kms_key, algorithm) = (text("user_id"), text("kms_key_arn"), text("alg"));
    let claims = Claims {
        public_key_sha256: sha256(&bytes("mldsa_pubkey")),
        wrapped_key_sha256: sha256(&bytes("wrapped_dk")),
        user_id: &user_id,
        kms_key: &kms_key,
        algorithm: &algorithm,
    };
    claims.verify(&document, Layout::V1).unwrap();
    assert_eq!((algorithm.as_str(), kms_key.as_str()), ("ML-DSA-44", test_stand::KMS_KEY));
    let spki = vault.private_key(id).unwrap().public_key().unwrap().to_spki().unwrap();
    assert!(spki.ends_with(&bytes("mldsa_pubkey")));
    claims.verify(&policy.verify(&another.attestation).unwrap(), Layout::V1).unwrap_err();
    // A key that was not made there has none.
    let imported = NewSecret::generate(&ML_DSA).unwrap();
    let NewSecret::Private(imported) = imported else { panic!("a private key") };
    assert_eq!(imported.birth().unwrap(), None);
}

#[test]
fn messages_of_any_size_and_those_that_ed25519_has_no_room_for() {
    let token = Nitro::new();
    let store = token.open();
    let vault = store.unlock(Role::User, &token.user_pin()).unwrap();
    let ids = [make(&*vault, &ML_DSA), make(&*vault, &ED25519)];
    let megabytes = vec![7; 5 << 20];
    signs(&*vault, ids[0], &megabytes).unwrap();
    signs(&*vault, ids[1], &megabytes[..180_000]).unwrap();
    let too_long = StoreError::Algorithm(algorithms::Error::InputLength);
    assert_eq!(signs(&*vault, ids[1], &megabytes[..180_001]), Err(too_long));
    let digest = &[7; 64];
    let prehashed = Signing::Ed25519(ed25519::Input::Prehashed { context: b"context", digest });
    vault.private_key(ids[1]).unwrap().sign(prehashed).unwrap();
}

#[test]
fn keys_go_with_their_objects_and_with_their_token() {
    let token = Nitro::new();
    let store = token.open();
    let vault = store.unlock(Role::User, &token.user_pin()).unwrap();
    assert_eq!(at_host(&token), [""; 0]);
    let ids = [make(&*vault, &ML_DSA), make(&*vault, &ED25519)];
    assert_eq!(at_host(&token).len(), 2);
    // One that no object was made of.
    drop(vault.generate(&ED25519).unwrap());
    assert_eq!(at_host(&token).len(), 2);
    vault.commit(vec![Change::Destroy { id: ids[0] }]).unwrap();
    assert_eq!(at_host(&token).len(), 1);
    let before = token.token_id();
    store.admin().unwrap().init_token(&token.so_pin(), "anew").unwrap();
    assert_ne!(token.token_id(), before);
    assert_eq!((at_host_of(&token, &before), intents(&token)), (vec![], 0));
}

#[test]
fn a_key_that_may_leave_is_not_made_there() {
    let token = Nitro::new();
    let store = token.open();
    let vault = store.unlock(Role::User, &token.user_pin()).unwrap();
    let place = |kind, value: bool| {
        let attributes: Attributes = [(kind, Value::Bool(value))].into_iter().collect();
        let NewSecret::Private(key) = vault.generate_for(&ML_DSA, &attributes).unwrap() else {
            panic!("a private key")
        };
        key.place()
    };
    use cryptoki_sys as ck;
    assert_eq!(place(ck::CKA_EXTRACTABLE, true), Place::Process);
    assert_eq!(place(ck::CKA_SENSITIVE, false), Place::Process);
    assert_eq!(place(ck::CKA_PRIVATE, false), Place::Process);
    assert_eq!(place(ck::CKA_EXTRACTABLE, false), Place::Enclave);
    let p256 = KeySpec::Pair(algorithms::Algorithm::Ecdsa(algorithms::ecdsa::Curve::P256));
    let NewSecret::Private(key) = vault.generate(&p256).unwrap() else { panic!("a private key") };
    assert_eq!(key.place(), Place::Process);
}

#[test]
fn nothing_new_is_put_under_another_kms_key() {
    let token = Nitro::new();
    let with = |arn: &str| {
        let kms_key = Some(arn.to_owned().try_into().unwrap());
        hsm_backends::nitro::Options { kms_key, ..token.options("token") }
    };
    let made = |arn: &str| {
        use hsm_backends::KeyStore;
        let store = NitroStore::new(with(arn));
        let vault = store.unlock(Role::User, &token.user_pin()).unwrap();
        vault.generate(&ED25519).map(drop)
    };
    made(test_stand::KMS_KEY).unwrap();
    // What is there already opens all the same: KMS keys are replaced by others.
    let error = made("arn:aws:kms:eu-central-1:111122223333:key/other").unwrap_err();
    assert!(error.to_string().contains("correct kms-key"), "{error}");
    assert_eq!(at_host(&token), [""; 0]);
}

#[test]
fn a_damaged_record_is_not_destroyed_without_its_key() {
    let token = Nitro::new();
    let store = token.open();
    let log_in = || store.unlock(Role::User, &token.user_pin()).unwrap();
    let id = make(&*log_in(), &ED25519);
    for column in ["attributes", "secret"] {
        flip(&token.options("token").directory, id, column);
        let refused = log_in().commit(vec![Change::Destroy { id }]).unwrap_err();
        assert!(matches!(refused, StoreError::Damaged(_)), "{column}: {refused}");
        assert_eq!(at_host(&token).len(), 1, "{column}");
        flip(&token.options("token").directory, id, column);
        signs(&*log_in(), id, b"message").unwrap();
    }
    log_in().commit(vec![Change::Destroy { id }]).unwrap();
    assert_eq!(at_host(&token), Vec::<String>::new());
}
