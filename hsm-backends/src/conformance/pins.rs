//! PINs: counted before they are judged, in one count for everybody.

use std::sync::atomic::{AtomicU32, Ordering};

use super::{Fixture, everything, so, user};
use crate::{KeyStore, Pin, PinState, Role, StoreError};

fn wrong() -> Pin {
    Pin::presented(b"certainly not the PIN")
}

fn states(token: &dyn Fixture) -> (PinState, PinState) {
    let described = token.open().description().unwrap();
    (described.user_pin, described.so_pin)
}

/// What is to be seen after so many wrong tries.
fn after(failures: u32, limit: u32) -> PinState {
    match failures {
        0 => PinState::Good,
        failures if failures >= limit => PinState::Locked,
        failures if failures + 1 == limit => PinState::FinalTry,
        _ => PinState::CountLow,
    }
}

fn right(token: &dyn Fixture, role: Role) -> Pin {
    match role {
        Role::User => token.user_pin(),
        Role::SecurityOfficer => token.so_pin(),
    }
}

pub fn wrong_pins_count_and_lock(token: &dyn Fixture) {
    let limit = token.pin_tries();
    assert!(limit >= 3, "a fixture that cannot tell the states apart");
    let store = token.open();
    let vault = user(&*store, token);
    for role in [Role::User, Role::SecurityOfficer] {
        let state = || match role {
            Role::User => states(token).0,
            Role::SecurityOfficer => states(token).1,
        };
        for tries in 1..=limit {
            // Each through a door of its own, and of every length.
            let pin = if tries % 2 == 0 { wrong() } else { Pin::presented(b"") };
            assert_eq!(token.open().unlock(role, &pin).unwrap_err(), StoreError::PinIncorrect);
            assert_eq!(state(), after(tries, limit));
        }
        for pin in [wrong(), right(token, role)] {
            assert_eq!(store.unlock(role, &pin).unwrap_err(), StoreError::PinLocked);
            assert_eq!(state(), PinState::Locked);
        }
    }
    assert_eq!(vault.verify_pin(&token.user_pin()), Err(StoreError::PinLocked));
    // Who is inside stays inside.
    assert_eq!(everything(&*vault), []);
}

pub fn a_right_pin_forgives(token: &dyn Fixture) {
    let (store, limit) = (token.open(), token.pin_tries());
    for role in [Role::User, Role::SecurityOfficer] {
        for _ in 1..limit {
            assert_eq!(store.unlock(role, &wrong()).unwrap_err(), StoreError::PinIncorrect);
        }
        assert_eq!(store.unlock(role, &right(token, role)).unwrap().role(), role);
        assert_eq!(states(token), (PinState::Good, PinState::Good));
    }
    // A PIN that only begins like the right one is wrong.
    let longer = Pin::presented(&[token.user_pin().expose(), b"0"].concat());
    let shorter = Pin::presented(&token.user_pin().expose()[1..]);
    for pin in [longer, shorter, token.so_pin()] {
        assert_eq!(store.unlock(Role::User, &pin).unwrap_err(), StoreError::PinIncorrect);
        user(&*store, token);
    }
}

pub fn a_second_look_at_the_pin(token: &dyn Fixture) {
    let (store, limit) = (token.open(), token.pin_tries());
    for role in [Role::User, Role::SecurityOfficer] {
        let vault = store.unlock(role, &right(token, role)).unwrap();
        vault.verify_pin(&right(token, role)).unwrap();
        assert_eq!(vault.verify_pin(&wrong()), Err(StoreError::PinIncorrect));
        assert_ne!(states(token), (PinState::Good, PinState::Good));
        vault.verify_pin(&right(token, role)).unwrap();
        assert_eq!(states(token), (PinState::Good, PinState::Good));
    }
    let vault = user(&*store, token);
    for _ in 0..limit {
        assert_eq!(vault.verify_pin(&wrong()), Err(StoreError::PinIncorrect));
    }
    assert_eq!(vault.verify_pin(&token.user_pin()), Err(StoreError::PinLocked));
    assert_eq!(store.unlock(Role::User, &token.user_pin()).unwrap_err(), StoreError::PinLocked);
}

pub fn roles_are_counted_apart(token: &dyn Fixture) {
    let store = token.open();
    assert_eq!(store.unlock(Role::User, &wrong()).unwrap_err(), StoreError::PinIncorrect);
    assert_eq!(states(token), (after(1, token.pin_tries()), PinState::Good));
    // The SO's PIN forgives nothing of the user's.
    so(&*store, token);
    assert_eq!(states(token), (after(1, token.pin_tries()), PinState::Good));
    user(&*store, token);
    assert_eq!(states(token), (PinState::Good, PinState::Good));
}

pub fn guesses_at_once_stay_within_the_limit(token: &dyn Fixture) {
    let limit = token.pin_tries();
    let judged = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let store = token.open();
                for _ in 0..limit {
                    match store.unlock(Role::User, &wrong()).unwrap_err() {
                        StoreError::PinIncorrect => judged.fetch_add(1, Ordering::Relaxed),
                        StoreError::PinLocked => 0,
                        other => panic!("{other}"),
                    };
                }
            });
        }
    });
    assert_eq!(judged.into_inner(), limit);
    assert_eq!(states(token).0, PinState::Locked);
}

pub fn right_pins_at_once_all_open(token: &dyn Fixture) {
    let shared = token.open();
    let shared: &dyn KeyStore = &*shared;
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                let own = token.open();
                let store = if thread % 2 == 0 { shared } else { &*own };
                user(store, token);
            });
        }
    });
    assert_eq!(states(token), (PinState::Good, PinState::Good));
}
