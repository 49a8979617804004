//! The store in an enclave, with the enclave's program, the host and a KMS double as processes: the suite that every store
//! passes, and what only such a store has to do.

#![expect(clippy::unwrap_used, reason = "the whole program is tests")]

#[path = "../crash/child.rs"]
mod child;
mod fixture;
#[path = "../hostile/flip.rs"]
mod flip;
mod healing;
mod keys;
mod killed;
mod pins;

/// A number below `bound`.
fn below(bound: u64) -> u64 {
    u64::from_be_bytes(algorithms::random::array().unwrap()) % bound
}

/// Where a child process begins; in the test run itself there is nothing to do.
#[test]
fn child() {
    if let Some(job) = child::job() {
        killed::work(&job.name, std::path::Path::new(&job.directory));
    }
}

mod suite {
    hsm_backends::conformance_tests!(crate::fixture::Nitro::new());
    hsm_backends::conformance_admin_tests!(crate::fixture::Nitro::new());
}
