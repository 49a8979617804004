//! Panics, and the error state.

use std::{ffi::OsString, ptr::null_mut};

use cryptoki_sys as ck;

use super::super::{general::*, guard, interfaces, slots::*, state};
use crate::{config::Environment, error::Error, handle::SlotId, sync::Mutex};

/// The process has one state; its tests take turns.
static TURN: Mutex<()> = Mutex::new(());

fn initialize(self_test: fn() -> Result<(), algorithms::Error>) -> Result<(), Error> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let environment = Environment { conf: Some(OsString::from(file.path())), ..Environment::default() };
    // SAFETY: there are no mutex functions.
    unsafe { state::initialize_with(&ck::CK_C_INITIALIZE_ARGS::default(), &environment, self_test) }
}

#[test]
fn a_panic_is_a_general_error() {
    let answer = || guard::answer("f", || panic!("what no log may quote"));
    assert_eq!(answer(), ck::CKR_GENERAL_ERROR);
    // Within a call, too; and the outer one goes on.
    let nested = guard::answer("g", || {
        assert_eq!(answer(), ck::CKR_GENERAL_ERROR);
        Err(Error::NoEvent)
    });
    assert_eq!(nested, ck::CKR_NO_EVENT);
}

#[test]
fn a_panic_in_a_call_leaves_the_module_usable() {
    let _turn = TURN.lock();
    initialize(|| Ok(())).unwrap();
    // With a lock held, which would be poisoned.
    let panicking =
        guard::module_call("f", |module| module.sessions.with_slot(SlotId(0), |_| panic!("inside")));
    assert_eq!(panicking, ck::CKR_GENERAL_ERROR);
    let mut count = 0;
    // SAFETY: a place for the count.
    assert_eq!(unsafe { C_GetSlotList(0, null_mut(), &raw mut count) }, ck::CKR_OK);
    let still = guard::module_call("g", |module| module.sessions.with_slot(SlotId(0), |_| Ok(())));
    assert_eq!(still, ck::CKR_OK);
    state::finalize().unwrap();
}

/// Places in the function list, which begins with the version at 0.
const FINALIZE: usize = 2;
const GET_INFO: usize = 3;
const NEED_NOTHING: [usize; 3] = [4, 69, 70];

/// Every function of the list but C_Finalize, called with zeros.
fn call_all() -> Vec<(usize, ck::CK_RV)> {
    type Any = unsafe extern "C" fn(u64, u64, u64, u64, u64, u64, u64, u64, u64, u64) -> ck::CK_RV;
    let words = size_of::<ck::CK_FUNCTION_LIST_3_2>() / size_of::<usize>();
    let list = interfaces::all()[0].pFunctionList.cast::<usize>();
    let call = |index| {
        // SAFETY: after its version a list is function pointers. Their arguments are numbers and pointers, which are
        // passed alike, and those that a function has not are ignored by it.
        unsafe {
            let function: Any = std::mem::transmute(list.add(index).read());
            function(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        }
    };
    (1..words).filter(|index| *index != FINALIZE).map(|index| (index, call(index))).collect()
}

#[test]
fn a_failed_self_test_is_a_device_error_to_everything_but_info_and_finalize() {
    let _turn = TURN.lock();
    assert_eq!(initialize(|| Err(algorithms::Error::EngineFailed)), Err(Error::DeviceError));
    assert_eq!(initialize(|| Ok(())), Err(Error::DeviceError));
    assert_everything_is_a_device_error();
    state::finalize().unwrap();
    initialize(|| Ok(())).unwrap();
    state::finalize().unwrap();
}

#[test]
fn an_unknown_session_comes_before_whatever_else_is_wrong() {
    let _turn = TURN.lock();
    initialize(|| Ok(())).unwrap();
    // All arguments are zeros: bad in nearly every function.
    for (index, answer) in call_all() {
        let of_session = !matches!(index, 1 | GET_INFO..=10 | 13 | 15 | 68..=70);
        assert_eq!(answer == ck::CKR_SESSION_HANDLE_INVALID, of_session, "function {index}: {answer:#x}");
    }
    state::finalize().unwrap();
}

#[test]
fn so_is_a_check_that_fails_later() {
    let _turn = TURN.lock();
    initialize(|| Ok(())).unwrap();
    let failing = guard::module_call("f", |module| Err(module.fail("a pair did not fit together")));
    assert_eq!(failing, ck::CKR_DEVICE_ERROR);
    assert_eq!(initialize(|| Ok(())), Err(Error::DeviceError));
    assert_everything_is_a_device_error();
    state::finalize().unwrap();
}

fn assert_everything_is_a_device_error() {
    let answers = call_all();
    assert_eq!(answers.len(), 103);
    for (index, answer) in answers {
        let expected = match index {
            // These look at their arguments, which are NULL.
            GET_INFO => ck::CKR_ARGUMENTS_BAD,
            _ if NEED_NOTHING.contains(&index) => ck::CKR_ARGUMENTS_BAD,
            _ => ck::CKR_DEVICE_ERROR,
        };
        assert_eq!(answer, expected, "function {index}");
    }
    let mut info = ck::CK_INFO::default();
    // SAFETY: a place for the info.
    assert_eq!(unsafe { C_GetInfo(&raw mut info) }, ck::CKR_OK);
}
