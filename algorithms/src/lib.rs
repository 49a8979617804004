//! What the algorithms are, and the primitives that make and check their signatures.
//!
//! Facts stand in tables ([`Algorithm`], [`ml_dsa::ParameterSet`], [`digest::Hash`]); behaviour stands in one file
//! per standard. AWS-LC does the work; `fips204` signs deterministically and checks AWS-LC at start-up
//! ([`self_test`]). All unsafe code of the crate is in `engine` and `memory::arena`.

pub mod aes;
mod der;
pub mod digest;
pub mod ecdsa;
pub mod ed25519;
mod engine;
mod error;
mod facts;
pub mod fork;
mod keccak;
mod key;
pub mod mac;
pub mod memory;
pub mod ml_dsa;
mod pkcs8;
pub mod random;
mod recent;
pub mod rsa;
mod secret;
pub mod self_test;
mod spki;

pub use error::Error;
pub use facts::Algorithm;
pub use key::{PrivateKey, PublicKey, Signing};
pub use recent::Recent;
pub use secret::SecretBytes;
