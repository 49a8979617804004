//! One vendor's library in this process: when it is initialised, who did that, and the gate that every call passes.
//!
//! fork(2) and repairs need the library to themselves. They shut the gate, wait until nobody is inside, and leave it
//! finalised if it was we who initialised it; whoever comes next initialises it again and finds a new epoch, in which
//! no handle of an earlier one is worth anything.

use std::{
    cell::Cell,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError, Weak},
    time::{Duration, Instant},
};

use cryptoki_sys as ck;

use super::{
    device::{Device, Devices},
    exit,
    raw::{NoSigpipe, Raw, Rv},
    selector::Selector,
};

thread_local! {
    static URGENT: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f`, whose calls are not held back by a fork under way: they are made from inside another gate, which the fork
/// is waiting for as well. Each store shuts that one first and the library after it.
pub(super) fn urgently<T>(f: impl FnOnce() -> T) -> T {
    struct Back(bool);
    impl Drop for Back {
        fn drop(&mut self) {
            URGENT.set(self.0);
        }
    }
    let _back = Back(URGENT.replace(true));
    f()
}

/// How long fork(2) waits for calls inside, as the gate of sealed stores does.
const FORK_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a repair waits for them: a call that a library never returns from must not stop all others.
const REPAIR_TIMEOUT: Duration = Duration::from_secs(20);

/// Libraries, by the beginning of their file's name, that one thread at a time must call. p11-kit's client never wakes a
/// thread that waits for its answer while another reads the socket, when the connection ends just then (seen with 0.24);
/// its server answers one call at a time anyway.
const ONE_AT_A_TIME: [&str; 1] = ["p11-kit-client"];

/// The libraries of one run of the module, so that two slots over one library share it.
#[derive(Debug, Default)]
pub struct Libraries(Mutex<Vec<Arc<Library>>>);

impl Libraries {
    /// The library of a file. Nothing is loaded yet.
    pub(super) fn library(&self, path: &Path) -> Arc<Library> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = all.iter().find(|library| library.path == path) {
            return found.clone();
        }
        let library = Arc::new(Library {
            path: path.to_owned(),
            one_at_a_time: path.file_name().is_some_and(|name| {
                ONE_AT_A_TIME.iter().any(|known| name.as_encoded_bytes().starts_with(known.as_bytes()))
            }),
            state: Mutex::default(),
            changed: Condvar::new(),
            devices: Mutex::default(),
        });
        exit::remember(Arc::downgrade(&library));
        all.push(library.clone());
        library
    }
}

#[derive(Debug, Default)]
struct State {
    raw: Option<Raw>,
    /// Whether the library is initialised as far as we know.
    running: bool,
    /// Whether that was our doing, so that finalising it is ours as well.
    ours: bool,
    /// Grows with every initialisation.
    epoch: u64,
    inside: usize,
    /// Forks under way.
    forks: u32,
    /// Somebody has the library to himself, or waits for that.
    alone: bool,
    /// The process ends.
    ended: bool,
}

#[derive(Debug)]
pub(super) struct Library {
    path: PathBuf,
    one_at_a_time: bool,
    state: Mutex<State>,
    changed: Condvar,
    devices: Devices,
}

/// A call inside the gate.
#[derive(Debug)]
pub(super) struct Inside<'a> {
    library: &'a Library,
    pub(super) raw: Raw,
    pub(super) epoch: u64,
    _no_sigpipe: NoSigpipe,
}

/// Why there is nothing to call.
#[derive(Debug)]
pub(super) enum Absent {
    /// dlopen(3) or the library's function list failed.
    NotLoaded(String),
    /// C_Initialize failed.
    NotInitialized(Rv),
    /// The process ends.
    Ended,
}

impl Library {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The device of a selector: two slots over one token share its login.
    pub(super) fn device(
        self: &Arc<Self>,
        selector: &Selector,
        make: impl FnOnce(Arc<Self>) -> Device,
    ) -> Arc<Device> {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        devices.retain(|device| device.strong_count() > 0);
        let known = devices.iter().filter_map(Weak::upgrade).find(|device| device.is_for(selector));
        known.unwrap_or_else(|| {
            let device = Arc::new(make(self.clone()));
            devices.push(Arc::downgrade(&device));
            device
        })
    }

    /// [`Library::shut`], after every device of the library has closed its sessions.
    pub(super) fn shut_all(&self) {
        let devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let devices: Vec<_> = devices.iter().filter_map(Weak::upgrade).collect();
        self.shut(|raw| devices.iter().for_each(|device| device.leave(raw)));
    }

    /// Enters; waits while a fork or a repair is under way. Loads and initialises the library where that has not been
    /// done. A thread that is inside must not enter again.
    pub(super) fn enter(&self) -> Result<Inside<'_>, Absent> {
        let mut state = self.state();
        while (state.forks > 0 && !URGENT.get()) || state.alone || (self.one_at_a_time && state.inside > 0) {
            state = self.wait(state);
        }
        if state.ended && !URGENT.get() {
            return Err(Absent::Ended);
        }
        let no_sigpipe = NoSigpipe::new();
        let raw = match state.raw {
            Some(raw) => raw,
            None => *state.raw.insert(Raw::load(&self.path).map_err(Absent::NotLoaded)?),
        };
        if !state.running {
            match raw.initialize() {
                Ok(()) => state.ours = true,
                // The application uses it as well, and is the one who finalises it.
                Err(Rv(ck::CKR_CRYPTOKI_ALREADY_INITIALIZED)) => state.ours = false,
                Err(rv) => return Err(Absent::NotInitialized(rv)),
            }
            exit::initialized(&self.path);
            state.running = true;
            state.epoch += 1;
        }
        state.inside += 1;
        Ok(Inside { library: self, raw, epoch: state.epoch, _no_sigpipe: no_sigpipe })
    }

    /// Runs `f` while nobody is inside; not at all where somebody does not come out.
    pub(super) fn alone<T>(&self, f: impl FnOnce() -> T) -> Option<T> {
        let mut state = self.state();
        while (state.forks > 0 && !URGENT.get()) || state.alone {
            state = self.wait(state);
        }
        state.alone = true;
        let start = Instant::now();
        while state.inside > 0
            && let Some(left) = REPAIR_TIMEOUT.checked_sub(start.elapsed())
        {
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let nobody = state.inside == 0;
        drop(state);
        let result = nobody.then(|| {
            let _no_sigpipe = NoSigpipe::new();
            f()
        });
        self.state().alone = false;
        self.changed.notify_all();
        result
    }

    /// Stops what `epoch` began, so that whoever enters next begins anew; nothing where somebody else was faster. Call
    /// with the library to oneself.
    pub(super) fn stop(&self, epoch: u64) {
        let mut state = self.state();
        if state.epoch == epoch {
            stop(&mut state);
        }
    }

    /// The library itself and the epoch that it is in, without entering. Call with the library to oneself.
    pub(super) fn running(&self) -> Option<(Raw, u64)> {
        let state = self.state();
        state.raw.filter(|_| state.running).map(|raw| (raw, state.epoch))
    }

    /// Whether finalising it is ours.
    pub(super) fn is_ours(&self) -> bool {
        self.state().ours
    }

    /// Shuts the gate for fork(2), waits until nobody is inside, runs `last` and stops the library, so that a child
    /// inherits nothing that is open or logged in. Calls that take longer than [`FORK_TIMEOUT`] are not waited for.
    fn shut(&self, last: impl FnOnce(Raw)) {
        let start = Instant::now();
        let mut state = self.state();
        state.forks += 1;
        while state.inside > 0 || state.alone {
            let Some(left) = FORK_TIMEOUT.checked_sub(start.elapsed()) else { return };
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if let Some(raw) = state.raw.filter(|_| state.running) {
            let _no_sigpipe = NoSigpipe::new();
            last(raw);
            stop(&mut state);
        }
    }

    /// Lets nobody in any more but the thread that ends the process, and waits for those who are inside.
    pub(super) fn end(&self) {
        let start = Instant::now();
        let mut state = loop {
            match self.state.try_lock() {
                Ok(state) => break state,
                Err(TryLockError::Poisoned(poisoned)) => break poisoned.into_inner(),
                Err(TryLockError::WouldBlock) if start.elapsed() > exit::PATIENCE => return,
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        state.ended = true;
        // What the application does in exit handlers of its own.
        URGENT.set(true);
        while state.inside > 0
            && let Some(left) = exit::PATIENCE.checked_sub(start.elapsed())
        {
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Opens the gate again.
    pub(super) fn reopen(&self) {
        let mut state = self.state();
        state.forks = state.forks.saturating_sub(1);
        drop(state);
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements, so a panic elsewhere has not harmed it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the application has begun stays; only our view of it ends.
fn stop(state: &mut State) {
    if let Some(raw) = state.raw.filter(|_| state.running && state.ours) {
        let _no_sigpipe = NoSigpipe::new();
        // A library that cannot be finalised any more is as good as finalised.
        let _ = raw.finalize();
    }
    state.running = false;
    state.ours = false;
}

impl Drop for Library {
    fn drop(&mut self) {
        stop(&mut self.state());
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let mut state = self.library.state();
        state.inside -= 1;
        if state.inside == 0 && (state.forks > 0 || state.alone || state.ended || self.library.one_at_a_time)
        {
            drop(state);
            self.library.changed.notify_all();
        }
    }
}
