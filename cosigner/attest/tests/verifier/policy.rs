//! What a caller may demand.

use std::collections::BTreeMap;

use attest::{Error, Freshness, Pcr, Policy};
use document_maker::{Authority, Draft};

use crate::{TIME, authority, draft, pcrs};

/// What the policy says to the draft.
fn judge(authority: &Authority, draft: &Draft, policy: &Policy) -> Result<(), Error> {
    Policy { root: authority.root_sha256(), ..policy.clone() }.verify(&draft.sign(authority)).map(drop)
}

fn policy(pcrs: &BTreeMap<u8, Pcr>) -> Policy<'_> {
    Policy { root: [0; 32], pcrs, allow_debug: false, nonce: None, freshness: None }
}

#[test]
fn every_named_register_is_compared() {
    let authority = authority();
    let wanted = pcrs(&draft());
    assert_eq!(judge(&authority, &draft(), &policy(&wanted)), Ok(()));
    for index in [0, 1, 2, 8] {
        let mut other = draft();
        other.pcrs[usize::from(index)][47] ^= 1;
        let (found, wanted_value) = (Pcr::new(other.pcrs[usize::from(index)]), wanted[&index]);
        assert_eq!(
            judge(&authority, &other, &policy(&wanted)),
            Err(Error::PcrMismatch { index, found, wanted: wanted_value })
        );
    }
    // A register that is not named may be anything.
    let mut other = draft();
    other.pcrs[4] = [9; 48];
    assert_eq!(judge(&authority, &other, &policy(&wanted)), Ok(()));
    let beyond = BTreeMap::from([(16, Pcr::new([1; 48]))]);
    assert_eq!(judge(&authority, &draft(), &policy(&beyond)), Err(Error::PcrMissing(16)));
}

#[test]
fn debug_documents_are_refused_unless_asked_for() {
    let authority = authority();
    let none = BTreeMap::new();
    for zero in [&[0][..], &[1], &[2], &[0, 1, 2], &[0, 1, 2, 3, 4, 8]] {
        let mut debug = draft();
        zero.iter().for_each(|&index| debug.pcrs[index] = [0; 48]);
        assert_eq!(judge(&authority, &debug, &policy(&none)), Err(Error::DebugMode), "{zero:?}");
        let wanted = pcrs(&debug);
        assert_eq!(judge(&authority, &debug, &policy(&wanted)), Err(Error::DebugMode), "{zero:?}");
        let allowed = Policy { allow_debug: true, ..policy(&wanted) };
        assert_eq!(judge(&authority, &debug, &allowed), Ok(()), "{zero:?}");
    }
    // Registers that a real NSM always has.
    let mut cut = draft();
    cut.pcrs.truncate(2);
    assert_eq!(judge(&authority, &cut, &policy(&none)), Err(Error::PcrMissing(2)));
}

#[test]
fn a_zero_proves_nothing() {
    let authority = authority();
    let mut unsigned = draft();
    unsigned.pcrs[8] = [0; 48];
    let wanted = pcrs(&unsigned);
    assert_eq!(judge(&authority, &unsigned, &policy(&wanted)), Err(Error::PcrZero(8)));
    let allowed = Policy { allow_debug: true, ..policy(&wanted) };
    assert_eq!(judge(&authority, &unsigned, &allowed), Ok(()));
    // Who does not compare it does not care.
    assert_eq!(judge(&authority, &unsigned, &policy(&BTreeMap::new())), Ok(()));
}

#[test]
fn the_nonce_is_the_callers() {
    let authority = authority();
    let none = BTreeMap::new();
    let with = |nonce: &'static [u8]| Policy { nonce: Some(nonce), ..policy(&none) };
    assert_eq!(judge(&authority, &draft(), &with(b"nonce")), Ok(()));
    assert_eq!(judge(&authority, &draft(), &with(b"nonc")), Err(Error::NonceMismatch));
    assert_eq!(judge(&authority, &draft(), &with(b"")), Err(Error::NonceMismatch));
    let without = Draft { nonce: None, ..draft() };
    assert_eq!(judge(&authority, &without, &with(b"nonce")), Err(Error::NonceMissing));
    assert_eq!(judge(&authority, &without, &with(b"")), Err(Error::NonceMissing));
    assert_eq!(judge(&authority, &without, &policy(&none)), Ok(()));
}

#[test]
fn age_is_judged_by_the_callers_time() {
    let authority = authority();
    let none = BTreeMap::new();
    let at = |now| Policy { freshness: Some(Freshness { now, oldest: 1000, ahead: 10 }), ..policy(&none) };
    let judge = |now| judge(&authority, &draft(), &at(now));
    assert_eq!(judge(TIME), Ok(()));
    assert_eq!(judge(TIME + 1000), Ok(()));
    assert_eq!(judge(TIME + 1001), Err(Error::TooOld(1001, 1000)));
    assert_eq!(judge(TIME - 10), Ok(()));
    assert_eq!(judge(TIME - 11), Err(Error::FromTheFuture(11)));
    assert_eq!(judge(u64::MAX), Err(Error::TooOld(u64::MAX - TIME, 1000)));
    assert_eq!(judge(0), Err(Error::FromTheFuture(TIME)));
}
