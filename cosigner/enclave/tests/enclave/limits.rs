//! How many may talk, and for how long.

use cosigner_protocol::{
    Error,
    message::{FromEnclave, ToEnclave},
};

use crate::world::World;

#[test]
fn connections_are_limited_and_places_are_given_back() {
    let world = World::new(&["--connections=2"]);
    let health =
        |transport: &mut cosigner_protocol::Transport| transport.ask::<_, FromEnclave>(&ToEnclave::Health {});
    let mut open = [world.connect(), world.connect()];
    for transport in &mut open {
        health(transport).unwrap();
    }
    let refused = health(&mut world.connect());
    assert!(matches!(refused, Err(Error::Closed | Error::Io(_))), "{refused:?}");
    drop(open);
    // The place is free when the enclave has seen the end.
    while health(&mut world.connect()).is_err() {
        std::thread::yield_now();
    }
}

#[test]
fn who_is_silent_is_not_waited_for() {
    let world = World::new(&["--idle=2", "--frame-time=3"]);
    let mut silent = world.connect();
    silent.ask::<_, FromEnclave>(&ToEnclave::Health {}).unwrap();
    let ended = silent.hear::<FromEnclave>();
    assert!(matches!(ended, Err(Error::Closed)), "{ended:?}");
    // And who does not bring KMS' answer.
    let (key, _) = world.generate("u", cosigner_protocol::Algorithm::Ed25519);
    let mut key = key;
    key.wrapped_key.0[0] ^= 1;
    let mut silent = world.connect();
    let _: FromEnclave = silent.ask(&crate::world::sign(&key, crate::world::text("m"))).unwrap();
    let ended = silent.hear::<FromEnclave>();
    assert!(matches!(ended, Err(Error::Closed)), "{ended:?}");
}
