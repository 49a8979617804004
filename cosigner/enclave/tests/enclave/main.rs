//! The enclave's program as a process of its own, with an emulated NSM, and a host that does right or wrong.

#![expect(clippy::unwrap_used, reason = "the whole program is tests")]

mod hostile;
mod keys;
mod kms;
mod limits;
mod release;
mod tokens;
mod world;
