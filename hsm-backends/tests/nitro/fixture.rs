//! A token in the enclave of a test stand.

use std::{
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use hsm_backends::{
    KeyStore, Role,
    conformance::{AdminFixture, Fixture},
    nitro::{NitroStore, Options},
};
use test_stand::Stand;

/// A directory with tokens in it, and the host of their keys.
pub(crate) struct Nitro {
    host: String,
    directory: tempfile::TempDir,
    scratch: tempfile::TempDir,
    blanks: AtomicU32,
}

impl Nitro {
    /// In the enclave that all tests share.
    pub(crate) fn new() -> Self {
        Self::at_host(&Stand::shared().host())
    }

    pub(crate) fn at_host(host: &str) -> Self {
        let directory = || tempfile::tempdir().unwrap();
        let made = Self {
            host: host.to_owned(),
            directory: directory(),
            scratch: directory(),
            blanks: AtomicU32::new(0),
        };
        let store = made.at("token");
        let admin = store.admin().unwrap();
        admin.init_token(&made.so_pin(), "conformance").unwrap();
        let so = store.unlock(Role::SecurityOfficer, &made.so_pin()).unwrap();
        admin.init_pin(&*so, &made.user_pin()).unwrap();
        made
    }

    pub(crate) fn at(&self, name: &str) -> Box<dyn KeyStore> {
        Box::new(NitroStore::new(self.options(name)))
    }

    /// Another door to a copy of the token, made now.
    pub(crate) fn copy(&self) -> Box<dyn KeyStore> {
        let name = format!("copy {}", self.blanks.fetch_add(1, Ordering::Relaxed));
        let (from, to) = (self.directory.path().join("token"), self.directory.path().join(&name));
        if !from.with_file_name("first copy").exists() {
            copy(&from, &from.with_file_name("first copy"));
        }
        copy(&from.with_file_name("first copy"), &to);
        self.at(&name)
    }

    /// The token's name, as it stands in user ids.
    pub(crate) fn token_id(&self) -> String {
        let database = self.directory.path().join("token/token.db");
        let sql = rusqlite::Connection::open(database).unwrap();
        let id: [u8; 16] = sql.query_row("SELECT token_id FROM token", [], |row| row.get(0)).unwrap();
        format!("{:032x}", u128::from_be_bytes(id))
    }

    pub(crate) fn options(&self, name: &str) -> Options {
        Options {
            directory: self.directory.path().join(name),
            host: self.host.parse().unwrap(),
            kms_key: None,
            pin_tries: self.pin_tries(),
        }
    }
}

/// A directory with its files, as somebody takes them away.
fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

impl Fixture for Nitro {
    fn open(&self) -> Box<dyn KeyStore> {
        self.at("token")
    }
}

impl AdminFixture for Nitro {
    fn blank(&self) -> Box<dyn KeyStore> {
        self.at(&format!("blank {}", self.blanks.fetch_add(1, Ordering::Relaxed)))
    }

    fn scratch(&self) -> &Path {
        self.scratch.path()
    }
}
