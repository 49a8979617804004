//! Somebody who has a copy of the directory, the TPM and its owner hierarchy, but not the PIN: what he can try beside the
//! store, command by command, and what it brings him.

use std::path::Path;

use algorithms::digest::Hash;
use hsm_backends::{Role, StoreError, conformance::Fixture};

use crate::{
    Sealed,
    swtpm::{Swtpm, exchange, password_session, sized},
    work::{copy, refused, user},
};

const OWNER: u32 = 0x4000_0001;
const PIN_INDEX: u32 = 0x0180_7400;
const COUNTER: u32 = 0x0180_7404;
const GUESS: &[u8] = b"a guess";
/// TPM_RC_AUTH_FAIL, which is counted by the TPM's lockout as TPM_RC_BAD_AUTH (0x9A2) is not; TPM_RC_POLICY_FAIL;
/// TPM_RC_LOCKOUT.
const AUTH_FAIL: u32 = 0x98E;
const POLICY_FAIL: u32 = 0x99D;
const LOCKOUT: u32 = 0x921;

/// What the user's row has in clear (docs/formats.md).
struct Row {
    counter_auth: Vec<u8>,
    /// TPM2B_PUBLIC and private part of the PIN object and of the token key, and N.
    door: [Vec<u8>; 2],
    copy: [Vec<u8>; 2],
    count: Vec<u8>,
}

fn list(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| {
        let (len, rest) = bytes.split_first_chunk()?;
        let (field, rest) = rest.split_at(usize::try_from(u32::from_be_bytes(*len)).unwrap());
        bytes = rest;
        Some(field.to_vec())
    })
    .collect()
}

impl Row {
    fn of(directory: &Path) -> Self {
        let row: Vec<u8> = rusqlite::Connection::open(directory.join("token.db"))
            .unwrap()
            .query_row("SELECT wrapped FROM pin WHERE role = 1", [], |row| row.get(0))
            .unwrap();
        let [anchor, _, door, copy] = &list(&row[1..row.len() - 32])[..] else { panic!("{row:x?}") };
        let [_, _, _, counter_auth] = &list(anchor)[..] else { panic!("{anchor:x?}") };
        let [_, public, private] = &list(door)[..] else { panic!("{door:x?}") };
        let door = [public.clone(), private.clone()];
        let [count, _, _, _, public, private] = &list(copy)[..] else { panic!("{copy:x?}") };
        let copy = [public.clone(), private.clone()];
        Self { counter_auth: counter_auth.clone(), door, copy, count: count.clone() }
    }
}

/// TPM2_NV_DefineSpace of 8 bytes, with an authorisation of one's own.
fn define(tpm: &Swtpm, index: u32, attributes: u32, policy: &[u8], auth: &[u8]) {
    let public =
        [&index.to_be_bytes()[..], &[0, 0x0B], &attributes.to_be_bytes(), &sized(policy), &[0, 8]].concat();
    tpm.with_password(0x12A, &[OWNER], &[], &[sized(auth), sized(&public)].concat());
}

/// TPM2_NV_UndefineSpace.
fn undefine(tpm: &Swtpm, index: u32) {
    tpm.with_password(0x122, &[OWNER, index], &[], &[]);
}

fn handle(answer: &[u8]) -> u32 {
    u32::from_be_bytes(*answer.first_chunk().unwrap())
}

/// TPM2_StartAuthSession of policy.
fn policy_session(tpm: &Swtpm) -> u32 {
    let none = 0x4000_0007_u32.to_be_bytes();
    let answer = tpm.command(
        0x176,
        false,
        &[&none[..], &none, &sized(&[7; 16]), &sized(&[]), &[1, 0, 0x10, 0, 0x0B]].concat(),
    );
    handle(&answer)
}

/// A command that this policy session authorises.
fn by_policy(tpm: &Swtpm, code: u32, handles: &[u32], session: u32, rest: &[u8]) -> (u32, Vec<u8>) {
    let handles: Vec<_> = handles.iter().flat_map(|handle| handle.to_be_bytes()).collect();
    let area = [&9_u32.to_be_bytes()[..], &session.to_be_bytes(), &[0, 0, 1, 0, 0]].concat();
    exchange(&mut tpm.connect(), code, true, &[&handles[..], &area, rest].concat())
}

/// TPM2_PolicySecret: the response code.
fn policy_secret(tpm: &Swtpm, session: u32, entity: u32, auth: &[u8]) -> u32 {
    let rest = password_session(&[entity, session], auth, &[0; 10]);
    exchange(&mut tpm.connect(), 0x151, true, &rest).0
}

/// The PIN object and the sealed token key, in the TPM's memory.
fn load(tpm: &Swtpm, row: &Row) -> [u32; 2] {
    // The storage root key's template (docs/formats.md).
    let words = [0x0023_u16, 0x000B, 0x0003, 0x0472, 0, 0x0006, 128, 0x0043, 0x0010, 0x0003, 0x0010];
    let mut template: Vec<_> = words.into_iter().flat_map(u16::to_be_bytes).collect();
    template.extend([sized(&[0; 32]), sized(&[0; 32])].concat());
    let rest = [sized(&[0; 4]), sized(&template), vec![0; 6]].concat();
    let parent = handle(&tpm.with_password(0x131, &[OWNER], &[], &rest));
    let loaded = [&row.door, &row.copy].map(|[public, private]| {
        handle(&tpm.with_password(0x157, &[parent], &[], &[&sized(private)[..], public].concat()))
    });
    tpm.command(0x165, false, &parent.to_be_bytes());
    loaded
}

#[test]
fn who_defines_the_counter_again_does_not_turn_it_back() {
    let token = Sealed::new();
    let stolen = token.records("stolen");
    copy(&token.records("token"), &stolen);
    let store = token.open();
    let new = hsm_backends::Pin::presented(b"another PIN");
    store.admin().unwrap().set_pin(Role::User, &token.user_pin(), &new).unwrap();
    let auth = Row::of(&stolen).counter_auth;
    let read = || {
        let answer = token.tpm.with_password(0x14E, &[COUNTER, COUNTER], &auth, &[0, 8, 0, 0]);
        u64::from_be_bytes(answer[6..14].try_into().unwrap())
    };
    let before = read();
    undefine(&token.tpm, COUNTER);
    define(&token.tpm, COUNTER, 1 << 2 | 1 << 4 | 1 << 18 | 1 << 25, &[], &auth);
    token.tpm.with_password(0x134, &[COUNTER, COUNTER], &auth, &[]);
    assert!(read() > before, "{} after {before}", read());
    refused(&*token.at("stolen"), &token.user_pin(), "was changed");
}

/// The index then says yes to him, and has the Name that the policy asks for. The PIN object does not.
#[test]
fn who_defines_the_pin_index_again_opens_nothing() {
    let token = Sealed::new();
    let row = Row::of(&token.records("token"));
    let tpm = &token.tpm;
    // Its public area, as the TPM gives it: size, index, hash, attributes, policy.
    let public = tpm.command(0x169, false, &PIN_INDEX.to_be_bytes());
    let attributes = u32::from_be_bytes(*public[8..].first_chunk().unwrap());
    let written = 1 << 29;
    let policy = public[14..46].to_vec();
    undefine(tpm, PIN_INDEX);
    define(tpm, PIN_INDEX, attributes & !written, &policy, GUESS);
    let session = policy_session(tpm);
    let branch = |code: u32, rest: &[u8]| {
        Hash::Sha256.digest(&[&[0; 32][..], &code.to_be_bytes(), rest].concat()).unwrap()
    };
    tpm.command(0x18F, false, &[&session.to_be_bytes()[..], &[0]].concat());
    let branches = [branch(0x18F, &[0]), branch(0x16C, &0x14E_u32.to_be_bytes())];
    let or = [&session.to_be_bytes()[..], &[0, 0, 0, 2], &sized(&branches[0]), &sized(&branches[1])].concat();
    tpm.command(0x171, false, &or);
    // As many tries as there are.
    let tries = [&sized(&[0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF])[..], &[0, 0]].concat();
    assert_eq!(by_policy(tpm, 0x137, &[PIN_INDEX, PIN_INDEX], session, &tries).0, 0);
    tpm.command(0x165, false, &session.to_be_bytes());
    assert_eq!(tpm.command(0x169, false, &PIN_INDEX.to_be_bytes()), public, "the Name is another");

    let [pin, key] = load(tpm, &row);
    let session = policy_session(tpm);
    let equals = password_session(
        &[COUNTER, COUNTER, session],
        &row.counter_auth,
        &[sized(&row.count), vec![0; 4]].concat(),
    );
    assert_eq!(exchange(&mut tpm.connect(), 0x149, true, &equals).0, 0);
    assert_eq!(policy_secret(tpm, session, PIN_INDEX, GUESS), 0);
    assert_eq!(policy_secret(tpm, session, pin, GUESS), AUTH_FAIL);
    assert_eq!(by_policy(tpm, 0x15E, &[key], session, &[]).0, POLICY_FAIL);
    // The index in place of the object.
    assert_eq!(policy_secret(tpm, session, PIN_INDEX, GUESS), 0);
    assert_eq!(by_policy(tpm, 0x15E, &[key], session, &[]).0, POLICY_FAIL);
    // And the token is lost: nobody's PIN is in the index.
    assert_eq!(user(&*token.open(), &token.user_pin()).unwrap_err(), StoreError::PinIncorrect);
}

/// The PIN object says whether a guess is right without the index. What limits that is the TPM's own lockout.
#[test]
fn guesses_past_the_pin_index_meet_the_lockout_of_the_tpm() {
    let token = Sealed::new();
    let tpm = &token.tpm;
    let [pin, _] = load(tpm, &Row::of(&token.records("token")));
    let session = policy_session(tpm);
    let answers: Vec<_> =
        std::iter::repeat_with(|| policy_secret(tpm, session, pin, GUESS)).take(40).collect();
    let guesses = answers.iter().take_while(|answer| **answer == AUTH_FAIL).count();
    assert!((1..40).contains(&guesses), "{answers:x?}");
    assert!(answers[guesses..].iter().all(|answer| *answer == LOCKOUT), "{answers:x?}");
    // The index has seen none of them, and the user waits as well until the lockout is over.
    refused(&*token.open(), &token.user_pin(), "lockout");
    tpm.with_password(0x139, &[0x4000_000A], &[], &[]);
    user(&*token.open(), &token.user_pin()).unwrap();
}
