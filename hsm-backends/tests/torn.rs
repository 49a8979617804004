//! Power failures: a log that ends in the middle of a write or in rubbish, and a checkpoint that was half done.
//!
//! SQLite's log is a chain of checksums, so whatever is damaged ends it there. The expected result is exact: the
//! commits that were whole before the damage, and nothing of the one it falls into.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use algorithms::random;
use cryptoki_sys as ck;
use hsm_backends::{
    Attributes, Change, KeySpec, KeyStore, Objects, Pin, Record, RecordId, Role, Value,
    embedded::{EmbeddedStore, Options},
};

const SO: &[u8] = b"so-pin";
const USER: &[u8] = b"user-pin";
const WAL_HEAD: usize = 32;
const FRAME_HEAD: usize = 24;

fn store(directory: &Path) -> EmbeddedStore {
    EmbeddedStore::new(Options { directory: directory.to_owned(), pin_tries: 10 })
}

fn below(bound: usize) -> usize {
    usize::try_from(u64::from_be_bytes(random::array().unwrap()) % bound as u64).unwrap()
}

fn contents(objects: &(impl Objects + ?Sized)) -> Vec<Record> {
    let ids = objects.find(&Attributes::new()).unwrap();
    ids.into_iter().map(|id| (*objects.read(id).unwrap()).clone()).collect()
}

/// The public half of [`contents`], for which nobody has to log in.
fn public(contents: &[Record]) -> Vec<Record> {
    contents.iter().filter(|record| !record.attributes.flag(ck::CKA_PRIVATE)).cloned().collect()
}

fn word(bytes: &[u8], at: usize) -> usize {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// Where each commit of a log ends, by the file format that SQLite documents.
fn commit_ends(wal: &[u8]) -> Vec<usize> {
    let frame = FRAME_HEAD + word(wal, 8);
    let salts = &wal[16..24];
    (WAL_HEAD..)
        .step_by(frame)
        .take_while(|at| at + frame <= wal.len() && wal[at + 8..at + 16] == *salts)
        .filter(|at| word(wal, at + 4) != 0)
        .map(|at| at + frame)
        .collect()
}

/// A token whose log is full of commits, and what was there after each of them.
struct Recorded {
    base: tempfile::TempDir,
    database: Vec<u8>,
    wal: Vec<u8>,
    /// Where each commit ends in the log, the last of those made before the recording first.
    ends: Vec<usize>,
    /// What was there at each end.
    states: Vec<Vec<Record>>,
}

impl Recorded {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        let directory = base.path().join("token");
        let store = store(&directory);
        let admin = store.admin().unwrap();
        admin.init_token(&Pin::presented(SO), "torn").unwrap();
        let so = store.unlock(Role::SecurityOfficer, &Pin::presented(SO)).unwrap();
        admin.init_pin(&*so, &Pin::presented(USER)).unwrap();
        let vault = store.unlock(Role::User, &Pin::presented(USER)).unwrap();
        let create = |private: bool, len: usize| {
            let secret = private.then(|| vault.generate(&KeySpec::Secret { len: 32 }).unwrap());
            let attributes = [
                (ck::CKA_PRIVATE, Value::Bool(private)),
                (ck::CKA_LABEL, Value::Bytes(random::array::<8>().unwrap().to_vec())),
                (ck::CKA_VALUE, Value::Bytes(vec![7; len])),
            ];
            let attributes = attributes.into_iter().collect();
            Change::Create { id: RecordId::random().unwrap(), attributes, secret }
        };
        // The next commit begins the log anew, and old frames stay behind the new ones.
        for turn in 0..10 {
            vault.commit((0..3).map(|_| create(turn % 2 == 0, 60_000)).collect()).unwrap();
        }
        let sql = rusqlite::Connection::open(directory.join("token.db")).unwrap();
        sql.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
        drop(sql);
        vault.commit(vec![create(true, 10), create(false, 10)]).unwrap();
        let wal_path = directory.join("token.db-wal");
        let before = commit_ends(&fs::read(&wal_path).unwrap()).len();
        let mut states = vec![contents(&*vault)];
        for turn in 0..12 {
            let there = states.last().unwrap();
            let some = |at: usize| there[(at * 7) % there.len()].clone();
            let changes = match turn % 4 {
                0 => vec![create(true, 10_000), create(false, 10_000)],
                1 => vec![create(false, 10), Change::Destroy { id: some(turn).id }],
                2 => {
                    let Record { id, version, mut attributes, .. } = some(turn);
                    attributes.set(ck::CKA_LABEL, b"changed".to_vec());
                    vec![Change::Update { id, version, attributes }, create(true, 10)]
                }
                _ => (0..5).map(|at| Change::Destroy { id: there[at].id }).collect(),
            };
            vault.commit(changes).unwrap();
            states.push(contents(&*vault));
        }
        drop((vault, so, store));
        let wal = fs::read(&wal_path).unwrap();
        let ends = commit_ends(&wal)[before - 1..].to_vec();
        assert_eq!(ends.len(), states.len(), "one commit of the log for each commit of ours");
        let leftovers = wal.len() - ends.last().unwrap();
        assert!(leftovers > 0, "the log was not begun anew, so the test is weaker than it says");
        let database = fs::read(directory.join("token.db")).unwrap();
        Self { base, database, wal, ends, states }
    }

    /// A copy of the token as a power failure may leave it.
    fn copy(&self, name: &str, database: &[u8], wal: &[u8]) -> PathBuf {
        let directory = self.base.path().join(name);
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        for (file, bytes) in [("token.db", database), ("token.db-wal", wal)] {
            fs::write(directory.join(file), bytes).unwrap();
        }
        // The log's index is not synced at all, so it may hold anything, as may the change counter.
        if below(2) == 0 {
            fs::write(directory.join("token.db-shm"), vec![0xEE; 32 << 10]).unwrap();
            fs::write(directory.join("token.seq"), i64::MAX.to_ne_bytes()).unwrap();
        }
        use std::os::unix::fs::PermissionsExt;
        for entry in fs::read_dir(&directory).unwrap() {
            fs::set_permissions(entry.unwrap().path(), fs::Permissions::from_mode(0o600)).unwrap();
        }
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
        directory
    }

    /// What must be found where the log is good up to `whole` bytes.
    fn state(&self, whole: usize) -> Option<&Vec<Record>> {
        let commits = self.ends.iter().take_while(|end| **end <= whole).count();
        commits.checked_sub(1).map(|last| &self.states[last])
    }

    /// The part of the log that the recorded commits are in.
    fn recorded(&self) -> Range<usize> {
        self.ends[0]..*self.ends.last().unwrap()
    }
}

#[test]
fn a_torn_log_ends_with_its_last_whole_commit() {
    let recorded = Recorded::new();
    let range = recorded.recorded();
    let frame = FRAME_HEAD + word(&recorded.wal, 8);
    let mut seen = std::collections::BTreeSet::new();
    for turn in 0..300 {
        let at = range.start + below(range.len());
        let mut wal = recorded.wal.clone();
        let damage = match turn % 4 {
            0 => {
                wal.truncate(at);
                "cut off"
            }
            1 => {
                wal[at] ^= 1 << below(8);
                "one bit flipped"
            }
            2 => {
                // Blocks that the disk never wrote.
                let end = wal.len().min(at + 512 * (1 + below(64)));
                wal[at..end].fill(0);
                "zeros"
            }
            _ => {
                let end = wal.len();
                random::fill(&mut wal[at..end]).unwrap();
                "rubbish"
            }
        };
        // The first byte that differs; zeros over zeros damage nothing.
        let whole = (at..wal.len().min(at + (32 << 10)))
            .find(|at| wal[*at] != recorded.wal[*at])
            .unwrap_or(wal.len());
        let expected = recorded.state(whole).unwrap();
        let directory = recorded.copy("torn", &recorded.database, &wal);
        let store = store(&directory);
        assert_eq!(contents(store.public()), public(expected), "{damage} at {whole}, frames of {frame}");
        seen.insert(expected.len());
        // Every tenth time with what needs a PIN, and a write over the wreckage.
        if turn % 10 == 0 {
            let vault = store.unlock(Role::User, &Pin::presented(USER)).unwrap();
            assert_eq!(contents(&*vault), *expected);
            for record in expected.iter().filter(|record| record.has_secret) {
                vault.secret_key(record.id).unwrap();
            }
            vault.commit(vec![Change::Destroy { id: expected[0].id }]).unwrap();
            drop((vault, store));
            let again = self::store(&directory);
            assert_eq!(contents(again.public()), public(&expected[1..]));
        }
    }
    assert!(seen.len() > 5, "the damage fell always into the same place");
}

#[test]
fn a_torn_checkpoint_is_done_again() {
    let recorded = Recorded::new();
    let directory = recorded.copy("checkpointed", &recorded.database, &recorded.wal);
    // PASSIVE moves everything into the database, and leaves the log as it is until the next commit.
    let sql = rusqlite::Connection::open(directory.join("token.db")).unwrap();
    sql.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
    drop(sql);
    let after = fs::read(directory.join("token.db")).unwrap();
    assert_ne!(after, recorded.database);
    let page = word(&recorded.wal, 8);
    let expected = recorded.states.last().unwrap();
    for turn in 0..60 {
        // Some pages old, some new, some torn across; the file as long as either.
        let len = if turn % 2 == 0 { after.len() } else { recorded.database.len() };
        let mut database = recorded.database.clone();
        database.resize(len, 0);
        for start in (0..len.min(after.len())).step_by(page) {
            let torn = match below(3) {
                0 => continue,
                1 => page,
                _ => 512 * below(page / 512),
            };
            let end = (start + torn).min(len).min(after.len());
            // Only pages that the log has are ever written.
            if start < end {
                database[start..end].copy_from_slice(&after[start..end]);
            }
        }
        let directory = recorded.copy("torn", &database, &recorded.wal);
        assert_eq!(contents(store(&directory).public()), public(expected));
    }
}
