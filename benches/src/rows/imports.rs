//! Ten thousand key pairs at once: by the command from a file, and by one call of the module. They stay on the token.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use base64ct::{Base64, Encoding};

use crate::{
    batch,
    bound::Bound,
    contender::{Contender, Kind},
    home::Home,
    measure::{Result, Span},
    row::{Builder, Column, Plan, Unit},
};

use super::group::OBJECTS;

const IMPORTS: usize = 10_000;
/// A PKCS#8 file (RFC 8410 section 7) of an Ed25519 key up to its seed.
const PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// The environment variable that the command finds the PIN in.
const PIN: &str = "TRELLIS_BENCH_PIN";

/// The table. The command looks at the labels of all keys that there are, so it has the token first.
pub(super) fn rows() -> Vec<Plan> {
    let by_call = |name: &str, kind| {
        plan(&format!("import {IMPORTS} {name} key pairs in one call"), move |contender, row| {
            let took =
                batch::import(&contender.path, &contender.session, kind == Keys::MlDsa65, &seeds(kind))?;
            row.add_once(Column::ours(""), took);
            Ok(())
        })
    };
    let by_command = plan(
        &format!("`trellis key import --batch` of {IMPORTS} Ed25519 keys in one PEM file"),
        |contender, row| {
            // Of the same build.
            let command = contender.path.with_file_name("trellis");
            if command.exists() {
                row.add_once(Column::ours(""), import(&command, &contender.path)?);
            } else {
                println!("{} is not there: `trellis key import --batch` is not measured", command.display());
            }
            Ok(())
        },
    );
    vec![by_command, by_call("Ed25519", Keys::Ed25519), by_call("ML-DSA-65", Keys::MlDsa65)]
}

/// Once, with this module, in at most two seconds.
fn plan(what: &str, of: impl for<'a> Fn(&'a Contender, &mut Builder<'a>) -> Result<()> + 'static) -> Plan {
    let plan = Plan::new(OBJECTS, what, move |contenders, row| {
        contenders.iter().filter(|contender| contender.kind == Kind::Trellis).try_for_each(|one| of(one, row))
    });
    plan.of(Unit::Time).promising([Bound::Micros(2e6)])
}

/// Whose seeds they are; no two keys have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    Ed25519,
    MlDsa65,
    OfFile,
}

fn seeds(kind: Keys) -> Vec<[u8; 32]> {
    let seed = |index: usize| {
        let mut seed = [kind as u8; 32];
        seed[..8].copy_from_slice(&index.to_be_bytes());
        seed
    };
    (0..IMPORTS).map(seed).collect()
}

/// The whole run of the command; the file is made before.
fn import(command: &Path, module: &Path) -> Result<Span> {
    let file = pem_file()?;
    let mut command = Command::new(command);
    command.args(["key", "import", "--batch", "--pin-source", &format!("env:{PIN}"), "--module"]);
    command.arg(module).arg(file).env(PIN, Contender::PIN).stdin(Stdio::null()).stdout(Stdio::null());
    let (start, before) = (Span::start(), processor_time_of_children()?);
    let status = command.status()?;
    let wall = Span::since(start).wall;
    let cpu = processor_time_of_children()?.saturating_sub(before);
    if status.success() { Ok(Span { wall, cpu }) } else { Err(format!("the command: {status}").into()) }
}

fn pem_file() -> Result<PathBuf> {
    let path = Home::own()?.folder("import")?.join("many.pem");
    let pem = |seed: &[u8; 32]| {
        let key = Base64::encode_string(&[&PKCS8[..], seed].concat());
        format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n")
    };
    fs::write(&path, seeds(Keys::OfFile).iter().map(pem).collect::<String>())?;
    Ok(path)
}

/// Of those that have ended (proc_pid_stat(5): cutime and cstime), in steps of a hundredth of a second.
fn processor_time_of_children() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The second field is the program's name in parentheses, which may have spaces.
    let fields = stat.rsplit_once(") ").ok_or("/proc/self/stat has no name")?.1;
    let ticks = fields.split(' ').skip(13).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second())?)
}
