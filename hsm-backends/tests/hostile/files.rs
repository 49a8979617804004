//! Files that are not what they should be.

use std::{fs, os::unix::fs::symlink, path::Path};

use hsm_backends::{Attributes, KeyStore, Pin, PinState, Role, StoreError};

use super::{SO, USER, checkpoint, create, mode, refuses, snapshot, sql, store, token, user};

fn damaged(error: &StoreError) -> bool {
    let remedies = ["token.db", "restore", "set the slot's `backend` back"];
    matches!(error, StoreError::Damaged(what) if remedies.iter().any(|remedy| what.contains(remedy)))
}

fn exposed(error: &StoreError) -> bool {
    matches!(error, StoreError::Permissions(what) if what.contains("token"))
}

#[test]
fn what_is_no_database_of_ours() {
    let base = tempfile::tempdir().unwrap();
    let directory = token(base.path());
    let database = directory.join("token.db");
    let whole = fs::read(&database).unwrap();
    let other = base.path().join("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE token (one)").unwrap();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        bytes
    };
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("text", b"not a database\n".to_vec()),
        ("rubbish", algorithms::random::array::<8192>().unwrap().to_vec()),
        ("another program's", fs::read(other).unwrap()),
        ("cut in the first page", with(&|bytes| bytes.truncate(1000))),
        ("one page", with(&|bytes| bytes.truncate(4096))),
        ("a first page of zeros", with(&|bytes| bytes[..4096].fill(0))),
        ("the magic changed", with(&|bytes| bytes[0] ^= 1)),
        ("everything but the header rubbish", with(&|bytes| bytes[100..].fill(0xA5))),
    ] {
        fs::write(&database, bytes).unwrap();
        refuses(&directory, what, damaged);
    }
    fs::write(&database, &whole).unwrap();
    assert_eq!(user(&store(&directory)).find(&Attributes::new()).unwrap().len(), 101);
}

#[test]
fn a_database_that_lost_its_end() {
    let base = tempfile::tempdir().unwrap();
    let directory = token(base.path());
    let database = directory.join("token.db");
    let whole = fs::read(&database).unwrap();
    fs::write(&database, &whole[..whole.len() / 2]).unwrap();
    let before = snapshot(&directory);
    let error = store(&directory).public().find(&Attributes::new()).unwrap_err();
    assert!(damaged(&error), "{error:?}");
    assert!(snapshot(&directory) == before);
}

#[test]
fn a_newer_format() {
    let base = tempfile::tempdir().unwrap();
    let directory = token(base.path());
    let passphrase = Pin::presented(b"passphrase");
    let backup = base.path().join("backup");
    store(&directory).admin().unwrap().backup(&backup, &passphrase).unwrap();
    sql(&directory).pragma_update(None, "user_version", 3).unwrap();
    let newer = |error: &StoreError| *error == StoreError::NewerFormat;
    // While that is still in the log, and when it is not.
    refuses(&directory, "in the log", newer);
    checkpoint(&directory);
    refuses(&directory, "in the file", newer);
    let before = snapshot(&directory);
    let restored = store(&directory).admin().unwrap().restore(&backup, &passphrase, true);
    assert_eq!(restored, Err(StoreError::NewerFormat));
    assert!(snapshot(&directory) == before);
}

#[test]
fn tables_that_are_not_ours() {
    for statement in [
        "CREATE TABLE extra (one)",
        "CREATE TRIGGER extra AFTER UPDATE ON pin BEGIN UPDATE pin SET cleared = started; END",
        "CREATE VIEW extra AS SELECT * FROM record",
        "DROP INDEX record_by_label",
        "DROP TABLE pin",
        "ALTER TABLE record ADD COLUMN extra ANY",
        "DELETE FROM token",
        "PRAGMA application_id = 0",
        "PRAGMA user_version = 0",
    ] {
        let base = tempfile::tempdir().unwrap();
        let directory = token(base.path());
        sql(&directory).execute_batch(statement).unwrap();
        refuses(&directory, statement, damaged);
    }
}

#[test]
fn files_that_others_may_use() {
    let base = tempfile::tempdir().unwrap();
    let directory = token(base.path());
    // So that there is a log.
    store(&directory).public().commit(vec![create(false, 10)]).unwrap();
    for (name, good, bad) in [
        ("", 0o700, [0o750, 0o755, 0o701]),
        ("token.db", 0o600, [0o644, 0o640, 0o602]),
        ("token.db-wal", 0o600, [0o644, 0o640, 0o602]),
        ("token.db-shm", 0o600, [0o644, 0o640, 0o602]),
        ("token.seq", 0o600, [0o644, 0o640, 0o602]),
    ] {
        let path = directory.join(name);
        for bad in bad {
            mode(&path, bad);
            refuses(&directory, &format!("{name} {bad:o}"), |error| {
                exposed(error) && error.to_string().contains(&format!("chmod {good:o}"))
            });
        }
        mode(&path, good);
    }
    user(&store(&directory));
}

#[test]
fn an_empty_directory_that_others_may_use() {
    let base = tempfile::tempdir().unwrap();
    let directory = base.path().join("token");
    fs::create_dir(&directory).unwrap();
    mode(&directory, 0o755);
    refuses(&directory, "an exposed empty directory", exposed);
    mode(&directory, 0o700);
    store(&directory).admin().unwrap().init_token(&Pin::presented(SO), "new").unwrap();
}

#[test]
fn links_and_other_things_in_place_of_files() {
    let base = tempfile::tempdir().unwrap();
    let directory = token(base.path());
    store(&directory).public().commit(vec![create(false, 10)]).unwrap();
    for name in ["token.db", "token.db-wal", "token.seq"] {
        let path = directory.join(name);
        let aside = base.path().join(name);
        fs::rename(&path, &aside).unwrap();
        symlink(&aside, &path).unwrap();
        refuses(&directory, &format!("{name} is a link"), exposed);
        fs::remove_file(&path).unwrap();
        symlink(base.path().join("nowhere"), &path).unwrap();
        refuses(&directory, &format!("{name} is a link to nothing"), exposed);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        refuses(&directory, &format!("{name} is a directory"), exposed);
        fs::remove_dir(&path).unwrap();
        // A FIFO would keep whoever opens it waiting for ever.
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        refuses(&directory, &format!("{name} is a FIFO"), exposed);
        fs::remove_file(&path).unwrap();
        fs::rename(&aside, &path).unwrap();
    }
    symlink("/etc/passwd", directory.join("token.db-journal")).unwrap();
    refuses(&directory, "a journal that is a link", exposed);
    fs::remove_file(directory.join("token.db-journal")).unwrap();
    user(&store(&directory));
}

#[test]
fn the_directory_may_be_a_link_but_not_a_file() {
    let base = tempfile::tempdir().unwrap();
    let directory = token(base.path());
    let link = base.path().join("link");
    symlink(&directory, &link).unwrap();
    assert_eq!(user(&store(&link)).find(&Attributes::new()).unwrap().len(), 101);
    let file = base.path().join("a token file");
    fs::write(&file, b"text").unwrap();
    mode(&file, 0o600);
    for (name, outcome) in super::every_call(&file, base.path()) {
        assert!(exposed(&outcome.expect_err(name)), "{name}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"text");
}

/// What stands in the row of the user's PIN, changed, and what the right PIN is told then.
fn with_pin_row(statement: &str) -> (StoreError, PinState) {
    let base = tempfile::tempdir().unwrap();
    let directory = token(base.path());
    sql(&directory).execute_batch(statement).unwrap();
    let store = store(&directory);
    let state = store.description().unwrap().user_pin;
    (store.unlock(Role::User, &Pin::presented(USER)).unwrap_err(), state)
}

#[test]
fn pin_rows_that_were_altered() {
    // A forged count never gives more tries than there were, and never overflows.
    for (counts, state) in [
        ("cleared = started + 1", PinState::Locked),
        ("cleared = 9223372036854775807, started = 9223372036854775807", PinState::Good),
        ("started = -1, cleared = -1", PinState::Good),
        ("started = 9223372036854775807, cleared = -9223372036854775808", PinState::Locked),
    ] {
        let (error, found) = with_pin_row(&format!("UPDATE pin SET {counts} WHERE role = 1"));
        assert_eq!(found, state, "{counts}");
        match state {
            PinState::Locked => assert_eq!(error, StoreError::PinLocked, "{counts}"),
            _ => assert!(damaged(&error), "{counts}: {error:?}"),
        }
    }
    // The wrap: cut, of an unknown version, with a cost that would stop the host for hours.
    for wrapped in [
        "x''",
        "substr(wrapped, 1, 88)",
        "wrapped || x'00'",
        "x'02' || substr(wrapped, 2)",
        "x'01FFFFFFFF' || substr(wrapped, 6)",
        "x'01000000080000000100000008' || substr(wrapped, 14)",
        "x'01001000000000004000000001' || substr(wrapped, 14)",
    ] {
        let (error, _) =
            with_pin_row(&format!("UPDATE pin SET wrapped = CAST({wrapped} AS BLOB) WHERE role = 1"));
        assert!(damaged(&error), "{wrapped}: {error:?}");
    }
    // What else is bound to the wrap: a lower cost, another salt, another role, another token.
    for statement in [
        "UPDATE pin SET wrapped = CAST(x'0100000008' || substr(wrapped, 6) AS BLOB) WHERE role = 1",
        "UPDATE pin SET wrapped = CAST(substr(wrapped, 1, 13) || x'00' || substr(wrapped, 15) AS BLOB) WHERE role = 1",
        "UPDATE pin SET wrapped = (SELECT wrapped FROM pin WHERE role = 0) WHERE role = 1",
        "UPDATE token SET token_id = x'000102030405060708090A0B0C0D0E0F'",
    ] {
        assert_eq!(with_pin_row(statement).0, StoreError::PinIncorrect, "{statement}");
    }
}

#[test]
fn a_restore_replaces_what_is_beyond_repair() {
    let base = tempfile::tempdir().unwrap();
    let directory = token(base.path());
    let passphrase = Pin::presented(b"passphrase");
    let backup = base.path().join("backup");
    store(&directory).admin().unwrap().backup(&backup, &passphrase).unwrap();
    let inside = store(&directory);
    let vault = user(&inside);
    let database = directory.join("token.db");
    let whole = fs::read(&database).unwrap();
    for rubbish in [b"rubbish".to_vec(), whole[..8192].to_vec()] {
        fs::write(&database, &rubbish).unwrap();
        let store = store(&directory);
        assert_eq!(store.admin().unwrap().restore(&backup, &passphrase, false), Err(StoreError::ReadOnly));
        assert!(fs::read(&database).unwrap() == rubbish);
        store.admin().unwrap().restore(&backup, &passphrase, true).unwrap();
        assert_eq!(user(&store).find(&Attributes::new()).unwrap().len(), 101);
        assert!(kept_aside(&directory, &rubbish), "the damaged file is kept");
        // Somebody who was logged in to the file that was.
        assert_eq!(vault.find(&Attributes::new()), Err(StoreError::TokenReplaced));
    }
}

fn kept_aside(directory: &Path, bytes: &[u8]) -> bool {
    let mut entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.any(|path| path.to_string_lossy().contains(".damaged-") && fs::read(&path).unwrap() == bytes)
}
