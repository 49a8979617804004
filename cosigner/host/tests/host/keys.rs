//! Making, listing, using and destroying keys.

use std::{collections::BTreeSet, num::NonZeroU32, thread};

use cosigner_host::{PAGE, Record, Records};
use cosigner_protocol::{
    Algorithm, Bytes, KmsKey, Secret,
    message::{Request, Response, SealedKey, ToEnclave},
};

use crate::parts::{KEY, Setup, conflict, is_key, no_record, user};

fn list(setup: &Setup) -> Vec<String> {
    let (mut client, mut found, mut after) = (setup.client(), Vec::new(), None);
    loop {
        let Response::Keys { keys, more } = client.ask(&Request::List { after }) else { panic!("no keys") };
        found.extend(keys.iter().map(|key| key.user_id.as_str().to_owned()));
        if !more {
            return found;
        }
        after = keys.last().map(|key| key.user_id.clone());
    }
}

#[test]
fn a_key_is_made_listed_used_and_destroyed() {
    let setup = Setup::new();
    let mut client = setup.client();
    assert_eq!(client.public_key("me"), no_record());
    assert_eq!(client.sign("me"), no_record());
    let made = client.generate("me");
    let Response::Key { key, birth_attestation, .. } = &made else { panic!("{made:?}") };
    assert_eq!((key.user_id.as_str(), key.algorithm), ("me", Algorithm::MlDsa65));
    assert_eq!(birth_attestation.0.len(), 32);
    assert_eq!(client.public_key("me"), made);
    assert_eq!(client.sign("me"), Response::Signature { signature: key.public_key.clone() });
    assert!(is_key(&client.generate("Me")));
    assert_eq!(list(&setup), ["Me", "me"]);

    assert_eq!(client.ask(&Request::Destroy { user_id: user("me") }), Response::Destroyed {});
    assert_eq!(client.ask(&Request::Destroy { user_id: user("me") }), no_record());
    assert_eq!(client.sign("me"), no_record());
    assert_eq!(list(&setup), ["Me"]);
    // Who comes after has another key.
    assert_ne!(client.generate("me"), made);
}

#[test]
fn a_user_has_one_key() {
    let mut setup = Setup::new();
    let mut client = setup.client();
    let first = client.generate("me");
    assert!(is_key(&first));
    assert_eq!(client.generate("me"), conflict());
    assert_eq!(
        client.ask(&Request::Generate { user_id: user("me"), algorithm: Algorithm::Ed25519 }),
        conflict()
    );
    assert_eq!(client.public_key("me"), first);
    // The enclave was not asked again.
    assert_eq!(setup.double.calls("GenerateDataKey"), 1);
}

#[test]
fn of_many_at_once_exactly_one_makes_the_key() {
    let mut setup = Setup::new();
    let other = setup.another_host("other-host");
    setup.double.command("hold");
    let clients: Vec<_> =
        (0..8).map(|at| if at % 2 == 0 { setup.client() } else { other.client() }).collect();
    let racing: Vec<_> =
        clients.into_iter().map(|mut client| thread::spawn(move || client.generate("me"))).collect();
    // All of them have passed the first look, and none has a key yet.
    setup.double.wait_for(8);
    setup.double.command("release");
    let answers: Vec<_> = racing.into_iter().map(|client| client.join().unwrap()).collect();
    let made: Vec<_> = answers.iter().filter(|answer| is_key(answer)).collect();
    assert_eq!(made.len(), 1, "{answers:?}");
    // The others hear nothing of what was made for them.
    assert!(answers.iter().all(|answer| is_key(answer) || *answer == conflict()), "{answers:?}");
    assert_eq!(&setup.client().public_key("me"), made[0]);
    assert_eq!(&other.client().public_key("me"), made[0]);
}

#[test]
fn a_lost_answer_loses_no_key() {
    let mut setup = Setup::new();
    setup.double.command("hold");
    let mut client = setup.client();
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            // Somebody asks and goes away before the answer.
            let impatient = cosigner_protocol::Timeouts {
                connect: crate::parts::LONG,
                frame: std::time::Duration::from_millis(1),
            };
            let address = cosigner_protocol::Address::Unix(setup.host.socket.clone());
            let mut client = cosigner_protocol::Transport::connect(&address, impatient).unwrap();
            let request = Request::Generate { user_id: user("me"), algorithm: Algorithm::MlDsa65 };
            client.ask::<_, Response>(&request).unwrap_err();
        });
        asking.join().unwrap();
        setup.double.wait_for(1);
        setup.double.command("release");
    });
    crate::parts::until("the key that nobody waits for", || is_key(&client.public_key("me")));
    assert_eq!(client.generate("me"), conflict());
}

#[test]
fn a_listing_goes_page_by_page() {
    let setup = Setup::new();
    let records = Records::open(&setup.folder.path().join("records")).unwrap();
    let mut wanted = BTreeSet::new();
    for at in 0..2 * PAGE + 1 {
        // As long as can be, and longer in JSON: a page still fits into a frame.
        let name = format!("{at:04}{}", "\u{1}".repeat(252));
        let key = SealedKey {
            user_id: user(&name),
            algorithm: Algorithm::MlDsa87,
            public_key: Bytes(vec![at as u8; 2592]),
            kms_key: KmsKey::try_from(KEY.to_owned()).unwrap(),
            wrapped_key: Bytes(vec![1]),
            sealed_key: Bytes(vec![2]),
        };
        let record = Record { key, birth_attestation: Bytes(vec![3]), enclave_version: "1".into() };
        assert!(records.insert(&record).unwrap());
        wanted.insert(name);
    }
    assert_eq!(list(&setup), wanted.into_iter().collect::<Vec<_>>());
}

#[test]
fn a_token_is_kept_and_opened_and_the_host_keeps_nothing_of_it() {
    let setup = Setup::new();
    let mut client = setup.client();
    let secret = |byte| Secret::new(vec![byte; 32]);
    let tries = NonZeroU32::new(10).unwrap();
    let kept = client.ask(&Request::KeepToken {
        user_id: user("token"),
        token_key: secret(7),
        pin: secret(1),
        tries,
    });
    let Response::TokenKept { token } = kept else { panic!("{kept:?}") };
    assert_eq!(list(&setup), [""; 0]);
    let mut open = |pin| client.ask(&Request::OpenToken { token: token.clone(), pin: secret(pin) });
    assert_eq!(open(1), Response::TokenOpened { token_key: secret(7) });
    assert_eq!(open(2), Response::PinIncorrect {});
    let said = setup.peer.as_ref().unwrap().heard();
    let openings = said.iter().filter(|message| matches!(message, ToEnclave::OpenToken { .. }));
    assert_eq!(openings.count(), 2);
}

#[test]
fn health_says_who_is_there() {
    let setup = Setup::new();
    let answer = setup.client().ask(&Request::Health {});
    let Response::Health(health) = answer else { panic!("{answer:?}") };
    assert_eq!(health.host_version, env!("CARGO_PKG_VERSION"));
    assert_eq!(health.enclave.unwrap().enclave_version, "scripted");
}
