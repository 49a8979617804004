//! The double as a process: prints its endpoint, takes [`Faults::command`]s on standard input, one a line, answers each
//! on a line of standard output, and ends when standard input does.

use std::{
    error::Error,
    ffi::OsString,
    fs,
    io::{self, BufRead},
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;

use crate::{Arn, Faults, Keys, Policy, Server, Service};

/// For tests only: as much of AWS KMS as an enclave's data keys need, on 127.0.0.1.
#[derive(Parser)]
#[command(name = "trellis-kms-double")]
struct Options {
    /// The file with the keys' material; made if it is not there
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
    /// A key that shall be there, by its ARN; may be repeated
    #[arg(long, value_name = "ARN")]
    key: Vec<Arn>,
    /// The key policy in JSON, for all keys
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// SHA-256 of the DER of the root of attestation documents, in hexadecimal
    #[arg(long, value_name = "HEX", value_parser = hash)]
    root: [u8; 32],
    /// Who makes the calls, as a principal in the policy
    #[arg(long, value_name = "ARN")]
    caller: String,
}

/// Runs with these arguments, the program's name first, until standard input ends.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match run(Options::parse_from(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trellis-kms-double: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let policy = Policy::parse(&fs::read(&options.policy)?)?;
    let keys = Keys::open(&options.keys, &options.key)?;
    let faults = Faults::default();
    let server = Server::start(Service { keys, policy, root: options.root, caller: options.caller, faults })?;
    println!("{}", server.endpoint());
    for line in io::stdin().lock().lines() {
        match server.service().faults.command(&line?) {
            Ok(answer) => println!("{answer}"),
            Err(error) => println!("error: {error}"),
        }
    }
    Ok(())
}

fn hash(text: &str) -> Result<[u8; 32], String> {
    let mut out = [0; 32];
    let digits = text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    for (at, byte) in out.iter_mut().enumerate() {
        let pair = text.get(2 * at..2 * at + 2).filter(|_| digits);
        *byte = pair
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
            .ok_or("a SHA-256 hash has 64 hexadecimal digits")?;
    }
    Ok(out)
}
