//! A PKCS#11 library that is SoftHSM (or the one that TRELLIS_VALVE_LIBRARY names) behind a valve: it opens no more than
//! so many sessions at once, as hardware does, and can be told to answer with an error, as hardware does that has gone, or
//! not to answer at all, as a network HSM's does whose link is cut, or to lose the answers of C_Login, which it counts, or
//! to end the process when a PIN has been changed. It does not say that it is SoftHSM. All else is passed on.

#![expect(unsafe_code, reason = "C functions on both sides")]

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use cryptoki_sys::*;
use libloading::os::unix::{Library, Symbol};

/// How many sessions may be open.
static LIMIT: AtomicU64 = AtomicU64::new(u64::MAX);
static OPEN: AtomicU64 = AtomicU64::new(0);
/// What every call is answered with; CKR_OK is none.
static ANSWER: AtomicU64 = AtomicU64::new(CKR_OK);

/// What C_Login is answered with after it was passed on; CKR_OK is none.
static LOGIN_ANSWER: AtomicU64 = AtomicU64::new(CKR_OK);
/// Whether the process ends when a PIN has been changed.
static ENDS: AtomicBool = AtomicBool::new(false);
/// The slot that a session was opened in last.
static SLOT: AtomicU64 = AtomicU64::new(0);
/// Which functions hold their calls back: [`Held`] as bits.
static HELD: AtomicU64 = AtomicU64::new(0);
/// How many calls are held back.
static HOLDING: AtomicU64 = AtomicU64::new(0);
/// What becomes of CKA_ALWAYS_AUTHENTICATE of a new key: 0 it is passed on, 1 refused, 2 passed over.
static GUARDS: AtomicU64 = AtomicU64::new(0);
/// How often C_Login was passed on.
static LOGINS: AtomicU64 = AtomicU64::new(0);

/// What can be held back.
#[derive(Clone, Copy)]
enum Held {
    Initialize = 1,
    OpenSession = 2,
    Login = 4,
    GetTokenInfo = 8,
    GetSessionInfo = 16,
    DestroyObject = 32,
    CreateObject = 64,
}

/// Returns when the valve lets such calls through. Nothing but numbers is waited for, so that a child can open its own.
fn hold(function: Held) {
    let held = || HELD.load(Ordering::SeqCst) & function as u64 != 0;
    if held() {
        HOLDING.fetch_add(1, Ordering::SeqCst);
        while held() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        HOLDING.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Lists {
    behind: &'static CK_FUNCTION_LIST,
    shown: CK_FUNCTION_LIST,
}

static LISTS: OnceLock<Lists> = OnceLock::new();

fn lists() -> &'static Lists {
    LISTS.get_or_init(|| {
        let path = std::env::var_os("TRELLIS_VALVE_LIBRARY").expect("names the library behind the valve");
        // SAFETY: the test names a PKCS#11 library, which stays loaded.
        let library = unsafe { Library::new(path) }.expect("loads");
        // SAFETY: the symbol has this type in PKCS#11.
        let find: Symbol<CK_C_GetFunctionList> =
            unsafe { library.get(b"C_GetFunctionList\0") }.expect("is exported");
        let mut list = std::ptr::null_mut();
        // SAFETY: the argument is a place for a pointer.
        assert_eq!(unsafe { (*find).expect("is not null")(&raw mut list) }, CKR_OK);
        std::mem::forget(library);
        // SAFETY: the list is a static of a library that stays loaded.
        let behind: &'static CK_FUNCTION_LIST = unsafe { &*list };
        let mut shown = *behind;
        shown.C_GetFunctionList = Some(C_GetFunctionList);
        shown.C_Initialize = Some(initialize);
        shown.C_Finalize = Some(finalize);
        shown.C_OpenSession = Some(open_session);
        shown.C_CloseSession = Some(close_session);
        shown.C_CloseAllSessions = Some(close_all_sessions);
        shown.C_GetSessionInfo = Some(session_info);
        shown.C_GetTokenInfo = Some(token_info);
        shown.C_InitPIN = Some(init_pin);
        shown.C_SetPIN = Some(set_pin);
        shown.C_Login = Some(login);
        shown.C_CreateObject = Some(create_object);
        shown.C_DestroyObject = Some(destroy_object);
        shown.C_FindObjectsInit = Some(find_init);
        shown.C_GenerateKeyPair = Some(generate_key_pair);
        shown.C_SignInit = Some(sign_init);
        shown.C_Sign = Some(sign);
        Lists { behind, shown }
    })
}

/// The function list with the valve in it.
///
/// # Safety
/// As PKCS#11 has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    // SAFETY: the caller's place for a pointer; nobody writes through it.
    unsafe { *list = std::ptr::from_ref(&lists().shown).cast_mut() };
    CKR_OK
}

/// Lets so many sessions be open from now on.
#[unsafe(no_mangle)]
pub extern "C" fn valve_limit(sessions: u64) {
    LIMIT.store(sessions, Ordering::SeqCst);
}

/// Answers every call with this from now on; CKR_OK opens the valve again.
#[unsafe(no_mangle)]
pub extern "C" fn valve_answer(rv: CK_RV) {
    ANSWER.store(rv, Ordering::SeqCst);
}

/// Holds calls back from now on, until their bit is gone: 1 C_Initialize, 2 C_OpenSession, 4 C_Login, 8 C_GetTokenInfo,
/// 16 C_GetSessionInfo, 32 C_DestroyObject, 64 C_CreateObject.
#[unsafe(no_mangle)]
pub extern "C" fn valve_hold(functions: u64) {
    HELD.store(functions, Ordering::SeqCst);
}

/// How many calls are held back now.
#[unsafe(no_mangle)]
pub extern "C" fn valve_holding() -> u64 {
    HOLDING.load(Ordering::SeqCst)
}

/// Has every C_Login do its work and be answered with this; CKR_OK passes the answers on again.
#[unsafe(no_mangle)]
pub extern "C" fn valve_login_answer(rv: CK_RV) {
    LOGIN_ANSWER.store(rv, Ordering::SeqCst);
}

/// Has the library behind forget all sessions, and with them the login.
#[unsafe(no_mangle)]
pub extern "C" fn valve_forget() -> u64 {
    // SAFETY: a slot number, passed on.
    let rv = unsafe { close_all_sessions(SLOT.load(Ordering::SeqCst)) };
    assert_eq!(rv, CKR_OK);
    OPEN.load(Ordering::SeqCst)
}

/// Ends the process, as kill -9 does, when the library behind has changed a PIN.
#[unsafe(no_mangle)]
pub extern "C" fn valve_end_at_new_pin(ends: u64) {
    ENDS.store(ends != 0, Ordering::SeqCst);
}

fn new_pin(rv: CK_RV) -> CK_RV {
    if rv == CKR_OK && ENDS.load(Ordering::SeqCst) {
        // SAFETY: a signal to this very process.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
    rv
}

/// How often a PIN was given to the library behind.
#[unsafe(no_mangle)]
pub extern "C" fn valve_logins() -> u64 {
    LOGINS.load(Ordering::SeqCst)
}

/// Has a new key with CKA_ALWAYS_AUTHENTICATE be refused (1), or made without it (2), or as it is wanted (0).
#[unsafe(no_mangle)]
pub extern "C" fn valve_guards(what: u64) {
    GUARDS.store(what, Ordering::SeqCst);
}

/// How many sessions are open.
#[unsafe(no_mangle)]
pub extern "C" fn valve_open() -> u64 {
    OPEN.load(Ordering::SeqCst)
}

/// A function of the library behind, unless the valve is closed.
macro_rules! pass {
    ($function:ident($($argument:expr),*)) => {
        match ANSWER.load(Ordering::SeqCst) {
            // SAFETY: the caller's arguments, passed on.
            CKR_OK => unsafe { lists().behind.$function.expect("is listed")($($argument),*) },
            rv => rv,
        }
    };
}

unsafe extern "C" fn initialize(arguments: CK_VOID_PTR) -> CK_RV {
    hold(Held::Initialize);
    // SAFETY: passed on.
    unsafe { lists().behind.C_Initialize.expect("is listed")(arguments) }
}

unsafe extern "C" fn finalize(reserved: CK_VOID_PTR) -> CK_RV {
    OPEN.store(0, Ordering::SeqCst);
    // SAFETY: passed on.
    unsafe { lists().behind.C_Finalize.expect("is listed")(reserved) }
}

unsafe extern "C" fn open_session(
    slot: CK_SLOT_ID,
    flags: CK_FLAGS,
    application: CK_VOID_PTR,
    notify: CK_NOTIFY,
    session: CK_SESSION_HANDLE_PTR,
) -> CK_RV {
    hold(Held::OpenSession);
    if OPEN.fetch_add(1, Ordering::SeqCst) >= LIMIT.load(Ordering::SeqCst) {
        OPEN.fetch_sub(1, Ordering::SeqCst);
        return CKR_SESSION_COUNT;
    }
    SLOT.store(slot, Ordering::SeqCst);
    let rv = pass!(C_OpenSession(slot, flags, application, notify, session));
    if rv != CKR_OK {
        OPEN.fetch_sub(1, Ordering::SeqCst);
    }
    rv
}

unsafe extern "C" fn close_session(session: CK_SESSION_HANDLE) -> CK_RV {
    // SAFETY: passed on, also while the valve is closed: the device forgets.
    let rv = unsafe { lists().behind.C_CloseSession.expect("is listed")(session) };
    if rv == CKR_OK {
        OPEN.fetch_sub(1, Ordering::SeqCst);
    }
    rv
}

unsafe extern "C" fn close_all_sessions(slot: CK_SLOT_ID) -> CK_RV {
    let rv = pass!(C_CloseAllSessions(slot));
    if rv == CKR_OK {
        OPEN.store(0, Ordering::SeqCst);
    }
    rv
}

unsafe extern "C" fn session_info(session: CK_SESSION_HANDLE, info: CK_SESSION_INFO_PTR) -> CK_RV {
    hold(Held::GetSessionInfo);
    pass!(C_GetSessionInfo(session, info))
}

unsafe extern "C" fn create_object(
    session: CK_SESSION_HANDLE,
    template: CK_ATTRIBUTE_PTR,
    count: CK_ULONG,
    object: CK_OBJECT_HANDLE_PTR,
) -> CK_RV {
    hold(Held::CreateObject);
    pass!(C_CreateObject(session, template, count, object))
}

unsafe extern "C" fn destroy_object(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> CK_RV {
    hold(Held::DestroyObject);
    pass!(C_DestroyObject(session, object))
}

unsafe extern "C" fn token_info(slot: CK_SLOT_ID, info: CK_TOKEN_INFO_PTR) -> CK_RV {
    hold(Held::GetTokenInfo);
    let rv = pass!(C_GetTokenInfo(slot, info));
    if rv == CKR_OK {
        // SAFETY: the caller's place for the answer, which has just been written.
        unsafe { (*info).manufacturerID = *b"Valve                           " };
    }
    rv
}

unsafe extern "C" fn login(
    session: CK_SESSION_HANDLE,
    user: CK_USER_TYPE,
    pin: CK_UTF8CHAR_PTR,
    len: CK_ULONG,
) -> CK_RV {
    hold(Held::Login);
    if ANSWER.load(Ordering::SeqCst) == CKR_OK {
        LOGINS.fetch_add(1, Ordering::SeqCst);
    }
    let rv = pass!(C_Login(session, user, pin, len));
    match LOGIN_ANSWER.load(Ordering::SeqCst) {
        CKR_OK => rv,
        lost => lost,
    }
}

unsafe extern "C" fn init_pin(session: CK_SESSION_HANDLE, pin: CK_UTF8CHAR_PTR, len: CK_ULONG) -> CK_RV {
    new_pin(pass!(C_InitPIN(session, pin, len)))
}

unsafe extern "C" fn set_pin(
    session: CK_SESSION_HANDLE,
    old: CK_UTF8CHAR_PTR,
    old_len: CK_ULONG,
    new: CK_UTF8CHAR_PTR,
    new_len: CK_ULONG,
) -> CK_RV {
    new_pin(pass!(C_SetPIN(session, old, old_len, new, new_len)))
}

unsafe extern "C" fn find_init(
    session: CK_SESSION_HANDLE,
    template: CK_ATTRIBUTE_PTR,
    count: CK_ULONG,
) -> CK_RV {
    pass!(C_FindObjectsInit(session, template, count))
}

unsafe extern "C" fn generate_key_pair(
    session: CK_SESSION_HANDLE,
    mechanism: CK_MECHANISM_PTR,
    public: CK_ATTRIBUTE_PTR,
    public_count: CK_ULONG,
    private: CK_ATTRIBUTE_PTR,
    private_count: CK_ULONG,
    one: CK_OBJECT_HANDLE_PTR,
    two: CK_OBJECT_HANDLE_PTR,
) -> CK_RV {
    // SAFETY: the caller's array.
    let mut private = unsafe { std::slice::from_raw_parts(private, private_count as usize) }.to_vec();
    let what = GUARDS.load(Ordering::SeqCst);
    if what != 0 {
        let whole = private.len();
        private.retain(|attribute| attribute.type_ != CKA_ALWAYS_AUTHENTICATE);
        if what == 1 && private.len() < whole {
            return CKR_TEMPLATE_INCONSISTENT;
        }
    }
    let count = private.len() as CK_ULONG;
    pass!(C_GenerateKeyPair(session, mechanism, public, public_count, private.as_mut_ptr(), count, one, two))
}

unsafe extern "C" fn sign_init(
    session: CK_SESSION_HANDLE,
    mechanism: CK_MECHANISM_PTR,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    pass!(C_SignInit(session, mechanism, key))
}

unsafe extern "C" fn sign(
    session: CK_SESSION_HANDLE,
    data: CK_BYTE_PTR,
    len: CK_ULONG,
    signature: CK_BYTE_PTR,
    signature_len: CK_ULONG_PTR,
) -> CK_RV {
    pass!(C_Sign(session, data, len, signature, signature_len))
}
