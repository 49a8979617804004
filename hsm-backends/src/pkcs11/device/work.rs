//! What one thread does at the device for all: the others need what it makes, and wait for it. No lock is held meanwhile,
//! and a library that does not return stops the others for [`PATIENCE`] only.

use std::{
    sync::{MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{Device, Failure, PATIENCE, State};

/// Kinds of work that do not wait for each other.
#[derive(Debug, Clone, Copy)]
pub(super) enum Work {
    /// Looking for the token, opening a session, logging in again.
    Making,
    /// C_GetTokenInfo, C_GetMechanismList.
    Asking,
}

/// Since when somebody is at it, for each kind.
#[derive(Debug, Default)]
pub(super) struct Works([Option<Instant>; 2]);

/// Being the one who is at it, until this is dropped.
pub(super) struct Mark<'a> {
    device: &'a Device,
    work: Work,
}

impl Device {
    /// Marks the work as this thread's; `None` after a wait for whoever is at it, since what is needed may be there by
    /// then.
    pub(super) fn begin<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        work: Work,
    ) -> Result<Option<Mark<'a>>, Failure> {
        let place = &mut state.works.0[work as usize];
        let Some(since) = *place else {
            *place = Some(Instant::now());
            return Ok(Some(Mark { device: self, work }));
        };
        let Some(left) = PATIENCE.checked_sub(since.elapsed()) else {
            drop(state);
            return Err(self.stuck());
        };
        drop(self.wait(state, left));
        Ok(None)
    }

    /// [`Device::begin`], however many are to be waited for.
    pub(super) fn mark(&self, work: Work) -> Result<Mark<'_>, Failure> {
        loop {
            if let Some(mark) = self.begin(self.state(), work)? {
                return Ok(mark);
            }
        }
    }

    /// Waits until a session comes back or some work is done, but not for longer than this.
    pub(super) fn wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        most: Duration,
    ) -> MutexGuard<'a, State> {
        state.waiting += 1;
        let mut state = self.changed.wait_timeout(state, most).unwrap_or_else(PoisonError::into_inner).0;
        state.waiting -= 1;
        state
    }

    /// Wakes those who [`Device::wait`].
    pub(super) fn wake(&self, state: MutexGuard<'_, State>) {
        let waiting = state.waiting;
        drop(state);
        if waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// What is said where the library does not return.
    pub(super) fn stuck(&self) -> Failure {
        Failure::Stuck(format!(
            "{} does not return from a call of another thread; see to the HSM and the way to it, or restart the application",
            self.name()
        ))
    }
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        let mut state = self.device.state();
        state.works.0[self.work as usize] = None;
        self.device.wake(state);
    }
}
