//! Records: who sees them, how they change, and that a commit happens whole or not at all.

use cryptoki_sys as ck;

use super::{Fixture, by_label, bytes, create, data, everything, key, put, so, user};
use crate::{Attributes, Change, KeySpec, NewSecret, Objects, Record, RecordId, StoreError, Value};

/// What is there, in full.
fn contents(objects: &(impl Objects + ?Sized)) -> Vec<Record> {
    everything(objects).into_iter().map(|id| (*objects.read(id).unwrap()).clone()).collect()
}

pub fn a_new_token_is_empty(token: &dyn Fixture) {
    let store = token.open();
    assert_eq!(everything(store.public()), []);
    assert_eq!(everything(&*user(&*store, token)), []);
    let described = store.description().unwrap();
    assert!(described.initialized && described.user_pin_initialized && !described.write_protected);
    assert!(described.label.len() <= 32 && described.serial.len() <= 16 && described.model.len() <= 16);
    assert!(described.serial.is_ascii() && !described.serial.is_empty());
    assert_eq!(token.open().description().unwrap(), described);
}

pub fn records_come_back_whole(token: &dyn Fixture) {
    let template: Attributes = [
        (ck::CKA_SIGN, Value::Bool(false)),
        (ck::CKA_UNWRAP_TEMPLATE, Value::Template([(ck::CKA_WRAP, Value::Bool(true))].into_iter().collect())),
    ]
    .into_iter()
    .collect();
    let store = token.open();
    let vault = user(&*store, token);
    for private in [false, true] {
        let mut attributes = data("", private);
        attributes.set(ck::CKA_VALUE, vec![0xA5; 100_000]);
        attributes.set(ck::CKA_ID, Vec::new());
        attributes.set(ck::CKA_KEY_TYPE, u64::MAX);
        attributes.set(ck::CKA_VENDOR_DEFINED | 7, 0);
        attributes.set(ck::CKA_ALLOWED_MECHANISMS, Value::Ulongs(vec![0, 1, u64::MAX]));
        attributes.set(ck::CKA_WRAP_TEMPLATE, Value::Template(Attributes::new()));
        attributes.set(ck::CKA_UNWRAP_TEMPLATE, Value::Template(template.clone()));
        attributes.set(ck::CKA_MODIFIABLE, true);
        let id = put(&*vault, attributes.clone(), None);
        let expected = Record { id, version: 1, attributes, has_secret: false };
        assert_eq!(*vault.read(id).unwrap(), expected);
        assert_eq!(*user(&*token.open(), token).read(id).unwrap(), expected);
    }
}

pub fn public_objects_need_no_pin(token: &dyn Fixture) {
    let store = token.open();
    let id = put(store.public(), data("open", false), None);
    let (user, so) = (user(&*store, token), so(&*store, token));
    for objects in [store.public(), &*user, &*so] {
        assert_eq!(objects.find(&by_label("open")).unwrap(), [id]);
        let record = objects.read(id).unwrap();
        let change = Change::Update { id, version: record.version, attributes: data("open", false) };
        objects.commit(vec![change]).unwrap();
        assert_eq!(objects.read(id).unwrap().version, record.version + 1);
    }
    so.commit(vec![Change::Destroy { id }]).unwrap();
    assert_eq!(everything(store.public()), []);
}

pub fn private_objects_need_the_users_pin(token: &dyn Fixture) {
    let store = token.open();
    let user = user(&*store, token);
    let private = put(&*user, data("mine", true), None);
    let secret = user.generate(&KeySpec::Secret { len: 32 }).unwrap();
    let sealed = put(&*user, key("mine", &secret), Some(secret));
    let public = put(&*user, data("mine", false), None);
    assert_eq!(user.find(&by_label("mine")).unwrap(), [private, sealed, public]);
    let so = so(&*store, token);
    for objects in [store.public(), &*so] {
        for template in [Attributes::new(), by_label("mine")] {
            assert_eq!(objects.find(&template).unwrap(), [public]);
        }
        for id in [private, sealed] {
            assert_eq!(objects.read(id), Err(StoreError::NotFound));
            let update = Change::Update { id, version: 1, attributes: data("theirs", true) };
            assert_eq!(objects.commit(vec![update]), Err(StoreError::NotFound));
            assert_eq!(objects.commit(vec![Change::Destroy { id }]), Err(StoreError::NotFound));
        }
        let (_, sneaked) = create(data("theirs", true), None);
        assert_eq!(objects.commit(vec![sneaked]), Err(StoreError::Unsupported));
    }
    assert_eq!(so.secret_key(sealed).unwrap_err(), StoreError::NotFound);
    assert_eq!(user.find(&by_label("mine")).unwrap(), [private, sealed, public]);
}

pub fn updates_are_optimistic(token: &dyn Fixture) {
    let (first, second) = (token.open(), token.open());
    let (mine, theirs) = (user(&*first, token), user(&*second, token));
    for private in [false, true] {
        let id = put(&*mine, data("one", private), None);
        let update = |version, label| vec![Change::Update { id, version, attributes: data(label, private) }];
        mine.commit(update(1, "two")).unwrap();
        // The other side made its change from version 1.
        assert_eq!(theirs.commit(update(1, "three")), Err(StoreError::Changed));
        assert_eq!(theirs.commit(update(3, "three")), Err(StoreError::Changed));
        let seen = theirs.read(id).unwrap();
        assert_eq!((seen.version, &seen.attributes), (2, &data("two", private)));
        theirs.commit(update(2, "three")).unwrap();
        assert_eq!(mine.read(id).unwrap().version, 3);
        assert_eq!(mine.find(&by_label("three")).unwrap(), [id]);
        for gone in ["one", "two"] {
            assert_eq!(mine.find(&by_label(gone)).unwrap(), []);
        }
        mine.commit(vec![Change::Destroy { id }]).unwrap();
    }
}

pub fn what_cannot_be_updated(token: &dyn Fixture) {
    let store = token.open();
    let vault = user(&*store, token);
    for private in [false, true] {
        let id = put(&*vault, data("fixed", private), None);
        let moved = Change::Update { id, version: 1, attributes: data("fixed", !private) };
        assert_eq!(vault.commit(vec![moved]), Err(StoreError::Unsupported));
        let id = RecordId::random().unwrap();
        let missing = Change::Update { id, version: 1, attributes: data("fixed", private) };
        assert_eq!(vault.commit(vec![missing]), Err(StoreError::NotFound));
    }
    assert_eq!(everything(store.public()).len(), 1);
    assert_eq!(everything(&*vault).len(), 2);
}

pub fn a_destroyed_object_is_gone(token: &dyn Fixture) {
    let (first, second) = (token.open(), token.open());
    let (mine, theirs) = (user(&*first, token), user(&*second, token));
    for private in [false, true] {
        let id = put(&*mine, data("short-lived", private), None);
        theirs.read(id).unwrap();
        mine.commit(vec![Change::Destroy { id }]).unwrap();
        for vault in [&mine, &theirs] {
            assert_eq!(vault.read(id), Err(StoreError::NotFound));
            assert_eq!(vault.find(&by_label("short-lived")).unwrap(), []);
            assert_eq!(vault.commit(vec![Change::Destroy { id }]), Err(StoreError::NotFound));
        }
    }
}

pub fn a_commit_is_all_or_nothing(token: &dyn Fixture) {
    let store = token.open();
    let vault = user(&*store, token);
    vault.commit(Vec::new()).unwrap();
    let kept = put(&*vault, data("kept", true), None);
    let open = put(&*vault, data("open", false), None);
    let before = contents(&*vault);
    let good = || {
        let secret = NewSecret::generate(&KeySpec::Secret { len: 16 }).unwrap();
        vec![
            create(key("new", &secret), Some(secret)).1,
            Change::Update { id: kept, version: 1, attributes: data("changed", true) },
            Change::Destroy { id: open },
        ]
    };
    let mut deep = Attributes::new();
    for _ in 0..20 {
        deep = [(ck::CKA_WRAP_TEMPLATE, Value::Template(deep))].into_iter().collect();
    }
    deep.set(ck::CKA_PRIVATE, true);
    let fresh = || RecordId::random().unwrap();
    let bad: [&dyn Fn() -> Change; 6] = [
        &|| Change::Destroy { id: fresh() },
        &|| Change::Update { id: fresh(), version: 1, attributes: data("x", true) },
        &|| Change::Update { id: kept, version: 9, attributes: data("x", true) },
        &|| Change::Create { id: kept, attributes: data("again", true), secret: None },
        &|| Change::Create { id: fresh(), attributes: deep.clone(), secret: None },
        &|| Change::Update { id: open, version: 1, attributes: data("x", true) },
    ];
    for (which, bad) in bad.iter().enumerate() {
        for place in 0..=3 {
            let mut changes = good();
            changes.insert(place, bad());
            vault.commit(changes).expect_err(&format!("bad change {which} in place {place}"));
            assert_eq!(contents(&*vault), before, "bad change {which} in place {place}");
        }
    }
    assert_eq!(contents(&*user(&*token.open(), token)), before);
    vault.commit(good()).unwrap();
    assert_eq!(vault.find(&by_label("new")).unwrap().len(), 1);
    assert_eq!(vault.read(kept).unwrap().attributes.value(ck::CKA_LABEL), Some(&bytes("changed")));
    assert_eq!(everything(&*vault).len(), 2);
}

pub fn doors_see_each_other(token: &dyn Fixture) {
    let (first, second) = (token.open(), token.open());
    let (mine, theirs) = (user(&*first, token), user(&*second, token));
    for turn in 0..20 {
        let private = turn % 2 == 0;
        let (writer, reader) = if turn % 3 == 0 { (&mine, &theirs) } else { (&theirs, &mine) };
        let id = put(&**writer, data("seen", private), None);
        assert_eq!(reader.find(&by_label("seen")).unwrap(), [id]);
        assert_eq!(reader.read(id).unwrap().version, 1);
        let attributes = data("changed", private);
        writer.commit(vec![Change::Update { id, version: 1, attributes: attributes.clone() }]).unwrap();
        assert_eq!(reader.read(id).unwrap().attributes, attributes);
        assert_eq!(first.public().read(id).is_ok(), !private);
        reader.commit(vec![Change::Destroy { id }]).unwrap();
        assert_eq!(writer.read(id), Err(StoreError::NotFound));
    }
}
