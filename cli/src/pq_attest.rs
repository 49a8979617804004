//! `pq-attest`: the same check under the name, with the flags, output and exit codes that key custodians know. The
//! command does this when it is called by that name.

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands::attest::VerifyArgs;
use crate::error::Result;
use crate::exit::Exit;
use crate::files::print;

/// The name to be called by.
pub(crate) const NAME: &str = "pq-attest";

const EXIT_CODES: &str = "\
Exit codes:
  0  verified
  1  not verified; the reason is on standard error
  2  the command line is wrong, or a file cannot be read or understood";

/// Verifies birth attestations of keys in AWS Nitro Enclaves.
#[derive(Debug, Parser)]
#[command(name = NAME, version, after_help = EXIT_CODES, disable_help_subcommand = true)]
struct PqAttest {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check that a key was born in a known enclave; prints what was verified as JSON.
    Verify(VerifyArgs),
}

pub(crate) fn main() -> ExitCode {
    // Ends with 2 for a wrong command line.
    let Command::Verify(args) = PqAttest::parse().command;
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With standard error closed, the exit code is all that is left to say.
            let _ = writeln!(std::io::stderr(), "{NAME}: {}", error.one_line());
            ExitCode::from(if error.exit == Exit::Negative { 1 } else { 2 })
        }
    }
}

fn run(args: &VerifyArgs) -> Result<()> {
    print(format!("{}\n", args.check()?.json()).as_bytes())
}
