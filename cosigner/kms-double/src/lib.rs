//! For tests only, never shipped: as much of AWS KMS as the data keys of an enclave need, on this machine, so that the
//! real client of AWS talks to it.
//!
//! It speaks the JSON 1.1 protocol over plain HTTP, checks `Recipient.AttestationDocument` against a root that it is
//! told, applies a key policy in AWS' own words ([`Policy`]), binds the encryption context into the ciphertext, and
//! answers `CiphertextForRecipient` in the BER of the real service ([`envelope`]). What AWS does with a call's SigV4
//! signature it does not do: a call needs to have one, and is taken to be the configured caller's.
//!
//! [`Faults`] makes it fail as AWS fails, hold calls back, or answer `Plaintext` as other imitations of KMS do.
#![forbid(unsafe_code)]

mod condition;
pub mod envelope;
mod error;
mod faults;
mod http;
mod keys;
mod policy;
pub mod process;
mod server;
mod service;

pub use condition::Facts;
pub use error::KmsError;
pub use faults::{Faults, Mode};
pub use keys::{Arn, Keys};
pub use policy::Policy;
pub use server::Server;
pub use service::{Context, Service};
