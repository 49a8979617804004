//! Enclaves that misbehave, die and come back. The host believes them no more than they believe it.

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use cosigner_protocol::{
    Bytes, KmsKey, Secret,
    message::{Class, FromEnclave, KeptToken, Layer, Request, Response, ToEnclave},
};

use crate::{
    parts::{Host, KEY, OTHER_KEY, Setup, failed, frame, is_key, no_record, user},
    peer::{Conversation, Peer},
};

fn wrong() -> Response {
    failed(Class::InternalError, Layer::Enclave)
}

/// Asks for something else than it should, and says what came of it: nothing may.
fn asks(question: impl Fn(&mut Conversation<'_>, KmsKey) -> FromEnclave + Send + Sync + 'static) -> Setup {
    Setup::with(move |conversation, _| {
        let question = question(conversation, KmsKey::try_from(KEY.to_owned()).unwrap());
        // The host closes the connection instead of an answer.
        conversation.question(&question).unwrap_err();
        false
    })
}

#[test]
fn an_enclave_asks_for_what_its_request_is_about_only() {
    type Ask = fn(&mut Conversation<'_>, KmsKey) -> FromEnclave;
    let questions: [Ask; 4] = [
        // A data key for another user, and under another KMS key.
        |conversation, kms_key| FromEnclave::KmsGenerateDataKey {
            kms_key,
            user_id: user("somebody else"),
            attestation: conversation.enclave.sign(&conversation.enclave.draft()),
        },
        |conversation, _| FromEnclave::KmsGenerateDataKey {
            kms_key: KmsKey::try_from(OTHER_KEY.to_owned()).unwrap(),
            user_id: user("me"),
            attestation: conversation.enclave.sign(&conversation.enclave.draft()),
        },
        // To open something where there is nothing to be opened.
        |conversation, kms_key| FromEnclave::KmsDecryptDataKey {
            kms_key,
            user_id: user("me"),
            attestation: conversation.enclave.sign(&conversation.enclave.draft()),
            wrapped_key: Bytes(vec![1]),
        },
        |conversation, kms_key| FromEnclave::KmsDecryptDataKey {
            kms_key,
            user_id: user("somebody else"),
            attestation: conversation.enclave.sign(&conversation.enclave.draft()),
            wrapped_key: Bytes(vec![1]),
        },
    ];
    for question in questions {
        let mut setup = asks(question);
        assert_eq!(setup.client().generate("me"), wrong());
        assert_eq!((setup.double.calls("GenerateDataKey"), setup.double.calls("Decrypt")), (0, 0));
        assert!(setup.host.log().contains("its request is not about"));
    }
    // Nothing at all when it is asked how it is.
    let mut setup = asks(questions[0]);
    let answer = setup.client().ask(&Request::Health {});
    assert!(matches!(&answer, Response::Health(health) if health.enclave.is_none()), "{answer:?}");
    assert_eq!(setup.double.calls("GenerateDataKey"), 0);
}

#[test]
fn a_signature_needs_the_wrapped_key_of_the_record() {
    let mut setup = Setup::with(|conversation, _| {
        let ToEnclave::Sign { key, .. } = conversation.request.clone() else { return true };
        let mut wrapped_key = key.wrapped_key;
        wrapped_key.0[0] ^= 1;
        let attestation = conversation.enclave.sign(&conversation.enclave.draft());
        let (kms_key, user_id) = (key.kms_key, key.user_id);
        let question = FromEnclave::KmsDecryptDataKey { kms_key, user_id, attestation, wrapped_key };
        conversation.question(&question).unwrap_err();
        false
    });
    let mut client = setup.client();
    assert!(is_key(&client.generate("me")));
    assert_eq!(client.sign("me"), wrong());
    assert_eq!(setup.double.calls("Decrypt"), 0);
}

#[test]
fn an_enclave_asks_once() {
    let mut setup = Setup::with(|conversation, _| {
        let ToEnclave::Generate { user_id, kms_key, .. } = conversation.request.clone() else { return true };
        conversation.data_key(&kms_key, &user_id).unwrap().unwrap();
        conversation.data_key(&kms_key, &user_id).unwrap_err();
        false
    });
    assert_eq!(setup.client().generate("me"), wrong());
    assert_eq!(setup.double.calls("GenerateDataKey"), 1);
    assert!(setup.host.log().contains("twice"));
}

#[test]
fn a_key_that_was_not_asked_for_is_not_kept() {
    type Change = fn(&mut FromEnclave);
    let changes: [(Change, fn() -> Response); 6] = [
        (|answer| sealed(answer).user_id = user("somebody else"), wrong),
        (|answer| sealed(answer).algorithm = cosigner_protocol::Algorithm::Ed25519, wrong),
        (|answer| sealed(answer).kms_key = KmsKey::try_from(OTHER_KEY.to_owned()).unwrap(), wrong),
        (|answer| sealed(answer).wrapped_key = Bytes(vec![1]), wrong),
        (|answer| *answer = FromEnclave::Signature { signature: Bytes(vec![1]) }, wrong),
        (|answer| *answer = FromEnclave::Failed(failure()), || Response::Failed(failure())),
    ];
    let setup = Setup::with(move |conversation, number| {
        let ToEnclave::Generate { user_id, algorithm, kms_key } = conversation.request.clone() else {
            return true;
        };
        let wrapped_key = conversation.data_key(&kms_key, &user_id).unwrap().unwrap();
        let mut answer = conversation.generated(user_id, algorithm, kms_key, wrapped_key);
        changes[number].0(&mut answer);
        conversation.transport.say(&answer).unwrap();
        false
    });
    for (_, wanted) in changes {
        assert_eq!(setup.client().generate("me"), wanted());
        assert_eq!(setup.client().public_key("me"), no_record());
        assert_eq!(setup.client().public_key("somebody else"), no_record());
    }
}

fn sealed(answer: &mut FromEnclave) -> &mut cosigner_protocol::message::SealedKey {
    let FromEnclave::Generated { key, .. } = answer else { panic!("{answer:?}") };
    key
}

fn failure() -> cosigner_protocol::message::Failure {
    cosigner_protocol::message::Failure { class: Class::SigningFailed, layer: Layer::Sealing }
}

#[test]
fn an_enclave_that_dies_within_a_request_loses_nothing() {
    // It dies before the question, after it, and before the answer; each time another is there soon.
    let setup = Setup::with(|conversation, number| match (number, conversation.request.clone()) {
        (0, _) => false,
        (1, ToEnclave::Generate { user_id, kms_key, .. }) => {
            let attestation = conversation.enclave.sign(&conversation.enclave.draft());
            conversation
                .transport
                .say(&FromEnclave::KmsGenerateDataKey { kms_key, user_id, attestation })
                .unwrap();
            false
        }
        (2, ToEnclave::Generate { user_id, kms_key, .. }) => {
            conversation.data_key(&kms_key, &user_id).unwrap().unwrap();
            false
        }
        // And twice within a signature.
        (4 | 5, ToEnclave::Sign { .. }) => false,
        _ => true,
    });
    let mut client = setup.client();
    let made = client.generate("me");
    assert!(is_key(&made), "{made:?}");
    assert_eq!(client.public_key("me"), made);
    assert!(matches!(client.sign("me"), Response::Signature { .. }));
}

#[test]
fn an_enclave_that_is_away_is_waited_for() {
    let mut setup = Setup::new();
    let mut client = setup.client();
    assert!(is_key(&client.generate("me")));
    // Its kept connections break, and nobody is there for a while.
    drop(setup.peer.take());
    let path = setup.folder.path().join("enclave");
    let enclave = setup.enclave.clone();
    let (again, made) = thread::scope(|scope| {
        let asking = scope.spawn(|| setup.host.client().generate("you"));
        thread::sleep(std::time::Duration::from_millis(200));
        let again = Peer::start(&path, enclave, |_, _| true);
        (again, asking.join().unwrap())
    });
    assert!(is_key(&made), "{made:?}");
    drop(again);
    // For ever it is not: then nothing has happened. (The enclaves before still talk on their connections; this host has
    // none.)
    let host = setup.impatient_host();
    let transport = failed(Class::InternalError, Layer::Transport);
    thread::scope(|scope| {
        let health = scope.spawn(|| host.client().ask(&Request::Health {}));
        assert_eq!(host.client().generate("nobody"), transport);
        let answer = health.join().unwrap();
        assert!(matches!(&answer, Response::Health(health) if health.enclave.is_none()), "{answer:?}");
    });
    assert_eq!(host.client().public_key("nobody"), no_record());
}

#[test]
fn a_pin_is_never_said_twice() {
    let said = Arc::new(AtomicUsize::new(0));
    let count = said.clone();
    let setup = Setup::with(move |conversation, _| match conversation.request {
        ToEnclave::OpenToken { .. } => {
            count.fetch_add(1, Ordering::SeqCst);
            false
        }
        _ => true,
    });
    let token = KeptToken {
        user_id: user("token"),
        kms_key: KmsKey::try_from(KEY.to_owned()).unwrap(),
        wrapped_key: Bytes(vec![1]),
        sealed_token: Bytes(vec![1]),
    };
    let answer = setup.client().ask(&Request::OpenToken { token, pin: Secret::new(vec![1; 32]) });
    assert_eq!(answer, failed(Class::InternalError, Layer::Transport));
    assert_eq!(said.load(Ordering::SeqCst), 1);
}

/// A host whose enclave answers each request with these bytes, and then closes the connection; and what comes of a request.
fn answered(bytes: Vec<u8>) -> (Setup, Host, Response) {
    let mut setup = Setup::new();
    drop(setup.peer.take());
    let listener = UnixListener::bind(setup.folder.path().join("enclave")).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream: UnixStream = stream.unwrap();
            let mut length = [0; 4];
            stream.read_exact(&mut length).unwrap();
            let mut request = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(&bytes).unwrap();
        }
    });
    let host = setup.impatient_host();
    let answer = host.client().generate("me");
    (setup, host, answer)
}

#[test]
fn frames_of_an_enclave_that_are_none() {
    let transport = failed(Class::InternalError, Layer::Transport);
    let signature = |v: u8, number: u8| {
        frame(&format!(r#"{{"v":{v},"number":{number},"message":{{"Signature":{{"signature":"AQ=="}}}}}}"#))
    };
    for (bytes, reason) in [
        (vec![0, 4, 0, 1], "a frame has 262145 bytes"),
        (vec![0; 4], "a frame has 0 bytes"),
        (frame("{}"), "no message that may come now"),
        (frame("hello"), "not JSON"),
        // An answer to another request than this connection's first; one in another version.
        (signature(1, 2), "is of request 2 and not of 1"),
        (signature(2, 1), "another version"),
        // What only a host may say.
        (frame(r#"{"v":1,"number":1,"message":{"KmsError":{"reason":"denied"}}}"#), "no known message"),
        // Cut off: asked again as long as there is hope.
        (signature(1, 1)[..20].to_vec(), "closed the connection inside a frame"),
    ] {
        let (_setup, host, answer) = answered(bytes);
        assert_eq!(answer, transport, "{reason}");
        let log = host.log();
        assert!(log.contains(reason), "{reason}: {log}");
        assert_eq!(host.client().public_key("me"), no_record());
    }
}
