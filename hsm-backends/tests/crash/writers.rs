//! Writers of objects, and guessers of PINs, in several processes at once.

use std::path::Path;

use algorithms::Algorithm;
use cryptoki_sys as ck;
use hsm_backends::{
    Attributes, Change, KeySpec, KeyStore, NewSecret, Objects, Pin, RecordId, Role, StoreError, Vault,
};

use crate::{
    SO, USER, below,
    child::{Running, say},
    initialize,
    ledger::{Ledger, attributes, partner},
    store,
};

/// With eight processes killed in each, hundreds in all.
const ROUNDS: usize = 32;

/// A public object, or a key pair: private key under `id`, public key as a private data object under its partner.
fn life(objects: &dyn Objects, vault: Option<&dyn Vault>) -> ! {
    let mut alive: Vec<(RecordId, u64)> = Vec::new();
    say("ready");
    let step = |id: RecordId, version: u64, changes: Vec<Change>| {
        say(&format!("begin {id} {version}"));
        objects.commit(changes).unwrap();
        say(&format!("done {id} {version}"));
    };
    loop {
        let ids = |id: RecordId| if vault.is_some() { vec![id, partner(id)] } else { vec![id] };
        match below(4) {
            0 | 1 => {
                let id = RecordId::random().unwrap();
                let mut made = attributes(id, 1, vault.is_some());
                let mut changes = Vec::new();
                if let Some(vault) = vault {
                    let secret = vault.generate(&KeySpec::Pair(Algorithm::Ed25519)).unwrap();
                    let NewSecret::Private(key) = &secret else { panic!("a pair has a private key") };
                    let mut public = attributes(partner(id), 1, true);
                    public.set(ck::CKA_PUBLIC_KEY_INFO, key.public_key().unwrap().to_spki().unwrap());
                    changes.push(Change::Create { id: partner(id), attributes: public, secret: None });
                    made.set(ck::CKA_SIGN, true);
                    changes.push(Change::Create { id, attributes: made, secret: Some(secret) });
                } else {
                    changes.push(Change::Create { id, attributes: made, secret: None });
                }
                step(id, 1, changes);
                alive.push((id, 1));
            }
            2 if !alive.is_empty() => {
                let which = usize::try_from(below(alive.len() as u64)).unwrap();
                let (id, version) = alive[which];
                let update = |id: RecordId| {
                    let mut list = objects.read(id).unwrap().attributes.clone();
                    for (kind, value) in attributes(id, version + 1, vault.is_some()).iter() {
                        list.set(kind, value.clone());
                    }
                    Change::Update { id, version, attributes: list }
                };
                step(id, version + 1, ids(id).into_iter().map(update).collect());
                alive[which].1 += 1;
            }
            3 if alive.len() > 2 => {
                let (id, _) = alive.swap_remove(usize::try_from(below(alive.len() as u64)).unwrap());
                step(id, 0, ids(id).into_iter().map(|id| Change::Destroy { id }).collect());
            }
            _ => {}
        }
    }
}

pub(crate) fn keys(directory: &Path) {
    let store = store(directory);
    let vault = store.unlock(Role::User, &Pin::presented(USER)).unwrap();
    life(&*vault, Some(&*vault));
}

pub(crate) fn public(directory: &Path) {
    life(store(directory).public(), None);
}

pub(crate) fn guess(directory: &Path) {
    let store = store(directory);
    say("ready");
    loop {
        say("begin");
        let judged = store.unlock(Role::SecurityOfficer, &Pin::presented(b"wrong")).unwrap_err();
        assert_eq!(judged, StoreError::PinIncorrect);
        say("done");
    }
}

/// The counts as they stand in the database.
fn counts(directory: &Path, role: u8) -> (i64, i64) {
    rusqlite::Connection::open(directory.join("token.db"))
        .unwrap()
        .query_row("SELECT started, cleared FROM pin WHERE role = ?1", [role], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap()
}

#[test]
fn whatever_was_acknowledged_outlives_every_kill() {
    let directory = tempfile::tempdir().unwrap();
    let directory = &directory.path().join("token");
    initialize(directory);
    let (mut pairs, mut first, mut second) = (Ledger::default(), Ledger::default(), Ledger::default());
    let (mut acknowledged, mut guesses, mut tries) = (0, (0, 0), counts(directory, 0));
    assert_eq!(tries.0, tries.1, "no wrong PIN yet");
    let public = |ledger: &mut Ledger| {
        (0..3).fold(0, |sum, _| {
            let said = Running::start("public", directory).kill_within(25_000);
            let done = ledger.note(&said, false);
            // Others are at work meanwhile, and this door is new.
            ledger.check(store(directory).public(), false, false);
            sum + done
        })
    };
    for round in 0..ROUNDS as u64 {
        std::thread::scope(|scope| {
            let keys = scope.spawn(|| Running::start("keys", directory).kill_within(60_000));
            let guess =
                scope.spawn(move || Running::start("guess", directory).kill_within(50_000 << (round % 4)));
            let other = scope.spawn(|| public(&mut second));
            acknowledged += public(&mut first) + other.join().unwrap();
            acknowledged += pairs.note(&keys.join().unwrap(), true);
            for line in guess.join().unwrap() {
                match line.as_str() {
                    "begin" => guesses.0 += 1,
                    "done" => guesses.1 += 1,
                    other => panic!("{other}"),
                }
            }
        });
        // Nobody is left, so this door finds the log as the dead have left it.
        let now = counts(directory, 0);
        assert!(now.0 >= tries.0 && now.1 == tries.1, "the count went back: {tries:?} {now:?}");
        let failures = now.0 - now.1;
        assert!((guesses.1..=guesses.0).contains(&failures), "{failures} counted of {guesses:?}");
        tries = now;
        let store = store(directory);
        let vault = store.unlock(Role::User, &Pin::presented(USER)).unwrap();
        pairs.check(&*vault, true, true);
        let whole = pairs.check_pairs(&*vault);
        first.check(&*vault, false, true);
        second.check(&*vault, false, true);
        assert_eq!(pairs.len(), 2 * whole);
        let all = vault.find(&Attributes::new()).unwrap();
        assert_eq!(all.len(), pairs.len() + first.len() + second.len(), "something half-made is visible");
    }
    let found: String = rusqlite::Connection::open(directory.join("token.db"))
        .unwrap()
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(found, "ok");
    assert!(acknowledged > ROUNDS && guesses.1 > 0, "the writers were killed before they wrote anything");
    // The right PIN still opens, and forgives.
    store(directory).unlock(Role::SecurityOfficer, &Pin::presented(SO)).unwrap();
    let (started, cleared) = counts(directory, 0);
    assert_eq!(started, cleared);
}
