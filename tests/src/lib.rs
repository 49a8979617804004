//! What no single crate can test, and what such tests share: the module as a shared library ([`library`]), a process
//! of its own for each test ([`isolated`]) and its children ([`process`]), the C functions called raw ([`raw`],
//! [`objects`]) and through the `cryptoki` crate ([`rust`]), another library beside it ([`vendor`]), an HSM in a
//! process of its own ([`served`]), and numbers for random tests ([`random`]).

pub mod backend;
mod exempt;
pub mod isolated;
pub mod library;
pub mod objects;
pub mod process;
pub mod random;
pub mod raw;
pub mod rust;
pub mod served;
pub mod vendor;
