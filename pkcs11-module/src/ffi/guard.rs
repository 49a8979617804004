//! What surrounds every export: nothing unwinds into C, a child of fork(2) and an uninitialised process are told so, a
//! failed module refuses, and the log learns the answer.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, Ordering},
};

use cryptoki_sys as ck;

use super::state::{self, Run};
use crate::{
    Module,
    error::{Error, Result},
    handle::{SessionHandle, SlotId},
    log,
    operation::Family,
    reason,
};

/// Answers a function of the standard that needs an initialised module.
pub(super) fn module_call(name: &str, call: impl FnOnce(&Module) -> Result<()>) -> ck::CK_RV {
    run_call(name, |run| healthy(run, call))
}

/// [`module_call`] for a function of a session. Whatever is wrong besides, an unknown session is told first (section
/// 5.1.7); that is looked at when something is wrong, so that a call that succeeds does not pay for it.
pub(super) fn session_call(
    name: &str,
    session: ck::CK_SESSION_HANDLE,
    call: impl FnOnce(&Module) -> Result<()>,
) -> ck::CK_RV {
    module_call(name, |module| {
        let outcome = call(module);
        if !matches!(outcome, Ok(()) | Err(Error::SessionClosed)) {
            let session = module.session(SessionHandle(session))?;
            reason::at(module.place(session.slot.id));
        }
        outcome
    })
}

/// [`module_call`] for a function of a slot.
pub(super) fn slot_call(
    name: &str,
    slot: ck::CK_SLOT_ID,
    call: impl FnOnce(&Module) -> Result<()>,
) -> ck::CK_RV {
    module_call(name, |module| {
        let outcome = call(module);
        if outcome.is_err() {
            reason::at(module.place(SlotId(slot)));
        }
        outcome
    })
}

/// Answers a function that works in the error state too.
pub(super) fn run_call(name: &str, call: impl FnOnce(&Run) -> Result<()>) -> ck::CK_RV {
    answer(name, || {
        let run = state::running()?;
        let _one_at_a_time = run.mutex.as_ref().map(|mutex| mutex.hold()).transpose()?;
        call(&run)
    })
}

/// Like [`module_call`], for a function that blocks: it must not keep the application's mutex.
pub(super) fn blocking_call(name: &str, call: impl FnOnce(&Module) -> Result<()>) -> ck::CK_RV {
    answer(name, || healthy(&*state::running()?, call))
}

/// Answers a function that needs no initialised module.
pub(super) fn answer(name: &str, call: impl FnOnce() -> Result<()>) -> ck::CK_RV {
    let outcome = caught(name, call);
    reason::settle(name, outcome);
    outcome.err().map_or(ck::CKR_OK, Error::rv)
}

/// [`answer`] for the function that tells why another failed: its own failure must not take that one's place.
pub(super) fn answer_unsettled(name: &str, call: impl FnOnce() -> Result<()>) -> ck::CK_RV {
    caught(name, call).err().map_or(ck::CKR_OK, Error::rv)
}

fn caught(name: &str, call: impl FnOnce() -> Result<()>) -> Result<()> {
    // Read first: a line of memory that nobody writes is shared by all processors.
    if !HUSHED.load(Ordering::Acquire) {
        hush_panics();
    }
    let outcome = IN_CALL.with(|depth| {
        depth.set(depth.get() + 1);
        let outcome = catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| {
            log::error(format_args!("{name} panicked; this is a bug in Trellis"));
            Err(Error::GeneralError)
        });
        depth.set(depth.get() - 1);
        outcome
    });
    if log::enabled(log::Level::Debug) {
        log::debug(format_args!("{name} -> {}", outcome.err().map_or("CKR_OK", Error::name)));
    }
    outcome
}

/// The arguments of a function that ends the active operation whenever it fails: a bad argument ends it too.
#[inline]
pub(super) fn or_end<T>(
    module: &Module,
    session: ck::CK_SESSION_HANDLE,
    operation: Family,
    arguments: Result<T>,
) -> Result<T> {
    if arguments.is_err() {
        module.session(SessionHandle(session))?.operations.lock().end(operation);
    }
    arguments
}

fn healthy(run: &Run, call: impl FnOnce(&Module) -> Result<()>) -> Result<()> {
    if run.module.has_failed() {
        reason::tell(reason::self_test());
        return Err(Error::DeviceError);
    }
    let outcome = call(&run.module);
    if outcome == Err(Error::DeviceRemoved) {
        run.module.leave_replaced_tokens();
    }
    outcome
}

thread_local! {
    static IN_CALL: Cell<usize> = const { Cell::new(0) };
}

static HUSHED: AtomicBool = AtomicBool::new(false);

/// The default hook would print to the host's standard error. Ours sends the place of a panic inside a call, and not
/// its message, which may quote data, to the log. This copy of the standard library belongs to this library alone, so
/// the host's own hooks are untouched.
#[cold]
fn hush_panics() {
    if HUSHED.swap(true, Ordering::AcqRel) {
        return;
    }
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if IN_CALL.try_with(Cell::get).unwrap_or(0) == 0 {
            return before(panic);
        }
        match panic.location() {
            Some(place) => log::error(format_args!("panic at {place}")),
            None => log::error(format_args!("panic")),
        }
    }));
}

/// Makes the exported functions of one chapter. The body runs inside the guard with the module and the caller's raw
/// arguments; it is an unsafe block, whose one obligation is the contract of `args`. A function whose first argument is
/// called `session` is a [`session_call`], `slot` a [`slot_call`].
macro_rules! exports {
    ($(fn $name:ident($first:ident: $first_type:ty $(, $argument:ident: $type:ty)* $(,)?)
        |$module:ident| $body:block)*) => {
        $(
            // SAFETY: the name is PKCS#11's own, and no other symbol of this library has it.
            #[unsafe(no_mangle)]
            pub(super) unsafe extern "C" fn $name(
                $first: $first_type,
                $($argument: $type),*
            ) -> ::cryptoki_sys::CK_RV {
                let call = |$module: &$crate::Module| {
                    // SAFETY: the arguments are the caller's, who keeps the contract in the head of args.rs.
                    unsafe {
                        $crate::ffi::args::caller_keeps_the_contract();
                        $body
                    }
                };
                $crate::ffi::guard::guarded!($first, $first, stringify!($name), call)
            }
        )*
    };
}
pub(super) use exports;

/// The guard for a function by the name of its first argument, and its value.
macro_rules! guarded {
    (session, $session:expr, $name:expr, $call:expr) => {
        $crate::ffi::guard::session_call($name, $session, $call)
    };
    (slot, $slot:expr, $name:expr, $call:expr) => {
        $crate::ffi::guard::slot_call($name, $slot, $call)
    };
    ($other:ident, $value:expr, $name:expr, $call:expr) => {
        $crate::ffi::guard::module_call($name, $call)
    };
}
pub(super) use guarded;
