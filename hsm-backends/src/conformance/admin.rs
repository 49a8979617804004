//! C_InitToken, C_InitPIN and C_SetPIN.

use super::{AdminFixture, by_label, data, everything, key, put, so, user};
use crate::{Attributes, Change, KeySpec, Pin, PinState, RecordId, Role, StoreError};

fn wrong() -> Pin {
    Pin::presented(b"certainly not the PIN")
}

fn new_pin() -> Pin {
    Pin::chosen(b"a new PIN").unwrap()
}

pub fn nothing_works_before_c_init_token(token: &dyn AdminFixture) {
    let store = token.blank();
    let described = store.description().unwrap();
    assert!(!described.initialized && !described.user_pin_initialized);
    assert_eq!((described.user_pin, described.so_pin), (PinState::Good, PinState::Good));
    let none = StoreError::TokenNotInitialized;
    for role in [Role::User, Role::SecurityOfficer] {
        assert_eq!(store.unlock(role, &token.so_pin()).unwrap_err(), none);
    }
    assert_eq!(store.public().find(&Attributes::new()), Err(none.clone()));
    assert_eq!(store.public().read(RecordId([7; 16])), Err(none.clone()));
    assert_eq!(store.public().commit(vec![]), Err(none.clone()));
    let admin = store.admin().unwrap();
    assert_eq!(admin.set_pin(Role::User, &token.user_pin(), &new_pin()), Err(none.clone()));
    let path = token.scratch().join("nothing");
    assert_eq!(admin.backup(&path, &new_pin()), Err(none));
    assert!(!path.exists());
    assert!(!store.description().unwrap().initialized, "nothing was made by asking");
}

pub fn a_token_is_made_once(token: &dyn AdminFixture) {
    let store = token.blank();
    let admin = store.admin().unwrap();
    let long = StoreError::Algorithm(algorithms::Error::InputLength);
    assert_eq!(admin.init_token(&token.so_pin(), &"x".repeat(33)), Err(long));
    assert!(!store.description().unwrap().initialized);
    admin.init_token(&token.so_pin(), "a label").unwrap();
    let described = store.description().unwrap();
    assert!(described.initialized && !described.user_pin_initialized);
    assert_eq!(described.label, "a label");
    assert_ne!(described.serial, token.open().description().unwrap().serial);
    assert_eq!(store.unlock(Role::User, &token.user_pin()).unwrap_err(), StoreError::UserPinNotInitialized);
    let so = so(&*store, token);
    admin.init_pin(&*so, &token.user_pin()).unwrap();
    assert_eq!(everything(&*user(&*store, token)), []);
}

pub fn init_token_erases(token: &dyn AdminFixture) {
    let store = token.open();
    let (vault, officer) = (user(&*store, token), so(&*store, token));
    let secret = vault.generate(&KeySpec::Secret { len: 32 }).unwrap();
    let private = put(&*vault, key("key", &secret), Some(secret));
    let public = put(&*vault, data("public", false), None);
    vault.secret_key(private).unwrap();
    let serial = store.description().unwrap().serial;
    store.admin().unwrap().init_token(&token.so_pin(), "anew").unwrap();

    let described = token.open().description().unwrap();
    assert_eq!((described.label.as_str(), described.user_pin_initialized), ("anew", false));
    assert_ne!(described.serial, serial);
    assert_eq!(everything(store.public()), []);
    assert_eq!(store.public().read(public), Err(StoreError::NotFound));
    // Whoever is still logged in to the token that was is told so.
    let replaced = StoreError::TokenReplaced;
    assert_eq!(vault.find(&Attributes::new()), Err(replaced.clone()));
    assert_eq!(vault.read(private), Err(replaced.clone()));
    assert_eq!(vault.secret_key(private).unwrap_err(), replaced);
    assert_eq!(vault.commit(vec![]), Err(replaced.clone()));
    assert_eq!(vault.verify_pin(&token.user_pin()), Err(StoreError::UserPinNotInitialized));
    assert_eq!(officer.verify_pin(&token.so_pin()), Err(replaced.clone()));
    assert_eq!(store.admin().unwrap().init_pin(&*officer, &new_pin()), Err(replaced));
    let officer = so(&*store, token);
    store.admin().unwrap().init_pin(&*officer, &token.user_pin()).unwrap();
    let vault = user(&*store, token);
    assert_eq!(everything(&*vault), []);
    assert_eq!(vault.private_key(private).unwrap_err(), StoreError::NotFound);
}

pub fn a_wrong_so_pin_erases_nothing(token: &dyn AdminFixture) {
    let store = token.open();
    let vault = user(&*store, token);
    let id = put(&*vault, data("kept", true), None);
    let admin = store.admin().unwrap();
    let label = store.description().unwrap().label;
    for tries in 0..=token.pin_tries() {
        let expected =
            if tries < token.pin_tries() { StoreError::PinIncorrect } else { StoreError::PinLocked };
        assert_eq!(admin.init_token(&wrong(), "anew"), Err(expected));
    }
    assert_eq!(admin.init_token(&token.so_pin(), "anew"), Err(StoreError::PinLocked));
    assert_eq!(vault.find(&by_label("kept")).unwrap(), [id]);
    let described = store.description().unwrap();
    assert_eq!((described.label, described.so_pin), (label, PinState::Locked));
    assert_eq!(described.user_pin, PinState::Good);
}

pub fn the_so_sets_the_users_pin(token: &dyn AdminFixture) {
    let store = token.open();
    let vault = user(&*store, token);
    let secret = vault.generate(&KeySpec::Secret { len: 32 }).unwrap();
    let id = put(&*vault, key("key", &secret), Some(secret));
    for _ in 0..token.pin_tries() {
        store.unlock(Role::User, &wrong()).unwrap_err();
    }
    assert_eq!(store.description().unwrap().user_pin, PinState::Locked);
    let officer = so(&*store, token);
    store.admin().unwrap().init_pin(&*officer, &new_pin()).unwrap();
    assert_eq!(store.description().unwrap().user_pin, PinState::Good);
    assert_eq!(store.unlock(Role::User, &token.user_pin()).unwrap_err(), StoreError::PinIncorrect);
    let other = token.open();
    let again = other.unlock(Role::User, &new_pin()).unwrap();
    assert_eq!(
        again.secret_key(id).unwrap().bytes().expose(),
        vault.secret_key(id).unwrap().bytes().expose()
    );
}

pub fn only_the_so_sets_the_users_pin(token: &dyn AdminFixture) {
    let store = token.open();
    let admin = store.admin().unwrap();
    let vault = user(&*store, token);
    assert_eq!(admin.init_pin(&*vault, &new_pin()), Err(StoreError::Unsupported));
    // The SO of another token is nobody here.
    let other = token.blank();
    other.admin().unwrap().init_token(&token.so_pin(), "other").unwrap();
    let stranger = so(&*other, token);
    assert_eq!(admin.init_pin(&*stranger, &new_pin()), Err(StoreError::TokenReplaced));
    user(&*store, token);
}

pub fn pins_are_changed_by_who_knows_them(token: &dyn AdminFixture) {
    let store = token.open();
    let admin = store.admin().unwrap();
    let vault = user(&*store, token);
    let secret = vault.generate(&KeySpec::Secret { len: 32 }).unwrap();
    let id = put(&*vault, key("key", &secret), Some(secret));
    for (role, old) in [(Role::User, token.user_pin()), (Role::SecurityOfficer, token.so_pin())] {
        assert_eq!(admin.set_pin(role, &wrong(), &new_pin()), Err(StoreError::PinIncorrect));
        let described = store.description().unwrap();
        assert_ne!((described.user_pin, described.so_pin), (PinState::Good, PinState::Good));
        admin.set_pin(role, &old, &new_pin()).unwrap();
        let described = store.description().unwrap();
        assert_eq!((described.user_pin, described.so_pin), (PinState::Good, PinState::Good));
        assert_eq!(store.unlock(role, &old).unwrap_err(), StoreError::PinIncorrect);
        assert_eq!(store.unlock(role, &new_pin()).unwrap().role(), role);
    }
    // The login of before goes on, and the key is the same.
    vault.commit(vec![Change::Update { id, version: 1, attributes: data("renamed", true) }]).unwrap();
    let again = store.unlock(Role::User, &new_pin()).unwrap();
    assert_eq!(again.find(&by_label("renamed")).unwrap(), [id]);
    again.secret_key(id).unwrap();
    for _ in 0..token.pin_tries() {
        assert_eq!(admin.set_pin(Role::User, &wrong(), &new_pin()), Err(StoreError::PinIncorrect));
    }
    assert_eq!(admin.set_pin(Role::User, &new_pin(), &new_pin()), Err(StoreError::PinLocked));
}

pub fn pins_are_any_bytes(token: &dyn AdminFixture) {
    for len in [0, 3, 256] {
        assert_eq!(Pin::chosen(&vec![b'x'; len]).unwrap_err(), StoreError::PinLength);
    }
    let store = token.open();
    let admin = store.admin().unwrap();
    let mut old = token.user_pin();
    for bytes in [vec![0; 4], vec![0xFF; 255], b"\0\xC3\x28\n".to_vec()] {
        let new = Pin::chosen(&bytes).unwrap();
        admin.set_pin(Role::User, &old, &new).unwrap();
        store.unlock(Role::User, &new).unwrap();
        let cut = Pin::presented(&bytes[..bytes.len() - 1]);
        assert_eq!(store.unlock(Role::User, &cut).unwrap_err(), StoreError::PinIncorrect);
        old = new;
    }
}

/// The SO sets the user's PIN again and again, while `meanwhile` runs.
fn while_the_so_sets_pins(token: &dyn AdminFixture, new: &Pin, meanwhile: impl FnOnce() + Send) {
    let store = token.open();
    let officer = so(&*store, token);
    std::thread::scope(|scope| {
        let other = scope.spawn(meanwhile);
        while !other.is_finished() {
            store.admin().unwrap().init_pin(&*officer, new).unwrap();
        }
    });
}

pub fn a_login_may_meet_c_init_pin(token: &dyn AdminFixture) {
    let store = token.open();
    while_the_so_sets_pins(token, &token.user_pin(), || {
        for _ in 0..10 {
            user(&*store, token);
        }
    });
    assert_eq!(store.description().unwrap().user_pin, PinState::Good);
}
