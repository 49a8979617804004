//! The host as a process, with AWS' own client inside, beside the KMS double as a process and enclaves of all kinds.
#![expect(clippy::unwrap_used, reason = "the whole program is tests")]

mod enclaves;
mod frames;
mod keys;
mod kms;
mod parts;
mod peer;
mod records;
mod service;

/// Where a child process begins; in the test run itself there is nothing to do.
#[test]
fn child() {
    if let Some(arguments) = parts::job() {
        kms_double::process::main(arguments);
    }
}
