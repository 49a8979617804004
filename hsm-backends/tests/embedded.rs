//! The embedded store's own behaviour, beyond the contract that every store shares.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{path::Path, sync::Arc};

use algorithms::{
    Algorithm, SecretBytes, Signing,
    ml_dsa::{Hedging, Input, ParameterSet},
};
use cryptoki_sys as ck;
use hsm_backends::{
    Attributes, Change, KeySpec, KeyStore, NewSecret, Objects, Pin, PinState, RecordId, Role, SecretKey,
    StoreError, Value, Vault,
    embedded::{EmbeddedStore, Options},
};

const SO: &[u8] = b"so-pin";
const USER: &[u8] = b"user-pin";

fn store(directory: &Path) -> EmbeddedStore {
    EmbeddedStore::new(Options { directory: directory.join("token"), pin_tries: 3 })
}

fn initialized(directory: &Path) -> EmbeddedStore {
    let store = store(directory);
    let admin = store.admin().unwrap();
    admin.init_token(&Pin::chosen(SO).unwrap(), "one").unwrap();
    let so = store.unlock(Role::SecurityOfficer, &Pin::presented(SO)).unwrap();
    admin.init_pin(&*so, &Pin::chosen(USER).unwrap()).unwrap();
    store
}

fn user(store: &EmbeddedStore) -> Box<dyn Vault> {
    store.unlock(Role::User, &Pin::presented(USER)).unwrap()
}

fn labelled(label: &str, private: bool) -> Attributes {
    [
        (ck::CKA_CLASS, Value::Ulong(ck::CKO_DATA)),
        (ck::CKA_PRIVATE, Value::Bool(private)),
        (ck::CKA_LABEL, Value::Bytes(label.as_bytes().to_vec())),
    ]
    .into_iter()
    .collect()
}

fn put(objects: &(impl Objects + ?Sized), attributes: Attributes) -> RecordId {
    let id = RecordId::random().unwrap();
    objects.commit(vec![Change::Create { id, attributes, secret: None }]).unwrap();
    id
}

fn by_label(label: &str) -> Attributes {
    [(ck::CKA_LABEL, Value::Bytes(label.as_bytes().to_vec()))].into_iter().collect()
}

#[test]
fn a_key_signs_after_the_store_is_opened_anew() {
    let directory = tempfile::tempdir().unwrap();
    let first = initialized(directory.path());
    let vault = user(&first);
    let secret = vault.generate(&KeySpec::Pair(Algorithm::MlDsa(ParameterSet::MlDsa65))).unwrap();
    let id = RecordId::random().unwrap();
    let mut attributes = labelled("key", true);
    attributes.set(ck::CKA_CLASS, ck::CKO_PRIVATE_KEY);
    vault.commit(vec![Change::Create { id, attributes, secret: Some(secret) }]).unwrap();
    let public = vault.private_key(id).unwrap().public_key().unwrap();

    let second = store(directory.path());
    let vault = user(&second);
    assert_eq!(vault.find(&by_label("key")).unwrap(), [id]);
    let key = vault.private_key(id).unwrap();
    assert!(Arc::ptr_eq(&key, &vault.private_key(id).unwrap()));
    let signing = Signing::MlDsa {
        input: Input::Message { context: b"", message: b"message" },
        hedging: Hedging::Hedged,
    };
    public.verify(signing, &key.sign(signing).unwrap()).unwrap();
}

#[test]
fn private_objects_are_invisible_without_the_users_pin() {
    let directory = tempfile::tempdir().unwrap();
    let store = initialized(directory.path());
    let vault = user(&store);
    let private = put(&*vault, labelled("zebra-crossing", true));
    let public = put(&*vault, labelled("open", false));
    assert_eq!(vault.find(&Attributes::new()).unwrap(), [private, public]);
    let so = store.unlock(Role::SecurityOfficer, &Pin::presented(SO)).unwrap();
    for view in [store.public(), &*so] {
        assert_eq!(view.find(&Attributes::new()).unwrap(), [public]);
        assert_eq!(view.find(&by_label("zebra-crossing")).unwrap(), []);
        assert_eq!(view.read(private), Err(StoreError::NotFound));
    }
    for entry in std::fs::read_dir(directory.path().join("token")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(
            !bytes.windows(14).any(|window| window == b"zebra-crossing"),
            "a private label is on the disk"
        );
    }
}

#[test]
fn a_public_key_object_keeps_its_secret_sealed() {
    let directory = tempfile::tempdir().unwrap();
    let store = initialized(directory.path());
    let vault = user(&store);
    let create =
        |id, secret| Change::Create { id, attributes: labelled("open", false), secret: Some(secret) };
    let secret = NewSecret::Secret(Arc::new(SecretKey::new(SecretBytes::new(b"sixteen letters."))));
    let id = RecordId::random().unwrap();
    assert_eq!(store.public().commit(vec![create(id, secret.clone())]), Err(StoreError::Unsupported));
    vault.commit(vec![create(id, secret)]).unwrap();

    // Everybody sees the object; only the user works with it and changes it.
    assert!(store.public().read(id).unwrap().has_secret);
    let update = |version| Change::Update { id, version, attributes: labelled("shut", false) };
    assert_eq!(store.public().commit(vec![update(1)]), Err(StoreError::Unsupported));
    vault.commit(vec![update(1)]).unwrap();
    assert_eq!(store.public().find(&by_label("shut")).unwrap(), [id]);
    let again = user(&store);
    assert_eq!(again.secret_key(id).unwrap().bytes().expose(), b"sixteen letters.");
    for entry in std::fs::read_dir(directory.path().join("token")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(16).any(|window| window == b"sixteen letters."), "a key is on the disk");
    }

    // Attributes that all may read are no more to be edited on the disk than sealed ones.
    let file = directory.path().join("token").join("token.db");
    let sql = rusqlite::Connection::open(file).unwrap();
    let attributes: Vec<u8> = sql.query_row("SELECT attributes FROM record", [], |row| row.get(0)).unwrap();
    let at = attributes.windows(4).position(|window| window == b"shut").unwrap();
    let mut edited = attributes;
    edited[at] = b'S';
    sql.execute("UPDATE record SET attributes = ?1", [edited]).unwrap();
    drop(sql);
    let vault =
        user(&EmbeddedStore::new(Options { directory: directory.path().join("token"), pin_tries: 3 }));
    assert!(matches!(vault.secret_key(id), Err(StoreError::Damaged(_))));
}

#[test]
fn changes_of_one_store_are_seen_by_another_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (initialized(directory.path()), store(directory.path()));
    let (mine, theirs) = (user(&first), user(&second));
    let id = put(&*mine, labelled("before", true));
    assert_eq!(theirs.read(id).unwrap().attributes, labelled("before", true));
    let attributes = labelled("after", true);
    mine.commit(vec![Change::Update { id, version: 1, attributes: attributes.clone() }]).unwrap();
    assert_eq!(theirs.read(id).unwrap().attributes, attributes);
    assert_eq!(theirs.find(&by_label("before")).unwrap(), []);
    theirs.commit(vec![Change::Destroy { id }]).unwrap();
    assert_eq!(mine.read(id), Err(StoreError::NotFound));
    first.admin().unwrap().init_token(&Pin::presented(SO), "two").unwrap();
    assert_eq!(theirs.find(&Attributes::new()), Err(StoreError::TokenReplaced));
}

#[test]
fn wrong_pins_are_counted_across_stores_and_lock() {
    let directory = tempfile::tempdir().unwrap();
    let first = initialized(directory.path());
    let wrong = Pin::presented(b"wrong");
    let state = || store(directory.path()).description().unwrap().user_pin;
    for expected in [PinState::CountLow, PinState::FinalTry, PinState::Locked] {
        assert_eq!(store(directory.path()).unlock(Role::User, &wrong).unwrap_err(), StoreError::PinIncorrect);
        assert_eq!(state(), expected);
    }
    assert_eq!(first.unlock(Role::User, &Pin::presented(USER)).unwrap_err(), StoreError::PinLocked);
    let so = first.unlock(Role::SecurityOfficer, &Pin::presented(SO)).unwrap();
    first.admin().unwrap().init_pin(&*so, &Pin::chosen(b"new pin").unwrap()).unwrap();
    assert_eq!(state(), PinState::Good);
    first.unlock(Role::User, &Pin::presented(b"new pin")).unwrap();
}

#[test]
fn a_backup_comes_back_and_a_changed_one_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let store = initialized(directory.path());
    let id = put(&*user(&store), labelled("kept", true));
    let file = directory.path().join("backup");
    let passphrase = Pin::presented(b"correct horse");
    let admin = store.admin().unwrap();
    admin.backup(&file, &passphrase).unwrap();
    user(&store).commit(vec![Change::Destroy { id }]).unwrap();
    assert_eq!(admin.restore(&file, &passphrase, false), Err(StoreError::ReadOnly));
    assert_eq!(admin.restore(&file, &Pin::presented(b"other"), true), Err(StoreError::PinIncorrect));
    let bytes = std::fs::read(&file).unwrap();
    for at in [3, 20, 40, 100, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let other = directory.path().join("changed");
        std::fs::write(&other, changed).unwrap();
        admin.restore(&other, &passphrase, true).unwrap_err();
        assert_eq!(user(&store).find(&Attributes::new()).unwrap(), []);
    }
    admin.restore(&file, &passphrase, true).unwrap();
    assert_eq!(user(&store).find(&by_label("kept")).unwrap(), [id]);
    let elsewhere = tempfile::tempdir().unwrap();
    let other = self::store(elsewhere.path());
    other.admin().unwrap().restore(&file, &passphrase, false).unwrap();
    assert_eq!(user(&other).find(&by_label("kept")).unwrap(), [id]);
}

/// Descriptors and mappings of this process that lead into a directory.
fn open_files(directory: &Path) -> Vec<std::path::PathBuf> {
    let all = std::fs::read_dir("/proc/self/fd").unwrap();
    let open = all.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mapped = maps.lines().filter_map(|line| Some(line[line.find('/')?..].into()));
    open.chain(mapped).filter(|target| target.starts_with(directory)).collect()
}

#[test]
fn no_file_is_open_while_a_process_forks() {
    let directory = tempfile::tempdir().unwrap();
    let base = directory.path().canonicalize().unwrap();
    let store = initialized(&base);
    let vault = user(&store);
    let id = put(&*vault, labelled("kept", true));
    for _ in 0..2 {
        vault.read(id).unwrap();
        assert!(!open_files(&base).is_empty());
        store.before_fork();
        assert_eq!(open_files(&base), Vec::<std::path::PathBuf>::new());
        store.after_fork();
    }
    vault.read(id).unwrap();
}

#[test]
fn a_directory_may_have_any_name() {
    use std::os::unix::ffi::OsStrExt;
    let directory = tempfile::tempdir().unwrap();
    let name = std::ffi::OsStr::from_bytes(b"caf\xE9 'quoted' ?mode=memory#%41");
    let base = directory.path().join(name);
    std::fs::create_dir(&base).unwrap();
    let store = initialized(&base);
    let id = put(&*user(&store), labelled("kept", true));
    let (file, passphrase) = (base.join("backup"), Pin::presented(b"correct horse"));
    let admin = store.admin().unwrap();
    admin.backup(&file, &passphrase).unwrap();
    user(&store).commit(vec![Change::Destroy { id }]).unwrap();
    admin.restore(&file, &passphrase, true).unwrap();
    assert_eq!(user(&store).find(&by_label("kept")).unwrap(), [id]);
    let names: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
}
