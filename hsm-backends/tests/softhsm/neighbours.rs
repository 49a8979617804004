//! The application uses the HSM's library itself, and the HSM forgets what it was told.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use algorithms::{Algorithm, Signing, ecdsa::Curve, ed25519};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    object::Attribute,
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use cryptoki_sys as ck;
use hsm_backends::{
    Attributes, Change, KeySpec, KeyStore, NewSecret, Pin, Place, PrivateKey, RecordId, Role, StoreError,
    Vault,
    conformance::{AdminFixture, Fixture},
    pkcs11::Libraries,
};

use super::SoftHsm;

const P256: KeySpec = KeySpec::Pair(Algorithm::Ecdsa(Curve::P256));

/// The application's own view of the library.
fn application(hsm: &SoftHsm) -> (Pkcs11, Slot) {
    let library = Pkcs11::new(hsm.library("token")).unwrap();
    let _ = library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
    // When it reads the token's file anew, SoftHSM answers CKR_GENERAL_ERROR now and then.
    let slot = (0..100).find_map(|_| {
        let found = library.get_slots_with_initialized_token();
        found.map_err(|_| std::thread::sleep(std::time::Duration::from_millis(5))).ok()
    });
    (library, slot.expect("SoftHSM shows its token")[0])
}

fn logged_in(library: &Pkcs11, slot: Slot) -> Session {
    let session = library.open_rw_session(slot).unwrap();
    session.login(UserType::User, Some(&AuthPin::new("user-pin".into()))).unwrap();
    session
}

fn attributes(label: &str) -> Attributes {
    let mut attributes = Attributes::new();
    attributes.set(ck::CKA_CLASS, ck::CKO_PRIVATE_KEY);
    attributes.set(ck::CKA_PRIVATE, true);
    attributes.set(ck::CKA_LABEL, label.as_bytes());
    attributes.set(ck::CKA_ID, b"id".as_slice());
    attributes
}

pub(super) fn make(vault: &dyn Vault, spec: &KeySpec, label: &str) -> RecordId {
    let id = RecordId::random().unwrap();
    let secret = vault.generate(spec).unwrap();
    vault.commit(vec![Change::Create { id, attributes: attributes(label), secret: Some(secret) }]).unwrap();
    id
}

pub(super) fn sign(key: &dyn PrivateKey) -> Result<(), StoreError> {
    let digest = [7; 32];
    let signing = match key.public_key()?.algorithm() {
        Algorithm::Ed25519 => Signing::Ed25519(ed25519::Input::Pure(&digest)),
        _ => Signing::Ecdsa { digest: &digest },
    };
    let signature = key.sign(signing)?;
    key.public_key()?.verify(signing, &signature).unwrap();
    Ok(())
}

fn user(hsm: &SoftHsm, store: &dyn KeyStore) -> Box<dyn Vault> {
    store.unlock(Role::User, &hsm.user_pin()).unwrap()
}

#[test]
fn an_application_that_was_first_keeps_its_library() {
    let hsm = SoftHsm::passing_through();
    let (library, slot) = application(&hsm);
    let theirs = library.open_rw_session(slot).unwrap();
    {
        let store = hsm.open();
        let vault = user(&hsm, &*store);
        let id = make(&*vault, &P256, "key");
        sign(&*vault.private_key(id).unwrap()).unwrap();
        store.before_fork();
        store.after_fork();
        sign(&*vault.private_key(id).unwrap()).unwrap();
    }
    // Neither logging out nor closing the store took it away.
    theirs.get_session_info().unwrap();
    logged_in(&library, slot);
}

#[test]
fn a_login_of_the_applications_does_not_open_the_door() {
    let hsm = SoftHsm::passing_through();
    let (library, slot) = application(&hsm);
    let theirs = logged_in(&library, slot);
    let store = hsm.open();
    let wrong = Pin::presented(b"wrong");
    // The HSM says to any PIN that somebody is logged in already, and judges it for one use of a key.
    assert_eq!(store.unlock(Role::User, &wrong).unwrap_err(), StoreError::PinIncorrect);
    let vault = user(&hsm, &*store);
    let id = make(&*vault, &P256, "key");
    drop(vault);
    assert_eq!(theirs.find_objects(&[Attribute::Token(false)]).unwrap().len(), 0, "a key is left");
    // From now on there is something to compare a PIN with.
    assert_eq!(store.unlock(Role::User, &wrong).unwrap_err(), StoreError::PinIncorrect);
    let vault = user(&hsm, &*store);
    assert_eq!(vault.verify_pin(&wrong), Err(StoreError::PinIncorrect));
    sign(&*vault.private_key(id).unwrap()).unwrap();
    drop(vault);
    // The login was theirs, and it stays.
    assert!(theirs.logout().is_ok(), "somebody has logged the application out");
}

#[test]
fn no_pin_ends_a_session_of_an_application_that_came_second() {
    let hsm = SoftHsm::passing_through();
    let store = hsm.open();
    store.description().unwrap();
    let (library, slot) = application(&hsm);
    let theirs = library.open_rw_session(slot).unwrap();
    assert_eq!(store.unlock(Role::User, &Pin::presented(b"wrong")).unwrap_err(), StoreError::PinIncorrect);
    drop(user(&hsm, &*store));
    theirs.get_session_info().unwrap();
    drop(theirs);
    std::mem::forget(library);
}

#[test]
fn what_the_hsm_forgets_is_told_again() {
    let hsm = SoftHsm::passing_through();
    let store = hsm.open();
    let vault = user(&hsm, &*store);
    let ids = [make(&*vault, &P256, "one"), make(&*vault, &KeySpec::Pair(Algorithm::Ed25519), "two")];
    let keys = ids.map(|id| vault.private_key(id).unwrap());
    let all_sign = |what: &str| {
        for key in &keys {
            sign(&**key).unwrap_or_else(|error| panic!("{what}: {error}"));
        }
        // What the record says and what the token has are still the same.
        assert_eq!(vault.find(&Attributes::new()).unwrap(), ids, "{what}");
    };
    all_sign("nothing");
    let (library, slot) = application(&hsm);
    library.open_rw_session(slot).unwrap().logout().unwrap();
    all_sign("a logout");
    // Dropping it finalises the library under everybody.
    drop(library);
    all_sign("the library finalised");
    for _ in 0..3 {
        store.before_fork();
        store.after_fork();
        all_sign("a fork");
    }
}

#[test]
fn no_signature_fails_while_sessions_are_lost() {
    let hsm = SoftHsm::passing_through();
    let store = hsm.open();
    let vault = user(&hsm, &*store);
    let key = vault.private_key(make(&*vault, &P256, "key")).unwrap();
    let (library, slot) = application(&hsm);
    let (done, signed) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        sign(&*key)?;
                        signed.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok::<_, StoreError>(())
                })
            })
            .collect();
        for turn in 0..60 {
            std::thread::sleep(std::time::Duration::from_millis(10));
            if turn % 3 == 0 {
                store.before_fork();
                store.after_fork();
            } else {
                // There may be no login at this very moment.
                let _ = library.open_rw_session(slot).map(|session| session.logout());
            }
        }
        done.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().unwrap().expect("no signature fails");
        }
    });
    assert!(signed.into_inner() > 60, "the workers did not work");
}

#[test]
fn a_pin_that_was_changed_elsewhere_ends_the_login_and_is_not_tried_again() {
    let hsm = SoftHsm::passing_through();
    let store = hsm.open();
    let vault = user(&hsm, &*store);
    let key = vault.private_key(make(&*vault, &P256, "key")).unwrap();
    let (library, slot) = application(&hsm);
    let theirs = library.open_rw_session(slot).unwrap();
    let (old, new) = (AuthPin::new("user-pin".into()), AuthPin::new("another".into()));
    theirs.set_pin(&old, &new).unwrap();
    sign(&*key).expect("the login of before goes on");
    theirs.logout().unwrap();
    assert_eq!(sign(&*key).unwrap_err(), StoreError::TokenReplaced);
    assert_eq!(vault.find(&Attributes::new()), Err(StoreError::TokenReplaced));
    drop(vault);
    assert_eq!(store.unlock(Role::User, &hsm.user_pin()).unwrap_err(), StoreError::PinIncorrect);
    let vault = store.unlock(Role::User, &Pin::presented(b"another")).unwrap();
    let found = vault.find(&Attributes::new()).unwrap();
    sign(&*vault.private_key(found[0]).unwrap()).unwrap();
}

#[test]
fn an_hsm_that_is_not_there_is_said_to_be() {
    let hsm = SoftHsm::passing_through();
    let absent = |store: Box<dyn KeyStore>, what: &str| {
        for error in [
            store.description().unwrap_err(),
            store.unlock(Role::User, &hsm.user_pin()).unwrap_err(),
            store.public().find(&Attributes::new()).unwrap_err(),
        ] {
            assert!(matches!(&error, StoreError::Absent(why) if why.contains(what)), "{error}");
        }
        store.before_fork();
        store.after_fork();
    };
    let libraries = Libraries::default();
    absent(hsm.with("nowhere", SoftHsm::by_label("conformance"), &libraries), "module-path");
    absent(hsm.with("token", SoftHsm::by_label("another"), &libraries), "another");
    assert!(!hsm.records().exists(), "nothing was made by asking");
}

#[test]
fn records_of_another_token_do_not_open() {
    let (hsm, other) = (SoftHsm::sealing(), SoftHsm::sealing());
    let store = hsm.open();
    let vault = user(&hsm, &*store);
    let secret: NewSecret = vault.generate(&KeySpec::Secret { len: 32 }).unwrap();
    let id = RecordId::random().unwrap();
    vault.commit(vec![Change::Create { id, attributes: attributes("key"), secret: Some(secret) }]).unwrap();
    drop(vault);
    // Whoever copies the records has nothing, although the PIN is the same.
    std::fs::rename(hsm.records(), other.records()).unwrap();
    let refused = other.open().unlock(Role::User, &other.user_pin()).unwrap_err();
    assert!(matches!(&refused, StoreError::Damaged(why) if why.contains("sealed under")), "{refused}");
    std::fs::rename(other.records(), hsm.records()).unwrap();
    assert!(user(&hsm, &*hsm.open()).secret_key(id).is_ok());
}

#[test]
fn keys_say_where_they_are() {
    let hsm = SoftHsm::passing_through();
    let store = hsm.open();
    let vault = user(&hsm, &*store);
    for (spec, place) in [
        (P256, Place::Device),
        (KeySpec::Pair(Algorithm::Ed25519), Place::Device),
        (KeySpec::Pair(Algorithm::MlDsa(algorithms::ml_dsa::ParameterSet::MlDsa65)), Place::Process),
    ] {
        let id = make(&*vault, &spec, "key");
        assert_eq!(vault.private_key(id).unwrap().place(), place, "{spec:?}");
    }
    let mut leaves = attributes("leaves");
    leaves.set(ck::CKA_EXTRACTABLE, true);
    let NewSecret::Private(key) = vault.generate_for(&P256, &leaves).unwrap() else {
        panic!("a pair has one")
    };
    assert_eq!(key.place(), Place::Process);
}

#[test]
fn a_backup_does_not_bring_an_older_pin_back() {
    let hsm = SoftHsm::passing_through();
    let store = hsm.open();
    drop(user(&hsm, &*store));
    let admin = store.admin().unwrap();
    let (path, passphrase) = (hsm.scratch().join("backup"), Pin::presented(b"passphrase"));
    admin.backup(&path, &passphrase).unwrap();
    let new = Pin::presented(b"another");
    admin.set_pin(Role::User, &hsm.user_pin(), &new).unwrap();
    let (library, slot) = application(&hsm);
    let theirs = library.open_rw_session(slot).unwrap();
    theirs.login(UserType::User, Some(&AuthPin::new("another".into()))).unwrap();
    admin.restore(&path, &passphrase, true).unwrap();
    // Also while the application is logged in, and nothing is there to compare the PIN with.
    assert_eq!(store.unlock(Role::User, &hsm.user_pin()).unwrap_err(), StoreError::PinIncorrect);
    store.unlock(Role::User, &new).unwrap();
    drop(theirs);
    std::mem::forget(library);
}
