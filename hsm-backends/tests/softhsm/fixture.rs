//! A SoftHSM token of a test's own.
//!
//! SoftHSM reads SOFTHSM2_CONF whenever it is initialised, and there is one environment in a process. So each token comes
//! with a copy of the library, which the loader takes for another one, and in which the path of the configuration that
//! is used without that variable is the token's own.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use hsm_backends::{
    KeySpec, KeyStore, Pin,
    conformance::{self, AdminFixture, Fixture},
    pkcs11::{Libraries, Options, Pkcs11Store, Selector},
};

/// SoftHSM 2.6.1 of Debian and its neighbours; another place can be named.
const PLACES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
];
/// What is replaced in a copy of SoftHSM 2.6, each by as many bytes.
const VARIABLE: &[u8] = b"SOFTHSM2_CONF";
const USERS_FILE: &[u8] = b".config/softhsm2/softhsm2.conf";
const DEFAULT_FILE: &[u8] = b"/etc/softhsm/softhsm2.conf";

pub(crate) struct SoftHsm {
    directory: tempfile::TempDir,
    scratch: tempfile::TempDir,
    libraries: Libraries,
    pub(crate) pass_through: Option<Vec<u64>>,
    /// Whether data objects are in the HSM as well.
    pub(crate) data_in_hsm: bool,
    keys: Vec<KeySpec>,
}

fn softhsm() -> PathBuf {
    let named = std::env::var_os("SOFTHSM2_MODULE").map(PathBuf::from);
    let found = named.or_else(|| PLACES.iter().map(PathBuf::from).find(|path| path.exists()));
    found.expect("SoftHSM: install the Debian package softhsm2, or name the library in SOFTHSM2_MODULE")
}

/// Puts one string of a library in place of another that is not shorter.
fn replace(library: &mut [u8], old: &[u8], new: &[u8]) {
    assert!(new.len() <= old.len(), "{} does not fit", String::from_utf8_lossy(new));
    let whole = |at: &usize| library[*at..].starts_with(old) && library.get(at + old.len()) == Some(&0);
    let at = (0..library.len() - old.len()).find(whole);
    let at = at.unwrap_or_else(|| panic!("no {} in this SoftHSM", String::from_utf8_lossy(old)));
    library[at..at + old.len()].fill(0);
    library[at..at + new.len()].copy_from_slice(new);
}

impl SoftHsm {
    /// Every key sealed under the HSM's.
    pub(crate) fn sealing() -> Self {
        Self::new(Some(Vec::new()), conformance::keys::every_key())
    }

    /// Keys in the HSM where it can. Ed25519 has a test of its own: of its three forms SoftHSM has one.
    pub(crate) fn passing_through() -> Self {
        let ed25519 = KeySpec::Pair(algorithms::Algorithm::Ed25519);
        let keys = conformance::keys::every_key().into_iter().filter(|spec| *spec != ed25519).collect();
        Self::new(None, keys)
    }

    fn new(pass_through: Option<Vec<u64>>, keys: Vec<KeySpec>) -> Self {
        // A short name: it has to fit into the copy.
        let directory =
            || tempfile::Builder::new().prefix("t").tempdir_in("/tmp").expect("a temporary directory");
        let data_in_hsm = pass_through.is_none();
        let made = Self {
            directory: directory(),
            scratch: directory(),
            libraries: Libraries::default(),
            pass_through,
            data_in_hsm,
            keys,
        };
        made.make("token", "conformance");
        made
    }

    /// The script that users have as well.
    fn make(&self, name: &str, label: &str) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../softhsm-config/make-token.sh");
        let (pin, so_pin) = (self.user_pin(), self.so_pin());
        let text = |pin: &Pin| String::from_utf8(pin.expose().to_vec()).expect("PINs of tests are text");
        let made = Command::new("bash")
            .arg(script)
            .arg(self.directory.path().join(name))
            .args([label, &text(&pin), &text(&so_pin)])
            .output()
            .expect("bash runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let conf = self.directory.path().join(format!("{}.conf", &name[..1]));
        std::os::unix::fs::symlink(self.directory.path().join(name).join("softhsm2.conf"), &conf)
            .expect("a link in a temporary directory");
        let mut library = std::fs::read(softhsm()).expect("SoftHSM");
        replace(&mut library, VARIABLE, b"SOFTHSM2_NONE");
        replace(&mut library, USERS_FILE, b".config/softhsm2/softhsm2.none");
        replace(&mut library, DEFAULT_FILE, conf.as_os_str().as_encoded_bytes());
        std::fs::write(self.library(name), library).expect("a copy of SoftHSM");
    }

    pub(crate) fn library(&self, name: &str) -> PathBuf {
        self.directory.path().join(name).join("libsofthsm2.so")
    }

    pub(crate) fn by_label(label: &str) -> Selector {
        Selector { label: Some(label.into()), ..Selector::default() }
    }

    pub(crate) fn records(&self) -> PathBuf {
        self.directory.path().join("records")
    }

    pub(crate) fn at(&self, name: &str, token: Selector) -> Box<dyn KeyStore> {
        self.with(name, token, &self.libraries)
    }

    pub(crate) fn with(&self, name: &str, token: Selector, libraries: &Libraries) -> Box<dyn KeyStore> {
        let options = Options {
            library: self.library(name),
            token,
            directory: self.records(),
            pin_tries: self.pin_tries(),
            pass_through: self.pass_through.clone(),
            data_in_hsm: self.data_in_hsm,
        };
        Box::new(Pkcs11Store::new(options, libraries))
    }
}

impl Fixture for SoftHsm {
    fn open(&self) -> Box<dyn KeyStore> {
        self.at("token", Self::by_label("conformance"))
    }

    fn keys(&self) -> Vec<KeySpec> {
        self.keys.clone()
    }
}

impl AdminFixture for SoftHsm {
    fn blank(&self) -> Box<dyn KeyStore> {
        self.make("blank", "erased");
        for token in std::fs::read_dir(self.directory.path().join("blank/tokens")).expect("tokens") {
            std::fs::remove_dir_all(token.expect("a token").path()).expect("a directory of ours");
        }
        let options = Options {
            library: self.library("blank"),
            token: Selector::default(),
            directory: self.directory.path().join("blank/records"),
            pin_tries: self.pin_tries(),
            pass_through: self.pass_through.clone(),
            data_in_hsm: self.data_in_hsm,
        };
        Box::new(Pkcs11Store::new(options, &self.libraries))
    }

    fn scratch(&self) -> &Path {
        self.scratch.path()
    }
}
