//! Where it was measured, and what.

use std::{path::Path, process::Command};

use crate::{
    contender::{Contender, Kind},
    measure::Result,
};

/// Lines for the document: what is what.
pub(crate) type Facts = Vec<(String, String)>;

/// The version of a Kryoptic that was built from its sources: its C_GetInfo says 0.0.
const BUILT: &str = "TRELLIS_BENCH_KRYOPTIC";

/// Of this machine and these modules, which are loaded for it.
pub(crate) fn describe(modules: &[(Kind, &Path)]) -> Result<Facts> {
    let mut lines = vec![
        ("date".to_owned(), output("date", &["-u", "+%Y-%m-%d"])),
        ("processor".to_owned(), processor()),
        ("kernel".to_owned(), output("uname", &["-sr"])),
        ("system".to_owned(), system()),
    ];
    for (kind, path) in modules.iter().filter(|(_, path)| path.exists()) {
        let built = std::env::var(BUILT).ok().filter(|_| *kind == Kind::Kryoptic);
        lines.push((kind.name().to_owned(), built.map_or_else(|| version(path), Ok)?));
    }
    lines.push(("OpenSSL".to_owned(), output("openssl", &["version"])));
    lines.push((
        "AWS-LC".to_owned(),
        format!("aws-lc-sys {}, aws-lc-rs {}", locked("aws-lc-sys"), locked("aws-lc-rs")),
    ));
    lines.push(("SQLite".to_owned(), rusqlite::version().to_owned()));
    Ok(lines)
}

/// As C_GetInfo has it, or as its Debian package does where that says nothing.
fn version(module: &Path) -> Result<String> {
    let package = output("dpkg-query", &["-S", &module.to_string_lossy()]);
    let package = package.split(':').next().unwrap_or_default().to_owned();
    let module = Contender::loaded(module)?;
    Contender::initialize(&module)?;
    let info = module.get_library_info()?;
    let said = format!("{} {}", info.library_description().trim(), info.library_version());
    module.finalize()?;
    let packaged = output("dpkg-query", &["-W", "-f", "${Version}", &package]);
    Ok(if package.is_empty() || packaged.is_empty() { said } else { format!("{said} (Debian {packaged})") })
}

/// The version that this program was built with.
fn locked(package: &str) -> &'static str {
    let name = format!("name = \"{package}\"\nversion = \"");
    let after = include_str!("../../../Cargo.lock").split(&name).nth(1);
    after.and_then(|rest| rest.split('"').next()).unwrap_or("of an unknown version")
}

fn processor() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown").to_owned()
    };
    let count = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let (family, model, stepping) = (field("cpu family"), field("model\t"), field("stepping"));
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: u64 = memory.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or_default();
    format!(
        "{} (family {family}, model {model}, stepping {stepping}), {count} processors, {} GB of memory",
        field("model name"),
        kib >> 20
    )
}

fn system() -> String {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("unknown").trim_matches('"').to_owned()
}

/// What a program prints; nothing where it is not there.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
