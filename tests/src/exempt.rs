//! Tests of the C ABI that a backend cannot pass, and why not. tests/README.md has more of it.

use std::{fs::OpenOptions, io::Write};

use crate::backend;

/// Backend, test and reason. Each is counted among those that could not run, by name.
const EXEMPT: [(&str, &str, &str); 3] = [
    (
        "softhsm",
        "signatures::ed25519_with_context_and_prehashed",
        "SoftHSM's CKM_EDDSA passes over its parameter; the module notices, and refuses such a signature",
    ),
    (
        "softhsm",
        "vendor::backup_and_restore",
        "a backup has the records; label, PINs and the keys in the HSM are the HSM's, and its own backup's",
    ),
    (
        "tpm",
        "vendor::backup_and_restore",
        "it calls C_InitToken after the backup, and from then on the TPM opens no older copy of the token",
    ),
];

/// Whether this test is exempt over the present backend; says so where whoever runs the tests collects what could not run.
pub(crate) fn is_exempt(name: &str) -> bool {
    let here = backend::name();
    let exempt = EXEMPT.iter().find(|(backend, test, _)| *backend == here && *test == name);
    let Some((backend, test, why)) = exempt else { return false };
    let line = format!("exempt: {test} over {backend}: {why}");
    println!("{line}");
    if let Some(path) = std::env::var_os("TRELLIS_TESTS_NOT_RUN") {
        let file = OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut file| writeln!(file, "{line}"))
            .expect("the list of what could not run can be written");
    }
    true
}
