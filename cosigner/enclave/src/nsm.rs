//! The Nitro Security Module: what attests this enclave.

use std::fmt::{self, Debug};

use aws_nitro_enclaves_nsm_api::{
    api::{Request, Response},
    driver::{nsm_exit, nsm_init, nsm_process_request},
};
use zeroize::Zeroizing;

/// What is asked of an NSM.
pub trait Nsm: Debug + Send + Sync {
    /// An attestation document with these fields; 512 bytes of user data and 1024 of a key are the most.
    fn attest(&self, user_data: Option<&[u8]>, public_key: Option<&[u8]>) -> Result<Vec<u8>, NsmError>;

    /// Random bytes, to be stirred into those of the system; as many as it likes to give.
    fn random(&self) -> Result<Zeroizing<Vec<u8>>, NsmError>;
}

/// Why an NSM did not answer. The text has nothing of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NsmError(pub String);

impl fmt::Display for NsmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NsmError {}

/// The NSM of this enclave, /dev/nsm.
#[derive(Debug)]
pub struct Device(i32);

impl Device {
    /// Opens it; it is there in an enclave, and nowhere else.
    pub fn open() -> Result<Self, NsmError> {
        match nsm_init() {
            fd if fd >= 0 => Ok(Self(fd)),
            _ => Err(NsmError("/dev/nsm cannot be opened: this program runs in a Nitro enclave".into())),
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        nsm_exit(self.0);
    }
}

impl Nsm for Device {
    fn attest(&self, user_data: Option<&[u8]>, public_key: Option<&[u8]>) -> Result<Vec<u8>, NsmError> {
        let bytes = |field: Option<&[u8]>| field.map(|field| field.to_vec().into());
        let request =
            Request::Attestation { user_data: bytes(user_data), nonce: None, public_key: bytes(public_key) };
        match nsm_process_request(self.0, request) {
            Response::Attestation { document } => Ok(document),
            other => Err(refused("an attestation", &other)),
        }
    }

    fn random(&self) -> Result<Zeroizing<Vec<u8>>, NsmError> {
        match nsm_process_request(self.0, Request::GetRandom) {
            Response::GetRandom { random } => Ok(Zeroizing::new(random)),
            other => Err(refused("random bytes", &other)),
        }
    }
}

fn refused(what: &str, answer: &Response) -> NsmError {
    match answer {
        Response::Error(code) => NsmError(format!("the NSM gave no {what}: {code:?}")),
        _ => NsmError(format!("the NSM gave something else than {what}")),
    }
}
