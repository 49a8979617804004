//! One token of a vendor's library: found by its name, its sessions, its login, and how both come back after the device
//! was away.
//!
//! Whoever calls [`Device::call`] gets a session and, while a vault is open, one that is logged in. What the device
//! answers to a lost session, a lost login or a restart never gets further than here: the session is opened again, the
//! PIN that the vault was opened with is given again, and the call is made again, for as long as [`PATIENCE`] lasts.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use cryptoki_sys as ck;

use super::{
    library::{Absent, Inside, Libraries, Library},
    raw::{Raw, Rv, TokenInfo},
    selector::Selector,
};
use crate::{Pin, Role, StoreError};

/// How long a call goes on trying while the device is away and a vault is open.
const PATIENCE: Duration = Duration::from_secs(20);
/// Waits between two tries, from the first to the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));
/// How often a token that is not to be seen is looked for: SoftHSM passes over one whose file another process is writing
/// while it is initialised.
const LOOKS: u32 = 4;
/// Sessions kept open between calls.
const MAX_IDLE: usize = 16;

/// Why a call failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The device said so.
    Said(Rv),
    /// The library shows no token of that name, which may be for a moment only.
    Unseen,
    /// There is no device to say anything; the text says what to do.
    Away(String),
    /// The PIN of this login does not open the device any more.
    LoggedOut,
    /// The application is logged in to the device itself, and the device does not judge a PIN while it is.
    Foreign,
}

impl From<Rv> for Failure {
    fn from(rv: Rv) -> Self {
        Self::Said(rv)
    }
}

/// What C_Login said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoggedIn {
    /// The device has judged the PIN.
    Judged,
    /// Somebody in this process was logged in already: the PIN was not looked at.
    Already,
}

/// A login that this process's vaults share.
#[derive(Debug)]
struct Login {
    pin: Pin,
    vaults: usize,
    /// Whether C_Login was ours, so that C_Logout is.
    ours: bool,
    /// The device has refused the PIN: asking again would lock it.
    refused: bool,
    /// Which login this is: a vault of an earlier one does not end it.
    id: u64,
}

#[derive(Debug, Default)]
struct State {
    /// The library's epoch that everything else belongs to.
    epoch: u64,
    /// Grows with everything that makes handles worthless.
    turn: u64,
    slot: Option<ck::CK_SLOT_ID>,
    idle: Vec<ck::CK_SESSION_HANDLE>,
    open: usize,
    login: Option<Login>,
    /// Whether the device is logged in, in this epoch.
    logged_in: bool,
    /// The number of the login that was held last.
    last_login: u64,
    /// How often the token was looked for in vain.
    looks: u32,
}

/// A token.
#[derive(Debug)]
pub(super) struct Device {
    library: Arc<Library>,
    selector: Selector,
    state: Mutex<State>,
    returned: Condvar,
    /// Held by whoever logs in or out, from the judgement of a PIN until the vault stands.
    logins: Mutex<()>,
}

/// A session for the length of a call.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) raw: Raw,
    pub(super) handle: ck::CK_SESSION_HANDLE,
    /// Object handles of another turn are worthless.
    pub(super) turn: u64,
}

impl Device {
    /// Names the token; nothing is loaded, opened or asked before the first call.
    pub(super) fn new(libraries: &Libraries, library: &std::path::Path, selector: Selector) -> Arc<Self> {
        let library = libraries.library(library);
        library.device(&selector, |library| Self {
            library,
            selector: selector.clone(),
            state: Mutex::default(),
            returned: Condvar::new(),
            logins: Mutex::new(()),
        })
    }

    /// Where a message says that something is wrong.
    pub(super) fn name(&self) -> String {
        format!("{} ({})", self.library.path().display(), self.selector)
    }

    /// Held from the judgement of a PIN until the vault stands or is refused.
    pub(super) fn logins(&self) -> MutexGuard<'_, ()> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the token says of itself. A device that is away is soon said to be.
    pub(super) fn token(&self) -> Result<TokenInfo, Failure> {
        let mut again = true;
        loop {
            let inside = self.enter()?;
            let epoch = inside.epoch;
            let asked = self.slot(&inside).and_then(|slot| Ok(patiently(|| inside.raw.token_info(slot))?));
            drop(inside);
            match asked {
                Err(Failure::Unseen) => std::thread::sleep(PAUSES.0),
                Err(Failure::Said(rv)) if is_lost(rv) && again => again = false,
                told => return told,
            }
            self.library.alone(|| self.begin_anew(epoch));
        }
    }

    /// Its slot, looked for as [`Device::token`] does.
    fn seen(&self) -> Result<(), Failure> {
        self.token().map(drop)
    }

    /// CKF_* of every mechanism of the token.
    pub(super) fn mechanisms(&self) -> Result<Vec<(u64, u64)>, Failure> {
        self.seen()?;
        let inside = self.enter()?;
        let slot = self.slot(&inside)?;
        let flags = |kind| inside.raw.mechanism_flags(slot, kind).ok().map(|flags| (kind, flags));
        Ok(inside.raw.mechanisms(slot)?.into_iter().filter_map(flags).collect())
    }

    /// Runs `f` with a session. It may run more than once, so it must do no harm when it does: what it did before the
    /// device went away may have happened. `f` must not call the device otherwise.
    pub(super) fn call<T>(&self, mut f: impl FnMut(&Session) -> Result<T, Rv>) -> Result<T, Failure> {
        let start = Instant::now();
        let mut pause = PAUSES.0;
        loop {
            let (epoch, turn, failure) = match self.attempt(&mut f) {
                Ok(result) => return Ok(result),
                Err(failed) => failed,
            };
            let worth_it = match &failure {
                Failure::Said(rv) => is_lost(*rv),
                Failure::Away(_) | Failure::Unseen => true,
                Failure::LoggedOut | Failure::Foreign => false,
            };
            if !worth_it {
                return Err(failure);
            }
            let repaired = self.repair(epoch, turn, &failure);
            // Without a vault nobody has been promised anything, and a device that is away is soon said to be.
            let patience = if self.state().login.is_some() { PATIENCE } else { Duration::ZERO };
            let unseen = matches!(failure, Failure::Unseen);
            if !repaired && !unseen && start.elapsed() >= patience {
                return Err(failure);
            }
            if !repaired {
                std::thread::sleep(pause);
                pause = (pause * 2).min(PAUSES.1);
            } else if start.elapsed() >= PATIENCE {
                return Err(failure);
            }
        }
    }

    /// Whether the session of a vault is still logged in. Somebody else's C_Logout takes the login and the handles of
    /// private objects away and leaves the sessions.
    pub(super) fn check_login(&self) -> Result<(), Failure> {
        let expected = self.state().login.is_some();
        self.call(|session| {
            let state = session.raw.session_state(session.handle)?;
            let logged_in = matches!(state, ck::CKS_RO_USER_FUNCTIONS | ck::CKS_RW_USER_FUNCTIONS);
            if expected && !logged_in { Err(Rv(ck::CKR_USER_NOT_LOGGED_IN)) } else { Ok(()) }
        })
    }

    /// C_Login as the user. Call with [`Device::logins`] held.
    pub(super) fn log_in(&self, pin: &Pin) -> Result<LoggedIn, Failure> {
        self.state().login.take_if(|login| login.refused);
        let outcome = self.call(|session| {
            match patiently(|| session.raw.login(session.handle, ck::CKU_USER, pin.expose())) {
                Ok(()) => Ok(LoggedIn::Judged),
                Err(Rv(ck::CKR_USER_ALREADY_LOGGED_IN)) => Ok(LoggedIn::Already),
                Err(rv) => Err(rv),
            }
        })?;
        self.state().logged_in = true;
        Ok(outcome)
    }

    /// Has the HSM judge a PIN although a vault of ours is logged in: it steps aside for that long. An application's own
    /// login cannot. Call with [`Device::logins`] held.
    pub(super) fn judge_again(&self, pin: &Pin) -> Result<(), Failure> {
        self.check_login()?;
        self.library.alone(|| {
            let away = || Failure::Away(format!("{} went away", self.name()));
            let (raw, _) = self.library.running().ok_or_else(away)?;
            let mut state = self.state();
            if !state.login.as_ref().is_some_and(|login| login.ours) {
                return Err(Failure::Foreign);
            }
            let session = raw.open_session(state.slot.ok_or_else(away)?, true)?;
            let _ = raw.logout(session);
            state.turn += 1;
            state.logged_in = false;
            let judged = raw.login(session, ck::CKU_USER, pin.expose());
            if judged.is_ok() {
                state.logged_in = true;
                if let Some(login) = &mut state.login {
                    login.pin = pin.clone();
                }
            } else {
                let _ = self.log_in_again(&mut state, raw, session);
            }
            let _ = raw.close_session(session);
            Ok(judged?)
        })
    }

    /// Takes the login over for one more vault. Call with [`Device::logins`] held, after [`Device::log_in`].
    pub(super) fn hold(&self, pin: &Pin, how: LoggedIn) -> u64 {
        let mut state = self.state();
        state.last_login += 1;
        let id = state.last_login;
        match &mut state.login {
            Some(login) => {
                login.vaults += 1;
                login.ours |= how == LoggedIn::Judged;
                login.pin = pin.clone();
                login.id
            }
            login => {
                let ours = how == LoggedIn::Judged;
                *login = Some(Login { pin: pin.clone(), vaults: 1, ours, refused: false, id });
                id
            }
        }
    }

    /// Ends a login that no vault holds: the PIN was right and something else failed. Call with [`Device::logins`]
    /// held.
    pub(super) fn drop_unheld(&self, how: LoggedIn) {
        if how == LoggedIn::Judged && self.state().login.is_none() {
            let _ = self.call(|session| session.raw.logout(session.handle));
            self.state().logged_in = false;
        }
    }

    /// Whether the device has refused the PIN of a vault's login since: it was changed, or the token was.
    pub(super) fn has_refused(&self, id: u64) -> bool {
        self.state().login.as_ref().is_none_or(|login| login.id != id || login.refused)
    }

    /// A vault closes: the last one logs out, if it was we who logged in.
    pub(super) fn release(&self, id: u64) {
        let _turn = self.logins();
        let mut state = self.state();
        let Some(login) = state.login.as_mut().filter(|login| login.id == id) else { return };
        login.vaults -= 1;
        if login.vaults > 0 {
            return;
        }
        let logout = login.ours && state.logged_in;
        state.login = None;
        state.logged_in = false;
        state.turn += 1;
        drop(state);
        // A device that is away has logged out already.
        if let Ok(inside) = self.enter()
            && inside.epoch == self.state().epoch
        {
            self.close_sessions(inside.raw, logout);
        }
    }

    /// Runs `f` in a session of the security officer, who is logged in for as long as that takes. A user's login of
    /// ours steps aside meanwhile; an application's own cannot: [`ck::CKR_USER_ANOTHER_ALREADY_LOGGED_IN`]. Call with
    /// [`Device::logins`] held.
    pub(super) fn as_officer<T>(
        &self,
        pin: &Pin,
        f: impl FnOnce(&Raw, ck::CK_SESSION_HANDLE) -> Result<T, Rv>,
    ) -> Result<T, Failure> {
        self.as_officer_then(pin, f, None)
    }

    /// [`Device::as_officer`], after which a user's login goes on with another PIN.
    fn as_officer_then<T>(
        &self,
        pin: &Pin,
        f: impl FnOnce(&Raw, ck::CK_SESSION_HANDLE) -> Result<T, Rv>,
        users: Option<&Pin>,
    ) -> Result<T, Failure> {
        // Once through the usual way, so that the device is found and awake.
        self.call(|session| session.raw.session_state(session.handle).map(drop))?;
        self.library.alone(|| {
            let Some((raw, _)) = self.library.running() else {
                return Err(Failure::Away(format!("{} went away", self.name())));
            };
            let mut state = self.state();
            let Some(slot) = state.slot else {
                return Err(Failure::Away(format!("{} went away", self.name())));
            };
            let steps_aside = state.login.as_ref().is_some_and(|login| login.ours) && state.logged_in;
            let session = raw.open_session(slot, true)?;
            if steps_aside {
                let _ = raw.logout(session);
                // Handles of private objects went with the login.
                state.turn += 1;
                state.logged_in = false;
            }
            let outcome = raw.login(session, ck::CKU_SO, pin.expose()).and_then(|()| {
                let outcome = f(&raw, session);
                let _ = raw.logout(session);
                outcome
            });
            if let (Ok(_), Some(login), Some(new)) = (&outcome, &mut state.login, users) {
                login.pin = new.clone();
            }
            if steps_aside {
                let _ = self.log_in_again(&mut state, raw, session);
            }
            let _ = raw.close_session(session);
            outcome.map_err(Failure::Said)
        })
    }

    /// C_InitPIN by the security officer. A user's login goes on with the new PIN. Call with [`Device::logins`] held.
    pub(super) fn set_user_pin(&self, so_pin: &Pin, new: &Pin) -> Result<(), Failure> {
        self.as_officer_then(so_pin, |raw, session| raw.init_pin(session, new.expose()), Some(new))
    }

    /// C_SetPIN by whose PIN it is. Call with [`Device::logins`] held, and for the user after [`Device::log_in`].
    pub(super) fn change_pin(&self, role: Role, old: &Pin, new: &Pin) -> Result<(), Failure> {
        match role {
            Role::SecurityOfficer => {
                self.as_officer(old, |raw, session| raw.set_pin(session, old.expose(), new.expose()))
            }
            Role::User => {
                self.call(|session| session.raw.set_pin(session.handle, old.expose(), new.expose()))?;
                if let Some(login) = &mut self.state().login {
                    login.pin = new.clone();
                }
                Ok(())
            }
        }
    }

    /// C_InitToken. All sessions of ours are closed first; an application's own are not: CKR_SESSION_EXISTS.
    pub(super) fn init_token(&self, so_pin: &Pin, label: &str) -> Result<(), Failure> {
        self.seen()?;
        let slot = {
            let inside = self.enter()?;
            self.slot(&inside)?
        };
        self.library.alone(|| {
            let Some((raw, epoch)) = self.library.running() else {
                return Err(Failure::Away(format!("{} went away", self.name())));
            };
            let logout = self.state().login.as_ref().is_some_and(|login| login.ours);
            self.close_sessions(raw, logout);
            let made = raw.init_token(slot, so_pin.expose(), label);
            let mut state = self.state();
            state.logged_in = false;
            state.turn += 1;
            drop(state);
            if made.is_ok() {
                // Some libraries show a new token only when they begin anew.
                self.library.stop(epoch);
            }
            Ok(made?)
        })
    }

    /// Before fork(2).
    pub(super) fn shut(&self) {
        self.library.shut_all();
    }

    /// After fork(2).
    pub(super) fn reopen(&self) {
        self.library.reopen();
    }

    /// What is left to do before the library stops.
    pub(super) fn leave(&self, raw: Raw) {
        let logout = {
            let state = self.state();
            state.logged_in && state.login.as_ref().is_some_and(|login| login.ours)
        };
        self.close_sessions(raw, logout);
        self.state().logged_in = false;
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
                Absent::NotInitialized(rv) => {
                    format!("{name} does not initialise (C_Initialize {rv}); look at the library's own log and settings")
                }
            })
        })?;
        let mut state = self.state();
        if state.epoch != inside.epoch {
            let (turn, last_login, login) = (state.turn + 1, state.last_login, state.login.take());
            let looks = state.looks;
            *state = State { epoch: inside.epoch, turn, last_login, login, looks, ..State::default() };
        }
        Ok(inside)
    }

    /// The slot that the token is in.
    fn slot(&self, inside: &Inside<'_>) -> Result<ck::CK_SLOT_ID, Failure> {
        let mut state = self.state();
        if let Some(slot) = state.slot {
            return Ok(slot);
        }
        let mut fitting = Vec::new();
        let mut blanks = Vec::new();
        for slot in inside.raw.slots(true)? {
            let Ok(token) = patiently(|| inside.raw.token_info(slot)) else { continue };
            let blank = token.flags & ck::CKF_TOKEN_INITIALIZED == 0;
            if self.selector.fits(slot, &token) {
                if blank { blanks.push(slot) } else { fitting.push(slot) }
            }
        }
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
                if blanks.is_empty() || !blanks.contains(&slot) {
                    state.looks = 0;
                }
                Ok(slot)
            }
            [] => Err(Failure::Away(format!(
                "{name} has no token with {}; connect the HSM, or correct the token's name in trellis.toml",
                self.selector
            ))),
            _ => Err(Failure::Away(format!(
                "{name} has {} tokens with {}; name the serial number in trellis.toml",
                fitting.len(),
                self.selector
            ))),
        }
    }

    /// One try; with what is wrong, when it was.
    fn attempt<T>(&self, f: &mut impl FnMut(&Session) -> Result<T, Rv>) -> Result<T, (u64, u64, Failure)> {
        let inside = self.enter().map_err(|failure| (0, 0, failure))?;
        let fail = |failure| (inside.epoch, self.state().turn, failure);
        let slot = self.slot(&inside).map_err(fail)?;
        let session = self.take(&inside, slot).map_err(fail)?;
        let turn = session.turn;
        match f(&session) {
            Ok(result) => {
                self.put_back(session);
                Ok(result)
            }
            Err(rv) => {
                if is_lost(rv) {
                    // It may still be open, where only the login was lost.
                    let _ = session.raw.close_session(session.handle);
                    self.forget(&session);
                } else {
                    self.put_back(session);
                }
                Err((inside.epoch, turn, Failure::Said(rv)))
            }
        }
    }

    /// A session that is open, and logged in if a vault is.
    fn take(&self, inside: &Inside<'_>, slot: ck::CK_SLOT_ID) -> Result<Session, Failure> {
        let mut state = self.state();
        loop {
            if let Some(login) = &state.login {
                if login.refused {
                    return Err(Failure::LoggedOut);
                }
                if !state.logged_in {
                    let session = match state.idle.pop() {
                        Some(session) => session,
                        None => {
                            let session = open(inside.raw, slot)?;
                            state.open += 1;
                            session
                        }
                    };
                    let back = self.log_in_again(&mut state, inside.raw, session);
                    state.idle.push(session);
                    back?;
                    continue;
                }
            }
            let turn = state.turn;
            if let Some(handle) = state.idle.pop() {
                return Ok(Session { raw: inside.raw, handle, turn });
            }
            match open(inside.raw, slot) {
                Ok(handle) => {
                    state.open += 1;
                    return Ok(Session { raw: inside.raw, handle, turn });
                }
                // Another thread brings one back.
                Err(Rv(ck::CKR_SESSION_COUNT | ck::CKR_DEVICE_MEMORY)) if state.open > 0 => {
                    state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                Err(rv) => return Err(rv.into()),
            }
        }
    }

    fn put_back(&self, session: Session) {
        let mut state = self.state();
        if state.turn == session.turn && state.idle.len() < MAX_IDLE {
            state.idle.push(session.handle);
        } else {
            let _ = session.raw.close_session(session.handle);
            state.open = state.open.saturating_sub(1);
        }
        drop(state);
        self.returned.notify_one();
    }

    fn forget(&self, session: &Session) {
        let mut state = self.state();
        if state.turn == session.turn {
            state.open = state.open.saturating_sub(1);
        }
        drop(state);
        self.returned.notify_one();
    }

    /// The vault's PIN once more, where the device has forgotten it. A PIN that it refuses is never given again: the
    /// tries of a PIN are few.
    fn log_in_again(
        &self,
        state: &mut State,
        raw: Raw,
        session: ck::CK_SESSION_HANDLE,
    ) -> Result<(), Failure> {
        let Some(login) = &mut state.login else { return Ok(()) };
        match patiently(|| raw.login(session, ck::CKU_USER, login.pin.expose())) {
            Ok(()) => login.ours = true,
            Err(Rv(ck::CKR_USER_ALREADY_LOGGED_IN)) => {}
            Err(Rv(
                ck::CKR_PIN_INCORRECT
                | ck::CKR_PIN_INVALID
                | ck::CKR_PIN_LEN_RANGE
                | ck::CKR_PIN_EXPIRED
                | ck::CKR_PIN_LOCKED
                | ck::CKR_USER_PIN_NOT_INITIALIZED,
            )) => {
                login.refused = true;
                return Err(Failure::LoggedOut);
            }
            Err(rv) => return Err(rv.into()),
        }
        state.logged_in = true;
        state.turn += 1;
        Ok(())
    }

    /// Makes what is broken new, unless somebody has done so since; whether another try makes sense at once.
    fn repair(&self, epoch: u64, turn: u64, failure: &Failure) -> bool {
        let Failure::Said(rv) = failure else {
            // Nothing was reached. Whoever tries next looks again.
            self.library.alone(|| self.begin_anew(epoch));
            return false;
        };
        match rv.0 {
            ck::CKR_SESSION_HANDLE_INVALID | ck::CKR_SESSION_CLOSED | ck::CKR_USER_NOT_LOGGED_IN => {
                self.library.alone(|| {
                    let running = self.library.running();
                    let mut state = self.state();
                    if state.turn == turn
                        && state.epoch == epoch
                        && let Some((raw, _)) = running
                    {
                        for session in state.idle.drain(..) {
                            let _ = raw.close_session(session);
                        }
                        state.open = 0;
                        state.turn += 1;
                        state.logged_in = false;
                    }
                });
                true
            }
            _ => {
                self.library.alone(|| self.begin_anew(epoch));
                false
            }
        }
    }

    /// Call with the library to oneself.
    fn begin_anew(&self, epoch: u64) {
        self.library.stop(epoch);
        let mut state = self.state();
        if state.epoch == epoch {
            state.slot = None;
        }
    }

    fn close_sessions(&self, raw: Raw, logout: bool) {
        let mut state = self.state();
        let sessions: Vec<_> = state.idle.drain(..).collect();
        state.open = state.open.saturating_sub(sessions.len());
        drop(state);
        if logout {
            for session in &sessions {
                if raw.logout(*session).is_ok() {
                    break;
                }
            }
        }
        for session in sessions {
            let _ = raw.close_session(session);
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
            (state.epoch, state.idle.is_empty() && !state.logged_in)
        };
        if nothing_open {
            return;
        }
        self.library.alone(|| match self.library.running() {
            Some((raw, epoch)) if epoch == own_epoch => self.leave(raw),
            _ => {}
        });
    }
}

/// Asks again for what SoftHSM answers while another process writes the token's file. It judges nothing then.
fn patiently<T>(f: impl Fn() -> Result<T, Rv>) -> Result<T, Rv> {
    const TRIES: u32 = 40;
    let passing = |rv: &Rv| matches!(rv.0, ck::CKR_GENERAL_ERROR | ck::CKR_FUNCTION_FAILED);
    for _ in 1..TRIES {
        match f() {
            Err(rv) if passing(&rv) => std::thread::sleep(PAUSES.0),
            done => return done,
        }
    }
    f()
}

/// A session that may write, or one that may only read where the token takes no other.
fn open(raw: Raw, slot: ck::CK_SLOT_ID) -> Result<ck::CK_SESSION_HANDLE, Rv> {
    match raw.open_session(slot, true) {
        Err(Rv(ck::CKR_TOKEN_WRITE_PROTECTED)) => raw.open_session(slot, false),
        opened => opened,
    }
}

/// What a device answers that has lost the session, the login or itself.
fn is_lost(rv: Rv) -> bool {
    matches!(
        rv.0,
        ck::CKR_SESSION_HANDLE_INVALID
            | ck::CKR_SESSION_CLOSED
            | ck::CKR_USER_NOT_LOGGED_IN
            | ck::CKR_DEVICE_REMOVED
            | ck::CKR_DEVICE_ERROR
            | ck::CKR_TOKEN_NOT_PRESENT
            | ck::CKR_SLOT_ID_INVALID
            | ck::CKR_CRYPTOKI_NOT_INITIALIZED
    )
}

impl Failure {
    /// As the stores' errors have it; `doing` names the function.
    pub(super) fn of(self, device: &Device, doing: &str) -> StoreError {
        let rv = match self {
            Self::Away(what) if device.state().login.is_some() => return StoreError::Removed(what),
            Self::Away(what) => return StoreError::Absent(what),
            Self::Unseen => return StoreError::Absent(format!("{} is not to be seen", device.name())),
            Self::LoggedOut => return StoreError::TokenReplaced,
            Self::Foreign => {
                return StoreError::Device(format!(
                    "{}: the application is logged in to this token itself, so that the HSM does not judge the PIN; log in \
                     through this store first",
                    device.name()
                ));
            }
            Self::Said(rv) => rv,
        };
        match rv.0 {
            ck::CKR_PIN_INCORRECT | ck::CKR_PIN_INVALID | ck::CKR_PIN_LEN_RANGE => StoreError::PinIncorrect,
            ck::CKR_PIN_LOCKED => StoreError::PinLocked,
            ck::CKR_USER_PIN_NOT_INITIALIZED => StoreError::UserPinNotInitialized,
            ck::CKR_TOKEN_WRITE_PROTECTED => StoreError::ReadOnly,
            ck::CKR_DEVICE_MEMORY => StoreError::Full,
            ck::CKR_MECHANISM_INVALID | ck::CKR_MECHANISM_PARAM_INVALID | ck::CKR_FUNCTION_NOT_SUPPORTED => {
                StoreError::Unsupported
            }
            ck::CKR_DATA_LEN_RANGE => StoreError::Algorithm(algorithms::Error::InputLength),
            ck::CKR_DEVICE_REMOVED | ck::CKR_TOKEN_NOT_PRESENT => {
                StoreError::Removed(format!("{} went away ({doing}: {rv}); connect it again", device.name()))
            }
            _ => StoreError::Device(format!("{}: {doing} answered {rv}", device.name())),
        }
    }
}

/// The name of what is likely, and the number.
impl std::fmt::Display for Rv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.0 {
            ck::CKR_GENERAL_ERROR => "CKR_GENERAL_ERROR",
            ck::CKR_DEVICE_ERROR => "CKR_DEVICE_ERROR",
            ck::CKR_DEVICE_REMOVED => "CKR_DEVICE_REMOVED",
            ck::CKR_TOKEN_NOT_PRESENT => "CKR_TOKEN_NOT_PRESENT",
            ck::CKR_ARGUMENTS_BAD => "CKR_ARGUMENTS_BAD",
            ck::CKR_ATTRIBUTE_VALUE_INVALID => "CKR_ATTRIBUTE_VALUE_INVALID",
            ck::CKR_ATTRIBUTE_READ_ONLY => "CKR_ATTRIBUTE_READ_ONLY",
            ck::CKR_TEMPLATE_INCONSISTENT => "CKR_TEMPLATE_INCONSISTENT",
            ck::CKR_KEY_HANDLE_INVALID => "CKR_KEY_HANDLE_INVALID",
            ck::CKR_OBJECT_HANDLE_INVALID => "CKR_OBJECT_HANDLE_INVALID",
            ck::CKR_PIN_EXPIRED => "CKR_PIN_EXPIRED",
            ck::CKR_SESSION_EXISTS => "CKR_SESSION_EXISTS",
            ck::CKR_USER_ANOTHER_ALREADY_LOGGED_IN => "CKR_USER_ANOTHER_ALREADY_LOGGED_IN",
            ck::CKR_FUNCTION_FAILED => "CKR_FUNCTION_FAILED",
            rv => return write!(f, "{rv:#x}"),
        };
        write!(f, "{name} ({:#x})", self.0)
    }
}

/// Devices of a library that are in use.
pub(super) type Devices = Mutex<Vec<Weak<Device>>>;
