//! Measures PKCS#11 modules beside each other and beside the bare algorithm.
//!
//! All contenders take turns in one process, a few milliseconds each, so that what slows the machine slows them all
//! and the ratios hold. Every row gives the median of the turns and half the distance between the quartiles.

mod algorithm;
mod batch;
mod bound;
mod contender;
mod devices;
mod home;
mod instructions;
mod measure;
mod raw;
mod report;
mod row;
mod rows;
mod sqlite;
mod worker;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use bound::{Check, Verdict};
use clap::Parser;
use contender::{Contender, Kind};
use home::{Filling, Home, Part};
use measure::{Result, Turns};
use row::{Plan, Row};
use rows::stores;

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
    /// Token objects among which one is looked up; each count is a group of rows.
    #[arg(long, value_delimiter = ',', default_value = "100,10000,100000")]
    objects: Vec<usize>,
    /// How long another module is filled with objects; what it has then is what it is measured with.
    #[arg(long, default_value_t = 10)]
    fill_seconds: u64,
    /// Only the rows whose headings contain this, with the group's name and a colon before it.
    #[arg(long, default_value = "")]
    only: String,
    /// Exit with 1 when a bound of the project is missed.
    #[arg(long, value_enum)]
    check: Option<Check>,
    /// Write benchmarks.md and benchmarks.svg into this folder.
    #[arg(long)]
    document: Option<PathBuf>,
    /// Sign and do nothing else, for callgrind.
    #[arg(long = instructions::OPTION.trim_start_matches('-'), hide = true)]
    signatures_of: Option<String>,
    /// Serve as the other process of a row.
    #[arg(long = worker::OPTION.trim_start_matches('-'), hide = true)]
    serve: Option<PathBuf>,
}

impl Arguments {
    fn modules(&self) -> [(Kind, &Path); 3] {
        [(Kind::Trellis, &self.trellis), (Kind::SoftHsm, &self.softhsm), (Kind::Kryoptic, &self.kryoptic)]
    }
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
fn run(arguments: &Arguments) -> Result<bool> {
    if let Some(algorithm) = &arguments.signatures_of {
        instructions::sign(&arguments.trellis, algorithm)?;
        return Ok(true);
    }
    if let Some(module) = &arguments.serve {
        worker::serve(module)?;
        return Ok(true);
    }
    // The modules read their configuration from the environment, so it is set before a process loads one.
    if let Some(part) = Part::own() {
        measure_part(arguments, part)?;
        return Ok(true);
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let rows = measure_all(arguments)?;
    report::print(&rows);
    if let Some(folder) = &arguments.document {
        let turns = Turns::new(arguments.turns, arguments.turn_ms);
        let mut facts = home::describe()?;
        facts.push(("load when it began".into(), load.split(' ').next().unwrap_or_default().into()));
        report::write(folder, &rows, &facts, turns)?;
    }
    let missed = |check| {
        let bounds = rows.iter().flat_map(|row| row.bounds.iter().map(move |bound| (row, bound)));
        bounds.filter(|(row, bound)| bound.verdict(row, check) == Verdict::Missed).count()
    };
    Ok(arguments.check.is_none_or(|check| missed(check) == 0))
}

/// Every part in a process of its own.
fn measure_all(arguments: &Arguments) -> Result<Vec<Row>> {
    let wanted = |plans: &[Plan]| plans.iter().any(|plan| plan.is_wanted(&arguments.only));
    let mut rows = Vec::new();
    if wanted(&rows::of_modules()) {
        rows.extend(home::measure(Part::Modules, &[])?);
    }
    let objects = arguments.objects.iter().map(|count| Filling::Objects(*count));
    for filling in objects.chain([Filling::Keys]) {
        if wanted(&rows::of_filled(filling)) {
            rows.extend(home::measure(Part::Filled(filling), &[])?);
        }
    }
    if stores::are_wanted(&arguments.only) {
        let devices = devices::Devices::start();
        let stores = stores::all(&arguments.softhsm, &devices);
        rows.extend(home::measure(Part::Stores, &stores)?);
    }
    let place = |row: &Row| rows::group::ALL.iter().position(|group| *group == row.group);
    rows.sort_by_key(place);
    Ok(rows)
}

/// What a process that [`measure_all`] has started does.
fn measure_part(arguments: &Arguments, part: Part) -> Result<()> {
    let home = Home::own()?;
    let turns = Turns::new(arguments.turns, arguments.turn_ms);
    let rows = match part {
        Part::Fill(filling) => return fill(arguments, filling, &home),
        Part::Describe => return home.hand_over(&report::describe(&arguments.modules())?),
        Part::Modules => {
            rows::measure(rows::of_modules(), &arguments.only, contenders(arguments, &home)?, turns)?
        }
        Part::Filled(filling) => {
            let contenders = contenders(arguments, &home)?;
            let note = match filling {
                Filling::Objects(wanted) => rows::fewer(&contenders, wanted),
                Filling::Keys => String::new(),
            };
            let mut rows = rows::measure(rows::of_filled(filling), &arguments.only, contenders, turns)?;
            rows.iter_mut().for_each(|row| row.what += &note);
            rows
        }
        Part::Stores => {
            let stores = stores::configured(&arguments.softhsm);
            stores::measure(&arguments.trellis, &stores, turns, &arguments.only)?
        }
    };
    home.hand_over(&rows)
}

/// Those that are here, with the objects that [`fill`] has put into them.
fn contenders(arguments: &Arguments, home: &Home) -> Result<Vec<Contender>> {
    let mut contenders = Vec::new();
    for (kind, path) in arguments.modules() {
        if path.exists() {
            contenders.push(Contender::load(kind, path, home.count(kind))?);
        } else if kind == Kind::Trellis {
            return Err(format!("{} is not there: run `make build` first", path.display()).into());
        } else {
            println!("{} is not installed ({}): not measured", kind.name(), path.display());
        }
    }
    Ok(contenders)
}

/// Fills every token.
fn fill(arguments: &Arguments, filling: Filling, home: &Home) -> Result<()> {
    let others = Duration::from_secs(arguments.fill_seconds);
    for mut contender in contenders(arguments, home)? {
        contender.objects = rows::fill(&contender, filling, others)?;
        home.set_count(&contender)?;
        contender.finalize()?;
    }
    Ok(())
}
