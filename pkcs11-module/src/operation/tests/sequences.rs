//! The order of calls: what each one answers and whether the operation goes on, by table for every family.

use algorithms::{Algorithm, ml_dsa::ParameterSet};
use cryptoki_sys as ck;

use super::*;
use crate::{error::Error, operation::Family};

#[derive(Debug, Clone, Copy)]
enum Step {
    Init,
    /// The Init function with a NULL mechanism.
    InitNull,
    /// The one-part function: with a NULL buffer, one that is too small, one that is large enough.
    AskOne,
    SmallOne,
    One,
    Update,
    /// The Final function likewise.
    AskFinal,
    SmallFinal,
    Final,
    /// C_SessionCancel with the family's flag.
    Cancel,
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Done,
    Needs,
    Fails(Error),
}

use Answer::{Done, Fails, Needs};
use Step::{AskFinal, AskOne, Cancel, Final, Init, InitNull, One, SmallFinal, SmallOne, Update};

const NONE: Answer = Fails(Error::OperationNotInitialized);
const ACTIVE: Answer = Fails(Error::OperationActive);

/// Sequences that every family with output follows.
const SCRIPTS: &[&[(Step, Answer)]] = &[
    &[(One, NONE), (Update, NONE), (Final, NONE), (AskOne, NONE), (AskFinal, NONE)],
    &[(Init, Done), (One, Done), (One, NONE)],
    &[(Init, Done), (Init, ACTIVE), (One, Done), (Init, Done), (One, Done)],
    &[(Init, Done), (AskOne, Needs), (AskOne, Needs), (SmallOne, Needs), (One, Done), (AskOne, NONE)],
    &[(Init, Done), (Update, Done), (Update, Done), (Final, Done), (Final, NONE)],
    &[(Init, Done), (Update, Done), (AskFinal, Needs), (SmallFinal, Needs), (Final, Done), (Update, NONE)],
    // One part after several ends the operation.
    &[(Init, Done), (Update, Done), (One, NONE), (Final, NONE), (Init, Done)],
    &[(Init, Done), (Update, Done), (AskOne, NONE), (Update, NONE)],
    // An empty message.
    &[(Init, Done), (Final, Done), (Final, NONE)],
    // Cancelling, whether something is active or not.
    &[(InitNull, Done), (Init, Done), (InitNull, Done), (One, NONE)],
    &[(Cancel, Done), (Init, Done), (Update, Done), (Cancel, Done), (Final, NONE), (Init, Done)],
];

fn run(family: &str, mut call: impl FnMut(Step) -> Result<Option<Written>>) {
    for (number, script) in SCRIPTS.iter().enumerate() {
        call(Cancel).unwrap();
        for (at, (step, expected)) in script.iter().enumerate() {
            let answer = match call(*step) {
                Ok(Some(Written::Needs(_))) => Needs,
                Ok(_) => Done,
                Err(error) => Fails(error),
            };
            assert_eq!(&answer, expected, "{family}, script {number}, step {at} ({step:?})");
        }
    }
}

const DATA: &[u8] = b"sixteen bytes...";

/// A buffer that is large enough for any output here.
fn large(call: impl FnOnce(Output<'_>) -> Result<Written>) -> Result<Option<Written>> {
    call(Output::buffer(&mut [0; 8192])).map(Some)
}

fn small(call: impl FnOnce(Output<'_>) -> Result<Written>) -> Result<Option<Written>> {
    call(Output::buffer(&mut [0; 15])).map(Some)
}

#[test]
fn digests() {
    let bench = Bench::new();
    let (module, session) = (&bench.module, bench.session);
    run("digest", |step| match step {
        Init => module.digest_init(session, plain(ck::CKM_SHA256)).map(|()| None),
        InitNull => module.end_operation(session, Family::Digest).map(|()| None),
        AskOne => module.digest(session, DATA, Output::length()).map(Some),
        SmallOne => small(|out| module.digest(session, DATA, out)),
        One => large(|out| module.digest(session, DATA, out)),
        Update => module.digest_update(session, DATA).map(|()| None),
        AskFinal => module.digest_final(session, Output::length()).map(Some),
        SmallFinal => small(|out| module.digest_final(session, out)),
        Final => large(|out| module.digest_final(session, out)),
        Cancel => {
            module.session(session).unwrap().operations.lock().cancel(ck::CKF_DIGEST);
            Ok(None)
        }
    });
}

#[test]
fn signatures() {
    let bench = Bench::new();
    let (module, session) = (&bench.module, bench.session);
    let secret = bench.secret(ck::CKK_GENERIC_SECRET, b"key");
    for (mechanism, key) in [
        (ck::CKM_ML_DSA, bench.pair(Algorithm::MlDsa(ParameterSet::MlDsa44), &[]).0),
        (ck::CKM_HASH_ML_DSA_SHA512, bench.pair(Algorithm::MlDsa(ParameterSet::MlDsa65), &[]).0),
        (ck::CKM_EDDSA, bench.pair(Algorithm::Ed25519, &[]).0),
        (ck::CKM_SHA256_RSA_PKCS, bench.pair(Algorithm::Rsa, &[]).0),
        (ck::CKM_SHA256_HMAC, secret),
    ] {
        run(&format!("sign {mechanism:#x}"), |step| match step {
            Init => module.sign_init(session, plain(mechanism), key).map(|()| None),
            InitNull => module.end_operation(session, Family::Sign).map(|()| None),
            AskOne => module.sign(session, DATA, Output::length()).map(Some),
            SmallOne => small(|out| module.sign(session, DATA, out)),
            One => large(|out| module.sign(session, DATA, out)),
            Update => module.sign_update(session, DATA).map(|()| None),
            AskFinal => module.sign_final(session, Output::length()).map(Some),
            SmallFinal => small(|out| module.sign_final(session, out)),
            Final => large(|out| module.sign_final(session, out)),
            Cancel => {
                module.session(session).unwrap().operations.lock().cancel(ck::CKF_SIGN);
                Ok(None)
            }
        });
    }
}

#[test]
fn encryption_and_decryption() {
    let bench = Bench::new();
    let (module, session) = (&bench.module, bench.session);
    let key = bench.secret(ck::CKK_AES, &[1; 16]);
    let cipher = call(ck::CKM_AES_GCM, Parameters::Gcm { iv: vec![1; 12], aad: vec![], tag_bits: 128 });
    run("encrypt", |step| match step {
        Init => module.encrypt_init(session, cipher.clone(), key).map(|()| None),
        InitNull => module.end_operation(session, Family::Encrypt).map(|()| None),
        AskOne => module.encrypt(session, DATA, Output::length()).map(Some),
        SmallOne => small(|out| module.encrypt(session, DATA, out)),
        One => large(|out| module.encrypt(session, DATA, out)),
        Update => large(|out| module.encrypt_update(session, DATA, out)),
        AskFinal => module.encrypt_final(session, Output::length()).map(Some),
        SmallFinal => small(|out| module.encrypt_final(session, out)),
        Final => large(|out| module.encrypt_final(session, out)),
        Cancel => {
            module.session(session).unwrap().operations.lock().cancel(ck::CKF_ENCRYPT);
            Ok(None)
        }
    });

    let cipher = call(ck::CKM_AES_CTR, Parameters::Ctr { counter_bits: 128, block: [1; 16] });
    let script = |step| match step {
        Init => module.decrypt_init(session, cipher.clone(), key).map(|()| None),
        InitNull => module.end_operation(session, Family::Decrypt).map(|()| None),
        AskOne => module.decrypt(session, DATA, Output::length()).map(Some),
        SmallOne => small(|out| module.decrypt(session, DATA, out)),
        One => large(|out| module.decrypt(session, DATA, out)),
        Update => large(|out| module.decrypt_update(session, DATA, out)),
        AskFinal => module.decrypt_final(session, Output::length()).map(Some),
        // CTR has no last part, so no buffer is too small for it.
        SmallFinal => Ok(Some(Written::Needs(0))),
        Final => large(|out| module.decrypt_final(session, out)),
        Cancel => {
            module.session(session).unwrap().operations.lock().cancel(ck::CKF_DECRYPT);
            Ok(None)
        }
    };
    run("decrypt", script);
}

#[test]
fn verification_ends_with_its_first_judgement() {
    let bench = Bench::new();
    let (module, session) = (&bench.module, bench.session);
    let (private, public) = bench.pair(Algorithm::Ed25519, &[]);
    let eddsa = plain(ck::CKM_EDDSA);
    let good = bench.sign(&eddsa, private, DATA).unwrap();
    let none = Err(Error::OperationNotInitialized);
    let mut bad = good.clone();
    bad[10] ^= 1;
    for (signature, answer) in [
        (&good[..], Ok(())),
        (&bad, Err(Error::SignatureInvalid)),
        (&good[..63], Err(Error::SignatureLenRange)),
        (&[], Err(Error::SignatureLenRange)),
    ] {
        assert_eq!(bench.verify(&eddsa, public, DATA, signature), answer);
        assert_eq!(module.verify(session, DATA, signature), none);
        assert_eq!(bench.verify_parts(&eddsa, public, &[DATA], signature), answer);
        assert_eq!(module.verify_final(session, signature), none);

        module.verify_signature_init(session, eddsa.clone(), public, signature).unwrap();
        let again = module.verify_signature_init(session, eddsa.clone(), public, signature);
        assert_eq!(again, Err(Error::OperationActive));
        assert_eq!(module.verify_signature(session, DATA), answer);
        assert_eq!(module.verify_signature(session, DATA), none);
        module.verify_signature_init(session, eddsa.clone(), public, signature).unwrap();
        module.verify_signature_update(session, DATA).unwrap();
        assert_eq!(module.verify_signature_final(session), answer);
        assert_eq!(module.verify_signature_final(session), none);
    }
    // One part after several ends the operation.
    module.verify_init(session, eddsa.clone(), public).unwrap();
    module.verify_update(session, DATA).unwrap();
    assert_eq!(module.verify(session, DATA, &good), none);
    assert_eq!(module.verify_final(session, &good), none);
    // The two kinds of verification are cancelled alone by their Init functions and together by C_SessionCancel.
    module.verify_init(session, eddsa.clone(), public).unwrap();
    module.verify_signature_init(session, eddsa.clone(), public, &good).unwrap();
    module.end_operation(session, Family::VerifySignature).unwrap();
    assert_eq!(module.verify_signature(session, DATA), none);
    assert_eq!(module.verify(session, DATA, &good), Ok(()));
    module.verify_init(session, eddsa.clone(), public).unwrap();
    module.verify_signature_init(session, eddsa, public, &good).unwrap();
    module.session(session).unwrap().operations.lock().cancel(ck::CKF_VERIFY);
    assert_eq!(module.verify_signature(session, DATA), none);
    assert_eq!(module.verify(session, DATA, &good), none);
}

#[test]
fn operations_of_different_kinds_do_not_disturb_each_other() {
    let bench = Bench::new();
    let (module, session) = (&bench.module, bench.session);
    let (private, public) = bench.pair(Algorithm::Ed25519, &[]);
    let eddsa = || plain(ck::CKM_EDDSA);
    let signature = bench.sign(&eddsa(), private, DATA).unwrap();
    module.digest_init(session, plain(ck::CKM_SHA256)).unwrap();
    module.sign_init(session, eddsa(), private).unwrap();
    module.verify_init(session, eddsa(), public).unwrap();
    module.message_sign_init(session, eddsa(), private).unwrap();
    module.digest_update(session, DATA).unwrap();
    assert_eq!(module.verify(session, DATA, &signature), Ok(()));
    assert_eq!(filled(|out| module.sign(session, DATA, out)).unwrap(), signature);
    assert_eq!(filled(|out| module.sign_message(session, 0, DATA, out)).unwrap(), signature);
    let digest = algorithms::digest::Hash::Sha256.digest(DATA).unwrap();
    assert_eq!(filled(|out| module.digest_final(session, out)).unwrap(), digest);
}

#[test]
fn logout_ends_what_uses_private_objects_and_nothing_else() {
    let bench = Bench::new();
    let (module, session) = (&bench.module, bench.session);
    let (private, public) = bench.pair(Algorithm::Ed25519, &[(ck::CKA_PRIVATE, true)]);
    let aes = bench.secret(ck::CKK_AES, &[1; 16]);
    let eddsa = || plain(ck::CKM_EDDSA);
    module.sign_init(session, eddsa(), private).unwrap();
    module.message_sign_init(session, eddsa(), private).unwrap();
    module.verify_init(session, eddsa(), public).unwrap();
    module.encrypt_init(session, call(ck::CKM_AES_CBC, Parameters::Iv16([0; 16])), aes).unwrap();
    module.session(session).unwrap().operations.lock().end_private();
    let none = Err(Error::OperationNotInitialized);
    assert_eq!(module.sign(session, DATA, Output::length()), none);
    assert_eq!(module.sign_message(session, 0, DATA, Output::length()), none);
    assert_eq!(module.verify(session, DATA, &[0; 64]), Err(Error::SignatureInvalid));
    assert_eq!(module.encrypt(session, DATA, Output::length()), Ok(Written::Needs(16)));
}

#[test]
fn a_digest_can_be_saved_and_restored_unless_something_stands_against_it() {
    let bench = Bench::new();
    let (module, session) = (&bench.module, bench.session);
    let key = bench.secret(ck::CKK_GENERIC_SECRET, b"a secret of the caller's");
    let (private, public) = bench.pair(Algorithm::Ed25519, &[]);
    assert_eq!(module.operation_state(session, Output::length()), Err(Error::OperationNotInitialized));

    module.digest_init(session, plain(ck::CKM_SHA256)).unwrap();
    module.digest_update(session, b"one").unwrap();
    let state = filled(|out| module.operation_state(session, out)).unwrap();
    module.sign_init(session, plain(ck::CKM_EDDSA), private).unwrap();
    assert_eq!(module.operation_state(session, Output::length()), Err(Error::StateUnsaveable));
    for (encryption, authentication) in [(Some(key), None), (None, Some(key))] {
        let answer = module.set_operation_state(session, &state, encryption, authentication);
        assert_eq!(answer, Err(Error::KeyNotNeeded));
    }
    let damaged = module.set_operation_state(session, &state[1..], None, None);
    assert_eq!(damaged, Err(Error::SavedStateInvalid));
    // Neither refusal changed anything.
    module.digest_update(session, b"two").unwrap();
    let digest = filled(|out| module.digest_final(session, out)).unwrap();
    assert_eq!(digest, algorithms::digest::Hash::Sha256.digest(b"onetwo").unwrap());

    // A restored state is all that is active, and knows that parts have come.
    module.set_operation_state(session, &state, None, None).unwrap();
    assert_eq!(module.sign(session, DATA, Output::length()), Err(Error::OperationNotInitialized));
    assert_eq!(module.digest(session, DATA, Output::length()), Err(Error::OperationNotInitialized));

    // The state of a digest that has taken in a key holds bytes of it.
    module.digest_init(session, plain(ck::CKM_SHA256)).unwrap();
    module.digest_key(session, key).unwrap();
    assert_eq!(module.operation_state(session, Output::length()), Err(Error::StateUnsaveable));
    module.digest_update(session, b"!").unwrap();
    let digest = filled(|out| module.digest_final(session, out)).unwrap();
    let expected = algorithms::digest::Hash::Sha256.digest(b"a secret of the caller's!").unwrap();
    assert_eq!(digest, expected);

    for (handle, answer) in [
        (private, Error::KeyIndigestible),
        (public, Error::KeyIndigestible),
        (ObjectHandle(u64::MAX), Error::KeyHandleInvalid),
    ] {
        module.digest_init(session, plain(ck::CKM_SHA256)).unwrap();
        assert_eq!(module.digest_key(session, handle), Err(answer));
        assert_eq!(module.digest_update(session, b""), Err(Error::OperationNotInitialized));
    }
}
