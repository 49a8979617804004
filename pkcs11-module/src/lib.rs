//! The face of PKCS#11 v3.2 over any `KeyStore`: `libtrellis_pkcs11.so`.
//!
//! The C boundary is [`ffi`], the only place with unsafe code: it checks pointers and lengths, and calls [`Module`],
//! whose methods are the functions of the standard in safe types, one file per chapter of PKCS#11 section 5.

pub mod attribute;
mod call;
pub mod config;
pub mod error;
pub mod ffi;
pub mod handle;
pub mod log;
pub mod mechanism;
pub mod module;
pub mod object;
pub mod operation;
pub mod output;
pub mod pin_source;
pub(crate) mod reason;
pub mod session;
pub mod slot;
pub mod sync;
pub mod template;

pub use error::Error;
pub use module::Module;
