//! The command line: what can be said, and how an ending becomes an exit code.

use std::io::Write;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, Parser, Subcommand};

use crate::commands::{
    attest, completions, doctor, key, mechanisms, migrate, random, sign, token, tpm, verify,
};
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::options::{Global, Outcome};

const EXIT_CODES: &str = "\
Exit codes:
  0  done; the answer is yes
  1  the answer is no: a signature or attestation is not valid, doctor found something broken,
     migrate could not move or use everything
  2  the command line is wrong
  3  a PIN is missing, wrong, locked or refused
  4  there is no such token, key or slot
  5  the module does not load, or the token failed
  6  it exists already, several match, or a confirmation is missing
  7  the module or token does not support it
  8  a file cannot be read, written or understood";

/// Tokens, keys and signatures through PKCS#11.
#[derive(Debug, Parser)]
#[command(name = "trellis", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Initialise tokens, look at them, and manage their PINs.
    Token(token::TokenCommand),
    /// Look at how a TPM holds a token, and seal it anew.
    Tpm(tpm::TpmCommand),
    /// Make, list, show, import, export, move and delete keys.
    Key(key::KeyCommand),
    /// Bring everything in a token of SoftHSM's into one of Trellis's.
    Migrate(migrate::MigrateCommand),
    /// Sign a file or standard input.
    Sign(sign::SignArgs),
    /// Check a signature; exit code 0 means valid, 1 means not.
    Verify(verify::VerifyArgs),
    /// Verify that keys were born in an enclave.
    Attest(attest::AttestCommand),
    /// Write random bytes from the token.
    Random(random::RandomArgs),
    /// List what a token can do.
    Mechanisms(mechanisms::MechanismsArgs),
    /// Check the module, the machine and the clients, and say what to do.
    Doctor,
    /// Write a completion script for a shell.
    Completions(completions::CompletionsArgs),
}

pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(error),
    };
    let json = cli.global.json;
    match run(cli) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Negative) => ExitCode::from(Exit::Negative as u8),
        Err(error) => {
            let error = error.explained();
            report(&error, json);
            ExitCode::from(error.exit as u8)
        }
    }
}

/// Help, version, and command lines that cannot be understood.
fn misused(mut error: clap::Error) -> ExitCode {
    let wants_json = std::env::args_os().any(|argument| argument == "--json");
    let about_secret = matches!(error.get(ContextKind::InvalidArg),
        Some(ContextValue::String(name)) if name.contains("-source"));
    if about_secret {
        // What stands there may be the PIN itself, and standard error may go to a log.
        error.insert(ContextKind::InvalidValue, ContextValue::String("(not shown)".into()));
    }
    if wants_json && error.use_stderr() {
        let text = error.render().to_string();
        let message = text.trim_start_matches("error: ").split("\n\n").next().unwrap_or(&text);
        report(&Error::usage(message.trim_end()).remedy("trellis --help"), true);
    } else {
        // With the stream closed, the exit code is all that is left to say.
        let _ = error.print();
    }
    ExitCode::from(if error.use_stderr() { Exit::Usage as u8 } else { 0 })
}

fn run(cli: Cli) -> Result<Outcome> {
    let Cli { global, command } = cli;
    match command {
        Command::Token(command) => command.run(&global),
        Command::Tpm(command) => command.run(&global),
        Command::Key(command) => command.run(&global),
        Command::Migrate(command) => command.run(&global),
        Command::Sign(args) => args.run(&global),
        Command::Verify(args) => args.run(&global),
        Command::Attest(command) => command.run(&global),
        Command::Random(args) => args.run(&global),
        Command::Mechanisms(args) => args.run(&global),
        Command::Doctor => doctor::run(&global),
        Command::Completions(args) => args.run(Cli::command()),
    }
}

fn report(error: &Error, json: bool) {
    let text = if json { format!("{}\n", error.json()) } else { format!("trellis: {error}\n") };
    // With standard error closed, the exit code is all that is left to say.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
