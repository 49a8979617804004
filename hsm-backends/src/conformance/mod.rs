//! What every [`KeyStore`] must do, as tests that each store's own test file runs unchanged.
//!
//! ```text
//! hsm_backends::conformance_tests!(crate::MyFixture::new());
//! ```
//!
//! makes one `#[test]` of each check, with a fresh [`Fixture`] for each (the tests stand in modules of their own, so the
//! expression names things from the crate's root). A store that can be managed runs
//! [`conformance_admin_tests!`](crate::conformance_admin_tests) as well. The contract itself stands in `traits.rs`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(missing_docs, reason = "the name of a check says what is checked")]

pub mod admin;
pub mod backup;
pub mod find;
pub mod keys;
pub mod objects;
pub mod pins;
pub mod threads;

use std::{io::Write, path::Path};

use cryptoki_sys as ck;

use crate::{Attributes, Change, KeySpec, KeyStore, NewSecret, Objects, Pin, RecordId, Role, Value, Vault};

/// One fresh token without objects, on which both PINs are set.
pub trait Fixture: Send + Sync {
    /// Another door to this token, as another process would have it.
    fn open(&self) -> Box<dyn KeyStore>;
    /// The user's PIN.
    fn user_pin(&self) -> Pin {
        Pin::presented(b"user-pin")
    }
    /// The security officer's PIN.
    fn so_pin(&self) -> Pin {
        Pin::presented(b"so-pin")
    }
    /// Wrong PINs before one is locked: at least three.
    fn pin_tries(&self) -> u32 {
        4
    }
    /// What the store must be able to generate, sign with and keep.
    fn keys(&self) -> Vec<KeySpec> {
        keys::every_key()
    }
}

/// The fixture of a store with [`KeyStore::admin`].
pub trait AdminFixture: Fixture {
    /// A door to another token, which nobody has initialised.
    fn blank(&self) -> Box<dyn KeyStore>;
    /// A directory for backups, empty at first.
    fn scratch(&self) -> &Path;
}

/// The checks that every store passes, each as a `#[test]`. The argument makes a fixture.
#[macro_export]
macro_rules! conformance_tests {
    ($fixture:expr) => {
        $crate::conformance_tests! { @ $fixture;
            objects: a_new_token_is_empty, records_come_back_whole, public_objects_need_no_pin,
                private_objects_need_the_users_pin, updates_are_optimistic, what_cannot_be_updated,
                a_destroyed_object_is_gone, a_commit_is_all_or_nothing, doors_see_each_other;
            find: every_attribute_and_combination, odd_templates_match_nothing, found_in_order_of_creation;
            keys: every_kind_generates_and_signs, imported_keys_stay_the_same, secret_keys_come_back,
                secrets_outlive_updates, what_is_no_key, the_secret_of_a_public_object_is_the_users, absurd_keys_are_refused, logging_out_lets_go_of_keys;
            pins: wrong_pins_count_and_lock, a_right_pin_forgives, a_second_look_at_the_pin,
                roles_are_counted_apart, guesses_at_once_stay_within_the_limit, right_pins_at_once_all_open;
            threads: threads_do_not_disturb_each_other, one_record_many_writers, a_fork_holds_calls_back,
                calls_go_on_around_forks;
        }
    };
    (@ $fixture:expr; $($module:ident: $($check:ident),+;)+) => { $(
        mod $module {
            $( #[test] fn $check() { $crate::conformance::$module::$check(&$fixture); } )+
        }
    )+ };
}

/// The checks that every store with [`KeyStore::admin`] passes besides.
#[macro_export]
macro_rules! conformance_admin_tests {
    ($fixture:expr) => {
        $crate::conformance_tests! { @ $fixture;
            admin: nothing_works_before_c_init_token, a_token_is_made_once, init_token_erases,
                a_wrong_so_pin_erases_nothing, the_so_sets_the_users_pin, only_the_so_sets_the_users_pin,
                pins_are_changed_by_who_knows_them, pins_are_any_bytes, a_login_may_meet_c_init_pin;
            backup: a_backup_brings_everything_back, a_backup_goes_elsewhere, a_backup_replaces_no_file,
                a_changed_backup_changes_nothing, a_restore_forgives_no_wrong_pin,
                a_restore_may_meet_c_init_token;
        }
    };
}

/// The checks that a store cannot pass, and why not: each is a `#[test]` that says so, and is counted by name among those
/// that could not run.
#[macro_export]
macro_rules! conformance_exempt {
    ($backend:literal; $($module:ident: $($check:ident = $why:literal),+;)+) => {
        mod exempt { $(
            mod $module {
                $( #[test] fn $check() {
                    let _known = $crate::conformance::$module::$check;
                    let name = concat!(stringify!($module), "::", stringify!($check));
                    $crate::conformance::exempt($backend, name, $why);
                } )+
            }
        )+ }
    };
}

/// Says that a test cannot run over a backend: as a line of the file that TRELLIS_TESTS_NOT_RUN names, if any.
pub fn exempt(backend: &str, test: &str, why: &str) {
    if let Some(path) = std::env::var_os("TRELLIS_TESTS_NOT_RUN") {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        // One write, since other tests write to it as well.
        file.write_all(format!("exempt: conformance {test} over {backend}: {why}\n").as_bytes()).unwrap();
    }
}

fn user(store: &dyn KeyStore, token: &dyn Fixture) -> Box<dyn Vault> {
    store.unlock(Role::User, &token.user_pin()).unwrap()
}

fn so(store: &dyn KeyStore, token: &dyn Fixture) -> Box<dyn Vault> {
    store.unlock(Role::SecurityOfficer, &token.so_pin()).unwrap()
}

fn bytes(value: &str) -> Value {
    Value::Bytes(value.as_bytes().to_vec())
}

/// A data object.
fn data(label: &str, private: bool) -> Attributes {
    [
        (ck::CKA_CLASS, Value::Ulong(ck::CKO_DATA)),
        (ck::CKA_PRIVATE, Value::Bool(private)),
        (ck::CKA_LABEL, bytes(label)),
        (ck::CKA_VALUE, bytes("value")),
    ]
    .into_iter()
    .collect()
}

/// A private or secret key, as far as a store is concerned.
fn key(label: &str, secret: &NewSecret) -> Attributes {
    let class = match secret {
        NewSecret::Private(_) => ck::CKO_PRIVATE_KEY,
        NewSecret::Secret(_) => ck::CKO_SECRET_KEY,
    };
    let mut attributes = data(label, true);
    attributes.set(ck::CKA_CLASS, class);
    attributes.remove(ck::CKA_VALUE);
    attributes
}

fn by_label(label: &str) -> Attributes {
    [(ck::CKA_LABEL, bytes(label))].into_iter().collect()
}

fn everything(objects: &(impl Objects + ?Sized)) -> Vec<RecordId> {
    objects.find(&Attributes::new()).unwrap()
}

fn create(attributes: Attributes, secret: Option<NewSecret>) -> (RecordId, Change) {
    let id = RecordId::random().unwrap();
    (id, Change::Create { id, attributes, secret })
}

fn put(objects: &(impl Objects + ?Sized), attributes: Attributes, secret: Option<NewSecret>) -> RecordId {
    let (id, change) = create(attributes, secret);
    objects.commit(vec![change]).unwrap();
    id
}
