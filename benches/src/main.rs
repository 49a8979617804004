//! Measures PKCS#11 modules beside each other and beside the bare algorithm.
//!
//! All contenders take turns in one process, a few milliseconds each, so that what slows the machine slows them all
//! and the ratios hold. Every row gives the median of the turns and half the distance between the quartiles.

mod contender;
mod devices;
mod measure;
mod raw;
mod report;
mod rows;
mod startup;
mod stores;
mod threads;

use std::{error::Error, path::PathBuf, process::ExitCode};

use clap::Parser;
use contender::{Contender, Kind, Part};

/// Measures PKCS#11 modules beside each other and beside the bare algorithm.
#[derive(Debug, Parser)]
struct Arguments {
    /// The Trellis module.
    #[arg(long, default_value = "target/release/libtrellis_pkcs11.so")]
    trellis: PathBuf,
    /// The SoftHSM module; measured where it is installed.
    #[arg(long, default_value = "/usr/lib/softhsm/libsofthsm2.so")]
    softhsm: PathBuf,
    /// The Kryoptic module; measured where it is installed.
    #[arg(long, default_value = "/usr/lib/x86_64-linux-gnu/pkcs11/libkryoptic_pkcs11.so")]
    kryoptic: PathBuf,
    /// Turns each contender gets in each row.
    #[arg(long, default_value_t = 31)]
    turns: usize,
    /// Milliseconds in a turn.
    #[arg(long, default_value_t = 20)]
    turn_ms: u64,
    /// Token objects among which one is looked up.
    #[arg(long, default_value_t = 10_000)]
    objects: usize,
    /// Only the rows whose headings contain this.
    #[arg(long, default_value = "")]
    only: String,
    /// Exit with 1 when a bound of the project is missed.
    #[arg(long, value_enum)]
    check: Option<report::Check>,
    /// Print the nanoseconds of two C_Initialize of this module, and nothing else.
    #[arg(long = startup::OPTION.trim_start_matches('-'), hide = true)]
    initialize: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("trellis-bench: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether every bound held, or none was asked for.
fn run(arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    if let Some(module) = &arguments.initialize {
        startup::print(module)?;
        return Ok(true);
    }
    // The modules read their configuration from the environment, so it is set before this process loads one.
    let Some(part) = Part::own() else {
        let devices = devices::Devices::start();
        let stores = stores::all(&arguments.softhsm, &devices);
        let mut good = true;
        for part in Part::ALL {
            good &= contender::in_prepared_home(part, &stores)?;
        }
        return Ok(good);
    };
    let turns = measure::Turns { count: arguments.turns, millis: arguments.turn_ms };
    let table = match part {
        Part::Modules => modules(arguments, turns)?,
        Part::Stores => {
            let stores = stores::configured(&arguments.softhsm);
            stores::measure_all(&arguments.trellis, &stores, turns, &arguments.only)?
        }
    };
    report::print(&table);
    Ok(arguments.check.is_none_or(|check| report::bounds_hold(&table, check)))
}

fn modules(arguments: &Arguments, turns: measure::Turns) -> Result<Vec<rows::Row>, Box<dyn Error>> {
    let mut contenders = Vec::new();
    for (kind, path) in [
        (Kind::Trellis, &arguments.trellis),
        (Kind::SoftHsm, &arguments.softhsm),
        (Kind::Kryoptic, &arguments.kryoptic),
    ] {
        if path.exists() {
            contenders.push(Contender::load(kind, path, arguments.objects)?);
        } else if kind == Kind::Trellis {
            return Err(format!("{} is not there: run `make build` first", path.display()).into());
        } else {
            println!("{} is not installed ({}): not measured", kind.name(), path.display());
        }
    }
    rows::measure_all(contenders, turns, &arguments.only)
}
