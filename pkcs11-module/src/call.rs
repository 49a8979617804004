//! What a thread knows of the call it is in.

use std::cell::Cell;

/// Of one thread. It needs no destructor, so that it costs little and is there until the thread has ended.
#[derive(Debug)]
pub(crate) struct Call {
    /// How many calls are in progress: a function of the application's may be called back and call again.
    pub(crate) depth: Cell<usize>,
    /// Whether a reason was noted for a failure.
    pub(crate) noted: Cell<bool>,
}

thread_local! {
    static CALL: Call = const { Call { depth: Cell::new(0), noted: Cell::new(false) } };
}

/// That of this thread.
#[inline]
pub(crate) fn of_thread<T>(f: impl FnOnce(&Call) -> T) -> T {
    CALL.with(f)
}
