//! Attestation documents: whatever bytes come, the verifier says no, or the document was made with the one key that
//! this target signs with. What signatures protect is reached by signing the input.
#![no_main]

use std::{collections::BTreeMap, sync::LazyLock};

use attest::{
    Policy,
    birth::{Claims, Layout, UserData},
};
use document_maker::{Authority, Draft, payload, sign};
use libfuzzer_sys::fuzz_target;

const TIME: u64 = 1_770_091_506_789;

static AUTHORITY: LazyLock<(Authority, Vec<Vec<u8>>)> = LazyLock::new(|| {
    let authority = Authority::new(TIME / 1000);
    let chain = authority.issue();
    (authority, chain)
});

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = input.split_first() else { return };
    let (authority, chain) = &*AUTHORITY;
    let pcrs = BTreeMap::new();
    let policy = Policy {
        root: authority.root_sha256(),
        pcrs: &pcrs,
        allow_debug: true,
        nonce: None,
        freshness: None,
    };
    match kind % 6 {
        // A document from end to end: nobody else has the key.
        0 => assert!(policy.verify(bytes).is_err(), "a document that was not signed verifies"),
        // A payload that is signed.
        1 => drop(policy.verify(&sign(bytes, authority.leaf_key()))),
        // A certificate of the chain.
        2 => {
            let mut chain = chain.clone();
            let at = 1 + usize::from(kind / 6) % (chain.len() - 1);
            chain[at] = bytes.to_vec();
            let document = sign(&payload(Draft::new(TIME).fields(&chain)), authority.leaf_key());
            assert!(policy.verify(&document).is_err(), "a certificate that was not issued is taken");
        }
        // A certificate of the chain that stands for itself: its form is looked at before anything else.
        3 => {
            let root = attest::sha256(bytes);
            let policy = Policy { root, ..policy };
            let chain = [bytes.to_vec(), chain[4].clone()];
            drop(policy.verify(&sign(&payload(Draft::new(TIME).fields(&chain)), authority.leaf_key())));
        }
        4 => user_data(&policy, bytes),
        _ => edited(&policy, bytes),
    }
});

/// What is read is written again as it was, and agrees with nobody else's claims.
fn user_data(policy: &Policy, bytes: &[u8]) {
    if let Ok(data) = UserData::decode(bytes) {
        assert_eq!(data.encode().as_deref(), Some(bytes));
    }
    let (authority, chain) = &*AUTHORITY;
    let draft = Draft { user_data: Some(bytes.to_vec()), ..Draft::new(TIME) };
    let document = sign(&payload(draft.fields(chain)), authority.leaf_key());
    let Ok(attestation) = policy.verify(&document) else { return };
    let claims = Claims {
        public_key_sha256: [1; 32],
        wrapped_key_sha256: [2; 32],
        user_id: "u",
        kms_key: "k",
        algorithm: "a",
    };
    for layout in [Layout::V1, Layout::V0, Layout::V0Any] {
        if claims.verify(&attestation, layout).is_ok() {
            assert!(bytes.windows(32).any(|window| window == [2; 32]));
        }
    }
}

/// A good document in which bytes are changed: two of position and one of value for each.
fn edited(policy: &Policy, edits: &[u8]) {
    let (authority, chain) = &*AUTHORITY;
    let document = sign(&payload(Draft::new(TIME).fields(chain)), authority.leaf_key());
    let mut changed = document.clone();
    let (edits, _) = edits.as_chunks::<3>();
    for &[high, low, value] in edits {
        let at = usize::from(u16::from_be_bytes([high, low])) % changed.len();
        changed[at] = value;
    }
    assert_eq!(policy.verify(&changed).is_ok(), changed == document, "a changed document verifies");
}
