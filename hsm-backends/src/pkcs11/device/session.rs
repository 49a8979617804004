//! Sessions of a device: taken for a call, opened and logged in to where that is needed, and put back.

use std::time::Instant;

use cryptoki_sys as ck;

use super::{
    super::{
        library::Inside,
        raw::{Raw, Rv},
    },
    Device, Failure, PATIENCE, PAUSES,
    pool::open,
    work::Work,
};

/// A session for the length of a call.
#[derive(Debug)]
pub(in crate::pkcs11) struct Session {
    pub(in crate::pkcs11) raw: Raw,
    pub(in crate::pkcs11) handle: ck::CK_SESSION_HANDLE,
    /// Object handles of another turn are worthless.
    pub(in crate::pkcs11) turn: u64,
    pub(super) generation: u64,
    /// Whether a vault is open, so that the session is to be the user's.
    user: bool,
}

impl Session {
    /// [`Session::is_users`], while a vault is open.
    pub(in crate::pkcs11) fn check_login(&self) -> Result<(), Rv> {
        if self.user { self.is_users() } else { Ok(()) }
    }

    /// CKR_USER_NOT_LOGGED_IN where the user is not: somebody else's C_Logout may have taken the login, and a search
    /// shows no private object then, and says nothing of it.
    pub(in crate::pkcs11) fn is_users(&self) -> Result<(), Rv> {
        match self.raw.session_state(self.handle)? {
            ck::CKS_RO_USER_FUNCTIONS | ck::CKS_RW_USER_FUNCTIONS => Ok(()),
            _ => Err(Rv(ck::CKR_USER_NOT_LOGGED_IN)),
        }
    }
}

impl Device {
    /// A session that is open, and logged in if a vault is. Where the HSM opens no more of them, one that is brought
    /// back by another thread or given up by another process.
    pub(super) fn take(&self, inside: &Inside<'_>, slot: ck::CK_SLOT_ID) -> Result<Session, Failure> {
        let raw = inside.raw;
        let begun = Instant::now();
        loop {
            let mut state = self.state();
            if state.login.as_ref().is_some_and(|login| login.refused) {
                return Err(Failure::LoggedOut);
            }
            if !state.is_login_due()
                && let Some(handle) = state.sessions.lend()
            {
                let (turn, generation) = (state.turn, state.sessions.generation());
                return Ok(Session { raw, handle, turn, generation, user: state.login.is_some() });
            }
            let Some(mark) = self.begin(state, Work::Making)? else { continue };
            match self.borrow(raw, slot) {
                Ok((handle, generation)) => return self.ready(raw, handle, generation),
                Err(rv) if rv.is_session_limit() && begun.elapsed() < PATIENCE => {
                    drop(mark);
                    drop(self.wait(self.state(), PAUSES.0));
                }
                Err(rv) => return Err(rv.into()),
            }
        }
    }

    /// The session, in which the user is logged in where a vault is open.
    fn ready(&self, raw: Raw, handle: ck::CK_SESSION_HANDLE, generation: u64) -> Result<Session, Failure> {
        if let Err(failure) = self.log_in_where_due(raw, handle) {
            self.put_back(raw, handle, generation);
            return Err(failure);
        }
        let state = self.state();
        Ok(Session { raw, handle, turn: state.turn, generation, user: state.login.is_some() })
    }

    /// An idle session, or a new one, and the generation that it is of. The device's own answer where it opens none. Call
    /// with [`Work::Making`] marked, or with the library to oneself.
    pub(super) fn borrow(&self, raw: Raw, slot: ck::CK_SLOT_ID) -> Result<(ck::CK_SESSION_HANDLE, u64), Rv> {
        let mut state = self.state();
        let generation = state.sessions.generation();
        let idle = state.sessions.lend();
        drop(state);
        let handle = match idle {
            Some(handle) => handle,
            None => {
                let handle = open(raw, slot)?;
                self.state().sessions.opened(generation);
                handle
            }
        };
        Ok((handle, generation))
    }

    /// Takes back what was lent in `generation`.
    pub(super) fn put_back(&self, raw: Raw, handle: ck::CK_SESSION_HANDLE, generation: u64) {
        let mut state = self.state();
        if state.sessions.put_back(handle, generation) {
            self.wake(state);
        } else {
            drop(state);
            self.discard(raw, handle, generation);
        }
    }

    /// Closes what was lent in `generation`, and may be closed already.
    pub(super) fn discard(&self, raw: Raw, handle: ck::CK_SESSION_HANDLE, generation: u64) {
        let _ = raw.close_session(handle);
        let mut state = self.state();
        state.sessions.closed(generation);
        self.wake(state);
    }
}
