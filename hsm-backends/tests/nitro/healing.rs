//! Host and enclave are killed and started again, and whoever signs notices nothing but time.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use algorithms::{
    Algorithm, Signing, ed25519,
    ml_dsa::{self, Hedging, ParameterSet},
};
use cryptoki_sys as ck;
use hsm_backends::{
    Attributes, Change, KeySpec, NewSecret, PinState, RecordId, Role, StoreError, Value, Vault,
    conformance::Fixture,
};
use test_stand::Stand;

use crate::fixture::Nitro;

pub(crate) const ML_DSA: KeySpec = KeySpec::Pair(Algorithm::MlDsa(ParameterSet::MlDsa44));
pub(crate) const ED25519: KeySpec = KeySpec::Pair(Algorithm::Ed25519);

/// Makes a key and its object.
pub(crate) fn make(vault: &dyn Vault, spec: &KeySpec) -> RecordId {
    let secret = vault.generate(spec).unwrap();
    let id = RecordId::random().unwrap();
    let attributes: Attributes =
        [(ck::CKA_CLASS, Value::Ulong(ck::CKO_PRIVATE_KEY)), (ck::CKA_PRIVATE, Value::Bool(true))]
            .into_iter()
            .collect();
    vault.commit(vec![Change::Create { id, attributes, secret: Some(secret) }]).unwrap();
    id
}

/// Signs and verifies.
pub(crate) fn signs(vault: &dyn Vault, id: RecordId, message: &[u8]) -> Result<(), StoreError> {
    let key = vault.private_key(id)?;
    let public = key.public_key()?;
    let signing = match public.algorithm() {
        Algorithm::Ed25519 => Signing::Ed25519(ed25519::Input::Pure(message)),
        _ => Signing::MlDsa {
            input: ml_dsa::Input::Message { context: b"", message },
            hedging: Hedging::Hedged,
        },
    };
    let signature = key.sign(signing)?;
    public.verify(signing, &signature).unwrap();
    Ok(())
}

fn stand() -> Stand {
    Stand::start(&["--keep-open=0", "--questions-per-key=100"]).unwrap()
}

/// Four threads sign, make and destroy while something is done to the stand.
fn under_load(what: impl Fn(&mut Stand)) {
    let mut stand = stand();
    let token = Nitro::at_host(&stand.host());
    let store = token.open();
    let vault = store.unlock(Role::User, &token.user_pin()).unwrap();
    let vault: &dyn Vault = &*vault;
    let ids = [make(vault, &ML_DSA), make(vault, &ED25519)];
    let (done, made) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        let worker = |thread: usize| {
            let (done, made) = (&done, &made);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    signs(vault, ids[thread % 2], b"message").unwrap();
                    if thread == 0 {
                        let id = make(vault, &ED25519);
                        signs(vault, id, b"message").unwrap();
                        vault.commit(vec![Change::Destroy { id }]).unwrap();
                    }
                    made.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let workers: Vec<_> = (0..4).map(worker).collect();
        // None ends before it is told to, unless it failed; the scope says so then.
        let failed = || workers.iter().any(|worker| worker.is_finished());
        for _ in 0..4 {
            let before = made.load(Ordering::Relaxed);
            what(&mut stand);
            // Work goes on before it happens again.
            while made.load(Ordering::Relaxed) < before + 8 && !failed() {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    drop(store);
    let store = token.open();
    let vault = store.unlock(Role::User, &token.user_pin()).unwrap();
    assert_eq!(vault.find(&Attributes::new()).unwrap(), ids);
    for id in ids {
        signs(&*vault, id, b"message").unwrap();
    }
}

#[test]
fn an_enclave_that_is_killed_costs_time_alone() {
    under_load(|stand| stand.start_enclave().unwrap());
}

#[test]
fn a_host_that_is_killed_costs_time_alone() {
    under_load(|stand| stand.start_host().unwrap());
}

#[test]
fn a_login_without_a_host_costs_no_try() {
    let mut stand = stand();
    let token = Nitro::at_host(&stand.host());
    let store = token.open();
    stand.kill_host();
    let error = store.unlock(Role::User, &token.user_pin()).unwrap_err();
    let StoreError::Device(text) = &error else { panic!("{error:?}") };
    assert!(text.contains("look whether it runs") && text.contains(&stand.host()), "{text}");
    assert_eq!(store.description().unwrap().user_pin, PinState::Good);
    stand.start_host().unwrap();
    store.unlock(Role::User, &token.user_pin()).unwrap();
    // Nor does KMS, when it fails for a while or refuses.
    stand.kms("fail 2 ThrottlingException").unwrap();
    store.unlock(Role::User, &token.user_pin()).unwrap();
    stand.kms("fail 1 AccessDeniedException").unwrap();
    let error = store.unlock(Role::User, &token.user_pin()).unwrap_err();
    assert!(error.to_string().contains("key's policy"), "{error}");
    assert_eq!(store.description().unwrap().user_pin, PinState::Good);
}

#[test]
fn a_copy_of_the_disk_guesses_no_pin() {
    let stand = stand();
    let token = Nitro::at_host(&stand.host());
    let store = token.open();
    let wrong = hsm_backends::Pin::presented(b"certainly not the PIN");
    // Each copy knows nothing of the tries of the others; the enclave does.
    for _ in 0..token.pin_tries() {
        let copy = token.copy();
        assert_eq!(copy.unlock(Role::User, &wrong).unwrap_err(), StoreError::PinIncorrect);
    }
    assert_eq!(token.copy().unlock(Role::User, &token.user_pin()).unwrap_err(), StoreError::PinLocked);
    assert_eq!(store.unlock(Role::User, &token.user_pin()).unwrap_err(), StoreError::PinLocked);
    // The officer helps, as always.
    let so = store.unlock(Role::SecurityOfficer, &token.so_pin()).unwrap();
    store.admin().unwrap().init_pin(&*so, &token.user_pin()).unwrap();
    let vault = store.unlock(Role::User, &token.user_pin()).unwrap();
    let NewSecret::Private(key) = vault.generate(&ML_DSA).unwrap() else { panic!("a private key") };
    assert_eq!(key.place(), hsm_backends::Place::Enclave);
}
