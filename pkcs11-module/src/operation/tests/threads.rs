//! Two threads in one session, and an operation that is cancelled while a call works on it.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use algorithms::Algorithm;
use cryptoki_sys as ck;

use super::*;
use crate::error::Error;

/// A key that says when it is asked to sign, and signs when it is told to.
#[derive(Debug)]
struct SlowKey {
    key: TestKey,
    asked: SyncSender<()>,
    told: Mutex<Receiver<()>>,
}

impl PrivateKey for SlowKey {
    fn sign(&self, signing: Signing<'_>) -> Stored<Vec<u8>> {
        self.asked.send(()).unwrap();
        self.told.lock().unwrap().recv().unwrap();
        self.key.sign(signing)
    }

    fn public_key(&self) -> Stored<PublicKey> {
        self.key.public_key()
    }

    fn ml_dsa_tr(&self) -> Option<&[u8; 64]> {
        None
    }

    fn signs_mu_deterministically(&self) -> bool {
        false
    }

    fn secret_part(&self, _part: SecretPart) -> Stored<Option<SecretBytes>> {
        Ok(None)
    }
}

#[test]
fn no_lock_is_held_while_a_key_signs() {
    let bench = Bench::new();
    let (module, session) = (&bench.module, bench.session);
    let (asked, is_asked) = sync_channel(1);
    let (tell, told) = sync_channel(1);
    let key = SlowKey { key: TestKey::new(Algorithm::Ed25519), asked, told: Mutex::new(told) };
    let mut attributes = key_attributes(&key.public_key().unwrap());
    attributes.set(ck::CKA_CLASS, ck::CKO_PRIVATE_KEY);
    attributes.set(ck::CKA_SIGN, true);
    let slow = bench.add(attributes, Some(NewSecret::Private(Arc::new(key))), None);
    let (quick, public) = bench.pair(Algorithm::Ed25519, &[]);
    let eddsa = || plain(ck::CKM_EDDSA);

    module.sign_init(session, eddsa(), slow).unwrap();
    module.message_sign_init(session, eddsa(), slow).unwrap();
    std::thread::scope(|threads| {
        let signing = threads.spawn(|| {
            let mut out = [0; 64];
            (module.sign(session, b"m", Output::buffer(&mut out)), out)
        });
        is_asked.recv().unwrap();
        // The operation is at work: it can be neither used nor begun again, but others can.
        assert_eq!(module.sign(session, b"m", Output::length()), Err(Error::OperationActive));
        assert_eq!(module.sign_update(session, b"m"), Err(Error::OperationActive));
        assert_eq!(module.sign_init(session, eddsa(), quick), Err(Error::OperationActive));
        module.digest_init(session, plain(ck::CKM_SHA256)).unwrap();
        module.digest_update(session, b"m").unwrap();
        tell.send(()).unwrap();
        let (answer, signature) = signing.join().unwrap();
        assert_eq!(answer, Ok(Written::Bytes(64)));
        assert_eq!(bench.verify(&eddsa(), public, b"m", &signature), Ok(()));
        module.sign_init(session, eddsa(), quick).unwrap();

        // Cancelled at work: the call finishes, but the operation it would go on with is gone.
        let signing = threads.spawn(|| module.sign_message(session, 0, b"m", Output::buffer(&mut [0; 64])));
        is_asked.recv().unwrap();
        module.session(session).unwrap().operations.lock().end_private();
        module.message_sign_init(session, eddsa(), quick).unwrap();
        tell.send(()).unwrap();
        assert_eq!(signing.join().unwrap(), Ok(Written::Bytes(64)));
        // The one begun since is not disturbed.
        let signed = module.sign_message(session, 0, b"m", Output::buffer(&mut [0; 64]));
        assert_eq!(signed, Ok(Written::Bytes(64)));
    });
}

#[test]
fn a_panic_in_a_call_ends_the_operation() {
    let bench = Bench::new();
    let (module, session) = (&bench.module, bench.session);
    let (quick, _) = bench.pair(Algorithm::Ed25519, &[]);
    let open = module.session(session).unwrap();
    module.sign_init(session, plain(ck::CKM_EDDSA), quick).unwrap();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _running = open.running(crate::operation::Operations::sign).unwrap();
        panic!("a defect");
    }));
    assert!(caught.is_err());
    assert_eq!(module.sign(session, b"m", Output::length()), Err(Error::OperationNotInitialized));
    module.sign_init(session, plain(ck::CKM_EDDSA), quick).unwrap();
}
