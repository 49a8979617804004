//! The same program with an NSM that anybody can have, for tests. No release builds it.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use enclave::{Options, emulated::Emulated, serve};

/// The enclave's program outside an enclave, for tests: its NSM is emulated and proves nothing
#[derive(Debug, Parser)]
#[command(name = "trellis-enclave-emulated", version)]
struct CommandLine {
    /// Where the emulated NSM keeps its root, which is made when it is missing
    #[arg(long, value_name = "DIRECTORY")]
    nsm: PathBuf,
    /// A register's value, INDEX=HEX with 96 digits; may be repeated
    #[arg(long, value_name = "INDEX=HEX", value_parser = register)]
    pcr: Vec<(usize, [u8; 48])>,
    #[command(flatten)]
    options: Options,
}

fn register(text: &str) -> Result<(usize, [u8; 48]), String> {
    let parse = || {
        let (index, digits) = text.split_once('=')?;
        let index = index.parse().ok().filter(|index| *index < 16)?;
        if digits.len() != 96 || !digits.is_ascii() {
            return None;
        }
        let mut value = [0; 48];
        for (at, byte) in value.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
        }
        Some((index, value))
    };
    parse().ok_or_else(|| "a register is an index below 16, = and 96 hexadecimal digits".into())
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    let run = || {
        let nsm = Emulated::open(&line.nsm, &line.pcr)?;
        let root: String = nsm.root_sha256().iter().map(|byte| format!("{byte:02x}")).collect();
        eprintln!("trellis-enclave-emulated: NSM EMULATED, nothing is proved; root SHA-256 {root}");
        serve(Box::new(nsm), &line.options.begin()?)
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trellis-enclave-emulated: {error}");
            ExitCode::FAILURE
        }
    }
}
