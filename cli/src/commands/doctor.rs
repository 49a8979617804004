//! `trellis doctor`: what works, what does not, and what to do. It also works when the module does not load.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use rustix::process::{Resource, getrlimit};
use rustix::rand::{GetRandomFlags, getrandom};
use serde::Serialize;

use crate::commands::clients;
use crate::configuration::default_file;
use crate::error::{Error, Result};
use crate::module::{self, Module};
use crate::options::{Global, Outcome};
use crate::output::{clean, show};
use crate::report::{Problem, Report};
use crate::token::{SO_PIN_LOCKED, Slots, Token};

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

    pub(crate) fn problem(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, status: Status::Problem, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    fn failed(name: &'static str, error: Error) -> Self {
        let error = error.explained();
        Self::problem(name, error.cause(), error.what_to_do().unwrap_or("look at the module's log"))
    }
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

/// Finds and loads the module and looks at its tokens; returns what it reports of itself, also when it does not start.
fn check_module(global: &Global, checks: &mut Vec<Check>) -> Option<Report> {
    let (path, source) = match module::locate(global.module.as_deref(), None) {
        Ok(found) => found,
        Err(error) => {
            checks.push(Check::failed("module path", error));
            return None;
        }
    };
    checks.push(Check::ok("module path", format!("{} ({})", path.display(), source.describe())));
    let module = match Module::load(&path) {
        Ok(module) => module,
        Err(error) => {
            // A library that cannot be loaded has no report either; that is said once.
            let report = if error.is_of_pkcs11() { module::report(&path).ok().flatten() } else { None };
            checks.push(Check::failed("module", error));
            return report;
        }
    };
    checks.push(match module.info() {
        Ok(info) => {
            let (name, version) = (info.library_description(), info.library_version());
            Check::ok("module", format!("loads: {name} {version}, Cryptoki {}", info.cryptoki_version()))
        }
        Err(error) => Check::failed("module", error),
    });
    checks.push(interfaces(&module));
    let (report, failed) = match module::report(&path) {
        Ok(report) => (report, None),
        Err(error) => (None, Some(Check::failed("self-report", error))),
    };
    checks.extend(tokens(&module, report.is_some()));
    checks.extend(failed);
    report
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
        Err(error) => Check::failed("interfaces", error),
    }
}

/// What C_GetTokenInfo says. Where the module reports of itself, that report has the slots that do not answer and the
/// PINs that are locked, with remedies that fit the store.
fn tokens(module: &Module, reported: bool) -> Vec<Check> {
    let Slots { tokens, unusable } = match Slots::of(module) {
        Ok(slots) => slots,
        Err(error) => return vec![Check::failed("tokens", error)],
    };
    let mut checks = Vec::new();
    if !reported {
        checks.extend(unusable.into_iter().map(|slot| Check::failed("tokens", slot.error)));
    } else if tokens.is_empty() && !unusable.is_empty() {
        return checks;
    }
    let ready: Vec<_> = tokens.iter().filter(|token| token.info.token_initialized()).collect();
    if ready.is_empty() {
        checks.push(Check::warning("tokens", "none is initialised", "trellis token init --label NAME"));
    }
    let locked = |token: &&&Token| token.info.user_pin_locked() || token.info.so_pin_locked();
    checks.extend(ready.iter().filter(|each| !reported || !locked(each)).map(|each| token(each)));
    checks
}

fn token(token: &Token) -> Check {
    const NAME: &str = "token";
    let info = &token.info;
    let label = format!("`{}` in slot {}", info.label(), token.slot.id());
    if info.user_pin_locked() {
        Check::problem(NAME, format!("{label}: the user PIN is locked"), "trellis token reset-pin")
    } else if info.so_pin_locked() {
        Check::problem(NAME, format!("{label}: the SO PIN is locked"), SO_PIN_LOCKED)
    } else if info.user_pin_final_try() {
        let remedy = "log in with the right PIN, or reset it with `trellis token reset-pin`";
        Check::warning(NAME, format!("{label}: one more wrong PIN locks it"), remedy)
    } else if !info.user_pin_initialized() {
        Check::warning(NAME, format!("{label}: it has no user PIN"), "trellis token reset-pin")
    } else {
        Check::ok(NAME, label)
    }
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
    // Before C_Initialize, or after it failed, the report is about the configuration alone.
    let refused = report.filter(|report| report.slots.is_none()).and_then(|report| report.problems.first());
    if let Some(Problem { message, remedy }) = refused {
        return Check::problem(NAME, message, remedy);
    }
    let path = match report {
        Some(report) => report.config.clone(),
        None => named.or_else(default_file),
    };
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
                Check::failed(NAME, Error::io("read", &path, &error).remedy("correct its permissions"))
            }
        },
        Err(error) => Check::failed(NAME, Error::io("read", &path, &error).remedy("correct its permissions")),
    }
}

fn of_report(report: &Report) -> Vec<Check> {
    let mut checks = Vec::new();
    match report.self_test.as_deref() {
        Some("passed") => checks.push(Check::ok("self-test", "passed")),
        Some(other) => {
            let remedy = "reinstall the module; if it stays, do not use this machine for keys";
            checks.push(Check::problem("self-test", other, remedy));
        }
        None => {}
    }
    let Some(slots) = &report.slots else { return checks };
    for slot in slots {
        let store = slot.store.as_ref().map_or_else(String::new, |store| store.display().to_string());
        match &slot.token {
            _ if !slot.problems.is_empty() => {}
            Some(token) if !token.initialized => {
                checks.push(Check::ok("store", format!("{store}: no token yet")));
            }
            _ => checks.push(Check::ok("store", store)),
        }
        checks.extend(slot.problems.iter().map(|problem| found("store", problem)));
    }
    // The module's list has those of its slots again.
    let told = |problem: &&Problem| slots.iter().any(|slot| slot.problems.contains(problem));
    let rest = report.problems.iter().filter(|problem| !told(problem));
    checks.extend(rest.map(|problem| found("module report", problem)));
    checks
}

fn found(name: &'static str, Problem { message, remedy }: &Problem) -> Check {
    Check::problem(name, message, remedy)
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

    #[test]
    fn a_problem_of_a_slot_is_told_once() {
        let report = r#"{"version":"1","initialized":true,"config":null,"self_test":"passed","memory_locked":true,
            "last_failure":null,"problems":[{"message":"m","remedy":"r"},{"message":"n","remedy":"q"}],
            "slots":[{"store":"/a","token":null,"problems":[{"message":"m","remedy":"r"}]},
                     {"store":"/b","token":{"initialized":false},"problems":[]}]}"#;
        let checks = of_report(&Report::parse(report).unwrap());
        let seen: Vec<_> =
            checks.iter().map(|check| (check.name, check.status, check.detail.as_str())).collect();
        let expected = [
            ("self-test", Status::Ok, "passed"),
            ("store", Status::Problem, "m"),
            ("store", Status::Ok, "/b: no token yet"),
            ("module report", Status::Problem, "n"),
        ];
        assert_eq!(seen, expected);
        assert_eq!(checks[1].remedy.as_deref(), Some("r"));
    }
}
