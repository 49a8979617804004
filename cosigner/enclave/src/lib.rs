//! The program that runs inside a Nitro enclave: it makes keys, seals them under data keys that KMS gives only to this
//! program, signs with them, and judges the PINs of tokens. docs/formats.md has its messages and sealings.
//!
//! Everything outside is hostile here: the host carries every byte, and is believed nothing that is not sealed. A
//! request is served by one thread from its first byte to its last, [`service`] has what happens between.
#![forbid(unsafe_code)]

mod birth;
mod cache;
mod data_key;
#[cfg(feature = "emulated-nsm")]
pub mod emulated;
mod envelope;
mod fields;
mod keys;
pub mod nsm;
mod options;
mod recipient;
mod refusal;
mod server;
mod service;
mod tokens;
mod tries;

pub use options::{Options, Settings};
pub use server::serve;
