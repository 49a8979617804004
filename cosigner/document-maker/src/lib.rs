//! For tests and the emulated enclave only: makes attestation documents of the profile of a real NSM, under a root of
//! its own that nobody trusts by default. No program that is installed depends on this crate.
//!
//! [`Authority`] is the chain of CAs, [`Draft`] the document before it is signed. Every part can be made wrong: that is
//! what the tests of the verifier do.
#![forbid(unsafe_code)]

mod authority;
mod certificate;
mod der;
mod draft;
mod kept;

pub use authority::Authority;
pub use certificate::{CaFlag, Certificate, Key};
pub use draft::{Draft, payload, sign};

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    use aws_lc_rs::digest::{SHA256, digest};
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}
