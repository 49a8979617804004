//! Where the keys live that the tests of the C ABI use: in the embedded store, or in a token of SoftHSM's behind ours.
//!
//! `TRELLIS_TEST_BACKEND=softhsm` writes that backend into every configuration. Each test has a directory of SoftHSM's
//! to itself, without a token in it, so that C_InitToken makes one as it does with the embedded store.

use std::path::{Path, PathBuf};

/// Which backend: `embedded` (the default) or `softhsm`.
const VARIABLE: &str = "TRELLIS_TEST_BACKEND";
/// SoftHSM 2.6 of Debian and its neighbours; SOFTHSM2_MODULE names another.
const PLACES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
];

/// Whether the keys are in SoftHSM.
pub fn is_softhsm() -> bool {
    match std::env::var(VARIABLE).as_deref() {
        Err(_) | Ok("embedded") => false,
        Ok("softhsm") => true,
        Ok(other) => panic!("{VARIABLE}={other}: embedded or softhsm"),
    }
}

/// SoftHSM's library.
pub fn softhsm() -> PathBuf {
    let named = std::env::var_os("SOFTHSM2_MODULE").map(PathBuf::from);
    let found = named.or_else(|| PLACES.iter().map(PathBuf::from).find(|path| path.exists()));
    found.expect("SoftHSM: install the Debian package softhsm2, or name the library in SOFTHSM2_MODULE")
}

/// A configuration with this backend in each of its slots.
pub(crate) fn of(text: &str) -> String {
    if !is_softhsm() {
        return text.to_owned();
    }
    // At the end of each slot, so that what stands before keeps its line.
    let lines = format!("\nbackend = 'pkcs11'\nmodule-path = '{}'\n", softhsm().display());
    let mut slots = text.split("[[slot]]\n");
    let head = slots.next().unwrap_or_default().to_owned();
    slots.fold(head, |text, slot| text + "[[slot]]\n" + slot + &lines)
}

/// [`prepare_softhsm`] where this backend is SoftHSM.
pub(crate) fn prepare(directory: &Path) {
    if is_softhsm() {
        prepare_softhsm(directory);
    }
}

/// A directory of SoftHSM's, without a token, for a test whose SOFTHSM2_CONF is the file in it.
pub fn prepare_softhsm(directory: &Path) {
    let tokens = directory.join("softhsm");
    std::fs::create_dir(&tokens).expect("the test's directory can be written");
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        tokens.display()
    );
    std::fs::write(directory.join("softhsm2.conf"), text).expect("the test's directory can be written");
}
