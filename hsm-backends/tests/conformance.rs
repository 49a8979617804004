//! The embedded store passes the suite that every store passes.

use std::{
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use hsm_backends::{
    KeyStore, Role,
    conformance::{AdminFixture, Fixture},
    embedded::{EmbeddedStore, Options},
};

/// A directory with tokens in it.
struct Embedded {
    directory: tempfile::TempDir,
    scratch: tempfile::TempDir,
    blanks: AtomicU32,
}

impl Embedded {
    fn new() -> Self {
        let directory = || tempfile::tempdir().expect("a temporary directory");
        let made = Self { directory: directory(), scratch: directory(), blanks: AtomicU32::new(0) };
        let store = made.at("token");
        let admin = store.admin().expect("this store can be managed");
        admin.init_token(&made.so_pin(), "conformance").expect("a new token");
        let so = store.unlock(Role::SecurityOfficer, &made.so_pin()).expect("the SO");
        admin.init_pin(&*so, &made.user_pin()).expect("the user's PIN");
        made
    }

    fn at(&self, name: &str) -> Box<dyn KeyStore> {
        let directory = self.directory.path().join(name);
        Box::new(EmbeddedStore::new(Options { directory, pin_tries: self.pin_tries() }))
    }
}

impl Fixture for Embedded {
    fn open(&self) -> Box<dyn KeyStore> {
        self.at("token")
    }
}

impl AdminFixture for Embedded {
    fn blank(&self) -> Box<dyn KeyStore> {
        self.at(&format!("blank {}", self.blanks.fetch_add(1, Ordering::Relaxed)))
    }

    fn scratch(&self) -> &Path {
        self.scratch.path()
    }
}

hsm_backends::conformance_tests!(crate::Embedded::new());
hsm_backends::conformance_admin_tests!(crate::Embedded::new());
