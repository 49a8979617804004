//! A host that lies: each lie is refused, with where it went wrong.

use cosigner_protocol::{
    Algorithm, Bytes, Error, KmsKey, Transport,
    message::{Class, FromEnclave, KmsRefusal, Layer, SealedKey, ToEnclave},
};

use crate::{
    kms,
    world::{World, kms_key, sign, signature, text, user},
};

const REFUSED: Class = Class::SigningFailed;

/// Keys are opened anew each time, so that every lie meets the whole way.
fn world() -> World {
    World::new(&["--keep-open=0"])
}

#[test]
fn a_sealed_key_is_bound_to_all_that_stands_beside_it() {
    let world = world();
    let (key, _) = world.generate("mine", Algorithm::MlDsa44);
    let (other, _) = world.generate("other", Algorithm::MlDsa44);
    let lie = |change: &dyn Fn(&mut SealedKey)| {
        let mut key = key.clone();
        change(&mut key);
        world.sign(&key, text("message"))
    };
    // Another's wrapped key, or one's own for another's user id: KMS' encryption context does not fit.
    assert_eq!(lie(&|key| key.wrapped_key = other.wrapped_key.clone()), Err((REFUSED, Layer::KmsContext)));
    assert_eq!(lie(&|key| key.user_id = user("other")), Err((REFUSED, Layer::KmsContext)));
    let sealing = Err((REFUSED, Layer::Sealing));
    assert_eq!(lie(&|key| key.sealed_key = other.sealed_key.clone()), sealing);
    assert_eq!(lie(&|key| key.public_key = other.public_key.clone()), sealing);
    assert_eq!(lie(&|key| key.algorithm = Algorithm::MlDsa65), sealing);
    assert_eq!(lie(&|key| key.kms_key = KmsKey::try_from("arn:other".to_owned()).unwrap()), sealing);
    for at in [0, 1, 13, 60] {
        assert_eq!(lie(&|key| key.sealed_key.0[at] ^= 1), sealing, "{at}");
    }
    for length in [0, 1, 12, 13, 60] {
        assert_eq!(lie(&|key| key.sealed_key.0.truncate(length)), sealing, "{length}");
    }
    lie(&|_| {}).unwrap();
}

/// Asks, and answers the question to KMS as the host likes.
fn with_reply(world: &World, request: &ToEnclave, lie: impl Fn(ToEnclave) -> ToEnclave) -> FromEnclave {
    let mut transport = world.connect();
    let question: FromEnclave = transport.ask(request).unwrap();
    transport.say(&lie(world.kms.answer(&question))).unwrap();
    transport.hear().unwrap()
}

fn reply(ciphertext: Vec<u8>, wrapped_key: Bytes) -> ToEnclave {
    ToEnclave::KmsReply { ciphertext_for_recipient: Bytes(ciphertext), wrapped_key }
}

fn parts(reply: ToEnclave) -> (Vec<u8>, Bytes) {
    match reply {
        ToEnclave::KmsReply { ciphertext_for_recipient, wrapped_key } => {
            (ciphertext_for_recipient.0, wrapped_key)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_of_kms_is_for_one_question() {
    one_question(&world());
}

#[test]
fn an_answer_of_kms_is_for_one_question_where_a_key_serves_for_more() {
    one_question(&World::new(&["--keep-open=0", "--questions-per-key=1000"]));
}

fn one_question(world: &World) {
    let (key, _) = world.generate("mine", Algorithm::MlDsa44);
    let request = sign(&key, text("message"));
    let mut transport = world.connect();
    let question: FromEnclave = transport.ask(&request).unwrap();
    let old = world.kms.answer(&question);
    transport.say(&old).unwrap();
    signature(transport.hear().unwrap()).unwrap();

    let refused = Err((REFUSED, Layer::KmsReply));
    // What was right a moment ago is to an RSA key that has gone, or has been opened.
    assert_eq!(signature(with_reply(world, &request, |_| old.clone())), refused);
    let (other, _) = world.generate("other", Algorithm::MlDsa44);
    let swap = |answer| reply(parts(answer).0, other.wrapped_key.clone());
    assert_eq!(signature(with_reply(world, &request, swap)), refused);
    for wrong in [vec![], vec![0x30, 0x80, 0, 0], vec![7; 5000]] {
        let lie = |answer| reply(wrong.clone(), parts(answer).1);
        assert_eq!(signature(with_reply(world, &request, lie)), refused);
    }
    // Cut short anywhere it is nothing; and the last block of the data key decides its padding.
    for cut in [1, 40, 100, 300] {
        let lie = |answer| {
            let (mut ciphertext, wrapped_key) = parts(answer);
            ciphertext.truncate(ciphertext.len() - cut);
            reply(ciphertext, wrapped_key)
        };
        assert_eq!(signature(with_reply(world, &request, lie)), refused, "{cut}");
    }
    for (reason, expected) in [
        (KmsRefusal::Denied, (REFUSED, Layer::KmsAttestation)),
        (KmsRefusal::InvalidCiphertext, (REFUSED, Layer::KmsContext)),
        (KmsRefusal::Service, (Class::InternalError, Layer::KmsService)),
    ] {
        let answer = with_reply(world, &request, |_| ToEnclave::KmsError { reason });
        assert_eq!(signature(answer), Err(expected));
    }
}

#[test]
fn an_answer_of_kms_with_a_changed_byte_never_brings_the_enclave_down() {
    let world = World::new(&["--keep-open=0", "--questions-per-key=10000"]);
    let (key, _) = world.generate("mine", Algorithm::Ed25519);
    let request = sign(&key, text("message"));
    let mut transport = world.connect();
    let mut at = 0;
    loop {
        let question: FromEnclave = transport.ask(&request).unwrap();
        let (mut ciphertext, wrapped_key) = parts(world.kms.answer(&question));
        let Some(byte) = ciphertext.get_mut(at) else { break };
        *byte ^= 1 << (at % 8);
        transport.say(&reply(ciphertext, wrapped_key)).unwrap();
        match signature(transport.hear().unwrap()) {
            // What says to whom it is, and the versions, decide nothing.
            Ok(_) | Err((REFUSED, Layer::KmsReply | Layer::Sealing)) => {}
            other => panic!("{at}: {other:?}"),
        }
        at += 1;
    }
    assert!(at > 400, "{at}");
}

#[test]
fn a_data_key_of_the_hosts_own_opens_nothing() {
    let world = world();
    let (key, _) = world.generate("mine", Algorithm::MlDsa44);
    let mut transport = world.connect();
    let question: FromEnclave = transport.ask(&sign(&key, text("message"))).unwrap();
    let FromEnclave::KmsDecryptDataKey { attestation, .. } = question else { panic!("{question:?}") };
    let policy = attest::Policy {
        root: world.root,
        pcrs: &std::collections::BTreeMap::new(),
        allow_debug: false,
        nonce: None,
        freshness: None,
    };
    let document = policy.verify(&attestation.0).unwrap();
    for (length, layer) in [(32, Layer::Sealing), (16, Layer::KmsReply), (33, Layer::KmsReply)] {
        let mut transport = world.connect();
        let question: FromEnclave = transport.ask(&sign(&key, text("message"))).unwrap();
        let FromEnclave::KmsDecryptDataKey { attestation, .. } = question else { panic!("{question:?}") };
        let recipient = policy.verify(&attestation.0).unwrap();
        assert_ne!(recipient.public_key(), document.public_key(), "a key for each question");
        let made_up = kms::envelope(recipient.public_key().unwrap(), &vec![7; length]);
        transport.say(&reply(made_up, key.wrapped_key.clone())).unwrap();
        assert_eq!(signature(transport.hear().unwrap()), Err((REFUSED, layer)), "{length}");
    }
}

fn ends(mut transport: Transport) {
    let heard = transport.hear::<FromEnclave>();
    assert!(matches!(heard, Err(Error::Closed | Error::Io(_))), "{heard:?}");
}

#[test]
fn what_may_not_come_now_ends_the_connection() {
    let world = world();
    let (key, _) = world.generate("mine", Algorithm::MlDsa44);
    let request = sign(&key, text("message"));
    let mut transport = world.connect();
    transport.say(&reply(vec![1], Bytes(vec![1]))).unwrap();
    ends(transport);
    let mut transport = world.connect();
    let _: FromEnclave = transport.ask(&request).unwrap();
    transport.say(&request).unwrap();
    ends(transport);
    let mut transport = world.connect();
    let health: FromEnclave = transport.ask(&ToEnclave::Health {}).unwrap();
    assert!(matches!(health, FromEnclave::Health(_)));
    // The number of a request that was answered.
    transport.say(&ToEnclave::Health {}).unwrap();
    ends(transport);
}

#[test]
fn frames_that_are_none_end_the_connection() {
    use std::{io::Write, os::unix::net::UnixStream};
    let world = world();
    let cosigner_protocol::Address::Unix(path) = world.address() else { panic!("a Unix socket") };
    let leaky = r#"{"v":1,"number":1,"message":{"KmsReply":{"ciphertext_for_recipient":"","wrapped_key":"","Plaintext":"AA=="}}}"#;
    let framed =
        |json: &str| [&u32::try_from(json.len()).unwrap().to_be_bytes()[..], json.as_bytes()].concat();
    for wrong in [
        vec![0, 0, 0, 0],
        vec![0, 4, 0, 1],
        vec![0xff; 4],
        vec![0, 0],
        vec![0, 0, 0, 9, b'{'],
        framed("{}"),
        framed(r#"{"v":2,"number":1,"message":{"Health":{}}}"#),
        framed(leaky),
    ] {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(&wrong).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        std::io::Read::read_to_end(&mut stream, &mut rest).unwrap();
        assert!(rest.is_empty(), "{wrong:?}");
    }
    // Whoever else is there is not disturbed.
    world.generate("mine", Algorithm::Ed25519);
}

#[test]
fn a_key_is_made_for_who_is_named() {
    let world = world();
    let request =
        ToEnclave::Generate { user_id: user("mine"), algorithm: Algorithm::MlDsa44, kms_key: kms_key() };
    for reason in [KmsRefusal::Denied, KmsRefusal::Service] {
        let answer = with_reply(&world, &request, |_| ToEnclave::KmsError { reason });
        assert!(matches!(answer, FromEnclave::Failed(_)), "{answer:?}");
    }
    let empty = |answer| reply(parts(answer).0, Bytes::default());
    let answer = with_reply(&world, &request, empty);
    assert_eq!(signature(answer), Err((REFUSED, Layer::KmsReply)));
}
