//! Stores that are damaged, newer, exposed, or on a medium that is full or cannot be written: an exact error that names
//! the file, and nothing changed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod files;
mod media;
mod sealed;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use cryptoki_sys as ck;
use hsm_backends::{
    Attributes, Change, KeyStore, Pin, RecordId, Role, StoreError, Value, Vault,
    embedded::{EmbeddedStore, Options},
};

const SO: &[u8] = b"so-pin";
const USER: &[u8] = b"user-pin";

fn store(directory: &Path) -> EmbeddedStore {
    EmbeddedStore::new(Options { directory: directory.to_owned(), pin_tries: 3 })
}

fn user(store: &EmbeddedStore) -> Box<dyn Vault> {
    store.unlock(Role::User, &Pin::presented(USER)).unwrap()
}

/// A token with a hundred public objects and a private one, all of it in the database and nothing in the log.
fn token(base: &Path) -> PathBuf {
    let directory = base.join("token");
    let store = store(&directory);
    let admin = store.admin().unwrap();
    admin.init_token(&Pin::presented(SO), "hostile").unwrap();
    let so = store.unlock(Role::SecurityOfficer, &Pin::presented(SO)).unwrap();
    admin.init_pin(&*so, &Pin::presented(USER)).unwrap();
    user(&store).commit((0..101).map(|number| create(number == 0, 500)).collect()).unwrap();
    drop(store);
    checkpoint(&directory);
    directory
}

fn create(private: bool, len: usize) -> Change {
    let attributes = [
        (ck::CKA_PRIVATE, Value::Bool(private)),
        (ck::CKA_LABEL, Value::Bytes(b"label".to_vec())),
        (ck::CKA_VALUE, Value::Bytes(vec![7; len])),
    ];
    let attributes: Attributes = attributes.into_iter().collect();
    Change::Create { id: RecordId::random().unwrap(), attributes, secret: None }
}

fn sql(directory: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(directory.join("token.db")).unwrap()
}

fn checkpoint(directory: &Path) {
    sql(directory).query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Every file: its mode, and its content where it has one. What SQLite makes to read at all is left out: the log's
/// index, and a log without content.
fn snapshot(directory: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let found = fs::symlink_metadata(&path).unwrap();
        let content = match found.file_type() {
            kind if kind.is_file() => fs::read(&path).unwrap(),
            kind if kind.is_symlink() => fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes(),
            kind if kind.is_fifo() || kind.is_dir() => Vec::new(),
            kind => panic!("{}: {kind:?}", path.display()),
        };
        let name = path.to_string_lossy();
        if !(name.ends_with("-shm") || name.ends_with("-wal") && content.is_empty()) {
            files.insert(path, (found.mode(), content));
        }
    }
    files
}

/// Every call that goes to the medium, by name, with its outcome.
fn every_call(directory: &Path, scratch: &Path) -> Vec<(&'static str, Result<(), StoreError>)> {
    let store = store(directory);
    let (so, user, new) = (Pin::presented(SO), Pin::presented(USER), Pin::presented(b"new pin"));
    let admin = store.admin().unwrap();
    vec![
        ("description", store.description().map(drop)),
        ("find", store.public().find(&Attributes::new()).map(drop)),
        ("read", store.public().read(RecordId([1; 16])).map(drop)),
        ("commit", store.public().commit(vec![create(false, 10)])),
        ("unlock", store.unlock(Role::User, &user).map(drop)),
        ("unlock SO", store.unlock(Role::SecurityOfficer, &so).map(drop)),
        ("set_pin", admin.set_pin(Role::User, &user, &new)),
        ("init_token", admin.init_token(&so, "anew")),
        ("backup", admin.backup(&scratch.join("backup"), &new)),
    ]
}

/// Checks that every call ends with an error that `expected` approves of and that nothing has changed.
fn refuses(directory: &Path, what: &str, expected: impl Fn(&StoreError) -> bool) {
    let scratch = tempfile::tempdir().unwrap();
    let before = snapshot(directory);
    for (name, outcome) in every_call(directory, scratch.path()) {
        let error = outcome.expect_err(&format!("{what}: {name}"));
        assert!(expected(&error), "{what}: {name}: {error:?}");
    }
    assert!(snapshot(directory) == before, "{what}: something was changed");
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "{what}: a backup was begun");
}
