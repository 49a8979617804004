//! For tests only: the whole co-signer on this machine. A KMS double, an enclave with an emulated NSM and the host between
//! them, each a process of its own that can be killed and started again.
//!
//! All of them end with whoever started them, however that ends.
#![forbid(unsafe_code)]

mod process;
mod programs;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

pub use programs::build;

use process::Process;
use tempfile::TempDir;

/// The KMS key.
pub const KMS_KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/0a1b2c3d-0000-4000-8000-00000000000a";
/// Who the host is to KMS.
const CALLER: &str = "arn:aws:iam::111122223333:role/parent";
/// The policy of the KMS key: this caller, for an enclave of the emulation's image.
const POLICY: &str = include_str!("policy.json");

/// A running co-signer.
#[derive(Debug)]
pub struct Stand {
    host: Option<Process>,
    enclave: Option<Process>,
    kms: Process,
    directory: TempDir,
    options: Vec<String>,
    endpoint: String,
    root: String,
    /// Removes the directory when its standard input ends: a static is never dropped.
    _cleaner: Child,
}

impl Stand {
    /// Starts it all. `enclave_options` are more of the enclave's.
    pub fn start(enclave_options: &[&str]) -> io::Result<Self> {
        // A short path: sockets' names are limited.
        let directory = tempfile::Builder::new().prefix("stand").tempdir_in("/tmp")?;
        let path = directory.path();
        let cleaner = Command::new("sh")
            .args(["-c", "cat >/dev/null; rm -rf -- \"$1\"", "sh"])
            .arg(path)
            .stdin(Stdio::piped())
            .spawn()?;
        fs::write(path.join("policy"), POLICY)?;
        let options: Vec<_> = enclave_options.iter().map(ToString::to_string).collect();
        let (enclave, root) = start_enclave(path, &options)?;
        let mut kms = Process::new("trellis-kms-double");
        kms.arguments(["--caller", CALLER, "--key", KMS_KEY, "--root", &root]);
        kms.paths(path, [("--keys", "kms-keys"), ("--policy", "policy")]);
        kms.start()?;
        let endpoint = kms.answer()?;
        let host = start_host(path, &endpoint)?;
        Ok(Self {
            host: Some(host),
            enclave: Some(enclave),
            kms,
            directory,
            options,
            endpoint,
            root,
            _cleaner: cleaner,
        })
    }

    /// One for all tests of this program. Keys are opened anew for each signature, so that every test goes the whole way;
    /// what costs most of it, an RSA key for each question to KMS, is saved.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Stand> = OnceLock::new();
        let options = ["--keep-open=0", "--questions-per-key=100"];
        SHARED.get_or_init(|| Self::start(&options).expect("the co-signer's programs start"))
    }

    /// Where the host listens, `unix:/...`.
    pub fn host(&self) -> String {
        format!("unix:{}", self.directory.path().join("host").display())
    }

    /// SHA-256 of the emulated NSM's root, in hexadecimal.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Where everything is kept.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Says a command to the KMS double (`kms_double::Faults::command`).
    pub fn kms(&mut self, command: &str) -> io::Result<String> {
        self.kms.say(command)?;
        self.kms.answer()
    }

    /// SIGKILL.
    pub fn kill_enclave(&mut self) {
        self.enclave = None;
    }

    /// Kills it if it runs, and starts it again.
    pub fn start_enclave(&mut self) -> io::Result<()> {
        self.kill_enclave();
        self.enclave = Some(start_enclave(self.directory.path(), &self.options)?.0);
        Ok(())
    }

    /// SIGKILL.
    pub fn kill_host(&mut self) {
        self.host = None;
    }

    /// Kills it if it runs, and starts it again.
    pub fn start_host(&mut self) -> io::Result<()> {
        self.kill_host();
        self.host = Some(start_host(self.directory.path(), &self.endpoint)?);
        Ok(())
    }
}

fn socket(directory: &Path, name: &str) -> String {
    format!("unix:{}", directory.join(name).display())
}

/// The enclave, and the hash of its root.
fn start_enclave(directory: &Path, options: &[String]) -> io::Result<(Process, String)> {
    let _ = fs::remove_file(directory.join("enclave"));
    let mut enclave = Process::new("trellis-enclave-emulated");
    enclave.arguments(["--until-eof", "--listen", &socket(directory, "enclave")]);
    enclave.paths(directory, [("--nsm", "nsm")]).arguments(options.iter().map(String::as_str));
    let log = enclave.start_with_log(&directory.join("enclave.log"), "listening on")?;
    let root = log.split_whitespace().find(|word| word.len() == 64).unwrap_or_default().to_owned();
    Ok((enclave, root))
}

fn start_host(directory: &Path, endpoint: &str) -> io::Result<Process> {
    let mut host = Process::new("trellis-cosigner-host");
    host.arguments(["--listen", &socket(directory, "host"), "--enclave", &socket(directory, "enclave")]);
    host.arguments(["--kms-key", KMS_KEY, "--kms-endpoint", endpoint]);
    host.paths(directory, [("--records", "records")]);
    // Nothing of this machine's account, and no instance to be asked about.
    host.environment([("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "none")], directory);
    host.start_with_log(&directory.join("host.log"), "listens at")?;
    Ok(host)
}

/// A program of the co-signer, built if need be.
pub fn program(name: &str) -> PathBuf {
    programs::directory().join(name)
}
