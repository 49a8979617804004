//! The HSM's process is killed and started again under load.

use std::{thread, time::Duration};

use cryptoki_sys::*;
use trellis_tests::{isolated, process, raw::USER_PIN, served::Hsm};

use crate::load::{ML_DSA_65, P256_KEY, sign_while};

isolated! {
    fn no_signature_fails_while_the_hsm_is_killed_and_started(place) {
        let mut hsm = Hsm::start(place);
        process::sigpipe_kills();
        let p11 = place.load();
        let session = p11.user_session();
        P256_KEY.make(&p11, session);
        ML_DSA_65.make(&p11, session);
        sign_while(&p11, &[P256_KEY, ML_DSA_65], 4, |all_have_signed| {
            for turn in 0..6 {
                hsm.kill();
                // At once, and after a while in which nobody can sign.
                thread::sleep(Duration::from_millis(100 * turn));
                hsm.restart();
                all_have_signed();
            }
        });
        // Whoever was not logged in finds an HSM as well.
        p11.finalize();
        p11.initialize();
        let session = p11.open(CKF_RW_SESSION);
        hsm.restart();
        assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
    }
}
