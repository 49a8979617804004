//! The sessions that a device has open: lent for the length of a call, and kept between calls.

use cryptoki_sys as ck;

use super::super::raw::{Raw, Rv};

/// Sessions kept open between calls.
const MAX_IDLE: usize = 16;

/// The open sessions of one token.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// Grows whenever all sessions are given up: one that is lent belongs to the pool only as long as this is the same.
    generation: u64,
    idle: Vec<ck::CK_SESSION_HANDLE>,
    /// Those that are idle and those that are lent.
    open: usize,
}

impl Pool {
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// An idle session, or a new one. The device's own answer where it opens none.
    pub(super) fn lend(&mut self, raw: Raw, slot: ck::CK_SLOT_ID) -> Result<ck::CK_SESSION_HANDLE, Rv> {
        match self.idle.pop() {
            Some(session) => Ok(session),
            None => {
                let session = open(raw, slot)?;
                self.open += 1;
                Ok(session)
            }
        }
    }

    /// A session for whoever has the pool to himself; it stays in the pool.
    pub(super) fn any(&mut self, raw: Raw, slot: ck::CK_SLOT_ID) -> Result<ck::CK_SESSION_HANDLE, Rv> {
        let session = self.lend(raw, slot)?;
        self.idle.push(session);
        Ok(session)
    }

    /// Takes a session back that was lent in `generation`.
    pub(super) fn put_back(&mut self, raw: Raw, session: ck::CK_SESSION_HANDLE, generation: u64) {
        if generation == self.generation && self.idle.len() < MAX_IDLE {
            self.idle.push(session);
        } else {
            self.discard(raw, session, generation);
        }
    }

    /// Closes a session that was lent in `generation`, and that may be closed already.
    pub(super) fn discard(&mut self, raw: Raw, session: ck::CK_SESSION_HANDLE, generation: u64) {
        let _ = raw.close_session(session);
        if generation == self.generation {
            self.open = self.open.saturating_sub(1);
        }
    }

    /// Forgets all sessions: they went with the library that they were of.
    pub(super) fn forget(&mut self) {
        self.generation += 1;
        self.idle.clear();
        self.open = 0;
    }

    /// Closes all sessions that are not lent, and forgets the others. With `logout`, logs out by the first that does.
    pub(super) fn close(&mut self, raw: Raw, logout: bool) {
        if logout {
            let _ = self.idle.iter().any(|session| raw.logout(*session).is_ok());
        }
        for session in self.idle.drain(..) {
            let _ = raw.close_session(session);
        }
        self.forget();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open == 0
    }
}

/// A session that may write, or one that may only read where the token takes no other.
fn open(raw: Raw, slot: ck::CK_SLOT_ID) -> Result<ck::CK_SESSION_HANDLE, Rv> {
    match raw.open_session(slot, true) {
        Err(Rv(ck::CKR_TOKEN_WRITE_PROTECTED)) => raw.open_session(slot, false),
        opened => opened,
    }
}
