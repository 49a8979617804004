//! The command line.

use std::path::PathBuf;

use clap::Parser;
use cosigner_protocol::{Address, KmsKey};

/// The parent instance's part of the enclave co-signer: keeps the records of keys that only the enclave can open, and
/// relays the enclave's questions to AWS KMS.
#[derive(Debug, Parser)]
#[command(name = "trellis-cosigner-host", version)]
pub struct Options {
    /// Where PKCS#11 modules connect: unix:/PATH, vsock://CID:PORT or tcp://127.0.0.1:PORT. Whoever can connect can sign
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Address,
    /// Where the enclave listens: vsock://CID:PORT, unix:/PATH or tcp://127.0.0.1:PORT
    #[arg(long, value_name = "ADDRESS")]
    pub enclave: Address,
    /// The file of key records; made if it is not there
    #[arg(long, value_name = "FILE")]
    pub records: PathBuf,
    /// The KMS key above new data keys, by its ARN, which also says the region
    #[arg(long, value_name = "ARN", value_parser = kms_key)]
    pub kms_key: KmsKey,
    /// A KMS key above older data keys, in the same region; may be repeated
    #[arg(long, value_name = "ARN", value_parser = kms_key)]
    pub former_kms_key: Vec<KmsKey>,
    /// Where KMS is, when not at its usual address: https://, or http:// on this machine
    #[arg(long, value_name = "URL")]
    pub kms_endpoint: Option<String>,
    /// Connections at a time
    #[arg(long, value_name = "COUNT", default_value_t = 256)]
    pub connections: usize,
    /// Requests to the enclave at a time
    #[arg(long, value_name = "COUNT", default_value_t = 16)]
    pub enclave_connections: usize,
    /// Seconds for which an enclave that is away is waited for; whoever asks waits ten for an answer
    #[arg(long, value_name = "SECONDS", default_value_t = 4)]
    pub enclave_time: u32,
    /// Seconds for a call to KMS with all its tries; the enclave waits ten
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub kms_time: u32,
    /// End when standard input ends, as at SIGTERM
    #[arg(long)]
    pub until_eof: bool,
}

fn kms_key(text: &str) -> Result<KmsKey, String> {
    KmsKey::try_from(text.to_owned()).map_err(|error| error.to_string())
}
