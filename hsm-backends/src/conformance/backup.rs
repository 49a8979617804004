//! Backups: whole, verified before they replace anything, and no way around a PIN.

use super::{AdminFixture, by_label, data, everything, key, put, so, user};
use crate::{Attributes, Change, KeySpec, Pin, PinState, RecordId, Role, StoreError, Vault};

fn passphrase() -> Pin {
    Pin::presented(b"correct horse battery staple")
}

/// A token with something of everything, and its private object.
fn filled(vault: &dyn Vault) -> (RecordId, RecordId) {
    let secret = vault.generate(&KeySpec::Secret { len: 32 }).unwrap();
    // More than one chunk of a backup.
    let mut large = data("large", false);
    large.set(cryptoki_sys::CKA_VALUE, vec![0x5A; 200_000]);
    (put(vault, key("key", &secret), Some(secret)), put(vault, large, None))
}

pub fn a_backup_brings_everything_back(token: &dyn AdminFixture) {
    let store = token.open();
    let admin = store.admin().unwrap();
    let vault = user(&*store, token);
    let (private, public) = filled(&*vault);
    let records = [private, public].map(|id| (*vault.read(id).unwrap()).clone());
    let secret = vault.secret_key(private).unwrap().bytes().expose().to_vec();
    let described = store.description().unwrap();
    let path = token.scratch().join("backup");
    admin.backup(&path, &passphrase()).unwrap();

    // Whatever happens afterwards is undone: a new object, a changed one, a destroyed one, another PIN.
    put(&*vault, data("later", true), None);
    vault
        .commit(vec![Change::Update { id: private, version: 1, attributes: data("changed", true) }])
        .unwrap();
    store.public().read(public).unwrap();
    vault
        .commit(vec![Change::Update { id: public, version: 1, attributes: data("changed", false) }])
        .unwrap();
    store.public().read(public).unwrap();
    let other = Pin::chosen(b"another PIN").unwrap();
    admin.set_pin(Role::User, &token.user_pin(), &other).unwrap();
    assert_eq!(admin.restore(&path, &passphrase(), false), Err(StoreError::ReadOnly));
    admin.restore(&path, &passphrase(), true).unwrap();

    assert_eq!(vault.find(&Attributes::new()), Err(StoreError::TokenReplaced));
    assert_eq!(store.description().unwrap(), described);
    let vault = user(&*store, token);
    assert_eq!(everything(&*vault), [private, public]);
    assert_eq!([private, public].map(|id| (*vault.read(id).unwrap()).clone()), records);
    assert_eq!(vault.secret_key(private).unwrap().bytes().expose(), secret);
    assert_eq!(vault.find(&by_label("key")).unwrap(), [private]);
    // The same version again, with other content: nobody may take it for what they remember.
    let attributes = data("changed differently", false);
    token
        .open()
        .public()
        .commit(vec![Change::Update { id: public, version: 1, attributes: attributes.clone() }])
        .unwrap();
    assert_eq!(store.public().read(public).unwrap().attributes, attributes);
    so(&*store, token);
}

pub fn a_backup_goes_elsewhere(token: &dyn AdminFixture) {
    let store = token.open();
    let vault = user(&*store, token);
    let (private, public) = filled(&*vault);
    let path = token.scratch().join("backup");
    store.admin().unwrap().backup(&path, &passphrase()).unwrap();
    let other = token.blank();
    other.admin().unwrap().restore(&path, &passphrase(), false).unwrap();
    assert_eq!(other.description().unwrap().serial, store.description().unwrap().serial);
    let there = user(&*other, token);
    assert_eq!(everything(&*there), [private, public]);
    assert_eq!(
        there.secret_key(private).unwrap().bytes().expose(),
        vault.secret_key(private).unwrap().bytes().expose()
    );
    // The two go their own ways.
    there.commit(vec![Change::Destroy { id: private }]).unwrap();
    assert_eq!(everything(&*vault), [private, public]);
}

pub fn a_backup_replaces_no_file(token: &dyn AdminFixture) {
    let store = token.open();
    let admin = store.admin().unwrap();
    let path = token.scratch().join("backup");
    std::fs::write(&path, b"something else").unwrap();
    admin.backup(&path, &passphrase()).unwrap_err();
    assert_eq!(std::fs::read(&path).unwrap(), b"something else");
    admin.backup(&token.scratch().join("no such directory/backup"), &passphrase()).unwrap_err();
    let left: Vec<_> = std::fs::read_dir(token.scratch()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

pub fn a_changed_backup_changes_nothing(token: &dyn AdminFixture) {
    let store = token.open();
    let admin = store.admin().unwrap();
    let vault = user(&*store, token);
    let (private, public) = filled(&*vault);
    let path = token.scratch().join("backup");
    admin.backup(&path, &passphrase()).unwrap();
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(admin.restore(&path, &Pin::presented(b"wrong"), true), Err(StoreError::PinIncorrect));
    admin.restore(&token.scratch().join("no such file"), &passphrase(), true).unwrap_err();
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        bytes
    };
    // Only where the key or its check was changed can damage not be told from a wrong passphrase.
    let mut spoilt =
        vec![(Vec::new(), false), (b"garbage".to_vec(), false), (changed(&|bytes| bytes.push(0)), false)];
    for at in [0, 15, 20, 30, 44, 59, 60, 70_000, whole.len() - 1] {
        spoilt.push((changed(&|bytes| bytes[at] ^= 1), (28..60).contains(&at)));
    }
    for len in [16, 44, 59, 60, 61, 5000, 65_612, 65_612 + 65_552, whole.len() - 1] {
        spoilt.push((changed(&|bytes| bytes.truncate(len)), false));
    }
    for (number, (bytes, like_a_wrong_passphrase)) in spoilt.into_iter().enumerate() {
        let path = token.scratch().join(format!("spoilt {number}"));
        std::fs::write(&path, bytes).unwrap();
        let error = admin.restore(&path, &passphrase(), true).unwrap_err();
        match error {
            StoreError::PinIncorrect => assert!(like_a_wrong_passphrase, "{number}"),
            StoreError::Backup(what) => assert!(what.contains("spoilt"), "{number}: {what}"),
            other => panic!("{number}: {other}"),
        }
        assert_eq!(everything(&*vault), [private, public], "{number}");
    }
    vault.secret_key(private).unwrap();
}

pub fn a_restore_forgives_no_wrong_pin(token: &dyn AdminFixture) {
    let store = token.open();
    let admin = store.admin().unwrap();
    let path = token.scratch().join("backup");
    admin.backup(&path, &passphrase()).unwrap();
    for role in [Role::User, Role::SecurityOfficer] {
        for _ in 0..token.pin_tries() {
            store.unlock(role, &Pin::presented(b"wrong")).unwrap_err();
        }
    }
    admin.restore(&path, &passphrase(), true).unwrap();
    let described = store.description().unwrap();
    assert_eq!((described.user_pin, described.so_pin), (PinState::Locked, PinState::Locked));
    assert_eq!(store.unlock(Role::User, &token.user_pin()).unwrap_err(), StoreError::PinLocked);
}

pub fn a_restore_may_meet_c_init_token(token: &dyn AdminFixture) {
    let path = token.scratch().join("backup");
    let original = token.open();
    original.admin().unwrap().backup(&path, &passphrase()).unwrap();
    let label = original.description().unwrap().label;
    let other_so = Pin::chosen(b"another officer").unwrap();
    for turn in 0..8 {
        let blank = token.blank();
        let admin = || blank.admin().unwrap();
        let (made, restored) = std::thread::scope(|scope| {
            let made = scope.spawn(|| admin().init_token(&other_so, "made"));
            // At another point of the other's way each time.
            std::thread::sleep(std::time::Duration::from_millis(3 * turn));
            let restored = scope.spawn(|| admin().restore(&path, &passphrase(), false));
            (made.join().unwrap(), restored.join().unwrap())
        });
        // Whoever was told that it is done has done it, and nobody undoes it.
        let found = blank.description().unwrap().label;
        match (made, restored) {
            (Ok(()), Err(StoreError::ReadOnly)) => assert_eq!(found, "made"),
            (Err(StoreError::Changed | StoreError::PinIncorrect), Ok(())) => assert_eq!(found, label),
            other => panic!("{other:?}"),
        }
    }
}
