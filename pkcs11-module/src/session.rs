//! Sessions (PKCS#11 v3.2 section 5.6): a slot, flags, and the operations that are active.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    handle::{HandleMap, SessionHandle, SlotId},
    object::of_session,
    operation::Operations,
    slot::Slot,
    sync::{Line, Mutex, RwLock},
};

/// One open session, in memory that it shares with no other's.
#[derive(Debug)]
#[repr(align(128))]
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
/// happens under `change`. Threads look up sessions of their own in maps apart, and do not meet.
#[derive(Debug, Default)]
pub struct Sessions {
    open: [Line<RwLock<Map>>; MAPS],
    change: Mutex<()>,
}

type Map = HandleMap<SessionHandle, Arc<Session>>;

/// Handles count up, so sessions opened one after the other are in different maps.
const MAPS: usize = 16;

impl Sessions {
    /// The session of a handle, or CKR_SESSION_HANDLE_INVALID.
    pub fn session(&self, handle: SessionHandle) -> Result<Arc<Session>> {
        self.map(handle).read().get(&handle).cloned().ok_or(Error::SessionHandleInvalid)
    }

    /// Opens a session if `admit`, which sees the slot as it is at that moment, says so.
    pub fn open(
        &self,
        slot: Arc<Slot>,
        read_write: bool,
        admit: impl FnOnce(&Slot) -> Result<()>,
    ) -> Result<SessionHandle> {
        let _change = self.change.lock();
        admit(&slot)?;
        let handle = SessionHandle(crate::handle::fresh());
        let session = Session { handle, slot, read_write, operations: Mutex::default() };
        self.map(handle).write().insert(handle, Arc::new(session));
        Ok(handle)
    }

    /// Closes a session. Its objects die with it, and the slot's last session logs out.
    pub fn close(&self, handle: SessionHandle) -> Result<()> {
        let change = self.change.lock();
        let session = self.map(handle).write().remove(&handle).ok_or(Error::SessionHandleInvalid)?;
        let slot = &session.slot;
        slot.objects.remove_session_objects(of_session(handle));
        let left = if self.all_of(slot.id).is_empty() { slot.leave() } else { None };
        drop(change);
        slot.close(left);
        Ok(())
    }

    /// Closes the sessions of one slot, which logs out.
    pub fn close_all(&self, slot: &Slot) {
        let change = self.change.lock();
        for map in &self.open {
            map.0.write().retain(|_, session| session.slot.id != slot.id);
        }
        slot.objects.remove_session_objects(|_| true);
        let left = slot.leave();
        drop(change);
        slot.close(left);
    }

    /// The sessions of one slot.
    pub fn of_slot(&self, slot: SlotId) -> Vec<Arc<Session>> {
        self.with_slot(slot, <[_]>::to_vec)
    }

    /// How many sessions a slot has, and how many of them may write.
    pub fn count(&self, slot: SlotId) -> (u64, u64) {
        self.with_slot(slot, |sessions| {
            let writing = sessions.iter().filter(|session| session.read_write).count();
            (sessions.len() as u64, writing as u64)
        })
    }

    /// Runs `change` while no session opens or closes; it is given the slot's sessions.
    pub fn with_slot<T>(&self, slot: SlotId, change: impl FnOnce(&[Arc<Session>]) -> T) -> T {
        let _change = self.change.lock();
        change(&self.all_of(slot))
    }

    fn map(&self, handle: SessionHandle) -> &RwLock<Map> {
        &self.open[(handle.0 % MAPS as u64) as usize].0
    }

    /// Call with `change` held.
    fn all_of(&self, slot: SlotId) -> Vec<Arc<Session>> {
        let mut sessions = Vec::new();
        for map in &self.open {
            sessions.extend(map.0.read().values().filter(|session| session.slot.id == slot).cloned());
        }
        sessions
    }
}
