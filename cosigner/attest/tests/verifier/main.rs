//! The verifier against documents of our own making, each wrong in one point, and against real ones where there are any.

#![cfg(test)]

mod birth;
mod bytes;
mod chain;
mod document;
mod policy;
mod real;

use std::collections::BTreeMap;

use attest::{Attestation, Error, Pcr, Policy};
use document_maker::{Authority, Draft};

/// When the documents of the tests are made: 2026-02-03 04:05:06.789 UTC.
const TIME: u64 = 1_770_091_506_789;

fn authority() -> Authority {
    Authority::new(TIME / 1000)
}

fn draft() -> Draft {
    Draft {
        public_key: Some(b"public".to_vec()),
        user_data: Some(b"data".to_vec()),
        nonce: Some(b"nonce".to_vec()),
        ..Draft::new(TIME)
    }
}

/// The registers that a manifest names, as the draft has them.
fn pcrs(draft: &Draft) -> BTreeMap<u8, Pcr> {
    [0, 1, 2, 8].map(|index: u8| (index, Pcr::new(draft.pcrs[usize::from(index)]))).into()
}

/// Verifies with a policy that names the root and no more.
fn verify(document: &[u8], root: [u8; 32]) -> Result<Attestation, Error> {
    let pcrs = BTreeMap::new();
    Policy { root, pcrs: &pcrs, allow_debug: false, nonce: None, freshness: None }.verify(document)
}
