//! Another process with the same module and token: it does what it is told on standard input, a line at a time, and
//! answers with numbers.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};

use crate::{
    algorithm::Algorithm,
    contender::{Contender, Kind},
    measure::{Result, Span},
    rows::MESSAGE,
};

/// The option by which this program becomes one.
pub(crate) const OPTION: &str = "--serve";
/// The label of the Ed25519 key that workers sign with.
pub(crate) const SIGNING: &str = "worker";
/// The label of the ML-DSA-65 keys of which each is used once.
pub(crate) const KEPT: &str = "kept";
/// The label of an ML-DSA-65 key that is used before them.
pub(crate) const FIRST: &str = "first";

/// A running worker. Dropping it ends it.
pub(crate) struct Worker {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts one for a module; it loads the module at its first order.
    pub(crate) fn start(module: &Path) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(OPTION)
            .arg(module)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().ok_or("the worker has no output")?);
        Ok(Self { process, input, output })
    }

    /// Gives an order without waiting for the answer.
    pub(crate) fn tell(&mut self, order: &str) -> Result<()> {
        let mut input = self.input.as_ref().ok_or("the worker has ended")?;
        Ok(writeln!(input, "{order}")?)
    }

    /// The answer to the last order.
    pub(crate) fn answer<const N: usize>(&mut self) -> Result<[u64; N]> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let numbers: Result<Vec<u64>, _> = line.split_whitespace().map(str::parse).collect();
        let numbers = numbers.map_err(|_| format!("another process: {}", line.trim()))?;
        numbers.try_into().map_err(|_| format!("another process has ended: {line:?}").into())
    }

    /// Both.
    pub(crate) fn ask<const N: usize>(&mut self, order: &str) -> Result<[u64; N]> {
        self.tell(order)?;
        self.answer()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.input = None;
        // It ends at the end of its input.
        let _ = self.process.wait();
    }
}

/// The other side of [`Worker`]: obeys until the input ends.
pub(crate) fn serve(module: &Path) -> Result<()> {
    let mut served = None;
    for order in std::io::stdin().lines() {
        match obey(&order?, module, &mut served) {
            Ok(numbers) => {
                let numbers: Vec<_> = numbers.iter().map(u64::to_string).collect();
                println!("{}", numbers.join(" "));
            }
            Err(error) => println!("{error}"),
        }
    }
    served.map_or(Ok(()), |served: Contender| served.finalize())
}

fn obey(order: &str, module: &Path, served: &mut Option<Contender>) -> Result<Vec<u64>> {
    let mut words = order.split(' ');
    let order = words.next().unwrap_or_default();
    let mut number = || -> Result<usize> { Ok(words.next().ok_or("a number is missing")?.parse()?) };
    if order == "initialize" {
        return initialize(module, number()?);
    }
    let before = resident()?;
    if served.is_none() {
        // Whose module it is matters to the table only.
        *served = Some(Contender::load(Kind::Trellis, module, 0)?);
    }
    let contender = served.as_ref().ok_or("nothing is loaded")?;
    match order {
        "sign" => sign(contender, number()?),
        "create" => {
            contender.session.create_object(&Contender::secret_key(usize::MAX, true))?;
            Ok(vec![1])
        }
        "objects" => {
            let found = contender.session.find_objects(&[Attribute::Class(ObjectClass::SECRET_KEY)])?;
            Ok(vec![found.len() as u64, resident()?.saturating_sub(before)])
        }
        "keys" => keys(contender),
        other => Err(format!("unknown order {other:?}").into()),
    }
}

/// Nanoseconds of the first C_Initialize and of others after it, each on the wall and of the processor.
fn initialize(module: &Path, times: usize) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for _ in 0..times {
        let module = Contender::loaded(module)?;
        let start = Span::start();
        Contender::initialize(&module)?;
        numbers.extend(in_numbers(Span::since(start)));
        module.finalize()?;
    }
    Ok(numbers)
}

/// Signs so many times with the Ed25519 key of [`SIGNING`].
fn sign(contender: &Contender, count: usize) -> Result<Vec<u64>> {
    let key = *private_keys(contender, SIGNING)?.first().ok_or("there is no key")?;
    let start = Span::start();
    for _ in 0..count {
        std::hint::black_box(contender.session.sign(&Algorithm::Ed25519.usual(), key, &MESSAGE)?);
    }
    Ok(in_numbers(Span::since(start)).into())
}

/// How many ML-DSA-65 keys of [`KEPT`] were found and used once, and how many bytes more were resident then than when the
/// first of them had been.
fn keys(contender: &Contender) -> Result<Vec<u64>> {
    let sign = |key| contender.session.sign(&Algorithm::MlDsa65.usual(), key, &MESSAGE);
    let first = *private_keys(contender, FIRST)?.first().ok_or("there is no key")?;
    for _ in 0..16 {
        sign(first)?;
    }
    let before = resident()?;
    let found = private_keys(contender, KEPT)?;
    for key in &found {
        sign(*key)?;
    }
    Ok(vec![found.len() as u64, resident()?.saturating_sub(before)])
}

fn private_keys(contender: &Contender, label: &str) -> Result<Vec<ObjectHandle>> {
    let wanted = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Label(label.into())];
    Ok(contender.session.find_objects(&wanted)?)
}

fn in_numbers(span: Span) -> [u64; 2] {
    [span.wall, span.cpu].map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

/// The inverse of what orders answer that take time.
pub(crate) fn span([wall, cpu]: [u64; 2]) -> Span {
    Span { wall: Duration::from_nanos(wall), cpu: Duration::from_nanos(cpu) }
}

/// Bytes of this process that are in memory.
fn resident() -> Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split(' ').nth(1).ok_or("/proc/self/statm has no second number")?.parse()?;
    Ok(pages * rustix::param::page_size() as u64)
}
