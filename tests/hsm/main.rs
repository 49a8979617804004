//! The module over a real HSM that fails: SoftHSM in a process that is killed and started again, behind a library that
//! runs out of sessions or does not return, beside an application that uses it as well; and over a TPM that says nothing. Each test has a process
//! of its own.

#![expect(clippy::unwrap_used, reason = "the whole program is tests")]

mod ghosts;
mod limits;
mod load;
mod neighbours;
#[path = "../../hsm-backends/tests/tpm/relay.rs"]
mod relay;
mod restart;
mod silent_tpm;
mod stuck;
#[path = "../../hsm-backends/tests/tpm/swtpm.rs"]
#[expect(dead_code, reason = "it is shared with the tests of the stores")]
mod swtpm;
