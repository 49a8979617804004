//! Sessions (PKCS#11 v3.2 section 5.6): a slot, flags, and the operations that are active.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    handle::{HandleMap, SessionHandle, SlotId},
    object::of_session,
    operation::Operations,
    slot::Slot,
    sync::{Mutex, RwLock},
};

/// One open session.
#[derive(Debug)]
pub struct Session {
    /// Its handle.
    pub handle: SessionHandle,
    /// The slot it was opened on.
    pub slot: Arc<Slot>,
    /// CKF_RW_SESSION.
    pub read_write: bool,
    /// What is active. Locked for the steps of an operation, never across a signature: `C_Sign` moves the operation
    /// out and puts it back only for a length query or a buffer that is too small.
    pub operations: Mutex<Operations>,
}

/// All open sessions. Which sessions a slot has, and who is logged in to it, depend on each other; what changes both
/// happens under this table's lock.
#[derive(Debug, Default)]
pub struct Sessions {
    open: RwLock<HandleMap<SessionHandle, Arc<Session>>>,
}

impl Sessions {
    /// The session of a handle, or CKR_SESSION_HANDLE_INVALID.
    pub fn session(&self, handle: SessionHandle) -> Result<Arc<Session>> {
        self.open.read().get(&handle).cloned().ok_or(Error::SessionHandleInvalid)
    }

    /// Opens a session if `admit`, which sees the slot as it is at that moment, says so.
    pub fn open(
        &self,
        slot: Arc<Slot>,
        read_write: bool,
        admit: impl FnOnce(&Slot) -> Result<()>,
    ) -> Result<SessionHandle> {
        let mut open = self.open.write();
        admit(&slot)?;
        let handle = SessionHandle(crate::handle::fresh());
        let session = Session { handle, slot, read_write, operations: Mutex::default() };
        open.insert(handle, Arc::new(session));
        Ok(handle)
    }

    /// Closes a session. Its objects die with it, and the slot's last session logs out.
    pub fn close(&self, handle: SessionHandle) -> Result<()> {
        let mut open = self.open.write();
        let session = open.remove(&handle).ok_or(Error::SessionHandleInvalid)?;
        let slot = &session.slot;
        slot.objects.remove_session_objects(of_session(handle));
        if !open.values().any(|session| session.slot.id == slot.id) {
            slot.log_out();
        }
        Ok(())
    }

    /// Closes the sessions of one slot, which logs out.
    pub fn close_all(&self, slot: &Slot) {
        let mut open = self.open.write();
        open.retain(|_, session| session.slot.id != slot.id);
        slot.objects.remove_session_objects(|_| true);
        slot.log_out();
    }

    /// The sessions of one slot.
    pub fn of_slot(&self, slot: SlotId) -> Vec<Arc<Session>> {
        self.open.read().values().filter(|session| session.slot.id == slot).cloned().collect()
    }

    /// How many sessions a slot has, and how many of them may write.
    pub fn count(&self, slot: SlotId) -> (u64, u64) {
        let open = self.open.read();
        open.values()
            .filter(|session| session.slot.id == slot)
            .fold((0, 0), |(all, writing), session| (all + 1, writing + u64::from(session.read_write)))
    }

    /// Runs `change` while no session of the slot opens or closes; it is given the slot's sessions.
    pub fn with_slot<T>(&self, slot: SlotId, change: impl FnOnce(&[&Arc<Session>]) -> T) -> T {
        let open = self.open.write();
        let sessions: Vec<_> = open.values().filter(|session| session.slot.id == slot).collect();
        change(&sessions)
    }
}
