//! Processes that are killed between making a key in the enclave and keeping its object, or between an object's end and its
//! key's: whoever logs in next leaves at the host the keys that objects are made of, and no others.

use std::{path::Path, time::Duration};

use cryptoki_sys as ck;
use hsm_backends::{
    Attributes, Change, KeyStore, Pin, Role, Value,
    conformance::Fixture,
    nitro::{NitroStore, Options},
};

use test_stand::Stand;

use crate::{
    child::{self, Running},
    fixture::Nitro,
    healing::{ED25519, make, signs},
    keys::{at_host, at_host_of},
};

const KILLS: u64 = 20;
/// The longest that a process works, in microseconds.
const LONGEST: u64 = 800_000;

/// What stands in a directory beside the token: the host, and the user's PIN.
fn tell(token: &Nitro) -> std::path::PathBuf {
    let options = token.options("token");
    let base = options.directory.parent().unwrap().to_owned();
    std::fs::write(base.join("host"), options.host.to_string()).unwrap();
    std::fs::write(base.join("pin"), token.user_pin().expose()).unwrap();
    std::fs::write(base.join("SO PIN"), token.so_pin().expose()).unwrap();
    base
}

/// What a process does with the token of a directory.
pub(crate) fn work(job: &str, base: &Path) {
    let store = NitroStore::new(Options {
        directory: base.join("token"),
        host: std::fs::read_to_string(base.join("host")).unwrap().parse().unwrap(),
        kms_key: None,
        pin_tries: 10,
    });
    let pin = |name: &str| Pin::presented(&std::fs::read(base.join(name)).unwrap());
    if job == "begin anew" {
        child::say("ready");
        let _ = store.admin().unwrap().init_token(&pin("SO PIN"), "anew");
        unreachable!("it is killed");
    }
    let pin = pin("pin");
    let vault = store.unlock(Role::User, &pin).unwrap();
    match job {
        // A key whose object is never made.
        "hold" => {
            let _held = vault.generate(&ED25519).unwrap();
            child::say("ready");
            loop {
                std::thread::park();
            }
        }
        "make and destroy" => {
            child::say("ready");
            loop {
                let kept = make(&*vault, &ED25519);
                child::say(&format!("kept {kept}"));
                let id = make(&*vault, &ED25519);
                vault.commit(vec![Change::Destroy { id }]).unwrap();
            }
        }
        // A key that the host has not made yet.
        "ask" => {
            child::say("ready");
            while !base.join("go").exists() {
                std::thread::sleep(Duration::from_millis(5));
            }
            let _ = vault.generate(&ED25519);
            unreachable!("it is killed");
        }
        other => panic!("an unknown job: {other}"),
    }
}

fn private_keys() -> Attributes {
    [(ck::CKA_CLASS, Value::Ulong(ck::CKO_PRIVATE_KEY))].into_iter().collect()
}

pub(crate) fn intents(token: &Nitro) -> i64 {
    let database = token.options("token").directory.join("token.db");
    let sql = rusqlite::Connection::open(database).unwrap();
    // There is no table before there is one.
    sql.query_row("SELECT count(*) FROM intent", [], |row| row.get(0)).unwrap_or(0)
}

#[test]
fn a_key_that_was_not_kept_goes_with_its_process_and_not_before() {
    let token = Nitro::new();
    let (store, base) = (token.open(), tell(&token));
    let log_in = || drop(store.unlock(Role::User, &token.user_pin()).unwrap());
    let format = || -> i64 {
        let sql = rusqlite::Connection::open(token.options("token").directory.join("token.db")).unwrap();
        sql.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    };
    assert_eq!(format(), 1, "a store without a key in the enclave is what it always was");
    let running = [(); 2].map(|()| Running::start("hold", &base));
    assert_eq!(format(), 2);
    log_in();
    assert_eq!((at_host(&token).len(), intents(&token)), (2, 2), "both are about to be kept");
    let [first, second] = running;
    drop(first);
    log_in();
    assert_eq!((at_host(&token).len(), intents(&token)), (1, 1), "one is about to be kept");
    drop(second);
    // Whoever makes a key sweeps as well.
    let vault = store.unlock(Role::User, &token.user_pin()).unwrap();
    assert_eq!((at_host(&token).len(), intents(&token)), (0, 0));
    let id = make(&*vault, &ED25519);
    let third = Running::start("hold", &base);
    assert_eq!(at_host(&token).len(), 2);
    drop(third);
    let other = make(&*vault, &ED25519);
    assert_eq!((at_host(&token).len(), intents(&token)), (2, 0));
    for id in [id, other] {
        signs(&*vault, id, b"message").unwrap();
    }
}

#[test]
fn a_key_that_was_not_destroyed_goes_at_a_later_login() {
    let mut stand = Stand::start(&["--questions-per-key=100"]).unwrap();
    let token = Nitro::at_host(&stand.host());
    let store = token.open();
    let vault = store.unlock(Role::User, &token.user_pin()).unwrap();
    let ids = [make(&*vault, &ED25519), make(&*vault, &ED25519)];
    stand.kill_host();
    let refused = vault.commit(ids.map(|id| Change::Destroy { id }).into()).unwrap_err();
    assert!(refused.to_string().contains("goes from the device at a later login"), "{refused}");
    stand.start_host().unwrap();
    assert_eq!((vault.find(&private_keys()).unwrap(), at_host(&token).len()), (vec![], 2));
    drop(store.unlock(Role::User, &token.user_pin()).unwrap());
    assert_eq!((at_host(&token).len(), intents(&token)), (0, 0));
}

#[test]
fn a_key_that_the_host_may_still_be_making_is_looked_for_again() {
    let mut stand = Stand::start(&["--questions-per-key=100"]).unwrap();
    let token = Nitro::at_host(&stand.host());
    let base = tell(&token);
    let running = Running::start("ask", &base);
    stand.kill_host();
    std::fs::write(base.join("go"), "").unwrap();
    while intents(&token) == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(running);
    stand.start_host().unwrap();
    let log_in = || drop(token.open().unlock(Role::User, &token.user_pin()).unwrap());
    log_in();
    log_in();
    assert_eq!(intents(&token), 1);
    // When that was long ago, it will not be made any more.
    let sql = rusqlite::Connection::open(token.options("token").directory.join("token.db")).unwrap();
    sql.execute("UPDATE intent SET since = since - 700, due = due - 700", []).unwrap();
    log_in();
    assert_eq!(intents(&token), 0);
}

/// While it lives, the host can neither read nor write its key records.
struct WithoutRecords(rusqlite::Connection);

impl WithoutRecords {
    fn of(stand: &Stand) -> Self {
        let sql = rusqlite::Connection::open(stand.directory().join("records")).unwrap();
        sql.execute_batch("ALTER TABLE key RENAME TO elsewhere").unwrap();
        Self(sql)
    }
}

impl Drop for WithoutRecords {
    fn drop(&mut self) {
        self.0.execute_batch("ALTER TABLE elsewhere RENAME TO key").unwrap();
    }
}

/// Whatever was put off is due.
fn make_due(token: &Nitro) {
    let sql = rusqlite::Connection::open(token.options("token").directory.join("token.db")).unwrap();
    sql.execute("UPDATE intent SET due = NULL", []).unwrap();
}

#[test]
fn a_key_is_not_taken_for_gone_because_the_host_cannot_write() {
    let mut stand = Stand::start(&["--questions-per-key=100"]).unwrap();
    let token = Nitro::at_host(&stand.host());
    let log_in = || token.open().unlock(Role::User, &token.user_pin()).unwrap();
    let vault = log_in();
    let id = make(&*vault, &ED25519);
    stand.kill_host();
    vault.commit(vec![Change::Destroy { id }]).unwrap_err();
    stand.start_host().unwrap();
    let without = WithoutRecords::of(&stand);
    drop(log_in());
    drop(without);
    assert_eq!((at_host(&token).len(), intents(&token)), (1, 1));
    make_due(&token);
    drop(log_in());
    assert_eq!((at_host(&token).len(), intents(&token)), (0, 0));
    // The same for a key that goes with its value.
    let made = vault.generate(&ED25519).unwrap();
    let without = WithoutRecords::of(&stand);
    drop(made);
    drop(without);
    assert_eq!((at_host(&token).len(), intents(&token)), (1, 1));
    drop(log_in());
    assert_eq!((at_host(&token).len(), intents(&token)), (0, 0));
}

#[test]
fn the_keys_of_an_erased_token_go_when_the_user_of_a_later_one_logs_in() {
    let stand = Stand::start(&["--questions-per-key=100"]).unwrap();
    let token = Nitro::at_host(&stand.host());
    let (store, base) = (token.open(), tell(&token));
    let vault = store.unlock(Role::User, &token.user_pin()).unwrap();
    for _ in 0..3 {
        make(&*vault, &ED25519);
    }
    drop(Running::start("hold", &base));
    let first = token.token_id();
    let without = WithoutRecords::of(&stand);
    // Twice, so that what is left to do outlives the next token as well.
    for _ in 0..2 {
        let before = token.token_id();
        let running = Running::start("begin anew", &base);
        while token.token_id() == before {
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(running);
    }
    drop(without);
    assert_eq!((at_host_of(&token, &first).len(), intents(&token)), (4, 3));
    let so = store.unlock(Role::SecurityOfficer, &token.so_pin()).unwrap();
    store.admin().unwrap().init_pin(&*so, &token.user_pin()).unwrap();
    drop(store.unlock(Role::User, &token.user_pin()).unwrap());
    assert_eq!(at_host_of(&token, &first), [""; 0]);
    let vault = store.unlock(Role::User, &token.user_pin()).unwrap();
    signs(&*vault, make(&*vault, &ED25519), b"message").unwrap();
    assert_eq!(at_host(&token).len(), 1);
}

#[test]
fn no_key_is_left_at_the_host_by_processes_that_were_killed_at_random() {
    let token = Nitro::new();
    let (store, base) = (token.open(), tell(&token));
    let (mut kept, mut cut_short) = (Vec::new(), 0);
    for _ in 0..KILLS {
        let said = Running::start("make and destroy", &base).kill_within(LONGEST);
        kept.extend(said.iter().filter_map(|line| line.strip_prefix("kept ")).map(str::to_owned));
        cut_short += u64::from(intents(&token) > 0);
    }
    let vault = store.unlock(Role::User, &token.user_pin()).unwrap();
    let objects = vault.find(&private_keys()).unwrap();
    // Host and enclave may have been at work for the last that was killed.
    for _ in 0..20 {
        if at_host(&token).len() == objects.len() {
            break;
        }
        std::thread::sleep(Duration::from_secs(1));
        drop(store.unlock(Role::User, &token.user_pin()).unwrap());
    }
    assert_eq!(at_host(&token).len(), objects.len());
    let names: Vec<_> = objects.iter().map(ToString::to_string).collect();
    assert!(kept.iter().all(|id| names.contains(id)), "a key that was kept is lost");
    for id in &objects {
        signs(&*vault, *id, b"message").unwrap();
    }
    assert!(!kept.is_empty() && cut_short > KILLS / 4, "{} kept, {cut_short} cut short", kept.len());
}
