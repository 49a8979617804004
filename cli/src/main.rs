//! The `trellis` command: tokens, keys and signatures through any PKCS#11 module.

use std::process::ExitCode;

mod algorithm;
mod certificate;
mod ckr;
mod cli;
mod commands;
mod encoding;
mod entry;
mod error;
mod exit;
mod files;
mod mechanism_names;
mod module;
mod object;
mod operation;
mod options;
mod output;
mod pem;
mod pin;
mod private_key;
mod public_key;
mod raw;
mod report;
mod scheme;
mod secret;
mod terminal;
mod token;
mod uri;

fn main() -> ExitCode {
    cli::main()
}
