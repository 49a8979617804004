//! Objects in the HSM: those that it had before, and those that are made through the store.

use algorithms::{Algorithm, Signing, ed25519};
use cryptoki::{
    context::Pkcs11,
    mechanism::Mechanism,
    object::{Attribute, AttributeType, CertificateType, ObjectClass},
    session::{Session, UserType},
    types::AuthPin,
};
use cryptoki_sys as ck;
use hsm_backends::{Attributes, Change, KeySpec, RecordId, StoreError, Value, conformance::Fixture};

use super::{
    SoftHsm,
    neighbours::{make, sign},
};

/// Somebody else at the same HSM.
pub(super) fn elsewhere(hsm: &SoftHsm) -> (Pkcs11, Session) {
    let library = Pkcs11::new(hsm.library("token")).unwrap();
    let slot = library.get_slots_with_initialized_token().unwrap()[0];
    let session = library.open_rw_session(slot).unwrap();
    match session.login(UserType::User, Some(&AuthPin::new("user-pin".into()))) {
        Ok(()) | Err(cryptoki::error::Error::Pkcs11(cryptoki::error::RvError::UserAlreadyLoggedIn, _)) => {}
        Err(other) => panic!("{other}"),
    }
    (library, session)
}

fn by_label(label: &str) -> Attributes {
    [(ck::CKA_LABEL, Value::Bytes(label.as_bytes().to_vec()))].into_iter().collect()
}

pub(super) fn labels(session: &Session) -> Vec<(ObjectClass, String)> {
    let mut all = Vec::new();
    for object in session.find_objects(&[]).unwrap() {
        let mut class = None;
        let mut label = String::new();
        for value in session.get_attributes(object, &[AttributeType::Class, AttributeType::Label]).unwrap() {
            match value {
                Attribute::Class(found) => class = Some(found),
                Attribute::Label(bytes) => label = String::from_utf8(bytes).unwrap(),
                _ => {}
            }
        }
        all.push((class.unwrap(), label));
    }
    all.sort_by_key(|(class, label)| (format!("{class:?}"), label.clone()));
    all
}

#[test]
fn what_the_hsm_has_already_is_found_used_and_destroyed() {
    let hsm = SoftHsm::passing_through();
    let store = hsm.open();
    let vault = store.unlock(hsm_backends::Role::User, &hsm.user_pin()).unwrap();
    let (library, session) = elsewhere(&hsm);
    let names =
        |label: &str| vec![Attribute::Token(true), Attribute::Label(label.into()), Attribute::Id(vec![1, 2])];
    let mut public = names("old key");
    public.extend([
        Attribute::EcParams(vec![0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]),
        Attribute::Verify(true),
        Attribute::Private(false),
    ]);
    let mut private = names("old key");
    private.extend([Attribute::Sign(true), Attribute::Private(true), Attribute::Sensitive(true)]);
    session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).unwrap();
    let mut certificate = names("old certificate");
    certificate.extend([
        Attribute::Class(ObjectClass::CERTIFICATE),
        Attribute::CertificateType(CertificateType::X_509),
        Attribute::Subject(vec![0x30, 0]),
        Attribute::Value(vec![0x30, 3, 1, 2, 3]),
        Attribute::Private(false),
    ]);
    session.create_object(&certificate).unwrap();
    let ours = make(&*vault, &KeySpec::Pair(Algorithm::Ed25519), "new key");

    let found = vault.find(&Attributes::new()).unwrap();
    assert_eq!(found.len(), 4, "three of theirs, one of ours, and nothing twice");
    assert_eq!(found[0], ours);
    let old = vault.find(&by_label("old key")).unwrap();
    let classes: Vec<_> =
        old.iter().map(|id| vault.read(*id).unwrap().attributes.ulong(ck::CKA_CLASS).unwrap()).collect();
    let private = old[classes.iter().position(|class| *class == ck::CKO_PRIVATE_KEY).unwrap()];
    sign(&*vault.private_key(private).unwrap()).unwrap();
    // The same in another process, and after another login.
    assert_eq!(hsm.open().public().find(&by_label("old certificate")).unwrap().len(), 1);
    assert_eq!(
        hsm.open().public().find(&by_label("old key")).unwrap().len(),
        1,
        "the private one needs a PIN"
    );
    let record = vault.read(private).unwrap();
    assert_eq!(record.attributes.bytes(ck::CKA_ID), Some([1, 2].as_slice()));
    let mut named: Attributes = Attributes::new();
    named.set(ck::CKA_UNIQUE_ID, private.to_string().into_bytes());
    assert_eq!(vault.find(&named).unwrap(), [private]);

    let mut renamed = record.attributes.clone();
    renamed.set(ck::CKA_LABEL, b"renamed".as_slice());
    let update = |version, attributes| vec![Change::Update { id: private, version, attributes }];
    assert_eq!(vault.commit(update(record.version + 1, renamed.clone())), Err(StoreError::Changed));
    vault.commit(update(record.version, renamed.clone())).unwrap();
    assert_eq!(vault.find(&by_label("renamed")).unwrap(), [private]);
    assert!(labels(&session).contains(&(ObjectClass::PRIVATE_KEY, "renamed".into())));
    renamed.set(ck::CKA_SIGN, false);
    assert_eq!(vault.commit(update(record.version + 1, renamed)), Err(StoreError::Unsupported));
    sign(&*vault.private_key(private).unwrap()).unwrap();
    vault.commit(vec![Change::Destroy { id: private }]).unwrap();
    assert_eq!(vault.find(&by_label("renamed")).unwrap(), []);
    assert!(!labels(&session).contains(&(ObjectClass::PRIVATE_KEY, "renamed".into())));
    drop(session);
    // It was the store that has initialised the library.
    std::mem::forget(library);
}

#[test]
fn a_key_in_the_hsm_has_its_names_there() {
    let hsm = SoftHsm::passing_through();
    let store = hsm.open();
    let vault = store.unlock(hsm_backends::Role::User, &hsm.user_pin()).unwrap();
    let id = make(&*vault, &KeySpec::Pair(Algorithm::Ed25519), "first");
    let (library, session) = elsewhere(&hsm);
    let pair = |label: &str| {
        [(ObjectClass::PUBLIC_KEY, label.to_owned()), (ObjectClass::PRIVATE_KEY, label.to_owned())]
    };
    let all = labels(&session);
    assert_eq!(all[..2], pair("first"));
    assert_eq!(all.len(), 3, "the pair, and the key above the sealed ones: {all:?}");
    let mut attributes = vault.read(id).unwrap().attributes.clone();
    attributes.set(ck::CKA_LABEL, b"second".as_slice());
    vault.commit(vec![Change::Update { id, version: 1, attributes }]).unwrap();
    assert_eq!(labels(&session)[..2], pair("second"));
    sign(&*vault.private_key(id).unwrap()).unwrap();

    // One that is not kept does not stay.
    drop(vault.generate(&KeySpec::Pair(Algorithm::Ed25519)).unwrap());
    assert_eq!(labels(&session).len(), 3);

    // Somebody puts another key under its name: the store is not taken in.
    let theirs = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)]).unwrap()[0];
    session.update_attributes(theirs, &[Attribute::Label(b"moved".to_vec())]).unwrap();
    let params = [Attribute::EcParams(vec![0x06, 0x03, 0x2b, 0x65, 0x70]), Attribute::Token(true)];
    let names = [
        Attribute::Token(true),
        Attribute::Label(b"second".to_vec()),
        Attribute::Id(b"id".to_vec()),
        Attribute::Sign(true),
    ];
    session.generate_key_pair(&Mechanism::EccEdwardsKeyPairGen, &params, &names).unwrap();
    let again = hsm.open().unlock(hsm_backends::Role::User, &hsm.user_pin()).unwrap();
    sign(&*again.private_key(id).unwrap()).unwrap();
    sign(&*vault.private_key(id).unwrap()).unwrap();

    vault.commit(vec![Change::Destroy { id }]).unwrap();
    assert!(!labels(&session).iter().any(|(_, label)| label == "moved"));
    drop(session);
    std::mem::forget(library);
}

#[test]
fn of_ed25519_softhsm_has_one_form() {
    let hsm = SoftHsm::passing_through();
    let store = hsm.open();
    let vault = store.unlock(hsm_backends::Role::User, &hsm.user_pin()).unwrap();
    let id = make(&*vault, &KeySpec::Pair(Algorithm::Ed25519), "key");
    let key = vault.private_key(id).unwrap();
    sign(&*key).unwrap();
    // It passes over the parameter, and would have signed something else.
    for input in [
        ed25519::Input::Context { context: b"context", message: b"message" },
        ed25519::Input::Prehashed { context: b"", digest: &[0; 64] },
    ] {
        assert_eq!(key.sign(Signing::Ed25519(input)).unwrap_err(), StoreError::Unsupported);
    }
}

#[test]
fn certificates_and_data_are_in_the_hsm_as_well() {
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
    let certificate = |label: &str| -> Attributes {
        let all = [
            (ck::CKA_CLASS, Value::Ulong(ck::CKO_CERTIFICATE)),
            (ck::CKA_CERTIFICATE_TYPE, Value::Ulong(ck::CKC_X_509)),
            (ck::CKA_PRIVATE, Value::Bool(false)),
            (ck::CKA_LABEL, bytes(label.as_bytes())),
            (ck::CKA_ID, bytes(b"7")),
            (ck::CKA_SUBJECT, bytes(&[0x30, 0])),
            (ck::CKA_VALUE, bytes(&[0x30, 3, 1, 2, 3])),
        ];
        all.into_iter().collect()
    };
    let data = |private| {
        move |label: &str| -> Attributes {
            let all = [
                (ck::CKA_CLASS, Value::Ulong(ck::CKO_DATA)),
                (ck::CKA_PRIVATE, Value::Bool(private)),
                (ck::CKA_LABEL, bytes(label.as_bytes())),
                (ck::CKA_APPLICATION, bytes(b"backup")),
                (ck::CKA_VALUE, bytes(b"what is kept")),
            ];
            all.into_iter().collect()
        }
    };
    is_as_well(ObjectClass::CERTIFICATE, certificate);
    is_as_well(ObjectClass::DATA, data(false));
    is_as_well(ObjectClass::DATA, data(true));
}

fn is_as_well(class: ObjectClass, object: impl Fn(&str) -> Attributes) {
    let hsm = SoftHsm::passing_through();
    let store = hsm.open();
    let vault = store.unlock(hsm_backends::Role::User, &hsm.user_pin()).unwrap();
    let (library, session) = elsewhere(&hsm);
    let there = |label: &str| labels(&session).contains(&(class, label.to_owned()));
    let id = RecordId::random().unwrap();
    vault.commit(vec![Change::Create { id, attributes: object("first"), secret: None }]).unwrap();
    assert!(there("first"));
    assert_eq!(vault.find(&Attributes::new()).unwrap(), [id], "and it is shown once");
    let update = |version, label| vec![Change::Update { id, version, attributes: object(label) }];
    vault.commit(update(1, "second")).unwrap();
    assert!(there("second") && !there("first"));
    assert_eq!(vault.find(&Attributes::new()).unwrap(), [id]);
    let mut anew = object("second");
    if anew.ulong(ck::CKA_CLASS) == Some(ck::CKO_DATA) {
        anew.set(ck::CKA_VALUE, b"something else".to_vec());
        vault.commit(vec![Change::Update { id, version: 2, attributes: anew }]).unwrap();
        let found = session.find_objects(&[Attribute::Value(b"something else".to_vec())]).unwrap();
        assert_eq!(found.len(), 1, "a new value replaces the old one");
        assert_eq!(vault.find(&Attributes::new()).unwrap(), [id]);
    }
    if object("").flag(ck::CKA_PRIVATE) {
        vault.commit(vec![Change::Destroy { id }]).unwrap();
    } else {
        // Whoever is not logged in may destroy what is public.
        store.public().commit(vec![Change::Destroy { id }]).unwrap();
    }
    assert!(!there("second"));
    assert_eq!(vault.find(&Attributes::new()).unwrap(), []);
    let sql = rusqlite::Connection::open(hsm.records().join("token.db")).unwrap();
    let left: i64 = sql.query_row("SELECT count(*) FROM intent", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0, "all has been followed");
    drop(session);
    std::mem::forget(library);
    // Where nothing may be in the HSM, nothing is.
    let hsm = SoftHsm::sealing();
    let store = hsm.open();
    let vault = store.unlock(hsm_backends::Role::User, &hsm.user_pin()).unwrap();
    let (library, session) = elsewhere(&hsm);
    vault.commit(vec![Change::Create { id, attributes: object("sealed"), secret: None }]).unwrap();
    assert_eq!(vault.find(&Attributes::new()).unwrap(), [id]);
    assert!(!labels(&session).contains(&(class, "sealed".to_owned())));
    drop(session);
    std::mem::forget(library);
}

#[test]
fn data_of_one_kind_in_the_hsm_and_on_record_is_told_apart() {
    // An identifier of the arc that the store takes markers from names a kind of data, as any other does.
    let kind = [0x06, 0x03, 0x69, 0x81, 0x00];
    let hsm = SoftHsm::passing_through();
    let store = hsm.open();
    let vault = store.unlock(hsm_backends::Role::User, &hsm.user_pin()).unwrap();
    let (library, session) = elsewhere(&hsm);
    for name in ["theirs", "another"] {
        let attributes = [
            Attribute::Class(ObjectClass::DATA),
            Attribute::Token(true),
            Attribute::Label(name.into()),
            Attribute::ObjectId(kind.to_vec()),
            Attribute::Value(b"value".to_vec()),
        ];
        session.create_object(&attributes).unwrap();
    }
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
    let attributes = [
        (ck::CKA_CLASS, Value::Ulong(ck::CKO_DATA)),
        (ck::CKA_LABEL, bytes(b"ours")),
        (ck::CKA_OBJECT_ID, bytes(&kind)),
        (ck::CKA_VALUE, bytes(b"value")),
    ];
    let id = RecordId::random().unwrap();
    let attributes: Attributes = attributes.into_iter().collect();
    vault.commit(vec![Change::Create { id, attributes, secret: None }]).unwrap();
    let found = || vault.find(&Attributes::new()).unwrap().len();
    assert_eq!((found(), labels(&session).len()), (3, 4), "beside them the HSM has our AES key");
    vault.commit(vec![Change::Destroy { id }]).unwrap();
    assert_eq!((found(), labels(&session).len()), (2, 3));
    drop(session);
    std::mem::forget(library);
}

/// A P-256 pair of somebody else's, whose private half wants a login for each use.
fn guarded_pair(session: &Session, label: &str, id: &[u8]) {
    let names = vec![Attribute::Token(true), Attribute::Label(label.into()), Attribute::Id(id.to_vec())];
    let mut public = names.clone();
    public.extend([
        Attribute::EcParams(vec![0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]),
        Attribute::Verify(true),
        Attribute::Private(false),
    ]);
    let mut private = names;
    private.extend([Attribute::Sign(true), Attribute::Private(true), Attribute::AlwaysAuthenticate(true)]);
    session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).unwrap();
}

#[test]
fn a_key_that_wants_a_login_for_each_use_signs_and_is_no_obstacle() {
    let hsm = SoftHsm::passing_through();
    let store = hsm.open();
    let vault = store.unlock(hsm_backends::Role::User, &hsm.user_pin()).unwrap();
    let (library, session) = elsewhere(&hsm);
    guarded_pair(&session, "guarded", b"1");
    guarded_pair(&session, "another", b"2");
    let mut wanted = by_label("guarded");
    wanted.set(ck::CKA_CLASS, ck::CKO_PRIVATE_KEY);
    let found = vault.find(&wanted).unwrap();
    assert!(vault.read(found[0]).unwrap().attributes.flag(ck::CKA_ALWAYS_AUTHENTICATE));
    let guarded = vault.private_key(found[0]).unwrap();
    sign(&*guarded).unwrap();
    sign(&*guarded).unwrap();
    // A key of ours is looked for among keys of its type when it has been renamed.
    let ours = make(&*vault, &KeySpec::Pair(Algorithm::Ecdsa(algorithms::ecdsa::Curve::P256)), "ours");
    for object in session.find_objects(&[Attribute::Label(b"ours".to_vec())]).unwrap() {
        session.update_attributes(object, &[Attribute::Label(b"moved".to_vec())]).unwrap();
    }
    session.logout().unwrap();
    sign(&*vault.private_key(ours).unwrap()).unwrap();
    sign(&*guarded).unwrap();
    drop(session);
    // It was the store that has initialised the library.
    std::mem::forget(library);
}
