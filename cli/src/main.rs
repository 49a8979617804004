//! The `trellis` command: tokens, keys and signatures through any PKCS#11 module. Called `pq-attest`, it is that.

use std::path::Path;
use std::process::ExitCode;

mod algorithm;
mod batch;
mod certificate;
mod ckr;
mod cli;
mod commands;
mod configuration;
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
mod pq_attest;
mod private_key;
mod public_key;
mod raw;
mod report;
mod scheme;
mod secret;
mod terminal;
mod token;
mod transfer;
mod uri;

fn main() -> ExitCode {
    let name = std::env::args_os().next();
    match name.as_deref().map(Path::new).and_then(Path::file_name) {
        Some(name) if name == pq_attest::NAME => pq_attest::main(),
        _ => cli::main(),
    }
}
