//! An HSM that opens few sessions, and one whose answers stop for a while: neither reaches the application.

use std::{path::Path, thread, time::Duration};

use cryptoki_sys::*;
use libloading::os::unix::{Library, Symbol};
use trellis_tests::{
    backend, c, isolated,
    isolated::Place,
    library, process,
    raw::{SO_PIN, USER_PIN},
    vendor::Vendor,
};

use crate::load::{ED25519_KEY, ML_DSA_65, P256_KEY, sign_while};

/// SoftHSM behind the valve of `valve.rs`.
pub(crate) struct Valve(Library);

impl Valve {
    /// Configures the module's slot over it. Call before a thread is made.
    pub(crate) fn new(place: &Place) -> Self {
        backend::prepare_softhsm(place.directory());
        process::set_variable("TRELLIS_VALVE_LIBRARY", backend::softhsm().as_os_str());
        let path = library::example("valve");
        std::fs::write(place.config(), Self::configuration(&path)).unwrap();
        Self(process::load(&path))
    }

    fn configuration(library: &Path) -> String {
        format!("[[slot]]\npath = 'token'\nbackend = 'pkcs11'\nmodule-path = '{}'\n", library.display())
    }

    pub(crate) fn set(&self, name: &str, value: u64) {
        let function: Symbol<extern "C" fn(u64)> = process::symbol(&self.0, name);
        function(value);
    }

    pub(crate) fn ask(&self, name: &str) -> u64 {
        let function: Symbol<extern "C" fn() -> u64> = process::symbol(&self.0, name);
        function()
    }
}

isolated! {
    fn more_sessions_than_the_hsm_opens(place) {
        let valve = Valve::new(place);
        let p11 = place.load();
        let session = p11.user_session();
        P256_KEY.make(&p11, session);
        ED25519_KEY.make(&p11, session);
        // Sessions of ours cost the HSM none.
        let many: Vec<_> = (0..500).map(|_| p11.open(CKF_RW_SESSION)).collect();
        for limit in [3, 1] {
            valve.set("valve_limit", limit);
            // Those of before are closed as well.
            p11.finalize();
            p11.initialize();
            let session = p11.open(CKF_RW_SESSION);
            assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
            sign_while(&p11, &[P256_KEY, ED25519_KEY], 6, |all_have_signed| {
                all_have_signed();
                assert!((1..=limit).contains(&valve.ask("valve_open")));
            });
            // Administration has to make do with as many.
            assert_eq!(p11.set_pin(session, USER_PIN, b"another-pin"), CKR_OK);
            assert_eq!(p11.set_pin(session, b"another-pin", USER_PIN), CKR_OK);
        }
        drop(many);
    }

    fn a_pin_is_given_once_when_its_answer_is_lost(place) {
        let valve = Valve::new(place);
        let p11 = place.load();
        let (user, officer) = (USER_PIN, SO_PIN);
        let session = p11.user_session();
        assert_eq!(c!(p11.C_Logout(session)), CKR_OK);
        let mut given = valve.ask("valve_logins");
        let mut log_in = |who, pin: &[u8], lost| {
            valve.set("valve_login_answer", lost);
            let rv = p11.login(session, who, pin);
            given += 1;
            assert_eq!(valve.ask("valve_logins"), given, "{lost:#x}");
            rv
        };
        for (lost, seen) in [
            (CKR_GENERAL_ERROR, CKR_DEVICE_ERROR),
            (CKR_FUNCTION_FAILED, CKR_DEVICE_ERROR),
            (CKR_DEVICE_ERROR, CKR_DEVICE_ERROR),
            (CKR_DEVICE_REMOVED, CKR_DEVICE_REMOVED),
            (CKR_SESSION_CLOSED, CKR_DEVICE_ERROR),
        ] {
            for (who, pin) in [(CKU_USER, user), (CKU_SO, officer)] {
                assert_eq!(log_in(who, b"wrong-pin", lost), seen, "{lost:#x}");
                assert_eq!(log_in(who, pin, lost), seen, "{lost:#x}");
                // Whoever has the right one is not kept out by what was left behind.
                assert_eq!(log_in(who, pin, CKR_OK), CKR_OK, "{lost:#x}");
                assert_eq!(c!(p11.C_Logout(session)), CKR_OK);
            }
        }
    }

    fn a_pin_that_was_right_is_given_again_until_it_is_refused(place) {
        let valve = Valve::new(place);
        let p11 = place.load();
        let session = p11.user_session();
        P256_KEY.make(&p11, session);
        let keys = P256_KEY.keys(&p11, session).unwrap();
        let forget = || assert_eq!(valve.ask("valve_forget"), 0);
        let given = valve.ask("valve_logins");
        forget();
        assert_eq!(P256_KEY.sign(&p11, session, keys), Ok(()));
        assert_eq!(valve.ask("valve_logins"), given + 1);
        forget();
        valve.set("valve_login_answer", CKR_PIN_INCORRECT);
        for _ in 0..3 {
            assert!(P256_KEY.sign(&p11, session, keys).is_err());
            assert_eq!(valve.ask("valve_logins"), given + 2);
        }
    }

    fn a_process_that_is_killed_between_two_pins_leaves_no_trace_of_the_old_one(place) {
        let valve = Valve::new(place);
        let p11 = place.load();
        p11.user_session();
        p11.finalize();
        let ways: [&dyn Fn(CK_SESSION_HANDLE); 2] = [
            &|session| assert_eq!(p11.set_pin(session, b"old-pin", USER_PIN), CKR_OK),
            &|session| {
                assert_eq!(p11.login(session, CKU_SO, SO_PIN), CKR_OK);
                assert_eq!(p11.init_pin(session, USER_PIN), CKR_OK);
            },
        ];
        for way in ways {
            p11.initialize();
            let session = p11.open(CKF_RW_SESSION);
            assert_eq!(p11.set_pin(session, USER_PIN, b"old-pin"), CKR_OK);
            assert_eq!(p11.login(session, CKU_USER, b"old-pin"), CKR_OK);
            p11.finalize();
            let killed = process::in_child(|| {
                p11.initialize();
                valve.set("valve_end_at_new_pin", 1);
                way(p11.open(CKF_RW_SESSION));
                0
            });
            assert_eq!(killed, -libc::SIGKILL);
            // The application is logged in to the HSM itself, which says nothing of a PIN then.
            let hsm = Vendor::load(&library::example("valve"));
            assert_eq!(hsm.initialize(), CKR_OK);
            let theirs = hsm.logged_in();
            p11.initialize();
            let session = p11.open(CKF_RW_SESSION);
            assert_ne!(p11.login(session, CKU_USER, b"old-pin"), CKR_OK);
            assert_eq!(hsm.logout(theirs), CKR_OK);
            assert_eq!(p11.login(session, CKU_USER, b"old-pin"), CKR_PIN_INCORRECT);
            assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
            p11.finalize();
            assert_eq!(hsm.finalize(), CKR_OK);
        }
    }

    fn a_key_that_the_hsm_does_not_destroy_goes_at_a_later_login(place) {
        let valve = Valve::new(place);
        let p11 = place.load();
        let session = p11.user_session();
        for kind in [P256_KEY, ED25519_KEY] {
            kind.make(&p11, session);
        }
        // The application's own, which shares the store's login.
        let hsm = Vendor::load(&library::example("valve"));
        let in_hsm = || hsm.labels(hsm.open(), CKO_PRIVATE_KEY);
        assert_eq!(in_hsm().len(), 2);
        let (_, private) = P256_KEY.keys(&p11, session).unwrap();
        valve.set("valve_answer", CKR_DEVICE_ERROR);
        assert_eq!(c!(p11.C_DestroyObject(session, private)), CKR_DEVICE_REMOVED);
        valve.set("valve_answer", CKR_OK);
        assert_eq!(c!(p11.C_DestroyObject(session, private)), CKR_OBJECT_HANDLE_INVALID);
        assert_eq!(c!(p11.C_Logout(session)), CKR_OK);
        assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
        assert_eq!(in_hsm().len(), 1);
        let keys = ED25519_KEY.keys(&p11, session).unwrap();
        assert_eq!(ED25519_KEY.sign(&p11, session, keys), Ok(()));
    }

    fn others_take_all_sessions_for_a_while(place) {
        let valve = Valve::new(place);
        let p11 = place.load();
        let session = p11.user_session();
        P256_KEY.make(&p11, session);
        sign_while(&p11, &[P256_KEY], 4, |all_have_signed| {
            for _ in 0..5 {
                // All that are open are lost, and no other opens.
                valve.set("valve_limit", 0);
                valve.set("valve_answer", CKR_SESSION_HANDLE_INVALID);
                thread::sleep(Duration::from_millis(20));
                valve.set("valve_answer", CKR_OK);
                thread::sleep(Duration::from_millis(50));
                valve.set("valve_limit", 2);
                all_have_signed();
            }
        });
    }

    fn no_signature_fails_while_the_hsm_answers_nothing(place) {
        let valve = Valve::new(place);
        let p11 = place.load();
        let session = p11.user_session();
        P256_KEY.make(&p11, session);
        ED25519_KEY.make(&p11, session);
        ML_DSA_65.make(&p11, session);
        sign_while(&p11, &[P256_KEY, ED25519_KEY, ML_DSA_65], 3, |all_have_signed| {
            for answer in [
                CKR_SESSION_HANDLE_INVALID,
                CKR_SESSION_CLOSED,
                CKR_DEVICE_REMOVED,
                CKR_DEVICE_ERROR,
                CKR_TOKEN_NOT_PRESENT,
                CKR_SLOT_ID_INVALID,
                CKR_USER_NOT_LOGGED_IN,
                CKR_CRYPTOKI_NOT_INITIALIZED,
            ] {
                valve.set("valve_answer", answer);
                thread::sleep(Duration::from_millis(60));
                valve.set("valve_answer", CKR_OK);
                all_have_signed();
            }
        });
    }
}
