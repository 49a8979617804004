//! Processes that are killed in the middle of anything: what was acknowledged is there and whole, and nothing else is
//! to be seen but what was under way, all of it or nothing.
//!
//! The writers are this same program, started again with a job in its environment; they write down what they are
//! about to do and what is done on their standard error, which outlives them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod administration;
mod child;
mod ledger;
mod writers;

use std::path::Path;

use algorithms::random;
use hsm_backends::{
    KeyStore, Pin, Role,
    embedded::{EmbeddedStore, Options},
};

const SO: &[u8] = b"so-pin";
const USER: &[u8] = b"user-pin";

/// A door to the token of a directory. The limit is out of reach: these tests count tries, and lock nobody out.
fn store(directory: &Path) -> EmbeddedStore {
    EmbeddedStore::new(Options { directory: directory.to_owned(), pin_tries: 1_000_000 })
}

fn initialize(directory: &Path) {
    let store = store(directory);
    let admin = store.admin().unwrap();
    admin.init_token(&Pin::presented(SO), "crash").unwrap();
    let so = store.unlock(Role::SecurityOfficer, &Pin::presented(SO)).unwrap();
    admin.init_pin(&*so, &Pin::presented(USER)).unwrap();
}

/// A number below `bound`.
fn below(bound: u64) -> u64 {
    u64::from_be_bytes(random::array().unwrap()) % bound
}

/// Where a child process begins; in the test run itself there is nothing to do.
#[test]
fn child() {
    let Some(job) = child::job() else { return };
    let directory = Path::new(&job.directory);
    match job.name.as_str() {
        "keys" => writers::keys(directory),
        "public" => writers::public(directory),
        "guess" => writers::guess(directory),
        "init" => administration::init(directory),
        "pins" => administration::pins(directory),
        "restore" => administration::restore(directory),
        other => panic!("an unknown job: {other}"),
    }
}
