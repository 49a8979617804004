//! One token of a vendor's library: found by its name, its sessions, its login, and how all of them come back after the
//! device was away.
//!
//! Whoever calls [`Device::call`] gets a session and, while a vault is open, one that is logged in. What the device
//! answers to a lost session, a lost login or a restart never gets further than here: first the sessions are opened
//! and the login is made again with the PIN of the vault; where that does not help, the library is finalised and
//! initialised anew (some never find their device again without), and the call is made again, for as long as
//! [`PATIENCE`] lasts.
//!
//! No lock is held while the library is called: it may never return.

mod failure;
mod judge;
mod login;
mod pool;
mod session;
mod softhsm;
mod work;

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use cryptoki_sys as ck;

use super::{
    library::{Absent, Inside, Libraries, Library, PATIENCE},
    raw::{Raw, Rv, TokenInfo},
    selector::Selector,
};
use crate::Turns;
use failure::{Lost, cause};
use login::Login;
use pool::{Idle, Pool};
use softhsm::{SOFTHSM, TRIES_OF_SOFTHSM, patiently, token_info};
use work::{Work, Works};

pub(super) use failure::Failure;
pub(super) use login::LoggedIn;
pub(super) use session::Session;

/// Waits between two tries, from the first to the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));
/// Tries of a call that nobody has been promised anything of: as it is, with new sessions, with the library begun anew.
const TRIES: u32 = 3;
/// How often a token that is not to be seen is looked for: SoftHSM passes over one whose file another process is writing
/// while it is initialised.
const LOOKS: u32 = 4;

#[derive(Debug, Default)]
struct State {
    /// The library's epoch that everything else belongs to.
    epoch: u64,
    /// Grows with everything that makes object handles worthless.
    turn: u64,
    slot: Option<ck::CK_SLOT_ID>,
    sessions: Pool,
    login: Option<Login>,
    /// Whether the device is logged in, in this epoch.
    logged_in: bool,
    /// A login of ours that no vault has any more, and that could not be ended.
    owes_logout: bool,
    /// The number of the login that was held last.
    last_login: u64,
    /// How often the token was looked for in vain.
    looks: u32,
    /// Whether the token is SoftHSM's.
    softhsm: bool,
    works: Works,
    /// Threads that wait for something of this to change.
    waiting: usize,
}

impl State {
    /// Nothing that was opened or found before is worth anything: what is given back is gone, or to be closed.
    fn begin_anew(&mut self) -> Idle {
        self.slot = None;
        self.owes_logout = false;
        self.give_up()
    }

    /// All sessions are given up, and the login with them.
    fn give_up(&mut self) -> Idle {
        self.turn += 1;
        self.logged_in = false;
        self.sessions.forget()
    }
}

/// A token.
#[derive(Debug)]
pub(super) struct Device {
    library: Arc<Library>,
    selector: Selector,
    state: Mutex<State>,
    changed: Condvar,
    /// Of whoever logs in or out, from the judgement of a PIN until the vault stands.
    logins: Turns,
}

/// A try that failed, and what there was then.
struct Failed {
    epoch: u64,
    generation: u64,
    failure: Failure,
}

impl Device {
    /// Names the token; nothing is loaded, opened or asked before the first call.
    pub(super) fn new(libraries: &Libraries, library: &std::path::Path, selector: Selector) -> Arc<Self> {
        let library = libraries.library(library);
        library.device(&selector, |library| Self {
            library,
            selector: selector.clone(),
            state: Mutex::default(),
            changed: Condvar::new(),
            logins: Turns::default(),
        })
    }

    /// Where a message says that something is wrong.
    pub(super) fn name(&self) -> String {
        format!("{} ({})", self.library.path().display(), self.selector)
    }

    /// What the token says of itself. Without a vault, a device that is away is soon said to be.
    pub(super) fn token(&self) -> Result<TokenInfo, Failure> {
        // SoftHSM that has met a token's file half written does not look again before it changes; started anew it does.
        let stuck = |rv: Rv| if rv.0 == ck::CKR_GENERAL_ERROR { Rv(ck::CKR_DEVICE_ERROR) } else { rv };
        self.at_slot(|raw, slot| token_info(raw, slot).map_err(stuck))
    }

    /// CKF_* of every mechanism of the token.
    pub(super) fn mechanisms(&self) -> Result<Vec<(u64, u64)>, Failure> {
        self.at_slot(|raw, slot| {
            let flags = |kind| raw.mechanism_flags(slot, kind).ok().map(|flags| (kind, flags));
            Ok(raw.mechanisms(slot)?.into_iter().filter_map(flags).collect())
        })
    }

    /// CKF_* of one mechanism.
    pub(super) fn mechanism_flags(&self, kind: u64) -> Result<u64, Failure> {
        self.at_slot(|raw, slot| raw.mechanism_flags(slot, kind))
    }

    /// Runs `f` with a session. It may run more than once, so it must do no harm when it does: what it did before the
    /// device went away may have happened. `f` must not call the device otherwise.
    pub(super) fn call<T>(&self, mut f: impl FnMut(&Session) -> Result<T, Rv>) -> Result<T, Failure> {
        self.healed(|| {
            let (inside, slot) = self.reach()?;
            let session = self.take(&inside, slot).map_err(|failure| self.failed(&inside, failure))?;
            // Of SoftHSM it is known that other processes which write the token's files make it say that it cannot.
            let softhsm = self.state().softhsm;
            let done = if softhsm { patiently(|| f(&session)) } else { f(&session) };
            let (done, lost) = match done {
                Ok(done) => (Ok(done), false),
                Err(rv) => {
                    let rv = cause(&session, rv);
                    (Err(rv), rv.lost().is_some())
                }
            };
            let Session { raw, handle, generation, .. } = session;
            if lost {
                self.discard(raw, handle, generation);
            } else {
                self.put_back(raw, handle, generation);
            }
            done.map_err(|rv| Failed { epoch: inside.epoch, generation, failure: rv.into() })
        })
    }

    /// [`Device::call`] for what must not be done twice, such as having a PIN judged. The device is found and woken
    /// first; then `f` runs again only where the device has not known the session, and so has done nothing.
    fn call_once<T>(&self, mut f: impl FnMut(&Session) -> Result<T, Rv>) -> Result<T, Failure> {
        let done = self.call(|session| {
            session.raw.session_state(session.handle)?;
            match f(session) {
                Err(rv) if rv.did_nothing() => Err(rv),
                done => Ok(done),
            }
        })?;
        Ok(done?)
    }

    /// Runs `f` with the slot that the token is in. One thread at a time asks.
    fn at_slot<T>(&self, f: impl Fn(Raw, ck::CK_SLOT_ID) -> Result<T, Rv>) -> Result<T, Failure> {
        self.healed(|| {
            let (inside, slot) = self.reach()?;
            let _mark = self.mark(Work::Asking).map_err(|failure| self.failed(&inside, failure))?;
            f(inside.raw, slot).map_err(|rv| self.failed(&inside, rv.into()))
        })
    }

    /// Tries until there is an answer, and makes new in between what is broken.
    fn healed<T>(&self, mut attempt: impl FnMut() -> Result<T, Failed>) -> Result<T, Failure> {
        let begun = Instant::now();
        let mut pause = PAUSES.0;
        let mut tries = 0;
        loop {
            let failed = match attempt() {
                Ok(done) => return Ok(done),
                Err(failed) => failed,
            };
            tries += 1;
            let lost = match &failed.failure {
                Failure::Said(rv) => rv.lost(),
                Failure::Away(_) | Failure::Unseen => Some(Lost::Library),
                Failure::LoggedOut | Failure::Foreign | Failure::Ended | Failure::Stuck(_) => None,
            };
            let Some(lost) = lost else { return Err(failed.failure) };
            // Each kind may look like the other at first.
            let lost =
                if tries == 1 && matches!(failed.failure, Failure::Said(_)) { Lost::Sessions } else { lost };
            let repaired = self.library.alone(|| self.repair(lost, &failed)).is_some();
            // Without a vault nobody has been promised anything, and a device that is away is soon said to be.
            let over = match failed.failure {
                Failure::Unseen => !repaired,
                Failure::Said(_) if tries < self.tries() => !repaired,
                _ => !repaired || !self.is_held() || begun.elapsed() >= PATIENCE,
            };
            if over {
                return Err(failed.failure);
            }
            if lost == Lost::Library {
                std::thread::sleep(pause);
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }

    fn tries(&self) -> u32 {
        if self.state().softhsm { TRIES_OF_SOFTHSM } else { TRIES }
    }

    /// Makes new what is broken, unless somebody has done so since. Call with the library to oneself.
    fn repair(&self, lost: Lost, failed: &Failed) {
        let running = self.library.running();
        let current = running.filter(|(_, epoch)| *epoch == failed.epoch).map(|(raw, _)| raw);
        let mut state = self.state();
        if state.epoch == failed.epoch {
            let same = state.sessions.generation() == failed.generation;
            match (lost, current) {
                (Lost::Sessions, Some(raw)) if same => {
                    let idle = state.give_up();
                    drop(state);
                    idle.close(raw, false);
                }
                (Lost::Sessions, _) => drop(state),
                (Lost::Library, current) => {
                    let idle = state.begin_anew();
                    drop(state);
                    // What the application goes on using is not left with our sessions in it.
                    if let Some(raw) = current.filter(|_| !self.library.is_ours()) {
                        idle.close(raw, false);
                    }
                }
            }
        } else {
            drop(state);
        }
        if lost == Lost::Library {
            self.library.stop(failed.epoch);
        }
    }

    /// Enters the library and finds the token's slot.
    fn reach(&self) -> Result<(Inside<'_>, ck::CK_SLOT_ID), Failed> {
        let inside = self.enter().map_err(|failure| {
            let state = self.state();
            Failed { epoch: state.epoch, generation: state.sessions.generation(), failure }
        })?;
        match self.slot(&inside) {
            Ok(slot) => Ok((inside, slot)),
            Err(failure) => Err(self.failed(&inside, failure)),
        }
    }

    fn failed(&self, inside: &Inside<'_>, failure: Failure) -> Failed {
        Failed { epoch: inside.epoch, generation: self.state().sessions.generation(), failure }
    }

    /// Before fork(2), which may have `waited` for a call in vain already.
    pub(super) fn shut(&self, waited: bool) {
        self.library.shut(waited);
    }

    /// After fork(2).
    pub(super) fn reopen(&self) {
        self.library.reopen();
    }

    /// What is left to do before the library stops.
    pub(super) fn leave(&self, raw: Raw) {
        let mut state = self.state();
        let logout = state.logs_out() || state.owes_logout;
        state.owes_logout = false;
        let idle = state.give_up();
        drop(state);
        idle.close(raw, logout);
    }

    /// Whether a vault is open.
    fn is_held(&self) -> bool {
        self.state().login.is_some()
    }

    pub(super) fn is_for(&self, selector: &Selector) -> bool {
        self.selector == *selector
    }

    fn enter(&self) -> Result<Inside<'_>, Failure> {
        let name = self.library.path().display();
        let inside = self.library.enter().map_err(|absent| {
            Failure::Away(match absent {
                Absent::NotLoaded(cause) => {
                    format!("{name} cannot be loaded: {cause}; install the HSM's PKCS#11 library or correct module-path")
                }
                Absent::Ended => return Failure::Ended,
                Absent::Stuck => return self.stuck(),
                Absent::NotInitialized(rv) => {
                    format!("{name} does not initialise (C_Initialize {rv}); look at the library's own log and settings")
                }
            })
        })?;
        let mut state = self.state();
        if state.epoch != inside.epoch {
            // They went with the library that they were of.
            drop(state.begin_anew());
            state.epoch = inside.epoch;
        }
        drop(state);
        Ok(inside)
    }

    /// The slot that the token is in.
    fn slot(&self, inside: &Inside<'_>) -> Result<ck::CK_SLOT_ID, Failure> {
        let _mark = loop {
            let state = self.state();
            if let Some(slot) = state.slot {
                return Ok(slot);
            }
            if let Some(mark) = self.begin(state, Work::Making)? {
                break mark;
            }
        };
        let mut fitting = Vec::new();
        let mut blanks = Vec::new();
        // What was SoftHSM stays one while it does not see its token.
        let mut softhsm = self.state().softhsm;
        for slot in inside.raw.slots(true)? {
            let Ok(token) = token_info(inside.raw, slot) else { continue };
            let blank = token.flags & ck::CKF_TOKEN_INITIALIZED == 0;
            if self.selector.fits(slot, &token) {
                softhsm = token.manufacturer.starts_with(SOFTHSM);
                if blank { blanks.push(slot) } else { fitting.push(slot) }
            }
        }
        let mut state = self.state();
        state.softhsm = softhsm;
        if fitting.is_empty() && state.looks < LOOKS {
            state.looks += 1;
            return Err(Failure::Unseen);
        }
        // Some libraries (SoftHSM) always show one more slot, with a token that C_InitToken would make.
        if fitting.is_empty() && self.selector.may_be_blank() {
            fitting.extend(blanks.first());
        }
        let name = self.library.path().display();
        match fitting[..] {
            [slot] => {
                state.slot = Some(slot);
                if !blanks.contains(&slot) {
                    state.looks = 0;
                }
                Ok(slot)
            }
            [] => Err(Failure::Away(format!(
                "{name} has no token{}; connect the HSM, or correct the token's name in trellis.toml",
                self.selector
            ))),
            _ => Err(Failure::Away(format!(
                "{name} has {} tokens{}; name the serial number in trellis.toml",
                fitting.len(),
                self.selector
            ))),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements, so a panic elsewhere has not harmed it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let (own_epoch, nothing_open) = {
            let state = self.state();
            (state.epoch, state.sessions.is_empty() && !state.logged_in)
        };
        if nothing_open {
            return;
        }
        let _ = self.library.alone(|| match self.library.running() {
            Some((raw, epoch)) if epoch == own_epoch => self.leave(raw),
            _ => {}
        });
    }
}

/// Devices of a library that are in use.
pub(super) type Devices = Mutex<Vec<Weak<Device>>>;
