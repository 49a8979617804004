//! The file: what is in it survives, and what is not a file of records is refused.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    sync::mpsc,
    thread,
    time::Duration,
};

use aws_lc_rs::hmac;
use cosigner_host::Records;
use cosigner_protocol::message::{Request, Response};

use crate::parts::{Host, Setup, conflict, is_key, no_record, user};

/// The bytes of the file and of what SQLite keeps beside it.
fn bytes(path: &Path) -> Vec<u8> {
    let beside = |suffix: &str| fs::read(format!("{}{suffix}", path.display())).unwrap_or_default();
    [beside(""), beside("-wal")].concat()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn what_was_answered_survives_the_end_of_the_host() {
    let mut setup = Setup::new();
    let mut answered = Vec::new();
    for round in 0..6_u64 {
        let mut client = setup.client();
        let (say, heard) = mpsc::channel();
        let making = thread::spawn(move || {
            let mut made = Vec::new();
            for at in 0.. {
                let name = format!("{round}-{at}");
                let request = Request::Generate {
                    user_id: user(&name),
                    algorithm: cosigner_protocol::Algorithm::MlDsa44,
                };
                match client.0.ask::<_, Response>(&request) {
                    Ok(answer) => {
                        made.push((name, answer));
                        let _ = say.send(());
                    }
                    Err(_) => return (made, name),
                }
            }
            unreachable!("the host is killed")
        });
        // Some time within the requests after the first.
        heard.recv().unwrap();
        thread::sleep(Duration::from_micros(1700 * round));
        setup.host.kill();
        let (made, last) = making.join().unwrap();
        answered.extend(made);
        // Its socket and its lock are still there, and are in nobody's way.
        setup.host = Host::start(&setup.folder, &setup.double.endpoint, "host");
        // What was not answered is there, whole, or is not.
        let mut client = setup.client();
        let after = client.public_key(&last);
        if is_key(&after) {
            assert_eq!(client.generate(&last), conflict());
            assert!(matches!(client.sign(&last), Response::Signature { .. }));
        } else {
            assert_eq!(after, no_record());
        }
    }
    let mut client = setup.client();
    for (name, answer) in answered {
        assert!(is_key(&answer), "{answer:?}");
        assert_eq!(client.public_key(&name), answer);
    }
}

#[test]
fn what_was_destroyed_is_not_left_in_the_file() {
    let setup = Setup::new();
    let path = setup.folder.path().join("records");
    let mut client = setup.client();
    assert!(is_key(&client.generate("somebody")));
    let key = Records::open(&path).unwrap().find(&user("somebody")).unwrap().unwrap().key;
    for part in [&key.sealed_key.0, &key.wrapped_key.0, &key.public_key.0] {
        assert!(contains(&bytes(&path), part));
    }
    assert_eq!(client.ask(&Request::Destroy { user_id: user("somebody") }), Response::Destroyed {});
    for part in [&key.sealed_key.0, &key.wrapped_key.0, &key.public_key.0] {
        assert!(!contains(&bytes(&path), part));
    }
    assert!(!contains(&bytes(&path), b"somebody"));
}

/// docs/formats.md is held to what is in the file.
#[test]
fn the_file_is_as_the_page_says() {
    const PAGE: &str = include_str!("../../../../docs/formats.md");
    let setup = Setup::new();
    let mut client = setup.client();
    assert!(is_key(&client.generate("somebody")));
    let sql = rusqlite::Connection::open(setup.folder.path().join("records")).unwrap();
    let mut statement = sql.prepare("SELECT sql FROM sqlite_schema ORDER BY name").unwrap();
    let found: Vec<String> = statement.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let (_, section) = PAGE.split_once("## Key records of the host").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let told: Vec<_> = section.lines().filter_map(|line| line.strip_suffix(';')).collect();
    let mut tables: Vec<_> = told.iter().filter(|line| line.starts_with("CREATE")).collect();
    tables.sort();
    assert_eq!(tables.len(), 2);
    for table in &found {
        assert!(tables.iter().any(|told| *told == table), "{table}");
    }
    let pragma = |name: &str| sql.pragma_query_value::<i64, _>(None, name, |row| row.get(0)).unwrap();
    assert!(section.contains(&format!("`application_id` 0x{:X} ", pragma("application_id"))));
    assert!(section.contains(&format!("`user_version` {},", pragma("user_version"))));
    // A user's name in the log.
    let key: Vec<u8> = sql.query_row("SELECT log_key FROM host", (), |row| row.get(0)).unwrap();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), b"somebody");
    let name: String = tag.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(setup.host.log().contains(&format!("generate {name}: ML-DSA-65")));
}

#[test]
fn the_file_is_its_owners_alone() {
    let setup = Setup::new();
    for name in ["records", "records-wal", "records-shm"] {
        let mode = fs::metadata(setup.folder.path().join(name)).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
    let path = setup.folder.path().join("records");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let error = Records::open(&path).unwrap_err();
    assert!(error.to_string().contains("mode 640"), "{error}");
}

/// As packaging/nitro/README.md says, while the host is at work.
#[test]
fn a_backup_is_taken_by_sqlite_and_put_back_as_it_is() {
    let mut setup = Setup::new();
    let path = setup.folder.path().join("records");
    let made = setup.client().generate("me");
    assert!(is_key(&made));
    let backup = setup.folder.path().join("backup");
    let sql = rusqlite::Connection::open(&path).unwrap();
    sql.execute("VACUUM INTO ?", [backup.to_str().unwrap()]).unwrap();
    assert!(is_key(&setup.client().generate("later")));
    drop(sql);
    setup.host.kill();
    for name in ["records", "records-wal", "records-shm"] {
        fs::remove_file(setup.folder.path().join(name)).unwrap();
    }
    fs::rename(&backup, &path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    setup.host = Host::start(&setup.folder, &setup.double.endpoint, "host");
    let mut client = setup.client();
    assert_eq!(client.public_key("me"), made);
    assert!(matches!(client.sign("me"), Response::Signature { .. }));
    assert_eq!(client.public_key("later"), no_record());
}

#[test]
fn another_file_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records");
    let made_by = |statements: &str| {
        let _ = fs::remove_file(&path);
        rusqlite::Connection::open(&path).unwrap().execute_batch(statements).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        Records::open(&path).unwrap_err().to_string()
    };
    assert!(made_by("CREATE TABLE other (one INTEGER)").contains("another program"));
    let ours = "PRAGMA application_id = 1414679619; PRAGMA user_version = 1;";
    assert!(made_by(&format!("{ours} CREATE TABLE key (one INTEGER)")).contains("damaged"));
    fs::remove_file(&path).unwrap();
    drop(Records::open(&path).unwrap());
    let change = |statements: &str| {
        rusqlite::Connection::open(&path).unwrap().execute_batch(statements).unwrap();
        Records::open(&path).unwrap_err().to_string()
    };
    assert!(change("CREATE TRIGGER t AFTER INSERT ON key BEGIN SELECT 1; END").contains("damaged"));
    assert!(change("DROP TRIGGER t; PRAGMA user_version = 2").contains("format 2"));
    fs::write(&path, b"no database at all, and long enough to be looked at").unwrap();
    let error = Records::open(&path).unwrap_err();
    assert!(error.to_string().contains("not a database"), "{error}");
    assert!(Records::open(&folder.path().join("missing/records")).is_err());
}

#[test]
fn a_record_that_cannot_be_is_told_as_damage() {
    let setup = Setup::new();
    let mut client = setup.client();
    assert!(is_key(&client.generate("me")));
    let sql = rusqlite::Connection::open(setup.folder.path().join("records")).unwrap();
    sql.execute("UPDATE key SET algorithm = 'RSA'", ()).unwrap();
    use cosigner_protocol::message::{Class, Layer};
    assert_eq!(client.sign("me"), crate::parts::failed(Class::InternalError, Layer::Record));
    assert!(setup.host.log().contains("an algorithm is not known"));
}
