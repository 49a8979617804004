//! What the stores need outside this process while they are measured: a software TPM, and the enclave's processes with an
//! emulated NSM. They end with it.

use std::{
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use test_stand::Stand;

/// The running devices.
pub(crate) struct Devices {
    tpm: Option<Tpm>,
    enclave: Option<Stand>,
}

struct Tpm {
    swtpm: Child,
    port: u16,
    _state: tempfile::TempDir,
}

impl Devices {
    /// Starts what this machine has; of the others it is said why not.
    pub(crate) fn start() -> Self {
        let tpm = Tpm::start()
            .inspect_err(|why| println!("no software TPM ({why}): no store over it is measured"))
            .ok();
        let enclave = Stand::start(&[])
            .inspect_err(|why| println!("no emulated enclave ({why}): no store in it is measured"))
            .ok();
        Self { tpm, enclave }
    }

    /// What the `[[slot]]` of a store over the TPM says.
    pub(crate) fn tpm_slot(&self) -> Option<String> {
        let port = self.tpm.as_ref()?.port;
        Some(format!("backend = \"tpm\"\ntcti = \"swtpm:host=127.0.0.1,port={port}\"\n"))
    }

    /// What the `[[slot]]` of a store in the enclave says.
    pub(crate) fn enclave_slot(&self) -> Option<String> {
        let host = self.enclave.as_ref()?.host();
        Some(format!("backend = \"nitro\"\nhost = \"{host}\"\n"))
    }
}

impl Tpm {
    fn start() -> Result<Self, Box<dyn std::error::Error>> {
        let state = tempfile::tempdir()?;
        let free = || Ok::<_, std::io::Error>(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port());
        let (port, control) = (free()?, free()?);
        let swtpm = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "swtpm", "socket", "--tpm2", "--flags"])
            .args(["not-need-init,startup-clear", "--tpmstate"])
            .arg(format!("dir={}", state.path().display()))
            .args(["--server", &format!("type=tcp,port={port},bindaddr=127.0.0.1")])
            .args(["--ctrl", &format!("type=tcp,port={control},bindaddr=127.0.0.1")])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut tpm = Self { swtpm, port, _state: state };
        let deadline = Instant::now() + Duration::from_secs(10);
        // The server takes one connection, so the control port is asked.
        while TcpStream::connect(("127.0.0.1", control)).is_err() {
            if tpm.swtpm.try_wait()?.is_some() || Instant::now() > deadline {
                return Err("swtpm does not start".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(tpm)
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        let _ = (self.swtpm.kill(), self.swtpm.wait());
    }
}
