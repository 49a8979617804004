//! An HSM that opens few sessions, and one whose answers stop for a while: neither reaches the application.

use std::{path::Path, thread, time::Duration};

use cryptoki_sys::*;
use libloading::os::unix::{Library, Symbol};
use trellis_tests::{backend, isolated, isolated::Place, library, process};

use crate::load::{ED25519_KEY, ML_DSA_65, P256_KEY, sign_while};

/// SoftHSM behind the valve of `valve.rs`.
struct Valve(Library);

impl Valve {
    /// Configures the module's slot over it. Call before a thread is made.
    fn new(place: &Place) -> Self {
        backend::prepare_softhsm(place.directory());
        process::set_variable("TRELLIS_VALVE_LIBRARY", backend::softhsm().as_os_str());
        let path = library::example("valve");
        std::fs::write(place.config(), Self::configuration(&path)).unwrap();
        Self(process::load(&path))
    }

    fn configuration(library: &Path) -> String {
        format!("[[slot]]\npath = 'token'\nbackend = 'pkcs11'\nmodule-path = '{}'\n", library.display())
    }

    fn set(&self, name: &str, value: u64) {
        let function: Symbol<extern "C" fn(u64)> = process::symbol(&self.0, name);
        function(value);
    }

    fn open(&self) -> u64 {
        let function: Symbol<extern "C" fn() -> u64> = process::symbol(&self.0, "valve_open");
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
            assert_eq!(p11.login(session, CKU_USER, trellis_tests::raw::USER_PIN), CKR_OK);
            sign_while(&p11, &[P256_KEY, ED25519_KEY], 6, |all_have_signed| {
                all_have_signed();
                assert!((1..=limit).contains(&valve.open()));
            });
            // Administration has to make do with as many.
            assert_eq!(p11.set_pin(session, trellis_tests::raw::USER_PIN, b"another-pin"), CKR_OK);
            assert_eq!(p11.set_pin(session, b"another-pin", trellis_tests::raw::USER_PIN), CKR_OK);
        }
        drop(many);
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
