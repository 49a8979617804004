//! Eight processes at work on one token at once: no call of theirs fails.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    path::Path,
    process::{Command, Stdio},
};

use algorithms::{
    Algorithm, Signing, ed25519,
    ml_dsa::{Hedging, Input, ParameterSet},
};
use cryptoki_sys as ck;
use hsm_backends::{
    Attributes, Change, KeySpec, KeyStore, NewSecret, Pin, PinState, PrivateKey, RecordId, Role, StoreError,
    Value,
    embedded::{EmbeddedStore, Options},
};

const SO: &[u8] = b"so-pin";
const USER: &[u8] = b"user-pin";
const WORKER: &str = "TRELLIS_PROCESSES_WORKER";
const DIRECTORY: &str = "TRELLIS_PROCESSES_DIRECTORY";
const PROCESSES: usize = 8;
const TURNS: usize = 25;

fn store(directory: &Path) -> EmbeddedStore {
    EmbeddedStore::new(Options { directory: directory.to_owned(), pin_tries: 3 })
}

fn attributes(label: &str, private: bool) -> Attributes {
    [
        (ck::CKA_CLASS, Value::Ulong(if private { ck::CKO_PRIVATE_KEY } else { ck::CKO_PUBLIC_KEY })),
        (ck::CKA_PRIVATE, Value::Bool(private)),
        (ck::CKA_LABEL, Value::Bytes(label.as_bytes().to_vec())),
    ]
    .into_iter()
    .collect()
}

fn by(label: &str, private: bool) -> Attributes {
    attributes(label, private)
}

fn sign(key: &dyn PrivateKey) {
    let public = key.public_key().unwrap();
    let message = b"message";
    let signing = match public.algorithm() {
        Algorithm::Ed25519 => Signing::Ed25519(ed25519::Input::Pure(message)),
        _ => Signing::MlDsa { input: Input::Message { context: b"", message }, hedging: Hedging::Hedged },
    };
    public.verify(signing, &key.sign(signing).unwrap()).unwrap();
}

/// Where a worker begins; in the test run itself there is nothing to do.
#[test]
fn worker() {
    let Ok(worker) = std::env::var(WORKER) else { return };
    let directory = std::env::var(DIRECTORY).unwrap();
    let store = store(Path::new(&directory));
    let vault = store.unlock(Role::User, &Pin::presented(USER)).unwrap();
    let shared = vault.find(&by("shared", true)).unwrap()[0];
    for turn in 0..TURNS {
        let label = format!("{worker} {turn}");
        let spec = match turn % 2 {
            0 => KeySpec::Pair(Algorithm::Ed25519),
            _ => KeySpec::Pair(Algorithm::MlDsa(ParameterSet::MlDsa44)),
        };
        let secret = vault.generate(&spec).unwrap();
        let NewSecret::Private(made) = &secret else { panic!("a pair has a private key") };
        let mut public = attributes(&label, false);
        public.set(ck::CKA_PUBLIC_KEY_INFO, made.public_key().unwrap().to_spki().unwrap());
        let [key_id, public_id] = [0; 2].map(|_| RecordId::random().unwrap());
        vault
            .commit(vec![
                Change::Create { id: key_id, attributes: attributes(&label, true), secret: Some(secret) },
                Change::Create { id: public_id, attributes: public, secret: None },
            ])
            .unwrap();
        assert_eq!(vault.find(&by(&label, true)).unwrap(), [key_id]);
        assert_eq!(store.public().find(&by(&label, false)).unwrap(), [public_id]);
        sign(&*vault.private_key(key_id).unwrap());
        // Everybody signs with this one and renames it all the time.
        sign(&*vault.private_key(shared).unwrap());
        let record = vault.read(shared).unwrap();
        let mut renamed = record.attributes.clone();
        renamed.set(ck::CKA_ID, label.clone().into_bytes());
        match vault.commit(vec![Change::Update { id: shared, version: record.version, attributes: renamed }])
        {
            Ok(()) | Err(StoreError::Changed) => {}
            Err(error) => panic!("{error}"),
        }
        let new = attributes(&format!("{label} renamed"), true);
        vault.commit(vec![Change::Update { id: key_id, version: 1, attributes: new }]).unwrap();
        assert_eq!(vault.find(&by(&label, true)).unwrap(), []);
        assert!(!vault.find(&Attributes::new()).unwrap().is_empty());
        if turn % 5 > 0 {
            let ids = [key_id, public_id].map(|id| Change::Destroy { id });
            vault.commit(ids.into()).unwrap();
            assert_eq!(vault.private_key(key_id).unwrap_err(), StoreError::NotFound);
        }
        if turn % 10 == 0 {
            vault.verify_pin(&Pin::presented(USER)).unwrap();
        }
    }
    println!("worker {worker} has finished");
}

#[test]
fn eight_processes_at_once_see_no_error() {
    let base = tempfile::tempdir().unwrap();
    let directory = base.path().join("token");
    let first = store(&directory);
    let admin = first.admin().unwrap();
    admin.init_token(&Pin::presented(SO), "many").unwrap();
    let so = first.unlock(Role::SecurityOfficer, &Pin::presented(SO)).unwrap();
    admin.init_pin(&*so, &Pin::presented(USER)).unwrap();
    let vault = first.unlock(Role::User, &Pin::presented(USER)).unwrap();
    let secret = vault.generate(&KeySpec::Pair(Algorithm::Ed25519)).unwrap();
    let shared = RecordId::random().unwrap();
    let create = Change::Create { id: shared, attributes: attributes("shared", true), secret: Some(secret) };
    vault.commit(vec![create]).unwrap();

    let workers: Vec<_> = (0..PROCESSES)
        .map(|worker| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "worker", "--nocapture", "--test-threads=1"])
                .env(WORKER, worker.to_string())
                .env(DIRECTORY, &directory)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for (number, worker) in workers.into_iter().enumerate() {
        let output = worker.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let complaints = String::from_utf8_lossy(&output.stderr);
        let finished = said.contains(&format!("worker {number} has finished"));
        assert!(output.status.success() && finished, "{said}{complaints}");
    }
    // Each left a pair in every fifth turn.
    let left = PROCESSES * TURNS / 5;
    assert_eq!(vault.find(&Attributes::new()).unwrap().len(), 1 + 2 * left);
    assert_eq!(first.public().find(&Attributes::new()).unwrap().len(), left);
    sign(&*vault.private_key(shared).unwrap());
    assert_eq!(first.description().unwrap().user_pin, PinState::Good);
}
