//! One bench for all tests of the command: a module, a folder of its own, and the built binary.
//!
//! TRELLIS_TEST_MODULE_KIND chooses the module: `softhsm` (the default) or `trellis`, whose library lies where
//! TRELLIS_MODULE says, or else beside the command. A module that is missing fails the tests.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

pub(crate) const PIN: &str = "user pin 1";
pub(crate) const SO_PIN: &str = "officer pin 1";
pub(crate) const WITH_PIN: [&str; 2] = ["--pin-source", "env:TEST_PIN"];
pub(crate) const WITH_SO_PIN: [&str; 2] = ["--so-pin-source", "env:TEST_SO_PIN"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    SoftHsm,
    Trellis,
}

pub(crate) struct Bench {
    folder: tempfile::TempDir,
    pub(crate) kind: Kind,
    pub(crate) module: PathBuf,
}

/// What a run of the command left behind.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    what: String,
}

impl Bench {
    /// Copies a program that is to be run. Another process does it: a file that this one holds open for writing may
    /// be inherited by a test's child of the same moment, and then it cannot be run ("text file busy").
    pub(crate) fn copy_program(from: impl AsRef<Path>, to: impl AsRef<Path>) {
        let copied = Command::new("cp").arg(from.as_ref()).arg(to.as_ref()).status().unwrap();
        assert!(copied.success());
    }

    /// SoftHSM's library.
    pub(crate) fn softhsm() -> PathBuf {
        let known = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];
        let found = known.iter().map(Path::new).find(|path| path.is_file());
        found.expect("SoftHSM is installed (Debian package softhsm2)").to_owned()
    }

    /// A module without an initialised token.
    pub(crate) fn empty() -> Self {
        let kind = match std::env::var("TRELLIS_TEST_MODULE_KIND").as_deref() {
            Err(_) | Ok("" | "softhsm") => Kind::SoftHsm,
            Ok("trellis") => Kind::Trellis,
            Ok(other) => panic!("TRELLIS_TEST_MODULE_KIND is softhsm or trellis, not {other}"),
        };
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let module = match kind {
            Kind::SoftHsm => Self::softhsm(),
            Kind::Trellis => match std::env::var_os("TRELLIS_MODULE") {
                Some(path) => path.into(),
                None => Path::new(env!("CARGO_BIN_EXE_trellis")).with_file_name("libtrellis_pkcs11.so"),
            },
        };
        assert!(module.is_file(), "no module at {}", module.display());
        let tokens = folder.path().join("tokens");
        fs::create_dir(&tokens).unwrap();
        let softhsm = format!("directories.tokendir = {}\nobjectstore.backend = file\n", tokens.display());
        fs::write(folder.path().join("softhsm2.conf"), softhsm).unwrap();
        let slot = |name| format!("[[slot]]\npath = \"{}\"\n", tokens.join(name).display());
        fs::write(folder.path().join("trellis.toml"), slot("a") + &slot("b") + &slot("c")).unwrap();
        Self { folder, kind, module }
    }

    /// A module with the token `test`.
    pub(crate) fn new() -> Self {
        let bench = Self::empty();
        bench.init("test");
        bench
    }

    pub(crate) fn init(&self, label: &str) -> Value {
        self.ok_json(&[&["token", "init", "--label", label][..], &WITH_PIN, &WITH_SO_PIN].concat())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The path of a file as an argument.
    pub(crate) fn arg(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), bytes).unwrap();
        self.arg(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// The environment of every run: nothing of the tester's own configuration reaches it.
    pub(crate) fn environment(&self, command: &mut Command) {
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.folder.path())
            .env("SOFTHSM2_CONF", self.path("softhsm2.conf"))
            .env("TRELLIS_CONF", self.path("trellis.toml"))
            .env("TRELLIS_MODULE", &self.module)
            .env("TEST_PIN", PIN)
            .env("TEST_SO_PIN", SO_PIN)
            .env("TEST_WRONG_PIN", "not the pin")
            .env("TEST_NEW_PIN", "a new pin 2")
            .current_dir(self.folder.path());
    }

    /// The command in a session without a terminal, so that no test waits for somebody to type.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("setsid");
        command.arg("--wait").arg(env!("CARGO_BIN_EXE_trellis")).args(arguments);
        self.environment(&mut command);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        let output = self.command(arguments).stdin(Stdio::null()).output().unwrap();
        Run::new(output, arguments)
    }

    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Run {
        let mut command = self.command(arguments);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        // A command that failed early has not read everything; that is its business.
        let _ = writer.join().unwrap();
        Run::new(output, arguments)
    }

    /// Runs a command that must succeed.
    pub(crate) fn ok(&self, arguments: &[&str]) -> Run {
        self.run(arguments).expect(0)
    }

    /// Runs a command that must succeed, with the PIN.
    pub(crate) fn user(&self, arguments: &[&str]) -> Run {
        self.ok(&[arguments, &WITH_PIN].concat())
    }

    /// Runs a command with the PIN that must end with `code`.
    pub(crate) fn user_fails(&self, arguments: &[&str], code: i32) -> Run {
        self.run(&[arguments, &WITH_PIN].concat()).expect(code)
    }

    pub(crate) fn ok_json(&self, arguments: &[&str]) -> Value {
        self.ok(&[arguments, &["--json"]].concat()).json()
    }

    pub(crate) fn user_json(&self, arguments: &[&str]) -> Value {
        self.user(&[arguments, &["--json"]].concat()).json()
    }

    pub(crate) fn generate(&self, algorithm: &str, label: &str) -> Value {
        self.user_json(&["key", "generate", "--algorithm", algorithm, "--label", label])
    }

    /// A P-256 key that OpenSSL makes.
    pub(crate) fn p256_pem(&self, out: &str) {
        let curve = ["-pkeyopt", "ec_paramgen_curve:P-256"];
        self.openssl(&[&["genpkey", "-algorithm", "ec"][..], &curve, &["-out", out]].concat());
    }

    /// Runs OpenSSL, which must succeed.
    pub(crate) fn openssl(&self, arguments: &[&str]) -> Output {
        let output = self.try_openssl(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments:?}: {error}");
        output
    }

    pub(crate) fn try_openssl(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("openssl");
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.output().expect("OpenSSL is installed (Debian package openssl)")
    }
}

impl Run {
    pub(crate) fn new(output: Output, arguments: &[&str]) -> Self {
        let code = output.status.code().unwrap_or(-1);
        let stderr = String::from_utf8(output.stderr).unwrap();
        Self { code, stdout: output.stdout, stderr, what: arguments.join(" ") }
    }

    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        let stdout = String::from_utf8_lossy(&self.stdout);
        assert_eq!(self.code, code, "trellis {}\n{stdout}{}", self.what, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn expect_failure(self) -> Self {
        assert!(self.code > 0 && !self.stderr.is_empty(), "trellis {}: {}", self.what, self.code);
        self
    }

    /// The error says this.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "trellis {}\n{} does not say {text:?}", self.what, self.stderr);
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("trellis {}: {error}", self.what))
    }

    /// The error document of `--json`.
    pub(crate) fn error(&self) -> Value {
        serde_json::from_str::<Value>(&self.stderr).unwrap()["error"].clone()
    }
}
