//! What the TPM store of `hsm-backends` loads when it first needs a TPM, so that the module itself does not link libtss2.
//!
//! Three C functions take and give bytes ([`ffi`]). Every call opens the TPM, does one thing and closes it again: nothing
//! is left in the TPM's memory between two calls, and nothing is there for a fork to inherit.

pub mod ffi;
mod layout;
mod operations;
mod pcrs;
mod policy;
#[expect(dead_code, reason = "the store's half")]
mod protocol;
mod refusal;
mod token;
mod transport;
mod visit;
