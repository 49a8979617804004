//! The store over an HSM, over a real SoftHSM: the suite that every store passes, once with every key sealed under the
//! HSM's and once with keys in the HSM where it has the mechanism, and what only such a store has to do.

#![expect(clippy::unwrap_used, reason = "the whole program is tests")]

mod fixture;
mod neighbours;
mod objects;

use fixture::SoftHsm;

mod sealing {
    hsm_backends::conformance_tests!(crate::SoftHsm::sealing());
}

mod passing_through {
    hsm_backends::conformance_tests!(crate::SoftHsm::passing_through());

    // What of the suite for stores that can be managed holds for an HSM. Left out: what needs a token that nobody has
    // initialised (SoftHSM makes tokens in a slot that it shows under another number afterwards), a serial number that
    // C_InitToken changes (the HSM's own stays), a backup that takes back what is in the HSM as well, two tokens with one officer's PIN, and backups that open beside
    // another token (the key above them does not leave the HSM).
    hsm_backends::conformance_tests! { @ crate::SoftHsm::passing_through();
        admin: a_wrong_so_pin_erases_nothing, the_so_sets_the_users_pin, pins_are_changed_by_who_knows_them,
            pins_are_any_bytes, a_login_may_meet_c_init_pin;
        backup: a_backup_replaces_no_file, a_changed_backup_changes_nothing,
            a_restore_forgives_no_wrong_pin;
    }
}
