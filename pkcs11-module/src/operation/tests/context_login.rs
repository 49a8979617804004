//! CKA_ALWAYS_AUTHENTICATE: each signature needs a login of its own.

use algorithms::Algorithm;
use cryptoki_sys as ck;

use super::*;
use crate::error::Error;

/// What C_Login(CKU_CONTEXT_SPECIFIC) does once the PIN was right.
fn log_in(bench: &Bench) -> Result<()> {
    let session = bench.module.session(bench.session).unwrap();
    let mut operations = session.operations.lock();
    *operations.awaiting_context_login().ok_or(Error::OperationNotInitialized)? = true;
    Ok(())
}

#[test]
fn a_login_counts_for_one_signature_and_only_after_init() {
    let bench = Bench::new();
    let (module, session) = (&bench.module, bench.session);
    let (guarded, public) = bench.pair(Algorithm::Ed25519, &[(ck::CKA_ALWAYS_AUTHENTICATE, true)]);
    let (free, _) = bench.pair(Algorithm::Ed25519, &[]);
    let eddsa = || plain(ck::CKM_EDDSA);
    let refused = Err(Error::UserNotLoggedIn);
    let out = &mut [0; 64];

    assert_eq!(log_in(&bench), Err(Error::OperationNotInitialized));
    module.sign_init(session, eddsa(), free).unwrap();
    assert_eq!(log_in(&bench), Err(Error::OperationNotInitialized));
    assert_eq!(module.sign(session, b"m", Output::buffer(out)), Ok(Written::Bytes(64)));

    for _ in 0..2 {
        // Not logged in: the length is no secret, the signature is refused, and the operation has ended.
        module.sign_init(session, eddsa(), guarded).unwrap();
        assert_eq!(module.sign(session, b"m", Output::length()), Ok(Written::Needs(64)));
        assert_eq!(module.sign(session, b"m", Output::buffer(out)), refused);
        assert_eq!(log_in(&bench), Err(Error::OperationNotInitialized));
        module.sign_init(session, eddsa(), guarded).unwrap();
        assert_eq!(module.sign_update(session, b"m"), refused.map(|_: Written| ()));
        module.sign_init(session, eddsa(), guarded).unwrap();
        assert_eq!(module.sign_final(session, Output::buffer(out)), refused);

        module.sign_init(session, eddsa(), guarded).unwrap();
        log_in(&bench).unwrap();
        assert_eq!(module.sign(session, b"m", Output::length()), Ok(Written::Needs(64)));
        assert_eq!(module.sign(session, b"m", Output::buffer(out)), Ok(Written::Bytes(64)));
        assert_eq!(bench.verify(&eddsa(), public, b"m", out), Ok(()));

        module.sign_init(session, eddsa(), guarded).unwrap();
        log_in(&bench).unwrap();
        module.sign_update(session, b"m").unwrap();
        assert_eq!(module.sign_final(session, Output::buffer(out)), Ok(Written::Bytes(64)));
        assert_eq!(bench.verify(&eddsa(), public, b"m", out), Ok(()));
    }
}

#[test]
fn each_message_of_a_message_based_process_needs_a_login() {
    let bench = Bench::new();
    let (module, session) = (&bench.module, bench.session);
    let (guarded, _) = bench.pair(Algorithm::Ed25519, &[(ck::CKA_ALWAYS_AUTHENTICATE, true)]);
    let out = &mut [0; 64];
    module.message_sign_init(session, plain(ck::CKM_EDDSA), guarded).unwrap();
    for _ in 0..2 {
        let refused = module.sign_message(session, 0, b"m", Output::buffer(out));
        assert_eq!(refused, Err(Error::UserNotLoggedIn));
        log_in(&bench).unwrap();
        let signed = module.sign_message(session, 0, b"m", Output::buffer(out));
        assert_eq!(signed, Ok(Written::Bytes(64)));
    }
}

#[test]
fn the_login_goes_to_the_operation_begun_last() {
    let bench = Bench::new();
    let (module, session) = (&bench.module, bench.session);
    let (guarded, _) = bench.pair(Algorithm::Ed25519, &[(ck::CKA_ALWAYS_AUTHENTICATE, true)]);
    let out = &mut [0; 64];
    module.message_sign_init(session, plain(ck::CKM_EDDSA), guarded).unwrap();
    module.sign_init(session, plain(ck::CKM_EDDSA), guarded).unwrap();
    log_in(&bench).unwrap();
    let message = module.sign_message(session, 0, b"m", Output::buffer(out));
    assert_eq!(message, Err(Error::UserNotLoggedIn));
    assert_eq!(module.sign(session, b"m", Output::buffer(out)), Ok(Written::Bytes(64)));
    log_in(&bench).unwrap();
    let message = module.sign_message(session, 0, b"m", Output::buffer(out));
    assert_eq!(message, Ok(Written::Bytes(64)));
}
