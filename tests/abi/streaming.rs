//! Messages of five gigabytes, in parts: longer than a 32-bit length, and in a resident set that does not grow.
//!
//! Signer and verifier get the same bytes in parts of different sizes, at the same time.

use std::thread;

use cryptoki_sys::*;
use trellis_tests::{
    isolated,
    objects::{Answer, Template, plain},
    raw::Raw,
};

/// Above 2^32, and no multiple of a part or of a block of any hash.
const MESSAGE_LEN: u64 = 5_000_000_017;
/// After this many bytes everything that is allocated once has been.
const WARM_UP: u64 = 64 << 20;
/// How much the resident set may grow over the rest, of which it is less than a four-thousandth.
const GROWTH: u64 = 1 << 20;
/// The message repeats itself, at a distance that no part is a multiple of.
const PERIOD: usize = 65_521;

/// VmHWM, the largest resident set so far, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// A part is never longer.
const LONGEST_PART: usize = 1 << 20;

/// The bytes of the message, from which a part may begin at any place of a period.
fn pattern() -> Vec<u8> {
    (0..PERIOD + LONGEST_PART).map(|at| ((at % PERIOD * 167) >> 3) as u8).collect()
}

/// Gives the bytes of the message from `start` to `end` in parts of `part_len`.
fn stream(
    pattern: &[u8],
    (start, end): (u64, u64),
    part_len: usize,
    mut take: impl FnMut(&[u8]) -> Answer<()>,
) {
    let mut at = start;
    while at < end {
        let len = part_len.min((end - at) as usize);
        let from = (at % PERIOD as u64) as usize;
        assert_eq!(take(&pattern[from..from + len]), Ok(()), "at byte {at}");
        at += len as u64;
    }
}

/// Signs and verifies the long message.
fn sign_and_verify(
    p11: &Raw,
    signing: CK_SESSION_HANDLE,
    mechanism: CK_MECHANISM_TYPE,
    (public, private): (CK_OBJECT_HANDLE, CK_OBJECT_HANDLE),
) {
    let (verifying, pattern) = (p11.open(0), pattern());
    p11.sign_init(signing, plain(mechanism), private).unwrap();
    p11.verify_init(verifying, plain(mechanism), public).unwrap();
    let sign =
        |start, end| stream(&pattern, (start, end), LONGEST_PART, |part| p11.sign_update(signing, part));
    let verify =
        |start, end| stream(&pattern, (start, end), 999_983, |part| p11.verify_update(verifying, part));
    let both = |start, end| {
        thread::scope(|scope| {
            scope.spawn(|| sign(start, end));
            scope.spawn(|| verify(start, end));
        });
    };
    both(0, WARM_UP);
    let before = peak_memory();
    both(WARM_UP, MESSAGE_LEN);
    let grown = peak_memory() - before;
    let signature = p11.sign_final(signing).unwrap();
    assert_eq!(p11.verify_final(verifying, &signature), Ok(()));
    println!("the resident set grew by {grown} bytes");
    assert!(grown <= GROWTH, "the resident set grew by {grown} bytes");

    // It is not the signature of what a length of 32 bits would have left of the message.
    p11.verify_init(verifying, plain(mechanism), public).unwrap();
    verify(0, MESSAGE_LEN % (1 << 32));
    assert_eq!(p11.verify_final(verifying, &signature), Err(CKR_SIGNATURE_INVALID));
}

fn ml_dsa_key(p11: &Raw, session: CK_SESSION_HANDLE) -> (CK_OBJECT_HANDLE, CK_OBJECT_HANDLE) {
    let public = Template::new().number(CKA_PARAMETER_SET, CK_ULONG::from(CKP_ML_DSA_65));
    p11.generate_pair(session, plain(CKM_ML_DSA_KEY_PAIR_GEN), &public, &Template::new()).unwrap()
}

isolated! {
    fn ml_dsa(place) {
        let p11 = place.load();
        let session = p11.user_session();
        let key = ml_dsa_key(&p11, session);
        sign_and_verify(&p11, session, CKM_ML_DSA, key);
    }

    fn hash_ml_dsa(place) {
        let p11 = place.load();
        let session = p11.user_session();
        let key = ml_dsa_key(&p11, session);
        sign_and_verify(&p11, session, CKM_HASH_ML_DSA_SHA256, key);
    }
}
