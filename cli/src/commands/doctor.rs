//! `trellis doctor`: what works, what does not, and what to do. It also works when the module does not load.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};
use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};

use crate::commands::clients;
use crate::error::{Error, Result};
use crate::module::{self, Module};
use crate::options::{Global, Outcome};
use crate::output::{clean, show};
use crate::token::Token;

/// Key memory that should be lockable, in bytes: generous for a few thousand keys.
const MEMORY_TO_LOCK: u64 = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Status {
    Ok,
    Warning,
    Problem,
}

/// One finding.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Check {
    name: &'static str,
    status: Status,
    detail: String,
    remedy: Option<String>,
}

impl Check {
    pub(crate) fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, detail: detail.into(), remedy: None }
    }

    pub(crate) fn warning(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, status: Status::Warning, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    fn problem(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, status: Status::Problem, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    fn failed(name: &'static str, error: &Error) -> Self {
        // The error's own text has its remedy on a second line.
        let text = error.to_string();
        let (detail, remedy) = text.split_once("\n  try: ").unwrap_or((&text, "look at the module's log"));
        Self::problem(name, detail, remedy)
    }
}

/// What Trellis's module reports of itself: `T_Status` of its vendor interface (docs/vendor-interface.md). Fields that
/// another release has or lacks are no error.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Report {
    configuration_file: Option<PathBuf>,
    memory_locked: Option<bool>,
    self_test: Option<String>,
    slots: Vec<SlotReport>,
    problems: Vec<String>,
}

/// A slot in the report.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SlotReport {
    id: u64,
    /// Folder of an embedded store.
    store: Option<PathBuf>,
    schema: Option<u64>,
    problems: Vec<String>,
}

pub(crate) fn run(global: &Global) -> Result<Outcome> {
    let mut checks = Vec::new();
    let report = check_module(global, &mut checks);
    checks.push(configuration(report.as_ref()));
    if let Some(report) = &report {
        checks.extend(of_report(report));
    }
    checks.push(entropy());
    checks.push(memory_locking(report.as_ref().and_then(|report| report.memory_locked)));
    checks.extend(clients::checks());
    let broken = checks.iter().any(|check| check.status == Status::Problem);
    show(global, &serde_json::json!({ "ok": !broken, "checks": checks }), || text(&checks))?;
    Ok(if broken { Outcome::Negative } else { Outcome::Done })
}

fn text(checks: &[Check]) -> String {
    let wide = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Check { name, status, detail, remedy } in checks {
        let mark = match status {
            Status::Ok => "ok     ",
            Status::Warning => "warning",
            Status::Problem => "PROBLEM",
        };
        text.push_str(&format!("{mark}  {name:wide$}  {}\n", clean(detail)));
        if let Some(remedy) = remedy {
            text.push_str(&format!("{:indent$}try: {}\n", "", clean(remedy), indent = mark.len() + wide + 4));
        }
    }
    let count = |wanted| checks.iter().filter(|check| check.status == wanted).count();
    let (problems, warnings) = (count(Status::Problem), count(Status::Warning));
    text.push_str(&match (problems, warnings) {
        (0, 0) => "\nAll is well.\n".to_owned(),
        (0, warnings) => format!("\nNothing is broken; warnings: {warnings}.\n"),
        (problems, _) => format!("\nBroken: {problems}.\n"),
    });
    text
}

/// Finds and loads the module and looks at its tokens; returns what it reports of itself.
fn check_module(global: &Global, checks: &mut Vec<Check>) -> Option<Report> {
    let (path, source) = match module::locate(global.module.as_deref(), None) {
        Ok(found) => found,
        Err(error) => {
            checks.push(Check::failed("module path", &error));
            return None;
        }
    };
    checks.push(Check::ok("module path", format!("{} ({})", path.display(), source.describe())));
    let module = match Module::load(&path) {
        Ok(module) => module,
        Err(error) => {
            checks.push(Check::failed("module", &error));
            return None;
        }
    };
    checks.push(match module.info() {
        Ok(info) => {
            let (name, version) = (info.library_description(), info.library_version());
            Check::ok("module", format!("loads: {name} {version}, Cryptoki {}", info.cryptoki_version()))
        }
        Err(error) => Check::failed("module", &error),
    });
    checks.push(interfaces(&module));
    checks.extend(tokens(&module));
    match status(&module) {
        Ok(report) => report,
        Err(error) => {
            checks.push(Check::failed("self-report", &error));
            None
        }
    }
}

fn interfaces(module: &Module) -> Check {
    match module.raw().and_then(|raw| raw.interfaces()) {
        Ok(list) if list.is_empty() => {
            Check::ok("interfaces", "C_GetFunctionList only: the module is older than PKCS#11 3.0")
        }
        Ok(list) => {
            let each: Vec<_> =
                list.iter().map(|interface| format!("{} {}", interface.name, interface.version)).collect();
            Check::ok("interfaces", each.join(", "))
        }
        Err(error) => Check::failed("interfaces", &error),
    }
}

fn tokens(module: &Module) -> Vec<Check> {
    let tokens = match Token::all(module) {
        Ok(tokens) => tokens,
        Err(error) => return vec![Check::failed("tokens", &error)],
    };
    let ready: Vec<_> = tokens.iter().filter(|token| token.info.token_initialized()).collect();
    if ready.is_empty() {
        return vec![Check::warning("tokens", "none is initialised", "trellis token init --label NAME")];
    }
    ready.into_iter().map(token).collect()
}

fn token(token: &Token) -> Check {
    const NAME: &str = "token";
    let info = &token.info;
    let label = format!("`{}` in slot {}", info.label(), token.slot.id());
    if info.user_pin_locked() {
        Check::warning(NAME, format!("{label}: the user PIN is locked"), "trellis token reset-pin")
    } else if info.so_pin_locked() {
        Check::warning(
            NAME,
            format!("{label}: the SO PIN is locked"),
            "keep the user PIN safe: nobody can reset it any more",
        )
    } else if info.user_pin_final_try() {
        let remedy = "log in with the right PIN, or reset it with `trellis token reset-pin`";
        Check::warning(NAME, format!("{label}: one more wrong PIN locks it"), remedy)
    } else if !info.user_pin_initialized() {
        Check::warning(NAME, format!("{label}: it has no user PIN"), "trellis token reset-pin")
    } else {
        Check::ok(NAME, label)
    }
}

/// `None` when the module is not Trellis's.
fn status(module: &Module) -> Result<Option<Report>> {
    let raw = module.raw()?;
    let Some(vendor) = raw.vendor() else { return Ok(None) };
    let text = vendor.status(None)?;
    serde_json::from_str(&text).map(Some).map_err(|error| {
        Error::module(format!("the module's report is not understood: {error}"))
            .remedy("use the trellis command and the module of one release")
    })
}

fn configuration(report: Option<&Report>) -> Check {
    const NAME: &str = "configuration";
    let named = std::env::var_os("TRELLIS_CONF").filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = named.as_ref().filter(|path| !path.is_file()) {
        return Check::problem(
            NAME,
            format!("TRELLIS_CONF names {}, which is no file", path.display()),
            "correct it or unset it",
        );
    }
    let path =
        report.and_then(|report| report.configuration_file.clone()).or(named).or_else(default_configuration);
    let Some(path) = path else {
        return Check::ok(NAME, "none: the defaults hold (one embedded slot in the user's data directory)");
    };
    match std::fs::metadata(&path) {
        // Who may write it chooses where keys are stored.
        Ok(metadata) if metadata.mode() & 0o022 != 0 => Check::problem(
            NAME,
            format!("others may write {}", path.display()),
            format!("chmod go-w {}", path.display()),
        ),
        Ok(_) => match std::fs::File::open(&path) {
            Ok(_) => Check::ok(NAME, path.display().to_string()),
            Err(error) => {
                Check::failed(NAME, &Error::io("read", &path, &error).remedy("correct its permissions"))
            }
        },
        Err(error) => {
            Check::failed(NAME, &Error::io("read", &path, &error).remedy("correct its permissions"))
        }
    }
}

/// The configuration that Trellis's module reads when TRELLIS_CONF is not set.
fn default_configuration() -> Option<PathBuf> {
    let user = std::env::var_os("XDG_CONFIG_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = user.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".config")));
    let user = user.map(|folder| folder.join("trellis/trellis.toml"));
    [user, Some("/etc/trellis/trellis.toml".into())].into_iter().flatten().find(|path| path.exists())
}

fn of_report(report: &Report) -> Vec<Check> {
    const SEE_LOG: &str = "look at the module's log: TRELLIS_LOG=debug";
    let mut checks = Vec::new();
    match report.self_test.as_deref() {
        Some("passed") => checks.push(Check::ok("self-test", "passed")),
        Some(other) => {
            let remedy = "reinstall the module; if it stays, do not use this machine for keys";
            checks.push(Check::problem("self-test", other, remedy));
        }
        None => {}
    }
    for slot in &report.slots {
        let schema = slot.schema.map(|schema| format!(", schema {schema}")).unwrap_or_default();
        checks.extend(slot.store.as_ref().map(|store| store_permissions(store, &schema)));
        let of_slot =
            |problem: &String| Check::problem("store", format!("slot {}: {problem}", slot.id), SEE_LOG);
        checks.extend(slot.problems.iter().map(of_slot));
    }
    checks.extend(report.problems.iter().map(|problem| Check::problem("module report", problem, SEE_LOG)));
    checks
}

/// The store's folder must be 0700 and its files 0600.
fn store_permissions(store: &Path, schema: &str) -> Check {
    const NAME: &str = "store";
    let folder = if store.is_dir() { Some(store) } else { store.parent() };
    for path in [Some(store), folder].into_iter().flatten() {
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.mode() & 0o077 != 0 => {
                let detail =
                    format!("others have access to {} (mode {:o})", path.display(), metadata.mode() & 0o777);
                return Check::problem(NAME, detail, format!("chmod go= {}", path.display()));
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Check::ok(NAME, format!("{}: not made yet", store.display()));
            }
            Err(error) => {
                return Check::failed(
                    NAME,
                    &Error::io("look at", path, &error).remedy("correct its permissions"),
                );
            }
        }
    }
    Check::ok(NAME, format!("{}{schema}, for its owner only", store.display()))
}

fn entropy() -> Check {
    const NAME: &str = "entropy";
    let mut bytes = [0; 32];
    if getrandom(&mut bytes, GetRandomFlags::NONBLOCK) != Ok(bytes.len()) {
        let remedy = "wait until the system has started; on a virtual machine add a virtio-rng device";
        return Check::problem(NAME, "the kernel's random generator is not ready", remedy);
    }
    match std::fs::read_to_string("/proc/sys/kernel/random/entropy_avail") {
        Ok(bits) => Check::ok(NAME, format!("the kernel's generator is ready ({} bits)", bits.trim())),
        Err(_) => Check::ok(NAME, "the kernel's generator is ready"),
    }
}

fn memory_locking(locked: Option<bool>) -> Check {
    const NAME: &str = "memory locking";
    let limit = getrlimit(Resource::Memlock).current;
    let allowed =
        limit.map_or_else(|| "without limit".to_owned(), |bytes| format!("up to {} KiB", bytes / 1024));
    let remedy =
        "raise the limit: LimitMEMLOCK=64M in the service, or `memlock` in /etc/security/limits.conf";
    match (locked, limit) {
        (Some(false), _) => Check::warning(
            NAME,
            format!("keys may reach the swap: locking failed (allowed {allowed})"),
            remedy,
        ),
        (_, Some(bytes)) if bytes < MEMORY_TO_LOCK => {
            Check::warning(NAME, format!("little memory may be locked ({allowed})"), remedy)
        }
        _ => Check::ok(NAME, format!("allowed {allowed}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_report_may_leave_things_out_or_say_more() {
        let report: Report = serde_json::from_str("{}").unwrap();
        assert!(of_report(&report).is_empty());
        let report = r#"{"configuration_file":null,"self_test":"passed","memory_locked":true,"new":[],"problems":["b"],
                         "slots":[{"id":7,"store":"/nowhere/s","schema":1,"token":null,"problems":["a"]}]}"#;
        let checks = of_report(&serde_json::from_str(report).unwrap());
        let status: Vec<_> = checks.iter().map(|check| check.status).collect();
        assert_eq!(status, [Status::Ok, Status::Ok, Status::Problem, Status::Problem]);
        assert_eq!(checks[2].detail, "slot 7: a");
    }

    #[test]
    fn a_store_that_others_can_reach_is_a_problem() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        let store = folder.path().join("token.db");
        fs::write(&store, b"").unwrap();
        for (mode, status) in [(0o600, Status::Ok), (0o640, Status::Problem), (0o604, Status::Problem)] {
            fs::set_permissions(&store, Permissions::from_mode(mode)).unwrap();
            assert_eq!(store_permissions(&store, "").status, status, "{mode:o}");
        }
        fs::set_permissions(&store, Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        assert_eq!(store_permissions(&store, "").status, Status::Problem);
    }
}
