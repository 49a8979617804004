//! Objects that the HSM had, found by what the HSM itself searches by: the same ones, under the same ids, as in the whole
//! list.

use cryptoki::{
    mechanism::Mechanism,
    object::{Attribute, ObjectClass},
    session::Session,
};
use cryptoki_sys as ck;
use hsm_backends::{Attributes, RecordId, StoreError, Value, Vault, conformance::Fixture};

use super::{SoftHsm, objects::elsewhere};

const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];

pub(super) fn wanted(items: &[(u64, Value)]) -> Attributes {
    items.iter().cloned().collect()
}

pub(super) fn label(label: &str) -> (u64, Value) {
    (ck::CKA_LABEL, Value::Bytes(label.as_bytes().to_vec()))
}

pub(super) fn class(class: u64) -> (u64, Value) {
    (ck::CKA_CLASS, Value::Ulong(class))
}

fn names(label: &str, id: u8) -> Vec<Attribute> {
    vec![Attribute::Token(true), Attribute::Label(label.into()), Attribute::Id(vec![id])]
}

pub(super) fn make_pair(session: &Session, label: &str, id: u8) {
    let mut public = names(label, id);
    public.extend([Attribute::EcParams(P256.to_vec()), Attribute::Verify(true), Attribute::Private(false)]);
    let mut private = names(label, id);
    private.extend([Attribute::Sign(true), Attribute::Private(true)]);
    session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).unwrap();
}

fn make_data(session: &Session, label: &str, value: &[u8], private: bool) {
    let data = [
        Attribute::Class(ObjectClass::DATA),
        Attribute::Token(true),
        Attribute::Private(private),
        Attribute::Label(label.into()),
        Attribute::Value(value.to_vec()),
    ];
    session.create_object(&data).unwrap();
}

/// What a template finds: what is in the whole list and matches, and nothing else.
fn found(vault: &dyn Vault, template: &Attributes) -> Vec<RecordId> {
    let mut narrow = vault.find(template).unwrap();
    let whole = vault.find(&Attributes::new()).unwrap();
    let matches = |id: &RecordId| vault.read(*id).unwrap().attributes.matches(template);
    let mut matching: Vec<_> = whole.into_iter().filter(matches).collect();
    narrow.sort_unstable_by_key(|id| id.0);
    matching.sort_unstable_by_key(|id| id.0);
    assert_eq!(narrow, matching, "{template:?}");
    narrow
}

#[test]
fn a_narrow_search_finds_what_the_whole_list_has() {
    let hsm = SoftHsm::passing_through();
    let store = hsm.open();
    let vault = store.unlock(hsm_backends::Role::User, &hsm.user_pin()).unwrap();
    let (library, session) = elsewhere(&hsm);
    make_pair(&session, "pair", 1);
    make_pair(&session, "pair", 2);
    make_pair(&session, "other", 3);
    // The same public key under another name, and the same data three times.
    let public = session.find_objects(&[Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Id(vec![3])]);
    session
        .copy_object(public.unwrap()[0], &[Attribute::Label(b"copy".to_vec()), Attribute::Id(vec![4])])
        .unwrap();
    for private in [false, true, false] {
        make_data(&session, "data", b"value", private);
    }
    make_data(&session, "data", b"another value", true);
    for (template, count) in [
        (wanted(&[label("pair")]), 4),
        (wanted(&[label("pair"), class(ck::CKO_PRIVATE_KEY)]), 2),
        (wanted(&[(ck::CKA_ID, Value::Bytes(vec![2]))]), 2),
        (wanted(&[label("copy")]), 1),
        (wanted(&[label("other"), class(ck::CKO_PUBLIC_KEY)]), 1),
        (wanted(&[label("data")]), 4),
        (wanted(&[label("data"), class(ck::CKO_DATA), (ck::CKA_PRIVATE, Value::Bool(true))]), 2),
        (wanted(&[label("data"), class(ck::CKO_CERTIFICATE)]), 0),
        (wanted(&[label("nobody's")]), 0),
        (wanted(&[(ck::CKA_KEY_TYPE, Value::Ulong(ck::CKK_EC))]), 7),
        (wanted(&[(ck::CKA_KEY_TYPE, Value::Ulong(ck::CKK_ML_DSA))]), 0),
        (wanted(&[class(ck::CKO_PROFILE)]), 0),
        (wanted(&[label("")]), 0),
    ] {
        assert_eq!(found(&*vault, &template).len(), count, "{template:?}");
    }
    // Which of two is which does not depend on who looks for it.
    let ids: Vec<_> = ["copy", "other"]
        .map(|name| found(&*vault, &wanted(&[label(name), class(ck::CKO_PUBLIC_KEY)])))
        .concat();
    assert_ne!(ids[0], ids[1]);
    for (id, name) in ids.iter().zip([b"copy".as_slice(), b"other"]) {
        assert_eq!(vault.read(*id).unwrap().attributes.bytes(ck::CKA_LABEL), Some(name));
    }
    drop(session);
    std::mem::forget(library);
}

#[test]
fn what_others_change_is_seen_by_whoever_looks_for_it() {
    let hsm = SoftHsm::passing_through();
    let store = hsm.open();
    let vault = store.unlock(hsm_backends::Role::User, &hsm.user_pin()).unwrap();
    let (library, session) = elsewhere(&hsm);
    make_pair(&session, "pair", 1);
    make_data(&session, "data", b"value", true);
    let private = wanted(&[label("pair"), class(ck::CKO_PRIVATE_KEY)]);
    let [key] = vault.find(&private).unwrap()[..] else { panic!("one key") };
    let [data] = vault.find(&wanted(&[label("data")])).unwrap()[..] else { panic!("one object") };
    for object in session.find_objects(&[Attribute::Label(b"pair".to_vec())]).unwrap() {
        session.update_attributes(object, &[Attribute::Label(b"renamed".to_vec())]).unwrap();
    }
    let gone = session.find_objects(&[Attribute::Label(b"data".to_vec())]).unwrap()[0];
    session.destroy_object(gone).unwrap();
    // The old names find nothing; the key is the same one, as it is now, and the data is no more.
    assert_eq!(vault.find(&private).unwrap(), []);
    assert_eq!(vault.read(key).unwrap().attributes.bytes(ck::CKA_LABEL), Some(&b"renamed"[..]));
    assert_eq!(vault.find(&wanted(&[label("data")])).unwrap(), []);
    assert_eq!(vault.read(data).unwrap_err(), StoreError::NotFound);
    assert_eq!(vault.find(&wanted(&[label("renamed"), class(ck::CKO_PRIVATE_KEY)])).unwrap(), [key]);
    drop(session);
    std::mem::forget(library);
}
