//! A process for each test. A PKCS#11 module is initialised once per process, reads its environment and must survive
//! fork(2), so every test starts its own program again for itself alone. A crash or a deadlock is then a failed test.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{backend, exempt, library, raw::Raw};

const INSIDE: &str = "TRELLIS_TEST_INSIDE";
/// No test waits for this long; a deadlock does.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a test has to itself: a directory, and the configuration in it.
#[derive(Debug)]
pub struct Place {
    directory: PathBuf,
}

impl Place {
    /// The test's own directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the token of slot 0 is.
    pub fn token(&self) -> PathBuf {
        self.directory.join("token")
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.directory.join("trellis.toml")
    }

    /// The log, at level debug unless the configuration says otherwise.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Replaces the configuration.
    pub fn configure(&self, text: &str) {
        let text = backend::of(text);
        std::fs::write(self.config(), text).expect("the test's directory can be written");
    }

    /// Loads the module. It is not initialised.
    pub fn load(&self) -> Raw {
        Raw::load(library::path())
    }
}

/// Runs `test` in a process of its own. `path` is the test's path with the crate's name in front.
pub fn run(path: &str, test: impl FnOnce(&Place)) {
    if let Some(directory) = std::env::var_os(INSIDE) {
        let place = Place { directory: directory.into() };
        place.configure("[[slot]]\npath = 'token'\n");
        return test(&place);
    }
    let (_, name) = path.split_once("::").expect("a test lies in a module of its program");
    if exempt::is_exempt(name) {
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let place = Place { directory: directory.path().to_owned() };
    let prepared = backend::Prepared::new(directory.path());
    let log = directory.path().join("log");
    let output = std::fs::File::create(directory.path().join("output")).expect("the directory is ours");
    let mut child = Command::new(std::env::current_exe().expect("a running program has a path"))
        .args([name, "--exact", "--nocapture", "--include-ignored", "--test-threads=1"])
        .env(INSIDE, directory.path())
        .env(library::VARIABLE, library::path())
        .env("TRELLIS_CONF", place.config())
        .env("TRELLIS_LOG", format!("debug,file={}", log.display()))
        .env("SOFTHSM2_CONF", directory.path().join("softhsm2.conf"))
        .envs(prepared.variables())
        .env("HOME", directory.path())
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_DATA_HOME")
        .stdin(Stdio::null())
        .stdout(output.try_clone().expect("a file descriptor is left"))
        .stderr(output)
        .spawn()
        .expect("a test program can be run");
    let began = Instant::now();
    let status = loop {
        match child.try_wait().expect("the child is ours") {
            Some(status) => break Some(status),
            None if began.elapsed() > PATIENCE => {
                child.kill().expect("the child is ours");
                child.wait().expect("the child is ours");
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    // Indented, so that nobody counts its results as this program's.
    let output = std::fs::read_to_string(directory.path().join("output")).unwrap_or_default();
    let output = output.replace('\n', "\n    ");
    match status {
        Some(status) if status.success() && output.contains("1 passed") => {}
        Some(status) => panic!("{name}: {status}\n{output}\n-- log --\n{}", place.log()),
        None => panic!("{name}: still running after {PATIENCE:?}\n{output}\n-- log --\n{}", place.log()),
    }
}

/// A test in a process of its own: `isolated! { fn name(place) { .. } }`.
#[macro_export]
macro_rules! isolated {
    ($($(#[$meta:meta])* fn $name:ident($place:ident) $body:block)*) => {
        $(
            $(#[$meta])*
            #[test]
            fn $name() {
                $crate::isolated::run(concat!(module_path!(), "::", stringify!($name)), |$place| $body);
            }
        )*
    };
}
