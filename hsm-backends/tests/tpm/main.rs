//! The store over a TPM, over a real swtpm: the suite that every store passes, and what only such a store has to do.

#![expect(clippy::unwrap_used, reason = "the whole program is tests")]

mod device;
mod fixture;
mod owner;
mod policy;
mod relay;
mod swtpm;
mod work;

use fixture::Sealed;

hsm_backends::conformance_tests!(crate::Sealed::new());

// The suite for stores that can be managed, but for what is exempt below.
hsm_backends::conformance_tests! { @ crate::Sealed::new();
    admin: nothing_works_before_c_init_token, a_token_is_made_once, init_token_erases,
        a_wrong_so_pin_erases_nothing, the_so_sets_the_users_pin, only_the_so_sets_the_users_pin,
        pins_are_changed_by_who_knows_them, pins_are_any_bytes, a_login_may_meet_c_init_pin;
    backup: a_backup_goes_elsewhere, a_backup_replaces_no_file, a_changed_backup_changes_nothing,
        a_restore_forgives_no_wrong_pin, a_restore_may_meet_c_init_token;
}

hsm_backends::conformance_exempt! { "tpm";
    backup: a_backup_brings_everything_back =
        "it changes the PIN after the backup, and here that is what makes older copies open no more";
}
