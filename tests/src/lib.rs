//! What no single crate can test, and what such tests share: the module as a shared library ([`library`]), a process
//! of its own for each test ([`isolated`]), the C functions called raw ([`raw`]), and
//! through the `cryptoki` crate ([`rust`]).

pub mod isolated;
pub mod library;
pub mod objects;
pub mod raw;
pub mod rust;
