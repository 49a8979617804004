//! An HSM in a process of its own: SoftHSM behind `p11-kit server`, reached by p11-kit's client library over a socket,
//! as a network HSM is by its vendor's.

use std::{
    os::unix::{net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{backend, isolated::Place, process};

const SERVERS: [&str; 3] =
    ["/usr/libexec/p11-kit/p11-kit-server", "/usr/lib/p11-kit/p11-kit-server", "/usr/libexec/p11-kit-server"];
const CLIENTS: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so",
    "/usr/lib/aarch64-linux-gnu/pkcs11/p11-kit-client.so",
    "/usr/lib64/pkcs11/p11-kit-client.so",
];
/// A server that was not killed ends by itself.
const SECONDS: &str = "300";

/// The HSM's process.
#[derive(Debug)]
pub struct Hsm {
    directory: PathBuf,
    running: Option<Child>,
}

impl Hsm {
    /// Starts an HSM without a token, and configures one slot over it. Call before a thread is made.
    pub fn start(place: &Place) -> Self {
        Self::start_with(place, "[[slot]]\npath = 'token'\n")
    }

    /// The same with a configuration of the caller's, whose one slot gets this HSM.
    pub fn start_with(place: &Place, configuration: &str) -> Self {
        backend::prepare_softhsm(place.directory());
        let mut hsm = Self { directory: place.directory().to_owned(), running: None };
        let address = format!("unix:path={}", hsm.socket().display());
        process::set_variable("P11_KIT_SERVER_ADDRESS", address.as_ref());
        hsm.restart();
        let client = installed(&CLIENTS);
        let text = format!("{configuration}backend = 'pkcs11'\nmodule-path = '{}'\n", client.display());
        std::fs::write(place.config(), text).expect("the test's directory can be written");
        hsm
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("hsm")
    }

    /// SIGKILL to the server and to whatever serves a connection.
    pub fn kill(&mut self) {
        if let Some(mut leader) = self.running.take() {
            process::kill_group(leader.id());
            leader.wait().expect("a child of ours");
        }
        let _ = std::fs::remove_file(self.socket());
    }

    /// Starts it (again) and waits until it answers.
    pub fn restart(&mut self) {
        self.kill();
        let log = std::fs::File::create(self.directory.join("server.log"))
            .expect("the test's directory can be written");
        let server = Command::new("timeout")
            .args(["--signal=KILL", SECONDS])
            .arg(installed(&SERVERS))
            .arg("--foreground")
            .arg("--name")
            .arg(self.socket())
            .arg("--provider")
            .arg(backend::softhsm())
            .arg("pkcs11:")
            .env("SOFTHSM2_CONF", self.directory.join("softhsm2.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file descriptor is left"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("the server can be run");
        self.running = Some(server);
        let began = Instant::now();
        while UnixStream::connect(self.socket()).is_err() {
            assert!(began.elapsed() < Duration::from_secs(30), "the HSM's server does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Hsm {
    fn drop(&mut self) {
        self.kill();
    }
}

fn installed(places: &[&str]) -> PathBuf {
    let found = places.iter().map(Path::new).find(|path| path.exists());
    found.expect("install the Debian packages p11-kit and p11-kit-modules").to_owned()
}
