//! Where the other side is: `vsock://CID:PORT`, `unix:/PATH` or `tcp://127.0.0.1:PORT`.

use std::{fmt, path::PathBuf, str::FromStr};

/// The longest path of a Unix socket: 108 bytes with the zero at the end (unix(7)).
const LONGEST_PATH: usize = 107;

/// Where the other side is. An address has one spelling: what is parsed is displayed as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An enclave or its parent: a context id (2 is the parent instance, 4294967295 to listen on any) and a port.
    Vsock {
        /// The context id, not 0, which is the hypervisor itself.
        cid: u32,
        /// The port, not 4294967295, which means any.
        port: u32,
    },
    /// A Unix socket by its absolute path.
    Unix(PathBuf),
    /// A port of this machine, on 127.0.0.1. Never another machine: nothing on the connection is encrypted.
    Tcp(u16),
}

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressError {
    /// It begins with none of the three.
    Scheme,
    /// `vsock://` is not followed by a context id and a port, both decimal.
    Vsock,
    /// `unix:` is not followed by an absolute path of at most 107 bytes without a zero byte.
    Unix,
    /// `tcp://` is not followed by `127.0.0.1:` and a port from 1 to 65535.
    Tcp,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(rest) = text.strip_prefix("vsock://") {
            let numbers = rest.split_once(':');
            let numbers = numbers.and_then(|(cid, port)| Some((decimal::<u32>(cid)?, decimal::<u32>(port)?)));
            let numbers = numbers.filter(|(cid, port)| *cid != 0 && *port != u32::MAX);
            return numbers.map(|(cid, port)| Self::Vsock { cid, port }).ok_or(AddressError::Vsock);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            let fits = path.starts_with('/') && path.len() <= LONGEST_PATH && !path.contains('\0');
            return if fits { Ok(Self::Unix(path.into())) } else { Err(AddressError::Unix) };
        }
        if let Some(rest) = text.strip_prefix("tcp://") {
            let port = rest.strip_prefix("127.0.0.1:").and_then(decimal).filter(|port| *port != 0);
            return port.map(Self::Tcp).ok_or(AddressError::Tcp);
        }
        Err(AddressError::Scheme)
    }
}

/// A number without a sign or leading zeros, which the standard library would take.
fn decimal<T: FromStr>(text: &str) -> Option<T> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vsock { cid, port } => write!(f, "vsock://{cid}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(port) => write!(f, "tcp://127.0.0.1:{port}"),
        }
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "an address is vsock://CID:PORT, unix:/PATH or tcp://127.0.0.1:PORT",
            Self::Vsock => "vsock:// is followed by the context id and the port, as in vsock://16:5005",
            Self::Unix => {
                "unix: is followed by an absolute path of at most 107 bytes, as in unix:/run/trellis/host"
            }
            Self::Tcp => {
                "tcp:// is followed by 127.0.0.1 and a port, as in tcp://127.0.0.1:5005: only this machine"
            }
        })
    }
}

impl std::error::Error for AddressError {}
