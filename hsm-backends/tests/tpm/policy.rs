//! What the TPM holds its copies of the token key to: the PCRs, the tries, the counter, and being this TPM.

use hsm_backends::{Pin, PinState, Role, StoreError, conformance::Fixture};

use crate::{
    Sealed,
    work::{copy, make, refused, reset, sign, user},
};

fn other() -> Pin {
    Pin::presented(b"another PIN")
}

#[test]
fn other_pcrs_open_nothing_cost_no_try_and_are_sealed_to_by_the_officer() {
    let token = Sealed::with(Some("sha256:10,16+sha1:23"));
    let store = token.open();
    let id = make(&*user(&*store, &token.user_pin()).unwrap(), "key");
    token.tpm.extend(7);
    user(&*store, &token.user_pin()).expect("a PCR that nobody asked for");
    token.tpm.extend(16);
    for pin in [token.user_pin(), other(), token.user_pin()] {
        refused(&*token.open(), &pin, "trellis tpm reseal");
    }
    let admin = store.admin().unwrap();
    assert_eq!(admin.reseal(&other()), Err(StoreError::PinIncorrect));
    admin.reseal(&token.so_pin()).unwrap();
    assert_eq!(user(&*store, &other()).unwrap_err(), StoreError::PinIncorrect);
    let vault = user(&*store, &token.user_pin()).unwrap();
    sign(&*vault.private_key(id).unwrap(), b"message");
    // A PIN that the officer sets is bound as well.
    reset(&token, &*store, &other());
    token.tpm.extend(10);
    refused(&*store, &other(), "trellis tpm reseal");
    // And what is bound to PCRs stays so when the officer's PIN changes.
    admin.set_pin(Role::SecurityOfficer, &token.so_pin(), &Pin::presented(b"new officer")).unwrap();
    refused(&*store, &other(), "trellis tpm reseal");
    admin.reseal(&Pin::presented(b"new officer")).unwrap();
    user(&*store, &other()).unwrap();
}

#[test]
fn the_tpm_counts_though_the_disk_is_set_back() {
    let token = Sealed::new();
    let clean = token.records("clean");
    copy(&token.records("token"), &clean);
    for _ in 0..token.pin_tries() {
        assert_eq!(user(&*token.open(), &other()).unwrap_err(), StoreError::PinIncorrect);
    }
    copy(&clean, &token.records("token"));
    let store = token.open();
    // The file knows of no wrong PIN; the TPM does.
    assert_eq!(store.description().unwrap().user_pin, PinState::Locked);
    for pin in [token.user_pin(), other()] {
        assert_eq!(user(&*store, &pin).unwrap_err(), StoreError::PinLocked);
    }
    reset(&token, &*store, &other());
    assert_eq!(store.description().unwrap().user_pin, PinState::Good);
    user(&*store, &other()).unwrap();
}

#[test]
fn an_older_copy_with_the_older_pin_opens_no_more() {
    let token = Sealed::new();
    let store = token.open();
    let id = make(&*user(&*store, &token.user_pin()).unwrap(), "key");
    drop(store);
    copy(&token.records("token"), &token.records("stolen"));
    // Who has it before the change has all.
    user(&*token.at("stolen"), &token.user_pin()).unwrap();
    let store = token.open();
    store.admin().unwrap().set_pin(Role::User, &token.user_pin(), &other()).unwrap();
    for pin in [token.user_pin(), other()] {
        refused(&*token.at("stolen"), &pin, "was changed");
    }
    sign(&*user(&*store, &other()).unwrap().private_key(id).unwrap(), b"message");
    assert_eq!(user(&*store, &token.user_pin()).unwrap_err(), StoreError::PinIncorrect);
    user(&*store, &other()).unwrap();

    // The officer's PIN is still what it was, so he can bring an old copy back; what was in its place is gone then.
    let brought_back = token.at("stolen");
    reset(&token, &*brought_back, &token.user_pin());
    sign(&*user(&*brought_back, &token.user_pin()).unwrap().private_key(id).unwrap(), b"message");
    refused(&*token.open(), &other(), "was changed");
    drop(brought_back);

    copy(&token.records("stolen"), &token.records("token"));
    let admin = token.open();
    let new_officer = Pin::presented(b"new officer");
    admin.admin().unwrap().set_pin(Role::SecurityOfficer, &token.so_pin(), &new_officer).unwrap();
    let stolen = token.at("stolen").unlock(Role::SecurityOfficer, &token.so_pin()).unwrap_err();
    assert!(matches!(&stolen, StoreError::Device(why) if why.contains("was changed")), "{stolen}");
    admin.unlock(Role::SecurityOfficer, &new_officer).unwrap();
    user(&*admin, &token.user_pin()).unwrap();
}

#[test]
fn another_tpm_opens_nothing() {
    let (token, elsewhere) = (Sealed::new(), Sealed::new());
    copy(&token.records("token"), &elsewhere.records("token"));
    for pin in [token.user_pin(), other()] {
        refused(&*elsewhere.open(), &pin, "another TPM");
    }
    let officer = elsewhere.open().unlock(Role::SecurityOfficer, &token.so_pin()).unwrap_err();
    assert!(matches!(&officer, StoreError::Device(why) if why.contains("another TPM")), "{officer}");
    user(&*token.open(), &token.user_pin()).unwrap();
}

#[test]
fn a_backup_opens_while_the_pins_are_what_they_were() {
    let token = Sealed::new();
    let store = token.open();
    let vault = user(&*store, &token.user_pin()).unwrap();
    let id = make(&*vault, "key");
    let path = token.records("backup");
    let passphrase = Pin::presented(b"correct horse");
    let admin = store.admin().unwrap();
    admin.backup(&path, &passphrase).unwrap();
    make(&*vault, "later");
    std::fs::remove_dir_all(token.records("token")).unwrap();
    let store = token.open();
    store.admin().unwrap().restore(&path, &passphrase, false).unwrap();
    let vault = user(&*store, &token.user_pin()).unwrap();
    assert_eq!(vault.find(&hsm_backends::Attributes::new()).unwrap(), [id]);
    sign(&*vault.private_key(id).unwrap(), b"message");
    // The PIN changes: from now on the officer alone opens that backup.
    store.admin().unwrap().set_pin(Role::User, &token.user_pin(), &other()).unwrap();
    store.admin().unwrap().restore(&path, &passphrase, true).unwrap();
    refused(&*store, &token.user_pin(), "was changed");
    reset(&token, &*store, &other());
    sign(&*user(&*store, &other()).unwrap().private_key(id).unwrap(), b"message");
}
