//! C_InitToken, C_SetPIN and restore, killed half-way.

use std::path::Path;

use cryptoki_sys as ck;
use hsm_backends::{Attributes, Change, KeyStore, Pin, RecordId, Role, Value};

use crate::{
    SO, USER,
    child::{Running, say},
    initialize, store,
};

const PASSPHRASE: &[u8] = b"correct horse";
const PINS: [&[u8]; 2] = [USER, b"the other PIN"];

pub(crate) fn init(directory: &Path) {
    say("ready");
    store(directory).admin().unwrap().init_token(&Pin::presented(SO), "one").unwrap();
    say("done");
    loop {
        store(directory).admin().unwrap().init_token(&Pin::presented(SO), "again").unwrap();
    }
}

pub(crate) fn pins(directory: &Path) {
    let store = store(directory);
    // Which of the two is set was left open by the one before.
    let known = Pin::presented(PINS[0]);
    let mut turn = usize::from(store.unlock(Role::User, &known).is_err());
    say("ready");
    loop {
        let [old, new] = [turn % 2, (turn + 1) % 2].map(|which| Pin::presented(PINS[which]));
        say(&format!("begin {}", (turn + 1) % 2));
        store.admin().unwrap().set_pin(Role::User, &old, &new).unwrap();
        say(&format!("done {}", (turn + 1) % 2));
        turn += 1;
    }
}

pub(crate) fn restore(directory: &Path) {
    let store = store(directory);
    say("ready");
    for turn in 0.. {
        let path = directory.with_file_name(format!("backup {}", turn % 2));
        store.admin().unwrap().restore(&path, &Pin::presented(PASSPHRASE), true).unwrap();
        say(&format!("done {}", turn % 2));
    }
}

#[test]
fn a_token_is_there_or_not() {
    let base = tempfile::tempdir().unwrap();
    let (mut there, mut absent) = (0, 0);
    for round in 0..30 {
        let directory = base.path().join(round.to_string());
        // A machine may be slow: the time grows until the work is done before it is over.
        let said = Running::start("init", &directory).kill_within(20_000 << (round % 6));
        let store = store(&directory);
        let described = store.description().unwrap();
        if described.initialized {
            assert!(["one", "again"].contains(&described.label.as_str()));
            there += 1;
        } else {
            assert_eq!(said, Vec::<String>::new());
            store.admin().unwrap().init_token(&Pin::presented(SO), "after all").unwrap();
            absent += 1;
        }
        store.unlock(Role::SecurityOfficer, &Pin::presented(SO)).unwrap();
        assert_eq!(store.public().find(&Attributes::new()).unwrap(), []);
        let id = RecordId::random().unwrap();
        let attributes = [(ck::CKA_PRIVATE, Value::Bool(false))].into_iter().collect();
        store.public().commit(vec![Change::Create { id, attributes, secret: None }]).unwrap();
    }
    assert!(there > 0 && absent > 0, "killed always after ({there}) or always before ({absent})");
}

#[test]
fn the_old_pin_or_the_new_one() {
    let base = tempfile::tempdir().unwrap();
    let directory = &base.path().join("token");
    initialize(directory);
    let mut acknowledged = 0;
    for _ in 0..15 {
        let said = Running::start("pins", directory).kill_within(400_000);
        let opens = PINS.map(|pin| store(directory).unlock(Role::User, &Pin::presented(pin)).is_ok());
        assert_ne!(opens[0], opens[1], "exactly one PIN opens");
        if let Some(("done", which)) = said.last().and_then(|line| line.split_once(' ')) {
            assert!(opens[which.parse::<usize>().unwrap()], "the PIN that was acknowledged does not open");
            acknowledged += 1;
        }
    }
    assert!(acknowledged < 15, "never killed half-way");
}

#[test]
fn what_was_there_or_the_whole_backup() {
    let base = tempfile::tempdir().unwrap();
    let directory = &base.path().join("token");
    initialize(directory);
    let first = store(directory);
    let mut contents: Vec<Vec<RecordId>> = Vec::new();
    for number in 0..2 {
        let create = |_| {
            let value = Value::Bytes(vec![number; 3000]);
            let attributes = [(ck::CKA_PRIVATE, Value::Bool(false)), (ck::CKA_VALUE, value)];
            let id = RecordId::random().unwrap();
            Change::Create { id, attributes: attributes.into_iter().collect(), secret: None }
        };
        first.public().commit((0..200).map(create).collect()).unwrap();
        contents.push(first.public().find(&Attributes::new()).unwrap());
        let path = base.path().join(format!("backup {number}"));
        first.admin().unwrap().backup(&path, &Pin::presented(PASSPHRASE)).unwrap();
    }
    drop(first);
    let mut seen = [0; 2];
    for round in 0..20 {
        let said = Running::start("restore", directory).kill_within(100_000 << (round % 4));
        let store = store(directory);
        let found = store.public().find(&Attributes::new()).unwrap();
        let which = contents.iter().position(|ids| *ids == found).expect("one backup, whole");
        seen[which] += 1;
        for id in found {
            let number = u8::try_from(contents.iter().position(|ids| ids.contains(&id)).unwrap()).unwrap();
            assert_eq!(
                store.public().read(id).unwrap().attributes.bytes(ck::CKA_VALUE),
                Some(&[number; 3000][..])
            );
        }
        // At most one more than it had said.
        if let Some(("done", last)) = said.last().and_then(|line| line.split_once(' ')) {
            let last: usize = last.parse().unwrap();
            assert!(which == last || which == (last + 1) % 2);
        }
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
    store(directory).unlock(Role::User, &Pin::presented(USER)).unwrap();
    let left: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    store(directory).admin().unwrap().backup(&base.path().join("last"), &Pin::presented(PASSPHRASE)).unwrap();
    let names: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.len() <= 4, "leftovers of the killed stay: {left:?} {names:?}");
}
