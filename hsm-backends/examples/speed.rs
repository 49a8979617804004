//! Measures the embedded store: `cargo run --release -p trellis-hsm-backends --example speed [OBJECTS]`.
//!
//! Prints the median of each step. TMPDIR says on which disk.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on stops")]

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use algorithms::{Algorithm, ml_dsa::ParameterSet};
use cryptoki_sys as ck;
use hsm_backends::{
    Attributes, Change, KeySpec, KeyStore, Objects, Pin, RecordId, Role, Value,
    embedded::{EmbeddedStore, Options},
};

fn store(directory: &Path) -> EmbeddedStore {
    EmbeddedStore::new(Options { directory: directory.to_owned(), pin_tries: 10 })
}

fn attributes(number: usize, private: bool) -> Attributes {
    let class = if private { ck::CKO_PRIVATE_KEY } else { ck::CKO_PUBLIC_KEY };
    let text = format!("{} {number}", if private { "private" } else { "public" }).into_bytes();
    [
        (ck::CKA_CLASS, Value::Ulong(class)),
        (ck::CKA_PRIVATE, Value::Bool(private)),
        (ck::CKA_LABEL, Value::Bytes(text.clone())),
        (ck::CKA_ID, Value::Bytes(text)),
        (ck::CKA_KEY_TYPE, Value::Ulong(ck::CKK_EC_EDWARDS)),
        (ck::CKA_PUBLIC_KEY_INFO, Value::Bytes(vec![7; 44])),
    ]
    .into_iter()
    .collect()
}

/// Times `step`, but not the end of what it returns.
fn measure<T>(what: &str, times: usize, mut step: impl FnMut(usize) -> T) {
    let time = |turn| {
        let start = Instant::now();
        let kept = step(turn);
        let took = start.elapsed();
        drop(kept);
        took
    };
    report(what, (0..times).map(time).collect());
}

fn report(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let micros = |at: usize| took[at].as_secs_f64() * 1e6;
    println!("{what:55} {:10.1} µs   (longest {:.1})", micros(took.len() / 2), micros(took.len() - 1));
}

fn main() {
    let objects: usize = std::env::args().nth(1).map_or(10_000, |count| count.parse().unwrap());
    let base = tempfile::tempdir().unwrap();
    let directory = base.path().join("token");
    let (so, pin) = (Pin::presented(b"so-pin"), Pin::presented(b"user-pin"));
    let first = store(&directory);
    first.admin().unwrap().init_token(&so, "speed").unwrap();
    let officer = first.unlock(Role::SecurityOfficer, &so).unwrap();
    first.admin().unwrap().init_pin(&*officer, &pin).unwrap();
    let vault = first.unlock(Role::User, &pin).unwrap();
    for numbers in (0..objects / 2).collect::<Vec<_>>().chunks(500) {
        let create = |number: usize, private: bool| {
            let secret = private.then(|| vault.generate(&KeySpec::Pair(Algorithm::Ed25519)).unwrap());
            let id = RecordId::random().unwrap();
            Change::Create { id, attributes: attributes(number, private), secret }
        };
        vault.commit(numbers.iter().flat_map(|n| [create(*n, true), create(*n, false)]).collect()).unwrap();
    }
    println!("{objects} objects");

    measure("first call: the description, a new store", 20, |_| {
        let new = store(&directory);
        new.description().unwrap();
        new
    });
    measure("first search by label, a new store", 20, |turn| {
        let new = store(&directory);
        new.public()
            .find(&Attributes::from_iter([(ck::CKA_LABEL, Value::Bytes(format!("public {turn}").into()))]))
            .unwrap();
        new
    });
    measure("login", 20, |_| first.unlock(Role::User, &pin).unwrap());
    let fresh = first.unlock(Role::User, &pin).unwrap();
    for (what, private) in [("public", false), ("private", true)] {
        for (how, kinds) in [
            ("label", &[ck::CKA_LABEL][..]),
            ("id", &[ck::CKA_ID]),
            ("class and id", &[ck::CKA_CLASS, ck::CKA_ID]),
            ("class, type, label", &[ck::CKA_CLASS, ck::CKA_KEY_TYPE, ck::CKA_LABEL]),
        ] {
            let template = |turn: usize| -> Attributes {
                let all = attributes(turn * 7 % (objects / 2), private);
                kinds.iter().map(|kind| (*kind, all.value(*kind).unwrap().clone())).collect()
            };
            for (view, objects) in [("logged in", &*fresh as &dyn Objects), ("no PIN", first.public())] {
                measure(&format!("find one {what} by {how}, {view}"), 500, |turn| {
                    let found = objects.find(&template(turn)).unwrap();
                    assert_eq!(found.len(), usize::from(view == "logged in" || !private));
                });
            }
        }
    }
    measure("find a label that none has, logged in", 500, |turn| {
        fresh
            .find(&[(ck::CKA_LABEL, Value::Bytes(format!("none {turn}").into()))].into_iter().collect())
            .unwrap()
    });
    measure("find all, logged in", 5, |_| fresh.find(&Attributes::new()).unwrap());
    measure("find all, no PIN", 5, |_| first.public().find(&Attributes::new()).unwrap());
    let spec = KeySpec::Pair(Algorithm::MlDsa(ParameterSet::MlDsa65));
    let made = vault.generate(&spec).unwrap();
    measure("create a private key", 300, |turn| {
        let change = Change::Create {
            id: RecordId::random().unwrap(),
            attributes: attributes(objects + turn, true),
            secret: Some(made.clone()),
        };
        vault.commit(vec![change]).unwrap();
    });
    let ids: Vec<RecordId> = (0..300).map(|_| RecordId::random().unwrap()).collect();
    measure("create a public object", 300, |turn| {
        let attributes = attributes(2 * objects + turn, false);
        first.public().commit(vec![Change::Create { id: ids[turn], attributes, secret: None }]).unwrap();
    });
    measure("update a public object", 300, |turn| {
        let attributes = attributes(3 * objects + turn, false);
        first.public().commit(vec![Change::Update { id: ids[turn], version: 1, attributes }]).unwrap();
    });
    let label = |turn: usize| attributes(objects + turn, true).bytes(ck::CKA_LABEL).unwrap().to_vec();
    let keys: Vec<RecordId> = (0..300)
        .map(|turn| {
            vault.find(&[(ck::CKA_LABEL, Value::Bytes(label(turn)))].into_iter().collect()).unwrap()[0]
        })
        .collect();
    measure("open an ML-DSA-65 key", 300, |turn| vault.private_key(keys[turn]).unwrap());
    measure("the same key again", 300, |turn| Arc::clone(&vault.private_key(keys[turn]).unwrap()));
    measure("destroy an object", 300, |turn| {
        vault.commit(vec![Change::Destroy { id: ids[turn] }]).unwrap();
    });
    drop((officer, fresh));
    let cold = |turn: usize| {
        // Everything is closed, so the log is read anew; and it is as long as it becomes before a checkpoint.
        let sql = rusqlite::Connection::open(directory.join("token.db")).unwrap();
        sql.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        drop(sql);
        for number in 0..90 {
            let attributes = attributes(4 * objects + 1000 * turn + number, false);
            let id = RecordId::random().unwrap();
            first.public().commit(vec![Change::Create { id, attributes, secret: None }]).unwrap();
        }
        first.before_fork();
        let new = store(&directory);
        let start = Instant::now();
        new.description().unwrap();
        let took = start.elapsed();
        drop(new);
        first.after_fork();
        took
    };
    report("first call of the only process, with a long log", (0..20).map(cold).collect());
    let log = std::fs::metadata(directory.join("token.db-wal")).unwrap().len();
    println!("  (the log has {} KiB)", log >> 10);
    measure("before_fork, after_fork and the next search", 100, |turn| {
        first.before_fork();
        first.after_fork();
        first
            .public()
            .find(&[(ck::CKA_LABEL, Value::Bytes(format!("none {turn}").into()))].into_iter().collect())
            .unwrap()
    });
}
