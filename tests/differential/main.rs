//! Random sequences of calls, given to this module and to SoftHSM 2.6.1 alike: both must answer the same, but for a
//! table of the cases in which SoftHSM deviates from PKCS#11 v3.2 or the standard leaves a choice.
//!
//! A failure prints its seed and the calls before it. TRELLIS_TEST_SEED=seed runs that sequence alone.

#![expect(clippy::unwrap_used, reason = "the whole program is tests")]

mod action;
mod call;
mod differences;
mod faults;
mod generate;
mod model;
mod objects;
mod operations;
mod sequences;
mod side;
