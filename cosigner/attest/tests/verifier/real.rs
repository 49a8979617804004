//! Documents of real enclaves, which are not part of this project: the environment variable TRELLIS_NITRO_DOCUMENTS
//! names a folder with them (CONTRIBUTING.md says where they are from). Without it these tests say that they did not run.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use attest::{AWS_ROOT_G1, Attestation, Error, Pcr, Policy, sha256};
use base64ct::{Base64, Encoding};

use crate::bytes::no_changed_byte_verifies;

/// The only one here that was not in debug mode.
const NOT_DEBUG: &str = "evervault/valid-attestation-doc-bytes";
const DEBUG: [&str; 3] = [
    "evervault/debug-mode-attestation-doc-bytes",
    "evervault/valid-attestation-doc-base64",
    "eternis/example_attestation",
];
/// Its chain is good and its signature is not.
const BROKEN: &str = "eternis/invalid_attestation";

/// The folder, or nothing and a line that the test harness does not hide and `make test` counts.
fn folder(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("TRELLIS_NITRO_DOCUMENTS").filter(|folder| !folder.is_empty());
    if folder.is_none() {
        let reason = "TRELLIS_NITRO_DOCUMENTS names no folder with documents of real enclaves";
        std::io::stderr().write_all(format!("NOT RUN: {test}: {reason}\n").as_bytes()).unwrap();
        if let Some(path) = std::env::var_os("TRELLIS_TESTS_NOT_RUN") {
            let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
            file.write_all(format!("optional: {test}: {reason}\n").as_bytes()).unwrap();
        }
    }
    folder.map(PathBuf::from)
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    let path = folder.join(name);
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    match std::str::from_utf8(&bytes) {
        Ok(text) => Base64::decode_vec(text.trim()).unwrap(),
        Err(_) => bytes,
    }
}

fn judge(document: &[u8], allow_debug: bool) -> Result<Attestation, Error> {
    let pcrs = BTreeMap::new();
    Policy { root: AWS_ROOT_G1, pcrs: &pcrs, allow_debug, nonce: None, freshness: None }.verify(document)
}

#[test]
fn the_pinned_root_is_amazons() {
    let Some(folder) = folder("the_pinned_root_is_amazons") else { return };
    assert_eq!(sha256(&read(&folder, "aws_nitro_root_g1.der")), AWS_ROOT_G1);
}

#[test]
fn real_documents_verify_at_their_own_time() {
    let Some(folder) = folder("real_documents_verify_at_their_own_time") else { return };
    let attestation = judge(&read(&folder, NOT_DEBUG), false).unwrap();
    assert_eq!(attestation.timestamp(), 1_665_651_482_136);
    assert_eq!(attestation.module_id(), "i-020b6af9246d90e92-enc0183d09086c24190");
    assert_eq!(attestation.nonce().unwrap().len(), 256);
    assert!(attestation.pcr(0).unwrap().to_string().starts_with("f4d48b81"));
    for name in DEBUG {
        let document = read(&folder, name);
        assert_eq!(judge(&document, false), Err(Error::DebugMode), "{name}");
        let attestation = judge(&document, true).unwrap();
        assert!(attestation.user_data().is_some(), "{name}");
    }
}

#[test]
fn the_broken_real_document_is_refused() {
    let Some(folder) = folder("the_broken_real_document_is_refused") else { return };
    assert_eq!(judge(&read(&folder, BROKEN), true), Err(Error::Signature));
}

#[test]
fn a_real_document_is_held_to_the_policy() {
    let Some(folder) = folder("a_real_document_is_held_to_the_policy") else { return };
    let document = read(&folder, NOT_DEBUG);
    let attestation = judge(&document, false).unwrap();
    let pcrs: BTreeMap<_, _> = [0, 1, 2, 8].map(|index| (index, attestation.pcr(index).unwrap())).into();
    let nonce = attestation.nonce();
    let policy = Policy { root: AWS_ROOT_G1, pcrs: &pcrs, allow_debug: false, nonce, freshness: None };
    assert!(policy.verify(&document).is_ok());
    let other = BTreeMap::from([(8, Pcr::new([1; 48]))]);
    let refused = Policy { pcrs: &other, ..policy.clone() }.verify(&document);
    assert!(matches!(refused, Err(Error::PcrMismatch { index: 8, .. })), "{refused:?}");
    let refused = Policy { root: [1; 32], ..policy }.verify(&document);
    assert_eq!(refused, Err(Error::Root { found: AWS_ROOT_G1, wanted: [1; 32] }));
}

#[test]
fn every_byte_of_a_real_document_counts() {
    let Some(folder) = folder("every_byte_of_a_real_document_counts") else { return };
    no_changed_byte_verifies(&read(&folder, NOT_DEBUG), AWS_ROOT_G1);
}
