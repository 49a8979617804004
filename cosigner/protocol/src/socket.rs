//! Stream sockets of the three kinds, with a moment by which each call must be done.
//!
//! Waiting is poll(2) and moving is non-blocking, so that a peer that sends one byte a second is given up as one that
//! sends none. Sockets are closed on exec, and writing to a closed one raises no signal.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind,
        connect, listen, recv, send, socket_with, sockopt,
    },
};
use vsock::{VsockListener, VsockStream};

use crate::Address;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;

/// One end of a connection. Reads and writes fail with [`io::ErrorKind::TimedOut`] after the moment of [`Socket::until`].
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    until: Instant,
}

impl Socket {
    /// Connects. Over vsock the kernel itself gives up after two seconds, whatever `within` says.
    pub(crate) fn connect(address: &Address, within: Duration) -> io::Result<Self> {
        let fd = match address {
            Address::Vsock { cid, port } => {
                VsockStream::connect_with_cid_port(*cid, *port)?.as_fd().try_clone_to_owned()?
            }
            Address::Unix(path) => {
                let fd = stream_socket(AddressFamily::UNIX, within)?;
                connect(&fd, &SocketAddrUnix::new(path)?).map_err(in_time)?;
                fd
            }
            Address::Tcp(port) => {
                let fd = stream_socket(AddressFamily::INET, within)?;
                connect(&fd, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, *port)).map_err(in_time)?;
                fd
            }
        };
        Self::new(fd)
    }

    fn new(fd: OwnedFd) -> io::Result<Self> {
        // A frame is one write, and the answer is waited for. Only TCP has the option.
        let _ = sockopt::set_tcp_nodelay(&fd, true);
        Ok(Self { fd, until: Instant::now() })
    }

    /// Sets the time from now by which what follows must be done.
    pub(crate) fn until(&mut self, within: Duration) {
        let now = Instant::now();
        // A time that no clock reaches is as good as a century.
        self.until = now.checked_add(within).unwrap_or(now + Duration::from_secs(3_000_000_000));
    }

    fn ready(&self, wanted: PollFlags) -> io::Result<()> {
        wait(self.fd.as_fd(), wanted, self.until)
    }
}

/// A socket that gives up connecting in time: both families take the time limit of sending for that (socket(7)).
fn stream_socket(family: AddressFamily, within: Duration) -> io::Result<OwnedFd> {
    let fd = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Zero would mean no limit.
    let within = within.clamp(Duration::from_millis(1), Duration::from_secs(3600));
    sockopt::set_socket_timeout(&fd, sockopt::Timeout::Send, Some(within))?;
    Ok(fd)
}

fn in_time(errno: Errno) -> io::Error {
    match errno {
        Errno::AGAIN | Errno::INPROGRESS => io::ErrorKind::TimedOut.into(),
        other => other.into(),
    }
}

/// Waits until the socket can do it, or until there is an error to be had from it.
fn wait(fd: BorrowedFd<'_>, wanted: PollFlags, until: Instant) -> io::Result<()> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        match poll(&mut [PollFd::from_borrowed_fd(fd, wanted)], Some(&timeout)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.ready(PollFlags::IN)?;
            match recv(&self.fd, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((_, count)) => return Ok(count),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.ready(PollFlags::OUT)?;
            match send(&self.fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The side that is connected to.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
}

impl Listener {
    /// Listens. A Unix socket's path must not be there; who may connect is up to the folder's mode and the umask.
    pub fn bind(address: &Address) -> io::Result<Self> {
        let fd = match address {
            Address::Vsock { cid, port } => {
                VsockListener::bind_with_cid_port(*cid, *port)?.as_fd().try_clone_to_owned()?
            }
            Address::Unix(path) => {
                let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
                bind(&fd, &SocketAddrUnix::new(path)?)?;
                listen(&fd, BACKLOG)?;
                fd
            }
            Address::Tcp(port) => {
                let fd = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
                // A service that is restarted does not wait for its old connections to be forgotten.
                sockopt::set_socket_reuseaddr(&fd, true)?;
                bind(&fd, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, *port))?;
                listen(&fd, BACKLOG)?;
                fd
            }
        };
        Ok(Self { fd })
    }

    /// Waits for the next connection, for ever.
    pub(crate) fn accept(&self) -> io::Result<Socket> {
        loop {
            match accept_with(&self.fd, SocketFlags::CLOEXEC) {
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                other => return Socket::new(other?),
            }
        }
    }
}
