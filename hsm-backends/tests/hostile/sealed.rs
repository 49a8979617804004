//! Sealed records whose fields were exchanged or edited in the database: an error, never another key.

use algorithms::{Algorithm, PublicKey, Signing, ed25519};
use cryptoki_sys as ck;
use hsm_backends::{Attributes, Change, KeySpec, KeyStore, NewSecret, RecordId, StoreError, Value, Vault};

use super::{sql, store, token, user};

fn attributes(label: &str) -> Attributes {
    [
        (ck::CKA_CLASS, Value::Ulong(ck::CKO_PRIVATE_KEY)),
        (ck::CKA_PRIVATE, Value::Bool(true)),
        (ck::CKA_SENSITIVE, Value::Bool(true)),
        (ck::CKA_LABEL, Value::Bytes(label.as_bytes().to_vec())),
    ]
    .into_iter()
    .collect()
}

fn key(vault: &dyn Vault, label: &str) -> (RecordId, PublicKey) {
    let secret = vault.generate(&KeySpec::Pair(Algorithm::Ed25519)).unwrap();
    let NewSecret::Private(made) = &secret else { panic!("a pair has a private key") };
    let public = made.public_key().unwrap();
    let id = RecordId::random().unwrap();
    let attributes = attributes(label);
    vault.commit(vec![Change::Create { id, attributes, secret: Some(secret) }]).unwrap();
    (id, public)
}

fn damaged<T: std::fmt::Debug>(outcome: Result<T, StoreError>, what: &str) {
    assert!(matches!(outcome, Err(StoreError::Damaged(_))), "{what}: {outcome:?}");
}

/// Assignments to the columns of a record, `:other` being another record's id. Behind them: whether the attributes can
/// still be read, since only the secret is touched.
const EDITS: [(&str, bool); 19] = [
    ("attributes = (SELECT attributes FROM record WHERE id = :other)", false),
    ("attributes = x''", false),
    ("attributes = substr(attributes, 1, 27)", false),
    ("version = version + 1", false),
    ("version = version - 1", false),
    ("version = -1", false),
    ("private = 0", false),
    ("private = 0, attributes = x'010000', secret_kind = 0, secret = NULL", true),
    ("private = 0, attributes = x'0100010000000000000002010000000101'", false),
    ("secret_kind = 0", false),
    ("secret_kind = 0, secret = NULL", false),
    ("secret_kind = 2", false),
    ("secret_kind = 3", false),
    ("secret = NULL", true),
    ("secret = x''", true),
    ("secret = (SELECT secret FROM record WHERE id = :other)", true),
    ("secret = attributes", true),
    (
        "(attributes, version, secret_kind, secret) = \
         (SELECT attributes, version, secret_kind, secret FROM record WHERE id = :other)",
        false,
    ),
    ("secret = :old", true),
];

#[test]
fn no_field_can_be_exchanged_or_edited() {
    let base = tempfile::tempdir().unwrap();
    let directory = token(base.path());
    let store = store(&directory);
    let vault = user(&store);
    let (other, _) = key(&*vault, "other");
    for (edit, readable) in EDITS {
        let (id, public) = key(&*vault, "victim");
        let sql = sql(&directory);
        // The secret as it was under an earlier version of the attributes.
        let old: Vec<u8> =
            sql.query_row("SELECT secret FROM record WHERE id = ?1", [id.0], |row| row.get(0)).unwrap();
        vault.commit(vec![Change::Update { id, version: 1, attributes: attributes("victim") }]).unwrap();
        let text = edit.replace(":other", "?2").replace(":old", "?3");
        let changed = sql
            .execute(
                // Each parameter is mentioned, whether the edit needs it or not.
                &format!("UPDATE record SET {text} WHERE id = ?1 AND (?2 IS NOT NULL) AND (?3 IS NOT NULL)"),
                rusqlite::params![id.0, other.0, old],
            )
            .unwrap();
        assert_eq!(changed, 1, "{edit}");
        // Somebody who logs in now has nothing in memory.
        let fresh = user(&super::store(&directory));
        match fresh.private_key(id) {
            Err(StoreError::Damaged(_)) => {}
            // A public object may be put in a private one's place; it has no key.
            Err(StoreError::Unsupported) if edit.starts_with("private = 0, attributes = x'010000'") => {}
            Err(other) => panic!("{edit}: {other:?}"),
            Ok(key) => {
                let signing = Signing::Ed25519(ed25519::Input::Pure(b"message"));
                let same = public.verify(signing, &key.sign(signing).unwrap()).is_ok();
                panic!("{edit}: the key opened, {}", if same { "the right one" } else { "another one" });
            }
        }
        if readable {
            fresh.read(id).unwrap();
        } else {
            damaged(fresh.read(id), edit);
            damaged(fresh.find(&Attributes::new()), edit);
        }
        // Changing an attribute must not seal anew what somebody has forged.
        let version: i64 =
            sql.query_row("SELECT version FROM record WHERE id = ?1", [id.0], |row| row.get(0)).unwrap();
        let update = Change::Update { id, version: version.cast_unsigned(), attributes: attributes("anew") };
        assert!(fresh.commit(vec![update]).is_err(), "{edit}");
        sql.execute("DELETE FROM record WHERE id = ?1", [id.0]).unwrap();
    }
}

#[test]
fn no_byte_can_be_edited() {
    let base = tempfile::tempdir().unwrap();
    let directory = token(base.path());
    let (id, _) = key(&*user(&store(&directory)), "victim");
    let sql = sql(&directory);
    for column in ["attributes", "secret"] {
        let whole: Vec<u8> = sql
            .query_row(&format!("SELECT {column} FROM record WHERE id = ?1"), [id.0], |row| row.get(0))
            .unwrap();
        // In the nonce, in the ciphertext, in the tag.
        for at in [0, 11, 12, whole.len() / 2, whole.len() - 16, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            let update = format!("UPDATE record SET {column} = ?2 WHERE id = ?1");
            sql.execute(&update, rusqlite::params![id.0, bytes]).unwrap();
            damaged(user(&store(&directory)).private_key(id), column);
            sql.execute(&update, rusqlite::params![id.0, whole]).unwrap();
        }
    }
    user(&store(&directory)).private_key(id).unwrap();
}

#[test]
fn two_records_cannot_trade_their_names() {
    let base = tempfile::tempdir().unwrap();
    let directory = token(base.path());
    let vault = user(&store(&directory));
    let ((first, _), (second, _)) = (key(&*vault, "first"), key(&*vault, "second"));
    let sql = sql(&directory);
    for (from, to) in [(first, RecordId([0; 16])), (second, first), (RecordId([0; 16]), second)] {
        sql.execute("UPDATE record SET id = ?2 WHERE id = ?1", [from.0, to.0]).unwrap();
    }
    let fresh = user(&store(&directory));
    for id in [first, second] {
        damaged(fresh.read(id), "traded");
        damaged(fresh.private_key(id), "traded");
    }
}

#[test]
fn a_forged_index_hides_but_never_substitutes() {
    let base = tempfile::tempdir().unwrap();
    let directory = token(base.path());
    let vault = user(&store(&directory));
    let ((first, _), (second, _)) = (key(&*vault, "first"), key(&*vault, "second"));
    sql(&directory)
        .execute(
            "UPDATE record SET label = (SELECT label FROM record WHERE id = ?1) WHERE id = ?2",
            [first.0, second.0],
        )
        .unwrap();
    let fresh = user(&store(&directory));
    let by = |label: &str| -> Attributes {
        [(ck::CKA_LABEL, Value::Bytes(label.as_bytes().to_vec()))].into_iter().collect()
    };
    assert_eq!(fresh.find(&by("first")).unwrap(), [first]);
    assert_eq!(fresh.find(&by("second")).unwrap(), []);
}

#[test]
fn another_tokens_record_does_not_open() {
    let (base, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (here, there) = (token(base.path()), token(elsewhere.path()));
    let (id, _) = key(&*user(&store(&there)), "theirs");
    sql(&here)
        .execute_batch(&format!(
            "ATTACH '{}' AS there; INSERT INTO main.record (id, version, private, attributes, secret_kind, secret) \
             SELECT id, version, private, attributes, secret_kind, secret FROM there.record WHERE id = x'{id}'",
            there.join("token.db").display()
        ))
        .unwrap();
    let vault = user(&store(&here));
    damaged(vault.read(id), "another token's");
    damaged(vault.private_key(id), "another token's");
}

#[test]
fn values_that_no_column_may_have() {
    for (statement, calls) in [
        ("UPDATE record SET id = x'01' WHERE private = 1", "find"),
        ("UPDATE record SET version = 9223372036854775807 WHERE private = 0", "update"),
        ("UPDATE record SET version = -9223372036854775808 WHERE private = 0", "find"),
        ("UPDATE record SET private = 7 WHERE private = 0", "find"),
        ("UPDATE record SET attributes = x'0100'", "find"),
        ("UPDATE token SET label = printf('%33s', 'x')", "description"),
        ("UPDATE token SET incarnation = x'00'", "find"),
        ("UPDATE token SET generation = 9223372036854775807", "commit"),
    ] {
        let base = tempfile::tempdir().unwrap();
        let directory = token(base.path());
        let store = store(&directory);
        let vault = user(&store);
        let public = store.public().find(&Attributes::new()).unwrap()[0];
        sql(&directory).execute_batch(statement).unwrap();
        let create = super::create(true, 10);
        match calls {
            "find" => damaged(vault.find(&Attributes::new()), statement),
            "description" => damaged(store.description(), statement),
            "commit" => damaged(vault.commit(vec![create]), statement),
            _ => {
                // Through a door that has read nothing yet.
                let store = super::store(&directory);
                let record = store.public().read(public).unwrap();
                let attributes = record.attributes.clone();
                let update = Change::Update { id: public, version: record.version, attributes };
                damaged(store.public().commit(vec![update]), statement);
            }
        }
    }
}
