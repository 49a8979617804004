//! What KMS refuses, what it fails at, and what must never come from it.

use std::net::TcpListener;

use cosigner_host::{Record, Records};
use cosigner_protocol::{
    Bytes, KmsKey, Secret,
    message::{Class, FromEnclave, KeptToken, KmsRefusal, Layer, Request, Response, SealedKey, ToEnclave},
};
use document_maker::Authority;

use crate::parts::{Host, KEY, OTHER_KEY, Setup, failed, is_key, no_record, user};

/// What the enclave was told of KMS.
fn told(setup: &Setup) -> Vec<ToEnclave> {
    let heard = setup.peer.as_ref().unwrap().heard();
    let of_kms =
        |message: &ToEnclave| matches!(message, ToEnclave::KmsReply { .. } | ToEnclave::KmsError { .. });
    heard.into_iter().filter(of_kms).collect()
}

fn refused(reason: KmsRefusal) -> ToEnclave {
    ToEnclave::KmsError { reason }
}

#[test]
fn a_data_key_in_clear_is_thrown_away() {
    let mut setup = Setup::new();
    let mut client = setup.client();
    assert!(is_key(&client.generate("before")));
    for mode in ["plaintext", "both"] {
        setup.double.command(mode);
        assert_eq!(client.generate("me"), failed(Class::InternalError, Layer::KmsService));
        assert_eq!(client.sign("before"), failed(Class::InternalError, Layer::KmsService));
        assert_eq!(client.public_key("me"), no_record());
    }
    // It was not asked a second time for the same.
    assert_eq!((setup.double.calls("GenerateDataKey"), setup.double.calls("Decrypt")), (3, 2));
    // The enclave heard of no key, in clear or not.
    assert!(told(&setup)[1..].iter().all(|message| *message == refused(KmsRefusal::Service)));
    assert_eq!(setup.host.log().matches("Plaintext").count(), 4);
    setup.double.command("honest");
    assert!(is_key(&client.generate("me")));
}

#[test]
fn throttling_and_failures_of_kms_pass_or_are_told() {
    let mut setup = Setup::new();
    let mut client = setup.client();
    for (at, code) in
        ["ThrottlingException", "KMSInternalException", "DependencyTimeoutException"].iter().enumerate()
    {
        let before = setup.double.calls("GenerateDataKey");
        setup.double.command(&format!("fail 2 {code}"));
        assert!(is_key(&client.generate(&format!("user {at}"))), "{code}");
        assert_eq!(setup.double.calls("GenerateDataKey") - before, 3, "{code}");

        setup.double.command(&format!("fail 2 {code}"));
        assert!(matches!(client.sign(&format!("user {at}")), Response::Signature { .. }), "{code}");

        setup.double.command(&format!("fail 100 {code}"));
        assert_eq!(client.generate("me"), failed(Class::InternalError, Layer::KmsService), "{code}");
        assert!(setup.host.log().contains(code));
        setup.double.command("fail 0 none");
    }
    // An answer that is lost on its way, after KMS has made the data key.
    setup.double.command("cut 1");
    assert!(is_key(&client.generate("me")));
    assert!(matches!(client.sign("me"), Response::Signature { .. }));
}

#[test]
fn refusals_of_kms_are_told_apart_and_not_repeated() {
    let mut setup = Setup::new();
    let mut client = setup.client();
    for (code, reason, answer) in [
        ("AccessDeniedException", KmsRefusal::Denied, failed(Class::SigningFailed, Layer::KmsAttestation)),
        ("NotFoundException", KmsRefusal::Denied, failed(Class::SigningFailed, Layer::KmsAttestation)),
        ("DisabledException", KmsRefusal::Denied, failed(Class::SigningFailed, Layer::KmsAttestation)),
        (
            "InvalidCiphertextException",
            KmsRefusal::InvalidCiphertext,
            failed(Class::SigningFailed, Layer::KmsContext),
        ),
        (
            "IncorrectKeyException",
            KmsRefusal::InvalidCiphertext,
            failed(Class::SigningFailed, Layer::KmsContext),
        ),
        ("ExpiredTokenException", KmsRefusal::Service, failed(Class::InternalError, Layer::KmsService)),
        ("UnheardOfException", KmsRefusal::Service, failed(Class::InternalError, Layer::KmsService)),
    ] {
        let before = setup.double.calls("GenerateDataKey");
        setup.double.command(&format!("fail 1 {code}"));
        assert_eq!(client.generate("me"), answer, "{code}");
        assert_eq!(told(&setup).last(), Some(&refused(reason)), "{code}");
        assert_eq!(setup.double.calls("GenerateDataKey") - before, 1, "{code}");
        assert!(setup.host.log().contains(code));
    }
}

#[test]
fn a_record_that_was_tampered_with_is_refused_by_kms() {
    let setup = Setup::new();
    let mut client = setup.client();
    assert!(is_key(&client.generate("alice")) && is_key(&client.generate("bob")));
    let records = Records::open(&setup.folder.path().join("records")).unwrap();
    let of = |name: &str| records.find(&user(name)).unwrap().unwrap();
    let change = |name: &str, change: &dyn Fn(&mut SealedKey)| {
        let mut record: Record = of(name);
        assert!(records.destroy(&user(name)).unwrap());
        change(&mut record.key);
        assert!(records.insert(&record).unwrap());
    };
    let (alices, bobs) = (of("alice").key, of("bob").key);
    let context = failed(Class::SigningFailed, Layer::KmsContext);
    // Another user's wrapped key; a wrapped key with a bit flipped; another user's whole key.
    change("alice", &|key| key.wrapped_key = bobs.wrapped_key.clone());
    assert_eq!(client.sign("alice"), context);
    change("alice", &|key| {
        key.wrapped_key = alices.wrapped_key.clone();
        *key.wrapped_key.0.last_mut().unwrap() ^= 1;
    });
    assert_eq!(client.sign("alice"), context);
    change("alice", &|key| *key = SealedKey { user_id: user("alice"), ..bobs.clone() });
    assert_eq!(client.sign("alice"), context);
    // A KMS key that the host was not told of is not even asked for.
    change("alice", &|key| key.kms_key = KmsKey::try_from(OTHER_KEY.to_owned()).unwrap());
    assert_eq!(client.sign("alice"), failed(Class::SigningFailed, Layer::KmsAttestation));
    assert!(setup.host.log().contains("not among the configured ones"));
    change("alice", &|key| *key = alices.clone());
    assert!(matches!(client.sign("alice"), Response::Signature { .. }));
}

#[test]
fn only_the_configured_keys_are_asked_for() {
    let mut setup = Setup::new();
    let token = |kms_key: &str| KeptToken {
        user_id: user("token"),
        kms_key: KmsKey::try_from(kms_key.to_owned()).unwrap(),
        wrapped_key: Bytes(vec![1]),
        sealed_token: Bytes(vec![1]),
    };
    let open = |kms_key: &str| Request::OpenToken { token: token(kms_key), pin: Secret::new(vec![1; 32]) };
    let answer = setup.client().ask(&open(OTHER_KEY));
    assert_eq!(answer, failed(Class::SigningFailed, Layer::KmsAttestation));
    assert_eq!(setup.double.calls("Decrypt"), 0);
    let host =
        Host::start_with(&setup.folder, &setup.double.endpoint, "other", &["--former-kms-key", OTHER_KEY]);
    assert_eq!(host.client().ask(&open(OTHER_KEY)), failed(Class::SigningFailed, Layer::KmsContext));
    assert_eq!(setup.double.calls("Decrypt"), 1);
}

#[test]
fn documents_that_kms_does_not_believe() {
    type Change = fn(&crate::peer::Enclave) -> Bytes;
    let documents: [(Change, &str); 4] = [
        (
            |enclave| {
                let mut document = enclave.sign(&enclave.draft());
                *document.0.last_mut().unwrap() ^= 1;
                document
            },
            "ValidationException",
        ),
        (
            |enclave| Bytes(enclave.draft().sign(&Authority::new(enclave.draft().timestamp / 1000))),
            "ValidationException",
        ),
        (
            |enclave| {
                let mut draft = enclave.draft();
                draft.pcrs[0] = [0x11; 48];
                enclave.sign(&draft)
            },
            "AccessDeniedException",
        ),
        (
            |enclave| {
                let mut draft = enclave.draft();
                draft.pcrs[..3].fill([0; 48]);
                enclave.sign(&draft)
            },
            "AccessDeniedException",
        ),
    ];
    let setup = Setup::with(move |conversation, number| {
        let ToEnclave::Generate { user_id, kms_key, .. } = conversation.request.clone() else { return true };
        let attestation = documents[number].0(conversation.enclave);
        let question = FromEnclave::KmsGenerateDataKey { kms_key, user_id, attestation };
        let failure = conversation.question(&question).unwrap().unwrap_err();
        conversation.transport.say(&FromEnclave::Failed(failure)).unwrap();
        false
    });
    for (_, code) in documents {
        let answer = setup.client().generate("me");
        assert_eq!(answer, failed(Class::SigningFailed, Layer::KmsAttestation));
        let log = setup.host.log();
        let last = log.lines().rfind(|line| line.contains("KMS denies it")).unwrap();
        assert!(last.contains(code), "{last}");
    }
    assert_eq!(setup.client().public_key("me"), no_record());
}

#[test]
fn a_kms_that_is_away_is_an_internal_error() {
    let setup = Setup::new();
    // A port at which nobody listens any more.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let host = Host::start(&setup.folder, &format!("http://127.0.0.1:{port}"), "other");
    assert_eq!(host.client().generate("me"), failed(Class::InternalError, Layer::KmsService));
}

#[test]
fn a_host_that_cannot_be_meant_does_not_start() {
    let setup = Setup::new();
    let start = |endpoint: &str, more: &[&str], reason: &str| {
        let mut host = Host::spawn(&setup.folder, endpoint, "other", more);
        assert_eq!(host.end(), Some(1));
        let log = host.log();
        assert!(log.lines().last().unwrap().contains(reason), "{log}");
    };
    start("http://kms.example.org:80", &[], "neither https:// nor on this machine");
    let elsewhere = KEY.replace("eu-central-1", "us-east-1");
    start(&setup.double.endpoint, &["--former-kms-key", &elsewhere], "region of the first one");
    start(&setup.double.endpoint, &["--former-kms-key", "alias/x"], "region of the first one");
}
