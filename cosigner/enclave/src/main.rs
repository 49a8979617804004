//! The program that an enclave image carries.

use std::process::ExitCode;

use clap::Parser;
use enclave::{Options, nsm::Device, serve};

/// Makes, seals and uses keys inside a Nitro enclave
#[derive(Debug, Parser)]
#[command(name = "trellis-enclave", version)]
struct CommandLine {
    #[command(flatten)]
    options: Options,
}

fn main() -> ExitCode {
    let options = CommandLine::parse().options;
    let run = || serve(Box::new(Device::open().map_err(std::io::Error::other)?), &options.begin()?);
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trellis-enclave: {error}");
            ExitCode::FAILURE
        }
    }
}
