//! No byte of a document is free: whichever is changed, it does not verify any more.

use attest::Error;

use crate::{authority, draft, verify};

/// Changes every byte in one bit, which moves along.
pub(crate) fn no_changed_byte_verifies(document: &[u8], root: [u8; 32]) {
    let refused_at = |at: usize| {
        let mut changed = document.to_vec();
        changed[at] ^= 1 << (at % 8);
        assert!(verify(&changed, root).is_err(), "byte {at} may be changed");
    };
    let half = document.len() / 2;
    std::thread::scope(|scope| {
        scope.spawn(|| (0..half).for_each(refused_at));
        (half..document.len()).for_each(refused_at);
    });
}

#[test]
fn every_byte_counts() {
    let authority = authority();
    let document = draft().sign(&authority);
    assert!(verify(&document, authority.root_sha256()).is_ok());
    no_changed_byte_verifies(&document, authority.root_sha256());
}

#[test]
fn every_byte_of_the_signature_counts() {
    let authority = authority();
    let document = draft().sign(&authority);
    for at in document.len() - 96..document.len() {
        let mut changed = document.clone();
        changed[at] ^= 0x01;
        assert_eq!(verify(&changed, authority.root_sha256()), Err(Error::Signature), "byte {at}");
    }
}
