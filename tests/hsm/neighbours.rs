//! The application uses the HSM's library itself: it initialises it before or after the module, logs in and out, and
//! finalises it. Nine threads sign through the module meanwhile, and processes fork.

use std::path::Path;

use cryptoki_sys::*;
use trellis_tests::{
    backend, c, isolated,
    isolated::Place,
    objects::Template,
    process::in_child,
    raw::{Raw, SO_PIN, USER_PIN},
    vendor::Vendor,
};

use crate::{
    limits::Valve,
    load::{ED25519_KEY, Kind, ML_DSA_65, P256_KEY, sign_while},
};

const KINDS: [Kind; 3] = [P256_KEY, ED25519_KEY, ML_DSA_65];

/// The module over SoftHSM, a token with keys, and nobody logged in.
fn made(place: &Place) -> Raw {
    backend::prepare_softhsm(place.directory());
    let text = format!(
        "[[slot]]\npath = 'token'\nbackend = 'pkcs11'\nmodule-path = '{}'\n",
        backend::softhsm().display()
    );
    std::fs::write(place.config(), text).unwrap();
    let p11 = place.load();
    let session = p11.user_session();
    KINDS.iter().for_each(|kind| kind.make(&p11, session));
    p11.finalize();
    p11
}

fn library() -> Vendor {
    Vendor::load(Path::new(&backend::softhsm()))
}

/// Logs in to the module. Where the application is logged in already, the PIN is compared with what the module knows.
fn log_in(p11: &Raw) -> CK_SESSION_HANDLE {
    let session = p11.open(CKF_RW_SESSION);
    assert_eq!(p11.login(session, CKU_USER, b"wrong-pin"), CKR_PIN_INCORRECT);
    assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
    session
}

isolated! {
    fn an_application_that_was_there_first(place) {
        let p11 = made(place);
        let hsm = library();
        assert_eq!(hsm.initialize(), CKR_OK);
        let theirs = hsm.logged_in();
        p11.initialize();
        log_in(&p11);
        sign_while(&p11, &KINDS, 3, |all_have_signed| {
            for _ in 0..10 {
                assert_eq!(hsm.logout(theirs), CKR_OK);
                all_have_signed();
                // The module is logged in by now, and that is the application's login as well.
                assert_eq!(hsm.login(theirs), CKR_USER_ALREADY_LOGGED_IN);
            }
        });
        p11.finalize();
        // What the application has begun is still there.
        assert_eq!(hsm.random(theirs), CKR_OK);
        assert_eq!(hsm.finalize(), CKR_OK);
    }

    fn an_application_that_comes_and_goes(place) {
        let p11 = made(place);
        let hsm = library();
        p11.initialize();
        log_in(&p11);
        for _ in 0..5 {
            // Not while threads are inside: what C_Finalize does then is undefined, and SoftHSM crashes.
            assert_eq!(hsm.initialize(), CKR_CRYPTOKI_ALREADY_INITIALIZED);
            assert_eq!(hsm.finalize(), CKR_OK);
            sign_while(&p11, &KINDS, 3, |all_have_signed| all_have_signed());
        }
        p11.finalize();
    }

    fn a_key_of_theirs_that_wants_a_login_for_each_use(place) {
        let p11 = made(place);
        let hsm = library();
        assert_eq!(hsm.initialize(), CKR_OK);
        let theirs = hsm.logged_in();
        let guarded = P256_KEY.named("guarded");
        guarded.make_guarded(&hsm, theirs);
        assert_eq!(hsm.finalize(), CKR_OK);
        p11.initialize();
        let session = log_in(&p11);
        let keys = guarded.keys(&p11, session).unwrap();
        let unasked = || assert_eq!(guarded.sign(&p11, session, keys), Err(CKR_USER_NOT_LOGGED_IN));
        unasked();
        let wrong = || assert_eq!(p11.login(session, CKU_CONTEXT_SPECIFIC, b"wrong-pin"), CKR_PIN_INCORRECT);
        assert_eq!(guarded.sign_after(&p11, session, keys, wrong), Err(CKR_USER_NOT_LOGGED_IN));
        let right = || assert_eq!(p11.login(session, CKU_CONTEXT_SPECIFIC, USER_PIN), CKR_OK);
        assert_eq!(guarded.sign_after(&p11, session, keys, right), Ok(()));
        unasked();
    }

    fn keys_of_theirs_have_handles_that_last_and_names_that_are_found(place) {
        let p11 = made(place);
        let hsm = library();
        assert_eq!(hsm.initialize(), CKR_OK);
        let theirs = hsm.logged_in();
        P256_KEY.named("theirs").make_guarded(&hsm, theirs);
        assert_eq!(hsm.finalize(), CKR_OK);
        p11.initialize();
        let session = p11.open(CKF_RW_SESSION);
        let named = |class| Template::new().number(CKA_CLASS, class).label("theirs");
        let public = p11.find(session, &named(CKO_PUBLIC_KEY)).unwrap();
        assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
        assert_eq!(p11.value(session, public[0], CKA_LABEL), Ok(b"theirs".to_vec()));
        let private = p11.find(session, &named(CKO_PRIVATE_KEY)).unwrap();
        let unique_id = p11.value(session, private[0], CKA_UNIQUE_ID).unwrap();
        // Another process has not listed it before.
        p11.finalize();
        p11.initialize();
        let session = log_in(&p11);
        let found = p11.find(session, &Template::new().bytes(CKA_UNIQUE_ID, &unique_id)).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(p11.value(session, found[0], CKA_LABEL), Ok(b"theirs".to_vec()));
    }

    fn children_of_an_application_with_threads(place) {
        let p11 = made(place);
        let hsm = library();
        p11.initialize();
        log_in(&p11);
        sign_while(&p11, &KINDS, 3, |all_have_signed| {
            for number in 0..6 {
                let status = in_child(|| {
                    if number % 2 == 0 {
                        p11.finalize();
                    }
                    p11.initialize();
                    log_in(&p11);
                    sign_while(&p11, &KINDS, 1, |all_have_signed| all_have_signed());
                    // The child's application as well.
                    assert_eq!(hsm.initialize(), CKR_CRYPTOKI_ALREADY_INITIALIZED);
                    assert_eq!(hsm.random(hsm.open()), CKR_OK);
                    p11.finalize();
                    0
                });
                assert_eq!(status, 0);
                all_have_signed();
            }
        });
        let session = p11.open(0);
        assert_eq!(c!(p11.C_CloseSession(session)), CKR_OK);
    }

    fn a_first_pin_beside_a_login_of_the_applications(place) {
        let valve = Valve::new(place);
        let p11 = place.load();
        let session = p11.user_session();
        assert_eq!(c!(p11.C_Logout(session)), CKR_OK);
        // From now on nobody knows the PIN but the HSM.
        assert_eq!(p11.login(session, CKU_SO, SO_PIN), CKR_OK);
        assert_eq!(p11.init_pin(session, USER_PIN), CKR_OK);
        assert_eq!(c!(p11.C_Logout(session)), CKR_OK);
        let hsm = library();
        let theirs = hsm.logged_in();
        let mut given = valve.ask("valve_logins");
        let mut log_in = |pin: &[u8], often| {
            let rv = p11.login(session, CKU_USER, pin);
            given += often;
            assert_eq!(valve.ask("valve_logins"), given, "{rv:#x}");
            rv
        };
        // An HSM that has no keys that want a PIN for each use, and one that uses them without.
        for what in [1, 2] {
            valve.set("valve_guards", what);
            for pin in [b"wrong-pin", USER_PIN] {
                assert_eq!(log_in(pin, 1), CKR_DEVICE_ERROR, "nothing can judge it");
            }
        }
        valve.set("valve_guards", 0);
        assert_eq!(log_in(b"wrong-pin", 2), CKR_PIN_INCORRECT);
        assert_eq!(log_in(USER_PIN, 2), CKR_OK);
        assert_eq!(c!(p11.C_Logout(session)), CKR_OK);
        // It is compared with this one from now on.
        assert_eq!(log_in(b"wrong-pin", 1), CKR_PIN_INCORRECT);
        assert_eq!(log_in(USER_PIN, 1), CKR_OK);
        assert_eq!(c!(p11.C_Logout(session)), CKR_OK);
        assert_eq!(hsm.logout(theirs), CKR_OK, "the login was theirs");
    }
}
