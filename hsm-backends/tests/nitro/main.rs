//! The store in an enclave, with the enclave's program, the host and a KMS double as processes: the suite that every store
//! passes, and what only such a store has to do.

#![expect(clippy::unwrap_used, reason = "the whole program is tests")]

mod fixture;
mod healing;
mod keys;
mod pins;

mod suite {
    hsm_backends::conformance_tests!(crate::fixture::Nitro::new());
    hsm_backends::conformance_admin_tests!(crate::fixture::Nitro::new());
}
