//! The store over an HSM, over a real SoftHSM: the suite that every store passes, once with every key sealed under the
//! HSM's and once with keys in the HSM where it has the mechanism, and what only such a store has to do.

#![expect(clippy::unwrap_used, reason = "the whole program is tests")]

mod beside;
#[path = "../crash/child.rs"]
#[expect(dead_code, reason = "it is shared with the tests that kill at random")]
mod child;
mod damaged;
mod fixture;
#[path = "../hostile/flip.rs"]
mod flip;
mod killed;
mod memory;
mod neighbours;
mod objects;
mod search;

/// A number below `bound`.
fn below(bound: u64) -> u64 {
    u64::from_be_bytes(algorithms::random::array().unwrap()) % bound
}

/// Where a child process begins; in the test run itself there is nothing to do.
#[test]
fn child() {
    if let Some(job) = child::job() {
        killed::hold(std::path::Path::new(&job.directory));
    }
}

use fixture::SoftHsm;

/// What of the suite for stores that can be managed holds for an HSM; the rest is exempt, below.
macro_rules! managed {
    ($fixture:expr) => {
        hsm_backends::conformance_tests! { @ $fixture;
            admin: nothing_works_before_c_init_token, a_token_is_made_once, a_wrong_so_pin_erases_nothing,
                the_so_sets_the_users_pin, only_the_so_sets_the_users_pin, pins_are_changed_by_who_knows_them,
                pins_are_any_bytes, a_login_may_meet_c_init_pin;
            backup: a_backup_replaces_no_file, a_changed_backup_changes_nothing,
                a_restore_forgives_no_wrong_pin;
        }
    };
}

mod sealing {
    hsm_backends::conformance_tests!(crate::SoftHsm::sealing());
    managed!(crate::SoftHsm::sealing());
}

mod passing_through {
    hsm_backends::conformance_tests!(crate::SoftHsm::passing_through());

    managed!(crate::SoftHsm::passing_through());
}

hsm_backends::conformance_exempt! { "softhsm";
    admin: init_token_erases =
        "it wants another serial number and finds the token by its label; the HSM's serial number stays, and its label does not";
    backup: a_backup_brings_everything_back = "it takes back a PIN, and PINs are the HSM's",
        a_backup_goes_elsewhere =
            "the key above the records does not leave the HSM, so they open beside no other token",
        a_restore_may_meet_c_init_token =
            "C_InitToken is the HSM's and takes no lock of the records; a restore makes no token in the HSM";
}

#[test]
fn ed25519_among_every_kind() {
    // `objects::of_ed25519_softhsm_has_one_form` has what there is.
    hsm_backends::conformance::exempt(
        "softhsm",
        "keys::every_kind_generates_and_signs with Ed25519 in the HSM",
        "SoftHSM's CKM_EDDSA passes over its parameter; the store notices, and refuses such a signature",
    );
}
