//! The module over a real HSM that fails: SoftHSM in a process that is killed and started again, behind a library that
//! runs out of sessions, beside an application that uses it as well. Each test has a process of its own.

#![expect(clippy::unwrap_used, reason = "the whole program is tests")]

mod limits;
mod load;
mod neighbours;
mod restart;
mod served;
