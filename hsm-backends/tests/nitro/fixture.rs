//! A token in the enclave of a test stand.

use std::{
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use hsm_backends::{
    KeySpec, KeyStore, Pin, Role,
    conformance::{self, AdminFixture, Fixture},
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

    pub(crate) fn options(&self, name: &str) -> Options {
        Options {
            directory: self.directory.path().join(name),
            host: self.host.parse().unwrap(),
            kms_key: None,
            pin_tries: self.pin_tries(),
        }
    }
}

impl Fixture for Nitro {
    fn open(&self) -> Box<dyn KeyStore> {
        self.at("token")
    }

    fn user_pin(&self) -> Pin {
        Pin::presented(b"user-pin")
    }

    fn so_pin(&self) -> Pin {
        Pin::presented(b"so-pin")
    }

    fn pin_tries(&self) -> u32 {
        4
    }

    fn keys(&self) -> Vec<KeySpec> {
        conformance::keys::every_key()
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
