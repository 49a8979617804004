//! Who is logged in to a device: the vaults of this process share one login, which is made again where the device has
//! forgotten it, and steps aside where the security officer or a PIN that has to be judged needs the device.

use cryptoki_sys as ck;

use super::{
    super::raw::{Raw, Rv},
    Device, Failure, PATIENCE, Session, State,
    softhsm::give,
};
use crate::{Pin, Role, StoreError, Turn};

/// What C_Login said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pkcs11) enum LoggedIn {
    /// The device has judged the PIN.
    Judged,
    /// Somebody in this process was logged in already: the PIN was not looked at.
    Already,
}

/// A login that this process's vaults share.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) pin: Pin,
    vaults: usize,
    /// Whether C_Login was ours, so that C_Logout is.
    pub(super) ours: bool,
    /// The device has refused the PIN: asking again would lock it.
    pub(super) refused: bool,
    /// Which login this is: a vault of an earlier one does not end it.
    id: u64,
}

impl State {
    /// Whether whoever stops has to log out.
    pub(super) fn logs_out(&self) -> bool {
        self.logged_in && self.login.as_ref().is_some_and(|login| login.ours)
    }

    /// Whether a call has to see to the login first.
    pub(super) fn is_login_due(&self) -> bool {
        if self.login.is_some() { !self.logged_in } else { self.owes_logout }
    }
}

impl Device {
    /// The turn of whoever logs in or out, from the judgement of a PIN until the vault stands or is refused. Not to be had
    /// where another thread's is in the library and does not come back.
    pub(in crate::pkcs11) fn logins(&self) -> Result<Turn<'_>, StoreError> {
        self.logins.take(PATIENCE).ok_or_else(|| self.stuck().of(self, "C_Login"))
    }

    /// The vault's PIN once more, where the device has forgotten it, and C_Logout where that is owed. A PIN that it
    /// refuses is never given again: the tries of a PIN are few. Call with [`Work::Making`](super::Work) marked, or with
    /// the library to oneself.
    pub(super) fn log_in_where_due(&self, raw: Raw, session: ck::CK_SESSION_HANDLE) -> Result<(), Failure> {
        let mut state = self.state();
        if !state.is_login_due() {
            return Ok(());
        }
        state.turn += 1;
        let Some(login) = &state.login else {
            state.owes_logout = false;
            drop(state);
            let _ = raw.logout(session);
            return Ok(());
        };
        let (id, pin, softhsm) = (login.id, login.pin.clone(), state.softhsm);
        drop(state);
        let given = give(raw, session, ck::CKU_USER, &pin, softhsm);
        let stuck = given.is_err_and(|rv| self.is_stuck(raw, rv));
        let mut state = self.state();
        state.turn += 1;
        match given {
            Err(Rv(ck::CKR_USER_ALREADY_LOGGED_IN)) => state.logged_in = true,
            Ok(()) => match &mut state.login {
                Some(login) => {
                    login.ours = true;
                    state.logged_in = true;
                }
                // The last vault has closed meanwhile.
                None => {
                    drop(state);
                    let _ = raw.logout(session);
                }
            },
            Err(_) if stuck => return Err(Rv(ck::CKR_DEVICE_ERROR).into()),
            Err(rv) if rv.refuses_pin() => {
                if let Some(login) = state.login.as_mut().filter(|login| login.id == id) {
                    login.refused = true;
                }
                return Err(Failure::LoggedOut);
            }
            Err(rv) => return Err(rv.into()),
        }
        Ok(())
    }

    /// C_Login as the user, once: where its answer is lost, the PIN may have been counted as wrong. Call with
    /// the turn of [`Device::logins`].
    pub(in crate::pkcs11) fn log_in(&self, pin: &Pin) -> Result<LoggedIn, Failure> {
        self.state().login.take_if(|login| login.refused);
        self.judged(Role::User, || {
            self.call_once(|session| {
                let softhsm = self.state().softhsm;
                let how = match give(session.raw, session.handle, ck::CKU_USER, pin, softhsm) {
                    Ok(()) => LoggedIn::Judged,
                    Err(Rv(ck::CKR_USER_ALREADY_LOGGED_IN)) => LoggedIn::Already,
                    Err(rv) => return Err(rv),
                };
                self.state().logged_in = true;
                Ok(how)
            })
        })
    }

    /// Runs `f` while nobody else calls the library.
    pub(super) fn alone<T>(&self, f: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        self.library.alone(f).unwrap_or_else(|| {
            Err(Failure::Away(format!(
                "{} does not return from a call; restart the application",
                self.name()
            )))
        })
    }

    /// Runs `f` with a session of the device. Call with the library to oneself.
    pub(super) fn with_session<T>(
        &self,
        f: impl FnOnce(Raw, ck::CK_SESSION_HANDLE) -> Result<T, Rv>,
    ) -> Result<T, Failure> {
        let slot = self.state().slot;
        let Some(((raw, _), slot)) = self.library.running().zip(slot) else {
            return Err(Failure::Away(format!("{} went away", self.name())));
        };
        let (session, generation) = self.borrow(raw, slot)?;
        let done = f(raw, session);
        self.put_back(raw, session, generation);
        Ok(done?)
    }

    /// Logs out for a while.
    pub(super) fn step_aside(&self, raw: Raw, session: ck::CK_SESSION_HANDLE) {
        let _ = raw.logout(session);
        let mut state = self.state();
        // Handles of private objects went with the login.
        state.turn += 1;
        state.logged_in = false;
    }

    /// C_Login for one use of a key with CKA_ALWAYS_AUTHENTICATE, between C_SignInit and C_Sign of the same session
    /// (PKCS#11 section 5.6.8), with the PIN that is logged in. Call from inside [`Device::call`], after the
    /// application's own such login.
    pub(in crate::pkcs11) fn log_in_for_one_use(&self, session: &Session) -> Result<(), Rv> {
        let nobody = Rv(ck::CKR_USER_NOT_LOGGED_IN);
        let (id, pin, softhsm) = {
            let state = self.state();
            let login = state.login.as_ref().filter(|login| !login.refused).ok_or(nobody)?;
            (login.id, login.pin.clone(), state.softhsm)
        };
        match give(session.raw, session.handle, ck::CKU_CONTEXT_SPECIFIC, &pin, softhsm) {
            Err(rv) if rv.refuses_pin() => {
                let mut state = self.state();
                if let Some(login) = state.login.as_mut().filter(|login| login.id == id) {
                    login.refused = true;
                }
                Err(nobody)
            }
            // Not an answer to begin the signature again after: the PIN may have been judged.
            Err(Rv(ck::CKR_GENERAL_ERROR | ck::CKR_FUNCTION_FAILED)) => Err(Rv(ck::CKR_FUNCTION_REJECTED)),
            done => done,
        }
    }

    /// Takes the login over for one more vault. Call with the turn of [`Device::logins`], after [`Device::log_in`].
    pub(in crate::pkcs11) fn hold(&self, pin: &Pin, how: LoggedIn) -> u64 {
        let mut state = self.state();
        state.last_login += 1;
        let id = state.last_login;
        // What is still owed was ours, and nobody has logged out since.
        let ours = std::mem::take(&mut state.owes_logout) || how == LoggedIn::Judged;
        match &mut state.login {
            Some(login) => {
                login.vaults += 1;
                login.ours |= ours;
                login.pin = pin.clone();
                login.id
            }
            login => {
                *login = Some(Login { pin: pin.clone(), vaults: 1, ours, refused: false, id });
                id
            }
        }
    }

    /// Runs `f` with a login whose PIN the device has just judged and no vault holds yet: where the device forgets it meanwhile, it
    /// is made again. Call with [`Device::logins`] held.
    pub(in crate::pkcs11) fn with_judged<T>(&self, pin: &Pin, how: LoggedIn, f: impl FnOnce() -> T) -> T {
        let id = self.hold(pin, how);
        let done = f();
        let mut state = self.state();
        if let Some(login) = state.login.as_mut().filter(|login| login.id == id) {
            login.vaults -= 1;
        }
        state.login.take_if(|login| login.vaults == 0);
        done
    }

    /// Ends a login that no vault holds: the PIN was right and something else failed. Call with [`Device::logins`]
    /// held.
    pub(in crate::pkcs11) fn drop_unheld(&self, how: LoggedIn) {
        if how == LoggedIn::Judged && self.state().login.is_none() {
            let _ = self.call(|session| session.raw.logout(session.handle));
            self.state().logged_in = false;
        }
    }

    /// Whether the device has refused the PIN of a vault's login since: it was changed, or the token was.
    pub(in crate::pkcs11) fn has_refused(&self, id: u64) -> bool {
        self.state().login.as_ref().is_none_or(|login| login.id != id || login.refused)
    }

    /// A vault closes: the last one logs out, if it was we who logged in. Where the library does not return from another
    /// thread's call, the next call that it takes does.
    pub(in crate::pkcs11) fn release(&self, id: u64) {
        let turn = self.logins.take(PATIENCE);
        let mut state = self.state();
        let Some(login) = state.login.as_mut().filter(|login| login.id == id) else { return };
        login.vaults -= 1;
        if login.vaults > 0 {
            return;
        }
        let epoch = state.epoch;
        state.owes_logout = state.logs_out();
        state.login = None;
        state.logged_in = false;
        state.turn += 1;
        drop(state);
        // A device that is away has logged out already.
        if turn.is_some()
            && let Ok(inside) = self.enter()
            && inside.epoch == epoch
        {
            self.leave(inside.raw);
        }
    }

    /// Runs `f` in a session of the security officer, who is logged in for as long as that takes. A user's login of
    /// ours steps aside meanwhile; an application's own cannot: [`ck::CKR_USER_ANOTHER_ALREADY_LOGGED_IN`]. Call with
    /// the turn of [`Device::logins`].
    pub(in crate::pkcs11) fn as_officer<T>(
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
        let mut f = Some(f);
        Ok(self.judged(Role::SecurityOfficer, || self.as_officer_once(pin, &mut f, users))??)
    }

    /// Takes `f` when it runs it, and gives its answer apart from the device's to the PIN.
    fn as_officer_once<T>(
        &self,
        pin: &Pin,
        f: &mut Option<impl FnOnce(&Raw, ck::CK_SESSION_HANDLE) -> Result<T, Rv>>,
        users: Option<&Pin>,
    ) -> Result<Result<T, Rv>, Failure> {
        // Once through the usual way, so that the device is found and awake.
        self.call(|session| session.raw.session_state(session.handle).map(drop))?;
        self.alone(|| {
            self.with_session(|raw, session| {
                let (steps_aside, softhsm) = {
                    let state = self.state();
                    (state.logs_out(), state.softhsm)
                };
                if steps_aside {
                    self.step_aside(raw, session);
                }
                let outcome = give(raw, session, ck::CKU_SO, pin, softhsm).map(|()| {
                    let f = f.take().expect("it is run once");
                    let outcome = f(&raw, session);
                    let _ = raw.logout(session);
                    outcome
                });
                if let (Ok(Ok(_)), Some(login), Some(new)) = (&outcome, &mut self.state().login, users) {
                    login.pin = new.clone();
                }
                if steps_aside {
                    let _ = self.log_in_where_due(raw, session);
                }
                outcome
            })
        })
    }

    /// C_InitPIN by the security officer. A user's login goes on with the new PIN. Call with the turn of [`Device::logins`].
    pub(in crate::pkcs11) fn set_user_pin(&self, so_pin: &Pin, new: &Pin) -> Result<(), Failure> {
        self.as_officer_then(so_pin, |raw, session| raw.init_pin(session, new.expose()), Some(new))
    }

    /// C_SetPIN by whose PIN it is. Call with the turn of [`Device::logins`], and for the user after [`Device::log_in`].
    pub(in crate::pkcs11) fn change_pin(&self, role: Role, old: &Pin, new: &Pin) -> Result<(), Failure> {
        match role {
            Role::SecurityOfficer => {
                self.as_officer(old, |raw, session| raw.set_pin(session, old.expose(), new.expose()))
            }
            Role::User => {
                self.call_once(|session| session.raw.set_pin(session.handle, old.expose(), new.expose()))?;
                if let Some(login) = &mut self.state().login {
                    login.pin = new.clone();
                }
                Ok(())
            }
        }
    }

    /// C_InitToken. All sessions of ours are closed first; an application's own are not: CKR_SESSION_EXISTS.
    pub(in crate::pkcs11) fn init_token(&self, so_pin: &Pin, label: &str) -> Result<(), Failure> {
        let slot = self.at_slot(|_, slot| Ok(slot))?;
        self.alone(|| {
            let Some((raw, epoch)) = self.library.running() else {
                return Err(Failure::Away(format!("{} went away", self.name())));
            };
            self.leave(raw);
            let made = raw.init_token(slot, so_pin.expose(), label);
            if made.is_ok() {
                // Some libraries show a new token only when they begin anew.
                self.library.stop(epoch);
            }
            Ok(made?)
        })
    }
}
