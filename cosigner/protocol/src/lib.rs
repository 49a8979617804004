//! What the PKCS#11 side, the host (the parent instance) and the enclave say to each other, and how it is framed.
//!
//! A frame is a length and JSON ([`frame`]), over vsock, a Unix socket or TCP on this machine ([`Address`]).
//! [`message`] has every word of both hops. [`Transport`] moves them, one request at a time: blocking, with a limit on
//! time, without a thread or a runtime, so that a PKCS#11 module may use it inside somebody's process.
//!
//! The connection itself hides and proves nothing: what must be secret or authentic is sealed or attested inside the
//! messages.
#![forbid(unsafe_code)]

mod address;
mod bytes;
mod error;
pub mod frame;
pub mod message;
mod record;
mod socket;
mod transport;
mod words;

pub use address::{Address, AddressError};
pub use bytes::{Bytes, Secret};
pub use error::Error;
pub use record::key_record;
pub use socket::Listener;
pub use transport::{Timeouts, Transport};
pub use words::{Algorithm, KmsKey, UserId, WordError};
