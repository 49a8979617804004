//! The lines of a slot in a Nitro enclave.

use super::slot::Lines;
use hsm_backends::nitro::{Address, KmsKey};

/// `backend = "nitro"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nitro {
    /// Where the enclave's host listens.
    pub host: Address,
    /// The KMS key that the host must be using; any when `None`.
    pub kms_key: Option<KmsKey>,
}

impl Nitro {
    /// Takes its lines out of a slot's.
    pub(super) fn take(lines: &mut Lines) -> Result<Self, String> {
        let host =
            lines.host.take().ok_or("backend = \"nitro\" needs host, where the enclave's host listens")?;
        let host = host.parse().map_err(|why| format!("host {host:?}: {why}"))?;
        let kms_key = lines
            .kms_key
            .take()
            .map(|arn| KmsKey::try_from(arn.clone()).map_err(|why| format!("kms-key {arn:?}: {why}")));
        Ok(Self { host, kms_key: kms_key.transpose()? })
    }
}
