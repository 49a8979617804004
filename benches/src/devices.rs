//! What the stores need outside this process while they are measured: a software TPM, and the enclave's processes with an
//! emulated NSM. They end with it.

#[path = "../../hsm-backends/tests/tpm/swtpm.rs"]
#[expect(dead_code, reason = "it is shared with the tests of the stores")]
#[expect(clippy::unwrap_used, reason = "without the device there is nothing to measure")]
mod swtpm;

use std::process::{Command, Stdio};

use swtpm::Swtpm;
use tempfile::TempDir;
use test_stand::Stand;

/// The running devices.
pub(crate) struct Devices {
    tpm: Option<(Swtpm, TempDir)>,
    enclave: Option<Stand>,
}

impl Devices {
    /// Starts what this machine has; of the others it is said why not.
    pub(crate) fn start() -> Self {
        let version = Command::new("swtpm").arg("--version").stdout(Stdio::null()).status();
        let state = version.and_then(|_| tempfile::tempdir());
        let tpm = state
            .inspect_err(|why| println!("no software TPM ({why}): no store over it is measured"))
            .map(|state| (Swtpm::start(&state.path().join("state")), state))
            .ok();
        let enclave = Stand::start(&[])
            .inspect_err(|why| println!("no emulated enclave ({why}): no store in it is measured"))
            .ok();
        Self { tpm, enclave }
    }

    /// What the `[[slot]]` of a store over the TPM says.
    pub(crate) fn tpm_slot(&self) -> Option<String> {
        let (tpm, _) = self.tpm.as_ref()?;
        Some(format!("backend = \"tpm\"\ntcti = \"{}\"\n", tpm.tcti()))
    }

    /// What the `[[slot]]` of a store in the enclave says.
    pub(crate) fn enclave_slot(&self) -> Option<String> {
        let host = self.enclave.as_ref()?.host();
        Some(format!("backend = \"nitro\"\nhost = \"{host}\"\n"))
    }
}
