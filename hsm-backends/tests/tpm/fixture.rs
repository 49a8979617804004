//! A token sealed by a TPM of its own.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use hsm_backends::{
    KeyStore, Role,
    conformance::{AdminFixture, Fixture},
    tpm::{Options, TpmStore},
};

use crate::swtpm::Swtpm;

/// A TPM, a folder for tokens, and one token.
pub(crate) struct Sealed {
    pub(crate) tpm: Swtpm,
    pub(crate) pcrs: Option<&'static str>,
    directory: tempfile::TempDir,
    scratch: tempfile::TempDir,
    blanks: AtomicU32,
}

impl Sealed {
    pub(crate) fn new() -> Self {
        Self::with(None)
    }

    /// With the user's PIN bound to PCRs.
    pub(crate) fn with(pcrs: Option<&'static str>) -> Self {
        let directory = || tempfile::tempdir().expect("a temporary directory");
        let (directory, scratch) = (directory(), directory());
        let tpm = Swtpm::start(&directory.path().join("tpm"));
        let made = Self { tpm, pcrs, directory, scratch, blanks: AtomicU32::new(0) };
        let store = made.open();
        let admin = store.admin().expect("this store can be managed");
        admin.init_token(&made.so_pin(), "conformance").expect("a new token");
        let so = store.unlock(Role::SecurityOfficer, &made.so_pin()).expect("the SO");
        admin.init_pin(&*so, &made.user_pin()).expect("the user's PIN");
        made
    }

    pub(crate) fn options(&self, name: &str) -> Options {
        Options {
            directory: self.records(name),
            pin_tries: self.pin_tries(),
            tcti: self.tpm.tcti(),
            pcrs: self.pcrs.map(|pcrs| pcrs.parse().unwrap()),
            plug_in: None,
        }
    }

    pub(crate) fn records(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn at(&self, name: &str) -> Box<dyn KeyStore> {
        Box::new(TpmStore::new(self.options(name)))
    }
}

impl Fixture for Sealed {
    fn open(&self) -> Box<dyn KeyStore> {
        self.at("token")
    }
}

impl AdminFixture for Sealed {
    fn blank(&self) -> Box<dyn KeyStore> {
        self.at(&format!("blank {}", self.blanks.fetch_add(1, Ordering::Relaxed)))
    }

    fn scratch(&self) -> &Path {
        self.scratch.path()
    }
}
