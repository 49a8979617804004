//! How the program is called. What it says of an option is the manual.

use std::{num::NonZeroU32, time::Duration};

use clap::Args;
use cosigner_protocol::Address;

/// The version that birth attestations are told with.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The options of the program, real or emulated.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Where the host finds the enclave: vsock://CID:PORT (CID 4294967295 is whichever this enclave has), unix:/PATH
    /// or tcp://127.0.0.1:PORT
    #[arg(long, value_name = "ADDRESS", default_value = "vsock://4294967295:5005")]
    listen: Address,
    /// Seconds for which an opened key may sign without KMS being asked again; 0 opens it for each signature
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    keep_open: u32,
    /// Connections at once; more are closed at once
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    connections: u16,
    /// Seconds for which a connection may be silent between two requests
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    idle: u32,
    /// Seconds for a whole frame to come or go, and for KMS to answer
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    frame_time: u32,
    /// Questions to KMS for which one RSA key serves. More than 1 saves the making of keys, and lets whoever learns one
    /// read as many answers
    #[arg(long, value_name = "COUNT", default_value = "1")]
    questions_per_key: NonZeroU32,
    /// End when standard input ends
    #[arg(long)]
    until_eof: bool,
}

/// The options, understood.
#[derive(Debug, Clone)]
pub struct Settings {
    pub(crate) listen: Address,
    pub(crate) keep_open: Duration,
    pub(crate) connections: usize,
    pub(crate) idle: Duration,
    pub(crate) frame: Duration,
    pub(crate) questions_per_key: NonZeroU32,
}

impl Options {
    /// Starts what the options start, and gives the rest.
    pub fn begin(self) -> std::io::Result<Settings> {
        if self.until_eof {
            std::thread::Builder::new().name("until-eof".into()).spawn(|| {
                let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
                std::process::exit(0)
            })?;
        }
        let seconds = |count: u32| Duration::from_secs(count.into());
        Ok(Settings {
            listen: self.listen,
            keep_open: seconds(self.keep_open),
            connections: self.connections.into(),
            idle: seconds(self.idle),
            frame: seconds(self.frame_time),
            questions_per_key: self.questions_per_key,
        })
    }
}
