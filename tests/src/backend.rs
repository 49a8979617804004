//! Where the keys live that the tests of the C ABI use: in the embedded store, in a token of SoftHSM's behind ours,
//! sealed by a software TPM, or in an emulated enclave.
//!
//! `TRELLIS_TEST_BACKEND=softhsm`, `=tpm` and `=nitro` write that backend into every configuration. Each test has a
//! directory of SoftHSM's, or a TPM, to itself, without a token in it, so that C_InitToken makes one as it does with the
//! embedded store. The enclave, its host and a KMS double are shared: what a token has there nobody else meets.

#[path = "../../hsm-backends/tests/tpm/swtpm.rs"]
#[expect(dead_code, reason = "it is shared with the tests of the stores")]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod swtpm;

use std::path::{Path, PathBuf};

use swtpm::Swtpm;
use test_stand::Stand;

/// Which backend: `embedded` (the default), `softhsm`, `tpm` or `nitro`.
const VARIABLE: &str = "TRELLIS_TEST_BACKEND";
/// The way to the test's own TPM, for the test's own process.
const TCTI: &str = "TRELLIS_TEST_TCTI";
/// Where the enclave's host listens, for the test's own process.
const HOST: &str = "TRELLIS_TEST_HOST";
/// SoftHSM 2.6 of Debian and its neighbours; SOFTHSM2_MODULE names another.
const PLACES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
];

/// A backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backend {
    Embedded,
    SoftHsm,
    Tpm,
    Nitro,
}

fn backend() -> Backend {
    match std::env::var(VARIABLE).as_deref() {
        Err(_) | Ok("embedded") => Backend::Embedded,
        Ok("softhsm") => Backend::SoftHsm,
        Ok("tpm") => Backend::Tpm,
        Ok("nitro") => Backend::Nitro,
        Ok(other) => panic!("{VARIABLE}={other}: embedded, softhsm, tpm or nitro"),
    }
}

/// Whether the keys are in SoftHSM.
pub fn is_softhsm() -> bool {
    backend() == Backend::SoftHsm
}

/// Whether a TPM seals the keys.
pub fn is_tpm() -> bool {
    backend() == Backend::Tpm
}

/// Whether the keys are in an enclave.
pub fn is_nitro() -> bool {
    backend() == Backend::Nitro
}

/// SoftHSM's library.
pub fn softhsm() -> PathBuf {
    let named = std::env::var_os("SOFTHSM2_MODULE").map(PathBuf::from);
    let found = named.or_else(|| PLACES.iter().map(PathBuf::from).find(|path| path.exists()));
    found.expect("SoftHSM: install the Debian package softhsm2, or name the library in SOFTHSM2_MODULE")
}

/// What the backend is called.
pub(crate) fn name() -> &'static str {
    match backend() {
        Backend::Embedded => "embedded",
        Backend::SoftHsm => "softhsm",
        Backend::Tpm => "tpm",
        Backend::Nitro => "nitro",
    }
}

/// A configuration with this backend in each of its slots.
pub(crate) fn of(text: &str) -> String {
    let lines = match backend() {
        Backend::Embedded => return text.to_owned(),
        Backend::SoftHsm => format!("\nbackend = 'pkcs11'\nmodule-path = '{}'\n", softhsm().display()),
        Backend::Tpm => format!("\nbackend = 'tpm'\ntcti = '{}'\n", std::env::var(TCTI).unwrap_or_default()),
        Backend::Nitro => {
            format!("\nbackend = 'nitro'\nhost = '{}'\n", std::env::var(HOST).unwrap_or_default())
        }
    };
    // At the end of each slot, so that what stands before keeps its line.
    let mut slots = text.split("[[slot]]\n");
    let head = slots.next().unwrap_or_default().to_owned();
    slots.fold(head, |text, slot| text + "[[slot]]\n" + slot + &lines)
}

/// A directory of SoftHSM's, without a token, for a test whose SOFTHSM2_CONF is the file in it.
pub fn prepare_softhsm(directory: &Path) {
    let tokens = directory.join("softhsm");
    std::fs::create_dir_all(&tokens).expect("the test's directory can be written");
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        tokens.display()
    );
    std::fs::write(directory.join("softhsm2.conf"), text).expect("the test's directory can be written");
}

/// What a test's backend needs outside the test's process: it lives as long as this.
#[derive(Debug)]
pub(crate) enum Prepared {
    Nothing,
    Tpm(Swtpm),
    Enclave(&'static Stand),
}

impl Prepared {
    /// For a test whose directory this is: a directory of SoftHSM's without a token, whose SOFTHSM2_CONF is the file in it;
    /// or a new TPM; or the enclave of this program.
    pub(crate) fn new(directory: &Path) -> Self {
        match backend() {
            Backend::Embedded => Self::Nothing,
            Backend::SoftHsm => {
                prepare_softhsm(directory);
                Self::Nothing
            }
            Backend::Tpm => Self::Tpm(Swtpm::start(&directory.join("tpm"))),
            Backend::Nitro => Self::Enclave(Stand::shared()),
        }
    }

    /// What the test's process has to know.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Nothing => Vec::new(),
            // What libtss2 writes for each wrong PIN is of no use beside the log.
            Self::Tpm(tpm) => vec![(TCTI, tpm.tcti()), ("TSS2_LOG", "all+none".into())],
            Self::Enclave(stand) => vec![(HOST, stand.host())],
        }
    }
}
