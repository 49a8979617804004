//! Verifies attestation documents of AWS Nitro Enclaves, and the birth attestations of keys that live in one.
//!
//! [`Policy::verify`] is the only way to an [`Attestation`], and takes every decision in this order: the COSE_Sign1
//! envelope (RFC 9052), the payload, the certificate chain from a root pinned by its hash at the document's own time
//! (RFC 5280), the signature, then the caller's policy. [`birth::Claims::verify`] then binds `user_data` to a key.
//!
//! Nothing here asks the network or a clock, so certificate revocation is not checked. The documents are signed with
//! ECDSA over P-384: what they prove holds as long as that does.
#![forbid(unsafe_code)]

pub mod birth;
mod certificate;
mod chain;
mod error;
mod payload;
mod pcr;
mod policy;
mod sign1;

pub use error::{Error, Field};
pub use pcr::Pcr;
pub use policy::{AWS_ROOT_G1, Attestation, Freshness, Policy};

use aws_lc_rs::digest::{SHA256, digest};

/// The longest document that is looked at, in bytes. The NSM's own answers end at 12 KiB.
pub const LONGEST_DOCUMENT: usize = 16 * 1024;

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}
