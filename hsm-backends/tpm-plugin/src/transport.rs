//! The way to a TPM with a time limit: the device of the kernel, or the socket of swtpm. libtss2 has both as well, but
//! waits without end.

use std::{
    fs::File,
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

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
    /// A character device; the kernel's resource manager is behind those that are named `tpmrm` and a number.
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
            Self::Device(path) => {
                !Path::new(path).file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"tpmrm"))
            }
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
    Device(Device),
    Socket(TcpStream),
}

impl Transport {
    /// Opens it; what others hold is waited for until the deadline.
    pub(crate) fn open(address: &Address, deadline: Instant) -> io::Result<Option<Self>> {
        let stream = loop {
            let opened = match address {
                Address::Device(path) => Device::open(Path::new(path)).map(Stream::Device),
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
            Stream::Device(device) => left.and_then(|_| device.write(command)),
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
            Stream::Device(device) => device.read(Instant::now() + left),
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

/// A character device of the kernel's. Opened so that it does not block: otherwise write(2) returns only when the TPM has
/// carried the command out (Linux, `tpm_common_write`), and no time limit could act.
#[derive(Debug)]
struct Device {
    /// Absent only while it is dropped.
    file: Option<File>,
    /// Whether a command waits for its response.
    waits: bool,
}

impl Device {
    fn open(path: &Path) -> io::Result<Self> {
        close_what_has_answered();
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = File::options().read(true).write(true).custom_flags(flags).open(path)?;
        Ok(Self { file: Some(file), waits: false })
    }

    fn file(&self) -> &File {
        self.file.as_ref().expect("it is not being dropped")
    }

    /// The kernel takes a command in one piece.
    fn write(&mut self, command: &[u8]) -> io::Result<()> {
        let written = loop {
            match self.file().write(command) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => break written?,
            }
        };
        self.waits = true;
        if written == command.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// And gives a response in one piece.
    fn read(&mut self, until: Instant) -> io::Result<Vec<u8>> {
        let mut response = vec![0; MAX_LEN];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let limit = Timespec::try_from(left).map_err(|_| io::ErrorKind::TimedOut)?;
            match poll(&mut [PollFd::new(&self.file().as_fd(), PollFlags::IN)], Some(&limit)) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            match self.file().read(&mut response) {
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
                read => {
                    response.truncate(read?);
                    self.waits = false;
                    return Ok(response);
                }
            }
        }
    }
}

/// Devices that were left before the TPM had answered. close(2) would wait for it (Linux, `tpm_common_release`).
static LEFT: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// Closes those whose TPM has answered since. Waits for nobody, not even for the lock.
fn close_what_has_answered() {
    if let Ok(mut left) = LEFT.try_lock() {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        left.retain(|file| poll(&mut [PollFd::new(&file.as_fd(), PollFlags::IN)], Some(&at_once)) == Ok(0));
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if self.waits
            && let (Some(file), Ok(mut left)) = (self.file.take(), LEFT.lock())
        {
            left.push(file);
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
    use std::os::unix::fs::MetadataExt;

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

    #[test]
    fn who_is_alone_with_the_tpm() {
        for (text, alone) in [
            ("device:/dev/tpm0", true),
            ("device:/dev/tpmrm0", false),
            ("device:/dev/tpmrm12", false),
            ("device:/srv/farm/tpm0", true),
            ("device:/srv/tpmrm0/tpm1", true),
            ("swtpm", true),
            ("tabrmd", false),
        ] {
            assert_eq!(Address::parse(text).unwrap().is_raw(), alone, "{text}");
        }
    }

    /// A FIFO of one's own: what is written is what can be read.
    fn fifo(directory: &tempfile::TempDir) -> Transport {
        let path = directory.path().join("tpm0");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let address = Address::Device(path.to_str().unwrap().into());
        Transport::open(&address, Instant::now() + Duration::from_millis(200)).unwrap().unwrap()
    }

    fn failure(transport: &mut Transport) -> io::ErrorKind {
        transport.failure.take().unwrap().kind()
    }

    #[test]
    fn a_device_that_says_nothing_ends_in_a_timeout() {
        let directory = tempfile::tempdir().unwrap();
        let mut transport = fifo(&directory);
        assert!(transport.transmit(b"command"));
        assert_eq!(transport.receive(), Some(&b"command"[..]));
        assert!(transport.transmit(b"another"));
        // The one to whom it was sent takes it, and does not answer.
        let Stream::Device(device) = &transport.stream else { panic!("{transport:?}") };
        assert_eq!(device.file().read(&mut [0; 16]).unwrap(), 7);
        assert_eq!(transport.receive(), None);
        assert_eq!(failure(&mut transport), io::ErrorKind::TimedOut);
        assert!(!transport.transmit(b"too late"));
        assert_eq!(failure(&mut transport), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_device_that_has_not_answered_is_closed_when_it_has() {
        let directory = tempfile::tempdir().unwrap();
        let mut transport = fifo(&directory);
        assert!(transport.transmit(b"command"));
        let mut other_end =
            File::options().read(true).write(true).open(directory.path().join("tpm0")).unwrap();
        assert_eq!(other_end.read(&mut [0; 16]).unwrap(), 7);
        let inode = |file: &File| file.metadata().unwrap().ino();
        let mine = inode(&other_end);
        let is_left = || LEFT.lock().unwrap().iter().any(|file| inode(file) == mine);
        drop(transport);
        close_what_has_answered();
        assert!(is_left());
        other_end.write_all(b"response").unwrap();
        // Other tests may have the lock.
        let closed = |_| {
            close_what_has_answered();
            !is_left()
        };
        assert!((0..10_000).any(closed));
    }

    /// Opened so that it blocks, it would hang here.
    #[test]
    fn writing_to_a_device_waits_for_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut transport = fifo(&directory);
        while transport.transmit(&[0; 4096]) {}
        assert_eq!(failure(&mut transport), io::ErrorKind::WouldBlock);
    }
}
