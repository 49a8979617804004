//! The sessions that a device has open: lent for the length of a call, and kept between calls. Only who has which is
//! kept here; they are opened and closed without the lock that this lies behind.

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

    /// Lends an idle session.
    pub(super) fn lend(&mut self) -> Option<ck::CK_SESSION_HANDLE> {
        self.idle.pop()
    }

    /// Counts a session that was opened in `generation` and is lent.
    pub(super) fn opened(&mut self, generation: u64) {
        if generation == self.generation {
            self.open += 1;
        }
    }

    /// Takes a session back that was lent in `generation`; false where it is to be closed.
    pub(super) fn put_back(&mut self, session: ck::CK_SESSION_HANDLE, generation: u64) -> bool {
        let kept = generation == self.generation && self.idle.len() < MAX_IDLE;
        if kept {
            self.idle.push(session);
        }
        kept
    }

    /// A session that was lent in `generation` has been closed.
    pub(super) fn closed(&mut self, generation: u64) {
        if generation == self.generation {
            self.open = self.open.saturating_sub(1);
        }
    }

    /// Forgets all sessions: those that are idle are the caller's to close, if they are not gone; those that are lent are
    /// closed when they come back.
    pub(super) fn forget(&mut self) -> Idle {
        self.generation += 1;
        self.open = 0;
        Idle(std::mem::take(&mut self.idle))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open == 0
    }
}

/// Sessions that nobody has and that the pool has forgotten.
#[must_use = "they stay open otherwise"]
pub(super) struct Idle(Vec<ck::CK_SESSION_HANDLE>);

impl Idle {
    /// Closes them. With `logout`, logs out by the first that does.
    pub(super) fn close(self, raw: Raw, logout: bool) {
        if logout {
            let _ = self.0.iter().any(|session| raw.logout(*session).is_ok());
        }
        for session in self.0 {
            let _ = raw.close_session(session);
        }
    }
}

/// A session that may write, or one that may only read where the token takes no other.
pub(super) fn open(raw: Raw, slot: ck::CK_SLOT_ID) -> Result<ck::CK_SESSION_HANDLE, Rv> {
    match raw.open_session(slot, true) {
        Err(Rv(ck::CKR_TOKEN_WRITE_PROTECTED)) => raw.open_session(slot, false),
        opened => opened,
    }
}
