//! The processes, and who asks them.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Lines, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use cosigner_protocol::{
    Address, Algorithm, Bytes, Secret, Timeouts, Transport, UserId,
    message::{Class, Failure, Input, Layer, Request, Response},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::peer::{Enclave, Peer};

pub(crate) const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/0a1b2c3d-0000-4000-8000-00000000000a";
pub(crate) const OTHER_KEY: &str =
    "arn:aws:kms:eu-central-1:111122223333:key/0a1b2c3d-0000-4000-8000-00000000000b";
const CALLER: &str = "arn:aws:iam::111122223333:role/parent";
/// What a child process is to be, and its arguments.
const JOB: &str = "TRELLIS_TEST_JOB";

/// For what must come some time.
pub(crate) const LONG: Duration = Duration::from_secs(60);
const TIMEOUTS: Timeouts = Timeouts { connect: LONG, frame: LONG };

/// What this process is to be, if it is a child: the program's name and its arguments.
pub(crate) fn job() -> Option<Vec<String>> {
    Some(serde_json::from_str(&std::env::var(JOB).ok()?).unwrap())
}

/// This program again, as another.
pub(crate) fn child(program: &[&str]) -> Command {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "child", "--nocapture", "--test-threads=1"]);
    child.env(JOB, serde_json::to_string(program).unwrap());
    child
}

/// Everything, with a scripted enclave. Dropped, it is all gone.
pub(crate) struct Setup {
    pub(crate) host: Host,
    pub(crate) double: Double,
    pub(crate) peer: Option<Peer>,
    pub(crate) enclave: Arc<Enclave>,
    pub(crate) folder: tempfile::TempDir,
}

impl Setup {
    /// Around an enclave that does as it should.
    pub(crate) fn new() -> Self {
        Self::with(|_, _| true)
    }

    /// Around an enclave that looks at each request first, and answers it as it should where `look` is true.
    pub(crate) fn with(
        look: impl Fn(&mut crate::peer::Conversation<'_>, usize) -> bool + Send + Sync + 'static,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let enclave = Arc::new(Enclave::new());
        let double = Double::start(&folder, &enclave.root());
        let peer = Peer::start(&folder.path().join("enclave"), enclave.clone(), look);
        let host = Host::start(&folder, &double.endpoint, "host");
        Self { host, double, peer: Some(peer), enclave, folder }
    }

    pub(crate) fn client(&self) -> Client {
        self.host.client()
    }

    /// Another host on the same records.
    pub(crate) fn another_host(&self, name: &str) -> Host {
        Host::start(&self.folder, &self.double.endpoint, name)
    }

    /// One that gives up on an enclave soon.
    pub(crate) fn impatient_host(&self) -> Host {
        Host::start_with(&self.folder, &self.double.endpoint, "impatient", &["--enclave-time", "1"])
    }
}

/// The KMS double.
pub(crate) struct Double {
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    pub(crate) endpoint: String,
}

impl Double {
    pub(crate) fn start(folder: &tempfile::TempDir, root: &[u8; 32]) -> Self {
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": {"AWS": CALLER},
                "Action": ["kms:GenerateDataKey", "kms:Decrypt"],
                "Resource": "*",
                "Condition": {
                    "StringEqualsIgnoreCase": {"kms:RecipientAttestation:ImageSha384": "10".repeat(48)},
                    "ForAllValues:StringEquals": {"kms:EncryptionContextKeys": "user_id"},
                },
            }],
        });
        fs::write(path("policy"), policy.to_string()).unwrap();
        let root: String = root.iter().map(|byte| format!("{byte:02x}")).collect();
        let (keys, policy) = (path("kms-keys"), path("policy"));
        let arguments = ["double", "--keys", &keys, "--policy", &policy, "--root", &root, "--caller", CALLER];
        let mut child = child(&[&arguments[..], &["--key", KEY, "--key", OTHER_KEY]].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
        // The harness of the tests has its say first.
        let endpoint = answers
            .by_ref()
            .map(Result::unwrap)
            .find_map(|line| line.find("http://").map(|at| line[at..].to_owned()));
        Self { child, commands, answers, endpoint: endpoint.expect("the double says where it is") }
    }

    /// Says a command (`kms_double::Faults::command`) and returns the answer.
    pub(crate) fn command(&mut self, command: &str) -> String {
        writeln!(self.commands, "{command}").unwrap();
        self.answers.next().unwrap().unwrap()
    }

    pub(crate) fn calls(&mut self, operation: &str) -> u32 {
        self.command(&format!("calls {operation}")).parse().unwrap()
    }

    /// Until so many calls are held back.
    pub(crate) fn wait_for(&mut self, calls: usize) {
        until("calls to be held back", || self.command("waiting") == calls.to_string());
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program under test.
pub(crate) struct Host {
    child: Child,
    pub(crate) socket: PathBuf,
    log: PathBuf,
}

impl Host {
    pub(crate) fn start(folder: &tempfile::TempDir, endpoint: &str, name: &str) -> Self {
        Self::start_with(folder, endpoint, name, &[])
    }

    /// With more options.
    pub(crate) fn start_with(folder: &tempfile::TempDir, endpoint: &str, name: &str, more: &[&str]) -> Self {
        // In an earlier life it may have written there.
        let lives = |log: &str| log.matches("listens at").count();
        let before =
            fs::read_to_string(folder.path().join(format!("{name}.log"))).map_or(0, |log| lives(&log));
        let host = Self::spawn(folder, endpoint, name, more);
        until("the host to listen", || lives(&host.log()) > before);
        host
    }

    /// A host that may not come up.
    pub(crate) fn spawn(folder: &tempfile::TempDir, endpoint: &str, name: &str, more: &[&str]) -> Self {
        let keys = [("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "none")];
        Self::spawn_with(folder, endpoint, name, more, &keys)
    }

    /// The same with another environment: nothing of this machine's account, and no instance to be asked about.
    pub(crate) fn spawn_with(
        folder: &tempfile::TempDir,
        endpoint: &str,
        name: &str,
        more: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let path = |name: &str| folder.path().join(name);
        let (socket, log) = (path(name), path(&format!("{name}.log")));
        let out = File::options().create(true).append(true).open(&log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_trellis-cosigner-host"))
            .arg("--listen")
            .arg(format!("unix:{}", socket.display()))
            .arg("--enclave")
            .arg(format!("unix:{}", path("enclave").display()))
            .arg("--records")
            .arg(path("records"))
            .args(["--kms-key", KEY, "--kms-endpoint", endpoint, "--until-eof"])
            // As long as a slow machine may take. What is to be waited for in vain says so in `more`.
            .args(if more.contains(&"--enclave-time") { &[][..] } else { &["--enclave-time", "60"] })
            .args(["--kms-time", "60"])
            .args(more)
            .env_clear()
            .envs(environment.iter().copied())
            .env("HOME", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(out)
            .spawn()
            .unwrap();
        Self { child, socket, log }
    }

    pub(crate) fn client(&self) -> Client {
        Client(Transport::connect(&Address::Unix(self.socket.clone()), TIMEOUTS).unwrap())
    }

    /// What it has written so far, in all its lives.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// The end of its standard input.
    pub(crate) fn close(&mut self) {
        drop(self.child.stdin.take());
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its exit code when it has ended by itself.
    pub(crate) fn end(&mut self) -> Option<i32> {
        // wait() would close its input.
        until("the host to end", || self.child.try_wait().unwrap().is_some());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the host's log:\n{}", self.log());
        }
    }
}

/// The PKCS#11 side.
pub(crate) struct Client(pub(crate) Transport);

impl Client {
    pub(crate) fn ask(&mut self, request: &Request) -> Response {
        self.0.ask(request).unwrap()
    }

    pub(crate) fn generate(&mut self, name: &str) -> Response {
        self.ask(&Request::Generate { user_id: user(name), algorithm: Algorithm::MlDsa65 })
    }

    pub(crate) fn public_key(&mut self, name: &str) -> Response {
        self.ask(&Request::PublicKey { user_id: user(name) })
    }

    pub(crate) fn sign(&mut self, name: &str) -> Response {
        self.ask(&signing(name, b"a message"))
    }
}

pub(crate) fn signing(name: &str, message: &[u8]) -> Request {
    let input = Input::Message { context: Bytes(vec![]), message: Secret::new(message.to_vec()) };
    Request::Sign { user_id: user(name), input, deterministic: false }
}

/// JSON as a frame.
pub(crate) fn frame(json: &str) -> Vec<u8> {
    [&u32::try_from(json.len()).unwrap().to_be_bytes(), json.as_bytes()].concat()
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::try_from(name.to_owned()).unwrap()
}

pub(crate) fn failed(class: Class, layer: Layer) -> Response {
    Response::Failed(Failure { class, layer })
}

pub(crate) fn conflict() -> Response {
    failed(Class::SigningFailed, Layer::Conflict)
}

pub(crate) fn no_record() -> Response {
    failed(Class::SigningFailed, Layer::Record)
}

pub(crate) fn is_key(response: &Response) -> bool {
    matches!(response, Response::Key { .. })
}

/// Waits for something that comes if all is well.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < end, "waited for {what} in vain");
        thread::sleep(Duration::from_millis(5));
    }
}
