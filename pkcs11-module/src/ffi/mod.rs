//! The C boundary: every unsafe block of this crate is below here.
//!
//! An export checks its arguments with the functions of [`args`], calls one method of [`Module`](crate::Module), and
//! writes the result back; [`guard`] surrounds all of it. C names stay here.

#![expect(unsafe_code, reason = "the C ABI is made of raw pointers; args.rs has the contract that they keep")]

mod args;
mod attributes;
mod cipher;
mod digest;
mod general;
mod guard;
mod interfaces;
mod keys;
mod mechanism;
mod message;
mod mutex;
mod objects;
pub(crate) mod process;
mod random;
mod sessions;
mod sign;
mod slots;
mod state;
mod unsupported;
mod vendor;
mod verify;
mod wrapping;

#[cfg(test)]
mod tests;
