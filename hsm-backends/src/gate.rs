//! The gate that calls pass on their way to something that a fork must not share, and what they find behind it.
//!
//! A call takes one of what is kept there (a connection, open already) and leaves it behind when it goes. fork(2) shuts
//! the gate, waits for the calls inside and drops all that is kept. Only `std`'s locks are used, which keep no state
//! outside themselves that a fork could catch half changed.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long fork(2) waits for calls inside: longer than any call but backup and restore of a large token takes.
const FORK_TIMEOUT: Duration = Duration::from_secs(15);
/// What is kept between calls: as many as threads are likely to be inside at once.
const MAX_IDLE: usize = 16;

#[derive(Debug)]
struct State<T> {
    idle: Vec<T>,
    inside: usize,
    /// Forks under way: two threads may fork at the same time.
    forks: u32,
    /// One of them does not wait for who is inside.
    unawaited: bool,
}

/// A gate, and things of one kind behind it.
#[derive(Debug)]
pub(crate) struct Gate<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

impl<T> Default for Gate<T> {
    fn default() -> Self {
        let state = State { idle: Vec::new(), inside: 0, forks: 0, unawaited: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl<T> Gate<T> {
    /// Enters; waits while a fork is under way. A thread that is inside must not enter again.
    pub(crate) fn enter(&self) -> Inside<'_, T> {
        let mut state = self.state();
        while state.forks > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.inside += 1;
        Inside { gate: self, held: state.idle.pop() }
    }

    /// Drops what nobody holds.
    pub(crate) fn clear(&self) {
        self.state().idle.clear();
    }

    /// Shuts the gate, waits until nobody is inside, and drops what is kept. Calls that outlast [`FORK_TIMEOUT`] are
    /// not waited for: a fork that never returns would be worse than a child that inherits descriptors it does not
    /// use. False where there are such calls.
    pub(crate) fn shut(&self) -> bool {
        let start = Instant::now();
        let mut state = self.state();
        state.forks += 1;
        while state.inside > 0 {
            let Some(left) = FORK_TIMEOUT.checked_sub(start.elapsed()) else {
                state.unawaited = true;
                break;
            };
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.idle.clear();
        state.inside == 0
    }

    /// Opens the gate again.
    pub(crate) fn reopen(&self) {
        let mut state = self.state();
        state.forks = state.forks.saturating_sub(1);
        state.unawaited &= state.forks > 0;
        drop(state);
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // The state is whole between any two statements, so a panic elsewhere has not harmed it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call inside the gate.
#[derive(Debug)]
pub(crate) struct Inside<'a, T> {
    gate: &'a Gate<T>,
    /// What the call has, and leaves behind if it is still there.
    pub(crate) held: Option<T>,
}

impl<T> Inside<'_, T> {
    /// Leaves behind what the call has, and stays inside: what comes may take for ever, and a fork that does not wait for
    /// it must not find that here.
    pub(crate) fn lay_down(&mut self) {
        let held = self.held.take();
        let mut state = self.gate.state();
        if state.forks == 0 && state.idle.len() < MAX_IDLE {
            state.idle.extend(held);
        } else {
            drop(state);
        }
    }

    /// Goes on, with what is kept if there is something; waits for a fork that has not waited for this call.
    pub(crate) fn take_up(&mut self) {
        let mut state = self.gate.state();
        while state.forks > 0 && state.unawaited {
            state = self.gate.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        self.held = state.idle.pop();
    }
}

impl<T> Drop for Inside<'_, T> {
    fn drop(&mut self) {
        let held = self.held.take();
        let mut state = self.gate.state();
        // Whatever is not kept is closed before this call counts as gone.
        match held {
            Some(held) if state.forks == 0 && state.idle.len() < MAX_IDLE => state.idle.push(held),
            held => drop(held),
        }
        state.inside -= 1;
        if state.forks > 0 {
            drop(state);
            self.gate.changed.notify_all();
        }
    }
}
