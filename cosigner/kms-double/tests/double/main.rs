//! The double is held to what the API reference and a real answer say.
#![expect(clippy::unwrap_used, reason = "the whole program is tests")]

mod ber;
mod client;
mod envelopes;
mod packaged;
mod policies;
mod process;
mod service;
