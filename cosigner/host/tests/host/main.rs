//! The host as a process, with AWS' own client inside, beside the KMS double as a process and enclaves of all kinds.
#![expect(clippy::unwrap_used, reason = "the whole program is tests")]

use std::process::ExitCode;

mod cloud;
mod enclaves;
mod frames;
mod keys;
mod kms;
mod parts;
mod peer;
mod real;
mod records;
mod service;

/// Where a child process begins; in the test run itself there is nothing to do.
#[test]
fn child() {
    let Some(arguments) = parts::job() else { return };
    match arguments[0].as_str() {
        "double" => {
            assert_eq!(kms_double::process::main(arguments.iter().map(Into::into)), ExitCode::SUCCESS)
        }
        "enclave" => real::enclave(&arguments),
        other => panic!("an unknown job: {other}"),
    }
}
