//! docs/formats.md, held to what is on the disk: an independent reader, written from that page, opens a token and a
//! backup.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{fs, path::Path};

use algorithms::{
    Algorithm, PrivateKey, SecretBytes, aes,
    digest::{Digest, Hash},
    mac::Hmac,
};
use cryptoki_sys as ck;
use hsm_backends::{
    Attributes, Change, KeySpec, KeyStore, NewSecret, Pin, RecordId, Role, StoreError, Value,
    embedded::{EmbeddedStore, Options},
};

const PAGE: &str = include_str!("../../docs/formats.md");
const SO: &[u8] = b"so-pin";
const USER: &[u8] = b"user-pin";

/// A token with a private key, and the key's record.
fn token(directory: &Path) -> (EmbeddedStore, RecordId, Attributes, Vec<u8>) {
    let store = EmbeddedStore::new(Options { directory: directory.to_owned(), pin_tries: 10 });
    let admin = store.admin().unwrap();
    admin.init_token(&Pin::presented(SO), "formats").unwrap();
    let so = store.unlock(Role::SecurityOfficer, &Pin::presented(SO)).unwrap();
    admin.init_pin(&*so, &Pin::presented(USER)).unwrap();
    let vault = store.unlock(Role::User, &Pin::presented(USER)).unwrap();
    let secret = vault.generate(&KeySpec::Pair(Algorithm::Ed25519)).unwrap();
    let NewSecret::Private(made) = &secret else { panic!("a pair has a private key") };
    let spki = made.public_key().unwrap().to_spki().unwrap();
    let attributes: Attributes = [
        (ck::CKA_CLASS, Value::Ulong(ck::CKO_PRIVATE_KEY)),
        (ck::CKA_PRIVATE, Value::Bool(true)),
        (ck::CKA_LABEL, Value::Bytes(b"label".to_vec())),
    ]
    .into_iter()
    .collect();
    let id = RecordId::random().unwrap();
    vault.commit(vec![Change::Create { id, attributes: attributes.clone(), secret: Some(secret) }]).unwrap();
    drop(vault);
    (store, id, attributes, spki)
}

fn argon2id(pin: &[u8], cost: &[u8], salt: &[u8]) -> SecretBytes {
    let [memory, passes, lanes] =
        [0, 4, 8].map(|at| u32::from_be_bytes(cost[at..at + 4].try_into().unwrap()));
    let params = argon2::Params::new(memory, passes, lanes, Some(32)).unwrap();
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut out = [0; 32];
    argon2.hash_password_into(pin, salt, &mut out).unwrap();
    SecretBytes::new(&out)
}

fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::new(Hash::Sha256, &SecretBytes::new(key)).unwrap();
    mac.update(data);
    mac.finish().unwrap()
}

fn open(key: &[u8], associated: &[u8], blob: &[u8]) -> Vec<u8> {
    let nonce = blob[..12].try_into().unwrap();
    aes::open(&SecretBytes::new(key), &nonce, associated, &blob[12..]).unwrap().expose().to_vec()
}

/// Reads the one private record of a database with nothing but the page.
fn read_by_the_page(database: &Path, role: u8, pin: &[u8]) -> (RecordId, Attributes, Vec<u8>) {
    let sql = rusqlite::Connection::open(database).unwrap();
    let token_id: Vec<u8> = sql.query_row("SELECT token_id FROM token", [], |row| row.get(0)).unwrap();
    let wrapped: Vec<u8> =
        sql.query_row("SELECT wrapped FROM pin WHERE role = ?1", [role], |row| row.get(0)).unwrap();
    assert_eq!((wrapped.len(), wrapped[0]), (89, 1));
    assert_eq!(wrapped[1..13], [19_456_u32, 2, 1].map(u32::to_be_bytes).concat());
    let stretched = argon2id(pin, &wrapped[1..13], &wrapped[13..29]);
    let associated = [&b"trellis pin wrap 1"[..], &token_id, &[role], &wrapped[..29]].concat();
    let token_key = open(stretched.expose(), &associated, &wrapped[29..]);
    assert_eq!(token_key.len(), 32);

    let (id, version, class, label, kind): (Vec<u8>, i64, u64, Vec<u8>, u8) = sql
        .query_row("SELECT id, version, class, label, secret_kind FROM record", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?.cast_unsigned(), row.get(3)?, row.get(4)?))
        })
        .unwrap();
    let (attributes, secret): (Vec<u8>, Vec<u8>) = sql
        .query_row("SELECT attributes, secret FROM record", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!((version, class, kind), (1, ck::CKO_PRIVATE_KEY, 1));
    let index_key = hmac(&token_key, b"trellis index key 1");
    assert_eq!(label, hmac(&index_key, &[&3_u64.to_be_bytes()[..], b"label"].concat())[..16]);

    let record_key = hmac(&token_key, &[b"trellis record key 1", &id[..]].concat());
    let place = [b"trellis record 1", &token_id[..], &id, &version.to_be_bytes()].concat();
    let opened = open(&record_key, &[&place[..], &[0, kind]].concat(), &attributes);
    let beside = Hash::Sha256.digest(&attributes).unwrap();
    let key = open(&record_key, &[&place[..], &[kind], &beside].concat(), &secret);
    let key = PrivateKey::from_pkcs8(&SecretBytes::new(&key)).unwrap();
    let spki = key.public_key().unwrap().to_spki().unwrap();
    (RecordId(id.try_into().unwrap()), Attributes::decode(&opened).unwrap(), spki)
}

#[test]
fn a_token_is_read_by_the_page() {
    let base = tempfile::tempdir().unwrap();
    let directory = base.path().join("token");
    let (store, id, attributes, spki) = token(&directory);
    for (role, pin) in [(1, USER), (0, SO)] {
        let found = read_by_the_page(&directory.join("token.db"), role, pin);
        assert_eq!(found, (id, attributes.clone(), spki.clone()));
    }
    let sql = rusqlite::Connection::open(directory.join("token.db")).unwrap();
    let (token_id, generation): (Vec<u8>, i64) = sql
        .query_row("SELECT token_id, generation FROM token", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    let serial: String = token_id[..8].iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(store.description().unwrap().serial, serial);
    let counter = fs::read(directory.join("token.seq")).unwrap();
    assert_eq!(i64::from_ne_bytes(counter.try_into().unwrap()), 2 * generation);
    assert!(generation < 1 << 49);
    let public: Attributes = [(ck::CKA_ID, Value::Bytes(b"id".to_vec()))].into_iter().collect();
    let create = Change::Create { id: RecordId([9; 16]), attributes: public, secret: None };
    store.public().commit(vec![create]).unwrap();
    let (tag, clear): (Vec<u8>, Vec<u8>) = sql
        .query_row("SELECT key_id, attributes FROM record WHERE private = 0", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    let type_and_value = [&ck::CKA_ID.to_be_bytes()[..], b"id"].concat();
    assert_eq!(tag, Hash::Sha256.digest(&type_and_value).unwrap()[..16]);
    assert_eq!(Attributes::decode(&clear).unwrap().bytes(ck::CKA_ID), Some(&b"id"[..]));
    let mut names: Vec<String> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["token.db", "token.db-shm", "token.db-wal", "token.seq"]);
    for name in names {
        assert!(PAGE.contains(&format!("`{name}`")), "{name} is not on the page");
    }
}

#[test]
fn a_backup_is_read_by_the_page() {
    let base = tempfile::tempdir().unwrap();
    let (store, id, attributes, spki) = token(&base.path().join("token"));
    let file = base.path().join("backup");
    store.admin().unwrap().backup(&file, &Pin::presented(b"passphrase")).unwrap();
    let bytes = fs::read(&file).unwrap();
    let (head, rest) = bytes.split_at(44);
    let (check, chunks) = rest.split_at(16);
    assert_eq!(&head[..16], b"trellis backup 2");
    let key = argon2id(b"passphrase", &head[16..28], &head[28..]);
    let nothing = aes::open(&key, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2], head, check).unwrap();
    assert!(nothing.expose().is_empty());
    let mut database = Vec::new();
    let last = chunks.chunks(65_552).count() - 1;
    for (number, chunk) in chunks.chunks(65_552).enumerate() {
        let mut nonce = [0; 12];
        nonce[3..11].copy_from_slice(&(number as u64).to_be_bytes());
        nonce[11] = u8::from(number == last);
        database.extend(aes::open(&key, &nonce, head, chunk).unwrap().expose());
    }
    let plain = base.path().join("plain.db");
    fs::write(&plain, database).unwrap();
    assert_eq!(read_by_the_page(&plain, 1, USER), (id, attributes, spki));
}

/// The statements of a block of the page.
fn tables_of_the_page(block: usize) -> Vec<&'static str> {
    let block = PAGE.split("```sql\n").nth(block + 1).unwrap();
    block.split_once("```").unwrap().0.lines().collect()
}

#[test]
fn a_store_with_the_table_of_intents_is_that_of_the_page() {
    let base = tempfile::tempdir().unwrap();
    let directory = base.path().join("token");
    let (store, id, ..) = token(&directory);
    let sql = rusqlite::Connection::open(directory.join("token.db")).unwrap();
    // As a store over a device makes it; a test of the enclave's makes it so.
    let [table] = tables_of_the_page(1)[..] else { panic!("one table") };
    sql.execute_batch(&format!("BEGIN; {table} PRAGMA user_version = 2; COMMIT")).unwrap();
    let again = || EmbeddedStore::new(Options { directory: directory.clone(), pin_tries: 10 });
    again().unlock(Role::User, &Pin::presented(USER)).unwrap().private_key(id).unwrap();
    // A backup has no rows of it, and a restore leaves those that are there.
    let row = "INSERT INTO intent (id, maker, sealed) VALUES (zeroblob(16), zeroblob(16), x'01')";
    let count = |sql: &rusqlite::Connection| -> i64 {
        sql.query_row("SELECT count(*) FROM intent", [], |row| row.get(0)).unwrap()
    };
    sql.execute_batch(row).unwrap();
    let file = base.path().join("backup");
    let passphrase = Pin::presented(b"passphrase");
    store.admin().unwrap().backup(&file, &passphrase).unwrap();
    store.admin().unwrap().restore(&file, &passphrase, true).unwrap();
    assert_eq!(count(&sql), 1);
    let elsewhere = base.path().join("restored");
    let restored = EmbeddedStore::new(Options { directory: elsewhere.clone(), pin_tries: 10 });
    restored.admin().unwrap().restore(&file, &passphrase, false).unwrap();
    assert_eq!(count(&rusqlite::Connection::open(elsewhere.join("token.db")).unwrap()), 0);
    // A table of another form, and a table without its version, are damage.
    sql.execute_batch("PRAGMA user_version = 1").unwrap();
    assert!(matches!(again().description(), Err(StoreError::Damaged(_))));
    sql.execute_batch("PRAGMA user_version = 2; DROP TABLE intent").unwrap();
    assert!(matches!(again().description(), Err(StoreError::Damaged(_))));
    sql.execute_batch("PRAGMA user_version = 3").unwrap();
    assert_eq!(again().description().unwrap_err(), StoreError::NewerFormat);
}

#[test]
fn the_tables_are_those_of_the_page() {
    let base = tempfile::tempdir().unwrap();
    let directory = base.path().join("token");
    token(&directory);
    let sql = rusqlite::Connection::open(directory.join("token.db")).unwrap();
    let mut statement = sql.prepare("SELECT sql FROM sqlite_schema ORDER BY rowid").unwrap();
    let found: Vec<String> = statement
        .query_map([], |row| row.get::<_, String>(0))
        .unwrap()
        .map(|text| format!("{};", text.unwrap()))
        .collect();
    assert_eq!(found, tables_of_the_page(0));
    for (pragma, text) in [("application_id", "0x54524C53"), ("user_version", "1")] {
        let value: i64 = sql.pragma_query_value(None, pragma, |row| row.get(0)).unwrap();
        let text_value = text
            .strip_prefix("0x")
            .map_or_else(|| text.parse().unwrap(), |digits| i64::from_str_radix(digits, 16).unwrap());
        assert_eq!(value, text_value);
        assert!(PAGE.contains(&format!("`{pragma}` {text}")), "{pragma}");
    }
    assert!(PAGE.contains(&format!("({} bytes)", hsm_backends::MAX_ATTRIBUTES_LEN)));
}

#[test]
fn saved_digests_are_those_of_the_page() {
    let lens = [(20, 4, 7), (32, 4, 10), (32, 4, 10), (64, 8, 10), (64, 8, 10)];
    for (number, hash) in Hash::ALL.into_iter().enumerate() {
        let mut digest = Digest::new(hash).unwrap();
        digest.update(b"abc");
        let state = digest.export_state().unwrap();
        assert_eq!(state[..2], [1, u8::try_from(number).unwrap()]);
        match lens.get(number) {
            Some((chaining, word, words)) => {
                assert_eq!(chaining + 2 * word, words * word);
                let (length, block) = state[2 + chaining..].split_at(2 * word);
                assert_eq!((length[2 * word - 1], block), (24, &b"abc"[..]));
            }
            None => assert_eq!((state.len(), state[2 + 200], &state[2..5]), (2 + 201, 3, &b"abc"[..])),
        }
    }
}
