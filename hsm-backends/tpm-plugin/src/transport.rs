//! The way to a TPM with a time limit: the device of the kernel, or the socket of swtpm. libtss2 has both as well, but
//! waits without end.

use std::{
    fs::File,
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The head of a response: its tag, its length, its code.
const HEAD_LEN: usize = 10;
/// No TPM answers with more.
const MAX_LEN: usize = 1 << 16;
/// How long the first answer may take: longer than another process keeps a TPM without a resource manager to itself.
const FIRST: Duration = Duration::from_secs(10);
/// Between two tries of something that others hold.
const PAUSE: Duration = Duration::from_millis(20);

/// Where the TPM is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// A character device; the kernel's resource manager is behind those with `rm` in their names.
    Device(String),
    /// A socket of swtpm.
    Socket { host: String, port: u16 },
    /// Anything else is libtss2's matter.
    Loader(String),
}

impl Address {
    /// `device:/PATH`, `swtpm:host=HOST,port=PORT`, `tabrmd`, `tabrmd:OPTIONS`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        match kind {
            "device" if rest.starts_with('/') => Some(Self::Device(rest.into())),
            "swtpm" => {
                let mut address = ("127.0.0.1".to_owned(), 2321);
                for option in rest.split(',').filter(|option| !option.is_empty()) {
                    match option.split_once('=')? {
                        ("host", host) => address.0 = host.into(),
                        ("port", port) => address.1 = port.parse().ok()?,
                        _ => return None,
                    }
                }
                Some(Self::Socket { host: address.0, port: address.1 })
            }
            "tabrmd" => Some(Self::Loader(text.into())),
            _ => None,
        }
    }

    /// Whether whoever is connected is alone, and nobody cleans up behind those who were killed: what is in the TPM's
    /// memory is then nobody's.
    pub(crate) fn is_raw(&self) -> bool {
        match self {
            Self::Device(path) => !path.contains("rm"),
            Self::Socket { .. } => true,
            Self::Loader(_) => false,
        }
    }
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Transport {
    stream: Stream,
    deadline: Instant,
    /// Until when it must have answered at all.
    first: Option<Instant>,
    /// Why it failed: libtss2 passes a number on only.
    pub(crate) failure: Option<io::Error>,
    response: Option<Vec<u8>>,
}

#[derive(Debug)]
enum Stream {
    Device(File),
    Socket(TcpStream),
}

impl Transport {
    /// Opens it; what others hold is waited for until the deadline.
    pub(crate) fn open(address: &Address, deadline: Instant) -> io::Result<Option<Self>> {
        let stream = loop {
            let opened = match address {
                Address::Device(path) => {
                    File::options().read(true).write(true).open(path).map(Stream::Device)
                }
                Address::Socket { host, port } => connect(host, *port, deadline).map(Stream::Socket),
                Address::Loader(_) => return Ok(None),
            };
            match opened {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline => {
                    std::thread::sleep(PAUSE);
                }
                opened => break opened?,
            }
        };
        Ok(Some(Self {
            stream,
            deadline,
            first: Some(Instant::now() + FIRST),
            failure: None,
            response: None,
        }))
    }

    /// Sends one command.
    pub(crate) fn transmit(&mut self, command: &[u8]) -> bool {
        let left = self.left();
        let sent = match &mut self.stream {
            Stream::Device(file) => file.write_all(command),
            Stream::Socket(socket) => left
                .and_then(|left| socket.set_write_timeout(Some(left)))
                .and_then(|()| socket.write_all(command)),
        };
        self.response = None;
        self.noted(sent).is_some()
    }

    /// The response to it, as often as it is asked for.
    pub(crate) fn receive(&mut self) -> Option<&[u8]> {
        if self.response.is_none() {
            let received = self.read();
            self.response = Some(self.noted(received)?);
            self.first = None;
        }
        self.response.as_deref()
    }

    fn noted<T>(&mut self, result: io::Result<T>) -> Option<T> {
        result.map_err(|error| self.failure = Some(error)).ok()
    }

    fn left(&self) -> io::Result<Duration> {
        let until = self.first.map_or(self.deadline, |first| first.min(self.deadline));
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }

    fn read(&mut self) -> io::Result<Vec<u8>> {
        let left = self.left()?;
        match &mut self.stream {
            Stream::Device(file) => {
                let limit = Timespec::try_from(left).map_err(|_| io::ErrorKind::TimedOut)?;
                if poll(&mut [PollFd::new(&file.as_fd(), PollFlags::IN)], Some(&limit))? == 0 {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                let mut response = vec![0; MAX_LEN];
                let len = file.read(&mut response)?;
                response.truncate(len);
                Ok(response)
            }
            Stream::Socket(socket) => {
                socket.set_read_timeout(Some(left))?;
                let mut response = vec![0; HEAD_LEN];
                socket.read_exact(&mut response)?;
                let len = u32::from_be_bytes(response[2..6].try_into().expect("four bytes"));
                let len = usize::try_from(len).ok().filter(|len| (HEAD_LEN..=MAX_LEN).contains(len));
                response.resize(len.ok_or(io::ErrorKind::InvalidData)?, 0);
                socket.read_exact(&mut response[HEAD_LEN..])?;
                Ok(response)
            }
        }
    }
}

fn connect(host: &str, port: u16, deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in (host, port).to_socket_addrs()? {
        let left = deadline.saturating_duration_since(Instant::now()).max(PAUSE);
        match TcpStream::connect_timeout(&address, left) {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let socket = |host: &str, port| Some(Address::Socket { host: host.into(), port });
        for (text, address) in [
            ("device:/dev/tpmrm0", Some(Address::Device("/dev/tpmrm0".into()))),
            ("device:tpmrm0", None),
            ("swtpm:host=127.0.0.1,port=7", socket("127.0.0.1", 7)),
            ("swtpm", socket("127.0.0.1", 2321)),
            ("swtpm:port=70000", None),
            ("swtpm:path=/x", None),
            ("tabrmd", Some(Address::Loader("tabrmd".into()))),
            ("tabrmd:bus_type=session", Some(Address::Loader("tabrmd:bus_type=session".into()))),
            ("cmd:sh", None),
            ("", None),
        ] {
            assert_eq!(Address::parse(text), address, "{text}");
        }
    }
}
