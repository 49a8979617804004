//! How it starts, ends, limits and speaks.

use std::{fs, thread};

use cosigner_protocol::message::{Request, Response};

use crate::parts::{Host, Setup, is_key, until, user};

#[test]
fn a_terminated_host_finishes_what_it_began() {
    let mut setup = Setup::new();
    setup.double.command("hold");
    let mut client = setup.client();
    let asking = thread::spawn(move || {
        let answer = client.generate("me");
        // No further request is begun.
        let request = Request::PublicKey { user_id: user("me") };
        (answer, client.0.ask::<_, Response>(&request).is_err())
    });
    setup.double.wait_for(1);
    setup.host.terminate();
    until("the host to have heard of it", || setup.host.log().contains("ends when"));
    setup.double.command("release");
    let (answer, closed) = asking.join().unwrap();
    assert!(is_key(&answer), "{answer:?}");
    assert!(closed);
    assert_eq!(setup.host.end(), Some(0));
    assert!(!setup.host.socket.exists());
    setup.host = Host::start(&setup.folder, &setup.double.endpoint, "host");
    assert_eq!(setup.client().public_key("me"), answer);
    setup.host.close();
    assert_eq!(setup.host.end(), Some(0));
    assert!(!setup.host.socket.exists());
}

#[test]
fn a_socket_that_is_in_use_is_not_taken() {
    let mut setup = Setup::new();
    let mut second = Host::spawn(&setup.folder, &setup.double.endpoint, "host", &[]);
    assert_eq!(second.end(), Some(1));
    assert!(second.log().contains("another host listens there"));
    assert!(is_key(&setup.client().generate("me")));
    setup.host.kill();
    assert!(setup.host.socket.exists());
    setup.host = Host::start(&setup.folder, &setup.double.endpoint, "host");
    assert!(is_key(&setup.client().public_key("me")));
}

#[test]
fn so_many_connections_and_no_more() {
    let setup = Setup::new();
    let host = Host::start_with(&setup.folder, &setup.double.endpoint, "small", &["--connections", "2"]);
    let (mut first, mut second) = (host.client(), host.client());
    assert!(is_key(&first.generate("one")) && is_key(&second.generate("two")));
    let request = Request::PublicKey { user_id: user("one") };
    host.client().0.ask::<_, Response>(&request).unwrap_err();
    assert!(host.log().contains("more than 2 connections"));
    drop(first);
    until("a place", || host.client().0.ask::<_, Response>(&request).is_ok());
    assert!(is_key(&second.public_key("two")));
}

#[test]
fn the_log_knows_no_users_and_no_secrets() {
    let setup = Setup::new();
    let mut client = setup.client();
    let name = "a-name-that-is-nobodys-business";
    client.generate(name);
    client.generate(name);
    client.sign(name);
    client.public_key("another-name");
    client.sign("another-name");
    client.ask(&Request::Destroy { user_id: user(name) });
    let log = setup.host.log();
    assert!(!log.contains(name) && !log.contains("another-name"), "{log}");
    // The same user is the same in each line, and after a restart; others are others.
    let of = |what: &str| {
        let line = log.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("no {what}: {log}"));
        line.split_whitespace().find(|word| word.ends_with(':') && word.len() == 17).unwrap().to_owned()
    };
    assert_eq!(of("ML-DSA-65"), of("there is a key already"));
    assert_eq!(of("ML-DSA-65"), of("gone"));
    assert_ne!(of("ML-DSA-65"), of("no such key"));
    let again = setup.another_host("again");
    again.client().sign(name);
    assert!(again.log().contains(&of("ML-DSA-65")));
    let key = fs::read(setup.folder.path().join("kms-keys")).unwrap();
    assert!(!log.contains(std::str::from_utf8(&key).unwrap()));
}
