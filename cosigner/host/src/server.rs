//! The side towards the PKCS#11 modules: a thread for each connection, so many and no more, and an orderly end.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use cosigner_protocol::{Address, Error, Listener, Timeouts, Transport, message::Request};
use parking_lot::{Condvar, Mutex};

use crate::requests::Host;

/// A connection on which nothing was asked for so long is closed.
const IDLE: Duration = Duration::from_secs(600);
/// Memory for a connection's thread.
const STACK: usize = 512 * 1024;
/// After an error of accept(2), which is mostly that there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(200);

/// A host that listens.
#[derive(Debug)]
pub struct Server {
    host: Arc<Host>,
    listener: Listener,
    timeouts: Timeouts,
    limit: usize,
    work: Arc<Work>,
    /// The lock of a Unix socket's path, as long as it is ours.
    socket: Option<(PathBuf, File)>,
}

/// What is going on.
#[derive(Debug, Default)]
pub struct Work {
    state: Mutex<State>,
    less: Condvar,
}

#[derive(Debug, Default)]
struct State {
    connections: usize,
    requests: usize,
    stopping: bool,
}

impl Server {
    /// Listens. A Unix socket that a host left behind is replaced, one at which a host listens is not.
    pub fn bind(host: Host, address: &Address, limit: usize) -> io::Result<Self> {
        let socket = match address {
            Address::Unix(path) => Some((path.clone(), take(path)?)),
            _ => None,
        };
        let listener = Listener::bind(address)?;
        let (host, work) = (Arc::new(host), Arc::default());
        Ok(Self { host, listener, timeouts: Timeouts::default(), limit, work, socket })
    }

    /// What is going on, to be waited for.
    pub fn work(&self) -> Arc<Work> {
        self.work.clone()
    }

    /// Serves until the process ends.
    pub fn run(self) -> ! {
        loop {
            let transport = match Transport::accept(&self.listener, self.timeouts) {
                Ok(transport) => transport,
                Err(error) => {
                    self.host.log.warn(format_args!("no connection can be taken: {error}"));
                    thread::sleep(PAUSE);
                    continue;
                }
            };
            if !self.work.connect(self.limit) {
                self.host.log.warn(format_args!("more than {} connections: one was closed", self.limit));
                continue;
            }
            let (host, work) = (self.host.clone(), self.work.clone());
            let serve = move || {
                let _connection = Connected(&work);
                converse(&host, &work, transport);
            };
            if let Err(error) = thread::Builder::new().stack_size(STACK).spawn(serve) {
                self.work.disconnect();
                self.host.log.warn(format_args!("no thread for a connection: {error}"));
            }
        }
    }

    /// The path of the Unix socket, to be removed at the end.
    pub fn socket(&self) -> Option<&Path> {
        self.socket.as_ref().map(|(path, _)| path.as_path())
    }
}

/// Requests one after the other, until the other side goes, breaks a rule or is silent for too long.
fn converse(host: &Host, work: &Work, mut transport: Transport) {
    loop {
        let request: Request = match transport.next_request(IDLE) {
            Ok(request) => request,
            Err(Error::Closed | Error::TimedOut) => return,
            Err(error) => return host.log.warn(format_args!("a connection was closed: {error}")),
        };
        if !work.begin() {
            return;
        }
        let _request = Begun(work);
        let answer = host.answer(request);
        if let Err(error) = transport.say(&answer) {
            return host.log.warn(format_args!("an answer was not taken: {error}"));
        }
    }
}

struct Connected<'a>(&'a Work);

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.disconnect();
    }
}

struct Begun<'a>(&'a Work);

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.0.state.lock().requests -= 1;
        self.0.less.notify_all();
    }
}

impl Work {
    /// From now on a request is not begun any more, and its connection is closed.
    pub fn begin_no_more(&self) {
        self.state.lock().stopping = true;
    }

    /// Waits for the requests that were begun, as long as `within`. Whether they are done.
    pub fn wait(&self, within: Duration) -> bool {
        let until = Instant::now() + within;
        let mut state = self.state.lock();
        while state.requests > 0 {
            if self.less.wait_until(&mut state, until).timed_out() {
                return false;
            }
        }
        true
    }

    fn connect(&self, limit: usize) -> bool {
        let mut state = self.state.lock();
        let free = state.connections < limit;
        state.connections += usize::from(free);
        free
    }

    fn disconnect(&self) {
        self.state.lock().connections -= 1;
    }

    fn begin(&self) -> bool {
        let mut state = self.state.lock();
        state.requests += usize::from(!state.stopping);
        !state.stopping
    }
}

/// Makes sure that the path is ours to listen at: the lock beside it is held by who listens, to the end of the process.
fn take(path: &Path) -> io::Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock =
        File::options().create(true).truncate(false).write(true).mode(0o600).open(PathBuf::from(name))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another host listens there"));
        }
        Err(TryLockError::Error(error)) => return Err(error),
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(lock),
    }
}
