//! Mechanisms (PKCS#11 v3.2 section 6): one table row each, and their parameters in safe form.

#[cfg(test)]
mod documented;
mod parameters;
mod scheme;
mod table;

pub use parameters::{MechanismCall, ParameterKind, Parameters};
pub use scheme::{GENERIC_SECRET_LEN, Scheme};
pub use table::{MECHANISMS, Mechanism, hash_of, row, row_named};
