//! The log: to standard error or a file, silent unless TRELLIS_LOG or the configuration asks for it, and never a
//! secret. A message is one line written by one write(2): nothing is kept open and no lock is waited for, so that a
//! host that forks, or closes every descriptor it does not know, is safe.

use std::{
    fmt,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use crate::sync::RwLock;

/// How much is logged: everything up to the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// Nothing.
    #[default]
    Off,
    /// What stops the module or a token from working.
    Error,
    /// What an administrator should look at.
    Warn,
    /// Initialisation, logins, token management.
    Info,
    /// Every function with its answer.
    Debug,
}

impl Level {
    const ALL: [(Self, &str); 5] = [
        (Self::Off, "off"),
        (Self::Error, "error"),
        (Self::Warn, "warn"),
        (Self::Info, "info"),
        (Self::Debug, "debug"),
    ];

    fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// What TRELLIS_LOG and the configuration's `log` say: `LEVEL` or `LEVEL,file=PATH`. The path is absolute; a symbolic
/// link is not followed, save for `/dev/stderr`.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Setting {
    /// How much is logged.
    pub level: Level,
    /// Where to; standard error when it is absent.
    pub file: Option<PathBuf>,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (level, file) = match text.split_once(',') {
            Some((level, rest)) => (level, Some(rest.strip_prefix("file=").ok_or_else(|| syntax(text))?)),
            None => (text, None),
        };
        let (level, _) =
            Level::ALL.into_iter().find(|(_, name)| *name == level.trim()).ok_or_else(|| syntax(text))?;
        match file {
            Some(path) if !Path::new(path).is_absolute() => {
                Err(format!("log file {path:?} is not an absolute path"))
            }
            path => Ok(Self { level, file: path.filter(|path| *path != "/dev/stderr").map(PathBuf::from) }),
        }
    }
}

impl TryFrom<String> for Setting {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

fn syntax(text: &str) -> String {
    format!("log setting {text:?} is not off, error, warn, info or debug, optionally followed by ,file=PATH")
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Off as u8);
/// Only ever tried, never waited for: a child of fork(2) may inherit it locked.
static FILE: RwLock<Option<Arc<PathBuf>>> = RwLock::new(None);

/// Sets level and target, from C_Initialize.
pub fn configure(setting: &Setting) {
    if let Some(mut file) = FILE.try_write() {
        *file = setting.file.clone().map(Arc::new);
    }
    LEVEL.store(setting.level as u8, Ordering::Relaxed);
}

/// Whether messages of a level are written.
pub fn enabled(level: Level) -> bool {
    level as u8 <= LEVEL.load(Ordering::Relaxed)
}

/// Logs what stops the module or a token from working.
pub fn error(message: fmt::Arguments<'_>) {
    write(Level::Error, message);
}

/// Logs what an administrator should look at.
pub fn warn(message: fmt::Arguments<'_>) {
    write(Level::Warn, message);
}

/// Logs initialisation, logins and token management.
pub fn info(message: fmt::Arguments<'_>) {
    write(Level::Info, message);
}

/// Logs a function and its answer.
pub fn debug(message: fmt::Arguments<'_>) {
    write(Level::Debug, message);
}

/// Why the log file cannot be opened, if there should be one and it cannot.
pub fn trouble() -> Option<String> {
    let file = FILE.try_read().and_then(|file| file.clone()).filter(|_| enabled(Level::Error))?;
    open(&file).err().map(|error| format!("the log file {} cannot be opened: {error}", file.display()))
}

/// Tells standard error if the log file cannot be opened, from C_Initialize: nobody should find out by a log that is
/// empty.
pub fn announce_trouble() {
    if let Some(trouble) = trouble() {
        let text = line(Level::Error, SystemTime::now(), format_args!("{trouble}"));
        crate::ffi::process::write_stderr(text.as_bytes());
    }
}

/// A log that cannot be written is no reason to fail a signature: the message is lost.
fn write(level: Level, message: fmt::Arguments<'_>) {
    if !enabled(level) {
        return;
    }
    let Some(file) = FILE.try_read().map(|file| file.clone()) else { return };
    let text = line(level, SystemTime::now(), message);
    match file {
        Some(path) => {
            if let Ok(mut file) = open(&path) {
                drop(file.write_all(text.as_bytes()));
            }
        }
        None => crate::ffi::process::write_stderr(text.as_bytes()),
    }
}

/// Not to wait for a reader: a FIFO without one is an error, and one that is full loses the message.
fn open(path: &Path) -> std::io::Result<std::fs::File> {
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(path)
}

fn line(level: Level, now: SystemTime, message: fmt::Arguments<'_>) -> String {
    let message: String = message.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{} trellis[{}] {}: {message}\n", timestamp(now), std::process::id(), level.name())
}

/// RFC 3339 in UTC. The civil date is Howard Hinnant's `civil_from_days`.
fn timestamp(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_fifo_that_nobody_reads_keeps_nobody_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(open(&path).is_err());
    }

    #[test]
    fn settings() {
        let setting: Setting = "debug,file=/var/log/trellis.log".parse().unwrap();
        assert_eq!(setting, Setting { level: Level::Debug, file: Some("/var/log/trellis.log".into()) });
        assert_eq!("info,file=/dev/stderr".parse::<Setting>().unwrap().file, None);
        assert_eq!("off".parse::<Setting>().unwrap(), Setting::default());
        for wrong in ["", "loud", "info,/tmp/x", "info,file=relative", "INFO"] {
            assert!(wrong.parse::<Setting>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_message_is_one_line() {
        let line = line(Level::Warn, UNIX_EPOCH, format_args!("label \"a\nb\u{1b}[31m\""));
        assert_eq!(line.matches('\n').count(), 1);
        assert!(!line.contains('\u{1b}'));
        assert!(line.ends_with("warn: label \"a b [31m\"\n"), "{line}");
    }
}
