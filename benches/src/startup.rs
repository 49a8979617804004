//! C_Initialize: in a new process, where the self-test runs, and again in the same one, where it does not.

use std::{
    error::Error,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    contender::{Contender, Kind},
    measure::{Done, Turns},
    rows::{Bound, Builder, Row, filled},
};

/// The option by which this program measures one module in a process of its own.
pub(crate) const OPTION: &str = "--initialize";

/// What C_Initialize takes in a process that has just started.
pub(crate) fn first_initialize(contenders: &[Contender], turns: Turns) -> Result<Row, Box<dyn Error>> {
    let what = format!("first C_Initialize of a process ({})", filled(contenders));
    row(what, Some(Bound::Micros(15_000.0)), contenders, turns, |first, _| first)
}

/// What C_Initialize takes after a C_Finalize.
pub(crate) fn second_initialize(contenders: &[Contender], turns: Turns) -> Result<Row, Box<dyn Error>> {
    row("second C_Initialize of a process".into(), None, contenders, turns, |_, second| second)
}

/// What the first C_Initialize of a process takes longer than the second.
pub(crate) fn self_test(contenders: &[Contender], turns: Turns) -> Result<Row, Box<dyn Error>> {
    let what = "self-test: the first C_Initialize less the second".to_owned();
    let ours = contenders.iter().position(|contender| contender.kind == Kind::Trellis);
    let ours = ours.map_or(&[][..], |at| &contenders[at..=at]);
    row(what, Some(Bound::Micros(5000.0)), ours, turns, Duration::saturating_sub)
}

fn row(
    what: String,
    bound: Option<Bound>,
    contenders: &[Contender],
    turns: Turns,
    of: fn(Duration, Duration) -> Duration,
) -> Result<Row, Box<dyn Error>> {
    let mut row = Builder::new(what, bound);
    for contender in contenders {
        let name = contender.kind.name();
        row.add(
            name,
            Box::new(move || {
                let (first, second) = in_new_process(&contender.path)?;
                Ok(Done::Took(of(first, second)))
            }),
        );
    }
    row.run(turns)
}

/// The first and the second C_Initialize of a process.
fn in_new_process(module: &Path) -> Result<(Duration, Duration), Box<dyn Error>> {
    let output = Command::new(std::env::current_exe()?).arg(OPTION).arg(module).output()?;
    let text = String::from_utf8(output.stdout)?;
    let numbers = text.split_whitespace().map(str::parse).collect::<Result<Vec<u64>, _>>()?;
    match numbers[..] {
        [first, second] => Ok((Duration::from_nanos(first), Duration::from_nanos(second))),
        _ => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned().into()),
    }
}

/// The other side of [`in_new_process`].
pub(crate) fn print(module: &Path) -> Result<(), Box<dyn Error>> {
    for _ in 0..2 {
        let module = Contender::loaded(module)?;
        let start = Instant::now();
        Contender::initialize(&module)?;
        println!("{}", start.elapsed().as_nanos());
        module.finalize()?;
    }
    Ok(())
}
