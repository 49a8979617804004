//! The HSM's own keys beside records: neither hides, takes along or loses the other.

use algorithms::Algorithm;
use cryptoki::object::{Attribute, ObjectClass};
use cryptoki_sys as ck;
use hsm_backends::{
    Attributes, Change, KeySpec, RecordId, Role, StoreError, Value, Vault, conformance::Fixture,
};

use super::{
    SoftHsm,
    neighbours::sign,
    objects::{elsewhere, labels},
    search::{class, label, make_pair, wanted},
};

/// The one object of a class and label.
fn one(vault: &dyn Vault, kind: u64, name: &str) -> RecordId {
    let found = vault.find(&wanted(&[class(kind), label(name)])).unwrap();
    assert_eq!(found.len(), 1, "{name}");
    found[0]
}

/// Puts a public key on record, and gives its id.
fn write_public(vault: &dyn Vault, name: &str, key_id: u8, spki: &[u8]) -> RecordId {
    let id = RecordId::random().unwrap();
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
    let mut attributes = wanted(&[class(ck::CKO_PUBLIC_KEY), label(name)]);
    attributes.set(ck::CKA_ID, bytes(&[key_id]));
    attributes.set(ck::CKA_PUBLIC_KEY_INFO, bytes(spki));
    attributes.set(ck::CKA_PRIVATE, false);
    vault.commit(vec![Change::Create { id, attributes, secret: None }]).unwrap();
    id
}

fn spki(vault: &dyn Vault, id: RecordId) -> Vec<u8> {
    vault.read(id).unwrap().attributes.bytes(ck::CKA_PUBLIC_KEY_INFO).unwrap().to_vec()
}

#[test]
fn a_public_key_that_is_written_beside_a_key_of_the_hsm_changes_nothing_about_it() {
    let hsm = SoftHsm::passing_through();
    let store = hsm.open();
    let vault = store.unlock(Role::User, &hsm.user_pin()).unwrap();
    let (library, session) = elsewhere(&hsm);
    make_pair(&session, "theirs", 1);
    let private = one(&*vault, ck::CKO_PRIVATE_KEY, "theirs");
    let public = spki(&*vault, private);
    let theirs = || sign(&*vault.private_key(one(&*vault, ck::CKO_PRIVATE_KEY, "theirs")).unwrap()).unwrap();
    // Of the same names it is shown in place of the HSM's, and goes alone; and so does one of other names.
    for (name, key_id) in [("theirs", 1), ("another", 2)] {
        let written = write_public(&*vault, name, key_id, &public);
        theirs();
        assert_eq!(one(&*vault, ck::CKO_PUBLIC_KEY, name), written);
        vault.commit(vec![Change::Destroy { id: written }]).unwrap();
        assert!(labels(&session).contains(&(ObjectClass::PUBLIC_KEY, "theirs".into())), "{name}");
        theirs();
    }
    // Nor does somebody who is not logged in, and whose record has other names.
    let written = write_public(&*vault, "another", 2, &public);
    store.public().commit(vec![Change::Destroy { id: written }]).unwrap();
    assert!(labels(&session).contains(&(ObjectClass::PUBLIC_KEY, "theirs".into())));
    theirs();
    drop(session);
    std::mem::forget(library);
}

#[test]
fn a_public_half_goes_with_the_last_record_of_it() {
    let hsm = SoftHsm::passing_through();
    let store = hsm.open();
    let vault = store.unlock(Role::User, &hsm.user_pin()).unwrap();
    let (library, session) = elsewhere(&hsm);
    for logged_in in [true, false] {
        let id = RecordId::random().unwrap();
        let secret = vault.generate(&KeySpec::Pair(Algorithm::Ed25519)).unwrap();
        let mut attributes = wanted(&[class(ck::CKO_PRIVATE_KEY), label("ours")]);
        attributes.set(ck::CKA_ID, Value::Bytes(vec![7]));
        attributes.set(ck::CKA_PRIVATE, true);
        vault.commit(vec![Change::Create { id, attributes, secret: Some(secret) }]).unwrap();
        let public = vault.private_key(id).unwrap().public_key().unwrap().to_spki().unwrap();
        let [first, copy] = [(); 2].map(|()| write_public(&*vault, "ours", 7, &public));
        let there = || labels(&session).contains(&(ObjectClass::PUBLIC_KEY, "ours".into()));
        let destroy = |id| {
            let objects: &dyn hsm_backends::Objects = if logged_in { &*vault } else { store.public() };
            objects.commit(vec![Change::Destroy { id }]).unwrap();
        };
        destroy(copy);
        assert!(there());
        destroy(first);
        assert!(!there());
        sign(&*vault.private_key(id).unwrap()).unwrap();
        vault.commit(vec![Change::Destroy { id }]).unwrap();
    }
    drop(session);
    std::mem::forget(library);
}

#[test]
fn an_object_that_was_found_before_a_login_is_the_same_after_it_and_after_others() {
    let hsm = SoftHsm::passing_through();
    let store = hsm.open();
    drop(store.unlock(Role::User, &hsm.user_pin()).unwrap());
    let (library, session) = elsewhere(&hsm);
    make_pair(&session, "theirs", 1);
    let [public] = store.public().find(&wanted(&[label("theirs")])).unwrap()[..] else {
        panic!("one is public")
    };
    let vault = store.unlock(Role::User, &hsm.user_pin()).unwrap();
    let record = vault.read(public).unwrap();
    let private = one(&*vault, ck::CKO_PRIVATE_KEY, "theirs");
    drop(vault);
    assert_eq!(store.public().read(public).unwrap(), record);
    assert_eq!(store.public().read(private).unwrap_err(), StoreError::NotFound);
    let vault = store.unlock(Role::User, &hsm.user_pin()).unwrap();
    assert_eq!(vault.read(private).unwrap_err(), StoreError::NotFound, "nobody has looked for it");
    let private = one(&*vault, ck::CKO_PRIVATE_KEY, "theirs");

    // Renaming and destroying outlast a login that is lost.
    let lose = || session.logout().unwrap();
    lose();
    let record = vault.read(private).unwrap();
    let mut renamed: Attributes = record.attributes.clone();
    renamed.set(ck::CKA_LABEL, b"renamed".as_slice());
    let update = Change::Update { id: private, version: record.version, attributes: renamed };
    vault.commit(vec![update]).unwrap();
    lose();
    vault.commit(vec![Change::Destroy { id: private }]).unwrap();
    assert_eq!(vault.read(private).unwrap_err(), StoreError::NotFound);
    assert_eq!(vault.find(&Attributes::new()).unwrap(), [public]);
    let left = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)]).unwrap();
    assert_eq!(left, []);
    drop(session);
    std::mem::forget(library);
}
