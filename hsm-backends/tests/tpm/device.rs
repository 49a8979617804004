//! The TPM as a device: away and back, shared, and left as it was found.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use hsm_backends::{
    Attributes, Pin, Role, StoreError,
    conformance::Fixture,
    tpm::{Options, TpmStore},
};

use crate::{
    Sealed,
    relay::Relay,
    swtpm::{exchange, password_session, sized},
    work::{copy, make, refused, reset, sign, user},
};

const JOB: &str = "TRELLIS_TPM_JOB";
const DIRECTORY: &str = "TRELLIS_TPM_DIRECTORY";
const TCTI: &str = "TRELLIS_TPM_TCTI";
const PINS: [&[u8]; 2] = [b"user-pin", b"the other PIN"];
/// Out of reach: killed logins count.
const TRIES: u32 = 1_000_000;

fn store(directory: &Path, tcti: &str) -> Box<dyn hsm_backends::KeyStore> {
    let directory = directory.to_owned();
    Box::new(TpmStore::new(Options {
        directory,
        pin_tries: TRIES,
        tcti: tcti.into(),
        pcrs: None,
        plug_in: None,
    }))
}

fn start(job: &str, token: &Sealed) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "device::child", "--nocapture", "--test-threads=1"])
        .env(JOB, job)
        .env(DIRECTORY, token.records("shared"))
        .env(TCTI, token.tpm.tcti())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until a child has begun.
fn is_ready(child: &mut Child) {
    let output = BufReader::new(child.stdout.as_mut().unwrap());
    assert!(output.lines().any(|line| line.unwrap() == "@ready"), "it ended before it began");
}

/// Where a child process begins; in the test run itself there is nothing to do.
#[test]
fn child() {
    let Ok(job) = std::env::var(JOB) else { return };
    let store = store(Path::new(&std::env::var_os(DIRECTORY).unwrap()), &std::env::var(TCTI).unwrap());
    match job.as_str() {
        "work" => {
            for turn in 0..8 {
                let vault = user(&*store, &Pin::presented(PINS[0])).unwrap();
                let label = format!("{} {turn}", std::process::id());
                sign(&*vault.private_key(make(&*vault, &label)).unwrap(), b"message");
            }
        }
        // Which of the two is set was left open by the one before.
        "change" => {
            let first = usize::from(user(&*store, &Pin::presented(PINS[0])).is_err());
            println!("\n@ready");
            for turn in first.. {
                let [old, new] = [turn, turn + 1].map(|turn| Pin::presented(PINS[turn % 2]));
                store.admin().unwrap().set_pin(Role::User, &old, &new).unwrap();
            }
        }
        other => panic!("an unknown job: {other}"),
    }
}

fn shared() -> Sealed {
    let token = Sealed::new();
    let store = store(&token.records("shared"), &token.tpm.tcti());
    store.admin().unwrap().init_token(&token.so_pin(), "shared").unwrap();
    let so = store.unlock(Role::SecurityOfficer, &token.so_pin()).unwrap();
    store.admin().unwrap().init_pin(&*so, &Pin::presented(PINS[0])).unwrap();
    token
}

#[test]
fn four_processes_at_once() {
    let token = shared();
    let workers = [(); 4].map(|()| start("work", &token));
    for mut worker in workers {
        assert!(worker.wait().unwrap().success());
    }
    let vault = user(&*store(&token.records("shared"), &token.tpm.tcti()), &Pin::presented(PINS[0])).unwrap();
    assert_eq!(vault.find(&Attributes::new()).unwrap().len(), 32);
    assert!(token.tpm.in_memory().is_empty(), "left in the TPM: {:x?}", token.tpm.in_memory());
}

/// As where a resource manager lets several processes in: between two commands of C_InitToken, another takes one of the
/// indices that were free.
#[test]
fn another_process_takes_an_index_meanwhile() {
    const OWNER: u32 = 0x4000_0001;
    const DEFINE: u32 = 0x12A;
    let token = Sealed::new();
    let base = 0x0180_7408;
    let indices = || token.tpm.handles(base);
    assert!(indices().is_empty());
    // Of the first group that is free at that time: the counter of the user, and then that of the officer.
    for theirs in [base + 4, base + 16 + 5] {
        let mut takes = true;
        let relay = Relay::start(token.tpm.port(), move |command, tpm| {
            if command[6..10] == DEFINE.to_be_bytes() && std::mem::take(&mut takes) {
                // OWNERWRITE, OWNERREAD.
                let attributes = 1_u32 << 1 | 1 << 17;
                let public =
                    [&theirs.to_be_bytes()[..], &[0, 0x0B], &attributes.to_be_bytes(), &[0; 2], &[0, 8]]
                        .concat();
                let rest = password_session(&[OWNER], &[], &[sized(&[]), sized(&public)].concat());
                assert_eq!(exchange(tpm, DEFINE, true, &rest).0, 0);
            }
            true
        });
        let store = store(&token.records(&format!("beside {theirs:x}")), &relay.tcti());
        store.admin().unwrap().init_token(&token.so_pin(), "beside").unwrap();
        store.unlock(Role::SecurityOfficer, &token.so_pin()).unwrap();
    }
    // In a group where somebody else is, nothing but what is his; and each token has what judges its officer's PIN, and two
    // counters.
    let token_at = |base: u32| [base + 2, base + 4, base + 5];
    let expected = [&[base + 4][..], &token_at(base + 8), &[base + 21], &token_at(base + 24)].concat();
    assert_eq!(indices(), expected);
}

/// Nobody is locked out and nobody gets a second PIN, wherever the process is killed; and what it leaves in a TPM without
/// a resource manager is in nobody's way.
#[test]
fn the_old_pin_or_the_new_one() {
    let token = shared();
    let open = || store(&token.records("shared"), &token.tpm.tcti());
    let id = make(&*user(&*open(), &Pin::presented(PINS[0])).unwrap(), "key");
    let indices = || token.tpm.handles(0x0180_7400).len();
    let before = indices();
    let (mut old, mut new) = (0, 0);
    let mut present = 0;
    for round in 0..40_u64 {
        let mut child = start("change", &token);
        // At steps that have nothing to do with those of a change. A machine may be slow: the time grows.
        is_ready(&mut child);
        std::thread::sleep(std::time::Duration::from_micros(round * 173_897 % (60_000 << (round % 6))));
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().code(), None, "it ended before it was killed");
        let opened = [0, 1].map(|which| user(&*open(), &Pin::presented(PINS[which])));
        let which = match &opened {
            [Ok(_), Err(StoreError::PinIncorrect)] => 0,
            [Err(StoreError::PinIncorrect), Ok(_)] => 1,
            other => panic!("round {round}: {other:?}"),
        };
        let vault = opened.into_iter().find_map(Result::ok).unwrap();
        sign(&*vault.private_key(id).unwrap(), b"message");
        open().unlock(Role::SecurityOfficer, &token.so_pin()).unwrap();
        if which == present {
            old += 1
        } else {
            new += 1
        }
        present = which;
    }
    assert!(old > 0 && new > 0, "killed always at the same point: {old}, {new}");
    // At most one index of a change that was not made is left.
    assert!(indices() <= before + 1, "{} indices", indices());
}

/// Cut off after the commit: what was erased opens until the officer logs in, and then no more.
#[test]
fn c_init_token_is_finished_by_the_officers_login() {
    let token = Sealed::new();
    make(&*user(&*token.open(), &token.user_pin()).unwrap(), "key");
    copy(&token.records("token"), &token.records("stolen"));
    let database = token.records("token").join("token.db");
    let relay = Relay::start(token.tpm.port(), move |_, _| {
        let sql = rusqlite::Connection::open(&database).unwrap();
        let users: u32 =
            sql.query_row("SELECT count(*) FROM pin WHERE role = 1", [], |row| row.get(0)).unwrap();
        users == 1
    });
    let through = store(&token.records("token"), &relay.tcti());
    through.admin().unwrap().init_token(&token.so_pin(), "anew").unwrap();
    let told = through.unfinished().expect("it was cut off").to_string();
    assert!(told.contains("no TPM answers"), "{told}");
    assert_eq!(through.unfinished(), None);
    drop(through);
    user(&*token.at("stolen"), &token.user_pin()).expect("nothing was cut off");
    let store = token.open();
    store.unlock(Role::SecurityOfficer, &token.so_pin()).unwrap();
    refused(&*token.at("stolen"), &token.user_pin(), "was changed");
    assert_eq!(user(&*store, &token.user_pin()).unwrap_err(), StoreError::UserPinNotInitialized);
    let new = Pin::presented(b"new PIN");
    reset(&token, &*store, &new);
    assert_eq!(user(&*store, &new).unwrap().find(&Attributes::new()).unwrap(), []);
    refused(&*token.at("stolen"), &token.user_pin(), "was changed");
}

#[test]
fn away_and_back() {
    let mut token = Sealed::new();
    let store = token.open();
    let vault = user(&*store, &token.user_pin()).unwrap();
    let id = make(&*vault, "key");
    token.tpm.end();
    // A door that is made meanwhile, as at C_Initialize.
    let meanwhile = token.open();
    assert_eq!(meanwhile.description().unwrap().label, "conformance");
    assert_eq!(meanwhile.public().find(&Attributes::new()).unwrap(), []);
    assert!(meanwhile.admission().unwrap().initialized);
    refused(&*meanwhile, &token.user_pin(), "no TPM answers");
    let no_change =
        store.admin().unwrap().set_pin(Role::User, &token.user_pin(), &Pin::presented(b"new PIN"));
    assert!(matches!(no_change, Err(StoreError::Absent(_))), "{no_change:?}");
    // Who is inside does not need it.
    sign(&*vault.private_key(id).unwrap(), b"message");
    token.tpm.go_on();
    for store in [&store, &meanwhile] {
        sign(&*user(&**store, &token.user_pin()).unwrap().private_key(id).unwrap(), b"message");
    }
}

/// Connected to, and then nothing: as when another program keeps the TPM, or it hangs.
#[test]
fn a_tpm_that_says_nothing() {
    let token = Sealed::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let tcti = format!("swtpm:host=127.0.0.1,port={}", silent.local_addr().unwrap().port());
    let store = store(&token.records("token"), &tcti);
    assert!(store.admission().unwrap().initialized);
    assert_eq!(store.public().find(&Attributes::new()).unwrap(), []);
    assert_eq!(store.description().unwrap().label, "conformance");
    refused(&*store, &token.user_pin(), "no TPM answers");
    user(&*token.open(), &token.user_pin()).unwrap();
}

#[test]
fn seventy_thousand_signatures_and_nothing_is_left_in_the_tpm() {
    let token = Sealed::new();
    let store = token.open();
    let permanent = || token.tpm.handles(0x0100_0000);
    let (indices, before) = (token.tpm.handles(0x0180_7400), permanent());
    assert!(token.tpm.in_memory().is_empty(), "left in the TPM: {:x?}", token.tpm.in_memory());
    let vault = user(&*store, &token.user_pin()).unwrap();
    let id = make(&*vault, "key");
    for turn in 0..70_000_u32 {
        let record = vault.read(id).unwrap();
        let key = vault.private_key_of(&record).unwrap();
        if turn % 1_000 == 0 {
            sign(&*key, &turn.to_be_bytes());
        } else {
            let input = algorithms::ed25519::Input::Pure(b"message");
            key.sign(algorithms::Signing::Ed25519(input)).unwrap();
        }
    }
    for _ in 0..3 {
        assert_eq!(user(&*store, &Pin::presented(b"wrong")).unwrap_err(), StoreError::PinIncorrect);
    }
    vault.verify_pin(&token.user_pin()).unwrap();
    assert!(token.tpm.in_memory().is_empty(), "left in the TPM: {:x?}", token.tpm.in_memory());
    assert_eq!((token.tpm.handles(0x0180_7400), permanent()), (indices, before));
}
