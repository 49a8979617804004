//! Keeps fork(2) out while a thread is inside AWS-LC.
//!
//! AWS-LC guards its list of random generators, its watch for forks and more with locks of the whole process, which
//! nearly every call takes for some nanoseconds. A child forked in such a nanosecond would wait for the lock for ever.
//! So a call marks itself by reading one of eight locks, where threads seldom meet, and a fork writes all eight.
//! Plain hashing and Ed25519 take no lock, and no mark.

use std::{
    array,
    cell::Cell,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use crate::memory;

/// In a cache line of its own, so that marks do not slow each other.
#[repr(align(128))]
struct Gate(RwLock<()>);

static GATES: [Gate; memory::SHARDS] = [const { Gate(RwLock::new(())) }; memory::SHARDS];

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// What this thread holds while it forks.
    static HELD: Cell<Option<[RwLockWriteGuard<'static, ()>; memory::SHARDS]>> = const { Cell::new(None) };
}

/// A thread's mark; nothing in a call made by a marked one.
pub(super) struct Inside(Option<RwLockReadGuard<'static, ()>>);

/// To be held over every call that may take a lock of AWS-LC's.
pub(super) fn enter() -> Inside {
    if INSIDE.replace(true) {
        return Inside(None);
    }
    Inside(Some(GATES[memory::shard()].0.read().unwrap_or_else(PoisonError::into_inner)))
}

impl Drop for Inside {
    fn drop(&mut self) {
        if self.0.is_some() {
            INSIDE.set(false);
        }
    }
}

/// Waits until no thread is inside, and lets none in.
pub(crate) fn shut() {
    HELD.set(Some(array::from_fn(|shard| GATES[shard].0.write().unwrap_or_else(PoisonError::into_inner))));
}

/// Opens what the calling thread, or before a fork its parent, has shut.
pub(crate) fn open() {
    HELD.take();
}
