//! The order of the message-based functions.

use algorithms::Algorithm;
use cryptoki_sys as ck;

use super::*;
use crate::error::Error;

#[test]
fn an_error_ends_the_message_and_not_the_process() {
    let bench = Bench::new();
    let (module, session) = (&bench.module, bench.session);
    let (private, public) = bench.pair(Algorithm::Ed25519, &[]);
    let eddsa = || plain(ck::CKM_EDDSA);
    let none = Err(Error::OperationNotInitialized);
    let active = Err(Error::OperationActive);
    let parameter = Err(Error::MechanismParamInvalid);
    let out = &mut [0; 64];

    assert_eq!(module.sign_message(session, 0, b"m", Output::length()), none);
    assert_eq!(module.sign_message_begin(session, 0), none.map(|_: Written| ()));
    assert_eq!(module.message_sign_final(session), none.map(|_: Written| ()));

    module.message_sign_init(session, eddsa(), private).unwrap();
    assert_eq!(module.message_sign_init(session, eddsa(), private), active.map(|_: Written| ()));
    assert_eq!(module.sign_message_next(session, 0, b"m", None), none.map(Some));
    assert_eq!(module.sign_message(session, 1, b"m", Output::length()), parameter);
    assert_eq!(module.sign_message_begin(session, 1), parameter.map(|_: Written| ()));
    assert_eq!(module.sign_message(session, 0, b"m", Output::buffer(&mut out[..63])), Ok(Written::Needs(64)));

    module.sign_message_begin(session, 0).unwrap();
    assert_eq!(module.sign_message_begin(session, 0), active.map(|_: Written| ()));
    assert_eq!(module.sign_message(session, 0, b"m", Output::length()), active);
    module.sign_message_next(session, 0, b"me", None).unwrap();
    // Asking for the length takes nothing in.
    for _ in 0..2 {
        let asked = module.sign_message_next(session, 0, b"ssage", Some(Output::length()));
        assert_eq!(asked, Ok(Some(Written::Needs(64))));
    }
    let signed = module.sign_message_next(session, 0, b"ssage", Some(Output::buffer(out)));
    assert_eq!(signed, Ok(Some(Written::Bytes(64))));
    assert_eq!(bench.verify(&eddsa(), public, b"message", out), Ok(()));
    assert_eq!(module.sign_message_next(session, 0, b"m", None), none.map(Some));

    // An error within a message: the next message begins afresh.
    module.sign_message_begin(session, 0).unwrap();
    module.sign_message_next(session, 0, b"lost", None).unwrap();
    assert_eq!(module.sign_message_next(session, 1, b"m", None), parameter.map(Some));
    assert_eq!(module.sign_message(session, 0, b"message", Output::buffer(out)), Ok(Written::Bytes(64)));
    assert_eq!(bench.verify(&eddsa(), public, b"message", out), Ok(()));

    // Arguments so bad that they never get here: the same.
    module.sign_message_begin(session, 0).unwrap();
    module.sign_message_next(session, 0, b"lost", None).unwrap();
    module.sign_message_abandon(session).unwrap();
    assert_eq!(module.sign_message_next(session, 0, b"m", None), none.map(Some));
    module.sign_message_begin(session, 0).unwrap();

    module.message_sign_final(session).unwrap();
    assert_eq!(module.sign_message(session, 0, b"m", Output::length()), none);
    assert_eq!(module.sign_message_abandon(session), Ok(()));
    assert_eq!(module.verify_message_abandon(SessionHandle(0)), Err(Error::SessionHandleInvalid));

    let bad = Err(Error::SignatureInvalid);
    module.message_verify_init(session, eddsa(), public).unwrap();
    assert_eq!(module.verify_message(session, 0, b"other", out), bad);
    assert_eq!(module.verify_message(session, 0, b"message", &out[1..]), Err(Error::SignatureLenRange));
    assert_eq!(module.verify_message(session, 1, b"message", out), Err(Error::MechanismParamInvalid));
    module.verify_message_begin(session, 0).unwrap();
    assert_eq!(module.verify_message(session, 0, b"message", out), Err(Error::OperationActive));
    module.verify_message_next(session, 0, b"other", None).unwrap();
    assert_eq!(module.verify_message_next(session, 0, b"", Some(out)), bad);
    assert_eq!(module.verify_message_next(session, 0, b"", Some(out)), Err(Error::OperationNotInitialized));
    assert_eq!(module.verify_message(session, 0, b"message", out), Ok(()));
    module.message_verify_final(session).unwrap();
    assert_eq!(module.verify_message(session, 0, b"message", out), Err(Error::OperationNotInitialized));
}
