//! One vendor's library in this process: when it is initialised, who did that, and the gate that every call passes.
//!
//! fork(2) and repairs need the library to themselves. They shut the gate, wait until nobody is inside, and leave it
//! finalised if it was we who initialised it; whoever comes next initialises it again and finds a new epoch, in which
//! no handle of an earlier one is worth anything.
//!
//! No lock is held while the library is called. Who has it to himself is marked as such, and the others wait for him, but
//! not for ever: a call that the library never returns from stops nobody but its own thread.

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
/// And where that gate has waited in vain: most likely for a call that is inside here.
const SHORT_FORK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a repair waits for them, and calls for a repair: what a library never returns from must not stop all others.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// How long a call of a library that one thread at a time must call waits for another: as long as making a key takes.
const LONGEST_CALL: Duration = Duration::from_secs(60);

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
    inside: Vec<Call>,
    /// The number of the last call.
    last: u64,
    /// Forks under way.
    forks: u32,
    alone: Option<Alone>,
    /// The process ends.
    ended: bool,
}

/// A call inside.
#[derive(Debug)]
struct Call {
    number: u64,
    since: Instant,
    /// Somebody has waited for its end in vain.
    given_up: bool,
}

/// Somebody has the library to himself.
#[derive(Debug, Clone, Copy)]
enum Alone {
    /// Not yet: he waits until nobody is inside.
    Waits,
    /// Since when.
    Works(Instant),
}

impl Alone {
    /// Whether he has not come to an end for so long.
    fn is_stuck(self, patience: Duration) -> bool {
        matches!(self, Self::Works(since) if since.elapsed() >= patience)
    }
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
    number: u64,
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
    /// Another thread is in a call of the library's that concerns all, and does not return.
    Stuck,
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
        // The last of a device calls the library, so none of these goes before the lock does.
        let living: Vec<_>;
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        devices.retain(|device| device.strong_count() > 0);
        living = devices.iter().filter_map(Weak::upgrade).collect();
        living.iter().find(|device| device.is_for(selector)).cloned().unwrap_or_else(|| {
            let device = Arc::new(make(self.clone()));
            devices.push(Arc::downgrade(&device));
            device
        })
    }

    /// Before fork(2): shuts the gate, waits until nobody is inside, has every device close its sessions and stops the
    /// library, so that a child inherits nothing that is open or logged in. Calls that take longer than [`FORK_TIMEOUT`],
    /// or that a fork or a repair has waited for before, are not waited for, and none for long where the fork has
    /// `waited` already; then nothing is closed.
    pub(super) fn shut(&self, waited: bool) {
        let patience = if waited { SHORT_FORK_TIMEOUT } else { FORK_TIMEOUT };
        let start = Instant::now();
        let mut state = self.state();
        state.forks += 1;
        while state.inside.iter().any(|call| !call.given_up)
            || state.alone.is_some_and(|alone| !alone.is_stuck(patience))
        {
            let Some(left) = patience.checked_sub(start.elapsed()) else {
                for call in &mut state.inside {
                    call.given_up |= call.since.elapsed() >= FORK_TIMEOUT;
                }
                return;
            };
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let running = state.raw.filter(|_| state.running && state.inside.is_empty() && state.alone.is_none());
        let Some(raw) = running else { return };
        let epoch = state.epoch;
        let _turn = self.begin(state);
        let _no_sigpipe = NoSigpipe::new();
        let devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner).clone();
        devices.iter().filter_map(Weak::upgrade).for_each(|device| device.leave(raw));
        self.stop(epoch);
    }

    /// Enters; waits while a fork or a repair is under way. Loads and initialises the library where that has not been
    /// done. A thread that is inside must not enter again.
    pub(super) fn enter(&self) -> Result<Inside<'_>, Absent> {
        let mut state = self.state();
        loop {
            if state.forks > 0 && !URGENT.get() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else if let Some(alone) = state.alone {
                state = self.wait_for(state, alone).ok_or(Absent::Stuck)?;
            } else if let Some(call) = state.inside.first().filter(|_| self.one_at_a_time) {
                let left = LONGEST_CALL.checked_sub(call.since.elapsed()).ok_or(Absent::Stuck)?;
                state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            } else if state.ended && !URGENT.get() {
                return Err(Absent::Ended);
            } else if let Some(raw) = state.raw.filter(|_| state.running) {
                state.last += 1;
                let (number, epoch) = (state.last, state.epoch);
                state.inside.push(Call { number, since: Instant::now(), given_up: false });
                drop(state);
                return Ok(Inside { library: self, number, raw, epoch, _no_sigpipe: NoSigpipe::new() });
            } else {
                let known = state.raw;
                let turn = self.begin(state);
                self.start(known)?;
                drop(turn);
                state = self.state();
            }
        }
    }

    /// Loads the library where it is not known, and initialises it. Call with the library to oneself.
    fn start(&self, known: Option<Raw>) -> Result<(), Absent> {
        let _no_sigpipe = NoSigpipe::new();
        let raw = match known {
            Some(raw) => raw,
            None => Raw::load(&self.path).map_err(Absent::NotLoaded)?,
        };
        self.state().raw = Some(raw);
        let ours = match raw.initialize() {
            Ok(()) => true,
            // The application uses it as well, and is the one who finalises it.
            Err(Rv(ck::CKR_CRYPTOKI_ALREADY_INITIALIZED)) => false,
            Err(rv) => return Err(Absent::NotInitialized(rv)),
        };
        exit::initialized(&self.path);
        let mut state = self.state();
        (state.running, state.ours) = (true, ours);
        state.epoch += 1;
        Ok(())
    }

    /// Runs `f` while nobody is inside; not at all where somebody does not come out.
    pub(super) fn alone<T>(&self, f: impl FnOnce() -> T) -> Option<T> {
        let mut state = self.state();
        loop {
            if state.forks > 0 && !URGENT.get() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else if let Some(alone) = state.alone {
                state = self.wait_for(state, alone)?;
            } else {
                break;
            }
        }
        if state.inside.iter().any(|call| call.given_up) {
            return None;
        }
        state.alone = Some(Alone::Waits);
        let start = Instant::now();
        while !state.inside.is_empty()
            && let Some(left) = PATIENCE.checked_sub(start.elapsed())
        {
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.inside.iter_mut().for_each(|call| call.given_up = true);
        let nobody = state.inside.is_empty();
        let _turn = self.begin(state);
        nobody.then(|| {
            let _no_sigpipe = NoSigpipe::new();
            f()
        })
    }

    /// Marks the library as this thread's alone, until the result is dropped.
    fn begin<'a>(&'a self, mut state: MutexGuard<'a, State>) -> Turn<'a> {
        state.alone = Some(Alone::Works(Instant::now()));
        Turn(self)
    }

    /// Waits while somebody has the library to himself; `None` where he does not come to an end.
    fn wait_for<'a>(&'a self, state: MutexGuard<'a, State>, alone: Alone) -> Option<MutexGuard<'a, State>> {
        let left = match alone {
            Alone::Waits => PATIENCE,
            Alone::Works(since) => PATIENCE.checked_sub(since.elapsed())?,
        };
        Some(self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Stops what `epoch` began, so that whoever enters next begins anew; nothing where somebody else was faster. What
    /// the application has begun stays; only our view of it ends. Call with the library to oneself.
    pub(super) fn stop(&self, epoch: u64) {
        let state = self.state();
        if state.epoch != epoch || !state.running {
            return;
        }
        let ours = state.raw.filter(|_| state.ours);
        drop(state);
        // A library that cannot be finalised any more is as good as finalised.
        let _ = ours.map(|raw| raw.finalize());
        let mut state = self.state();
        (state.running, state.ours) = (false, false);
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
        while (!state.inside.is_empty() || state.alone.is_some())
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
}

/// Having the library to oneself.
struct Turn<'a>(&'a Library);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state().alone = None;
        self.0.changed.notify_all();
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        let epoch = self.state().epoch;
        let _no_sigpipe = NoSigpipe::new();
        self.stop(epoch);
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let mut state = self.library.state();
        state.inside.retain(|call| call.number != self.number);
        if state.forks > 0 || state.alone.is_some() || state.ended || self.library.one_at_a_time {
            drop(state);
            self.library.changed.notify_all();
        }
    }
}
