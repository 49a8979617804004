//! The module through the `cryptoki` crate, as a Rust program has it.

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};

use crate::{
    library,
    raw::{SO_PIN, USER_PIN},
};

/// A PIN of bytes that are text.
pub fn auth_pin(pin: &[u8]) -> AuthPin {
    AuthPin::new(String::from_utf8(pin.to_vec()).expect("this PIN is text").into())
}

/// Loads and initialises the module, and makes a token with both PINs in its first slot.
pub fn with_token() -> (Pkcs11, Slot) {
    let p11 = Pkcs11::new(library::path()).expect("the module loads");
    p11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).expect("the module initialises");
    let slot = p11.get_all_slots().expect("slots can be listed")[0];
    p11.init_token(slot, &auth_pin(SO_PIN), "test token").expect("a token can be made");
    let session = p11.open_rw_session(slot).expect("a session can be opened");
    session.login(UserType::So, Some(&auth_pin(SO_PIN))).expect("the SO can log in");
    session.init_pin(&auth_pin(USER_PIN)).expect("the SO sets the PIN");
    drop(session);
    (p11, slot)
}

/// A read-write session of the user.
pub fn user_session(p11: &Pkcs11, slot: Slot) -> Session {
    let session = p11.open_rw_session(slot).expect("a session can be opened");
    session.login(UserType::User, Some(&auth_pin(USER_PIN))).expect("the user can log in");
    session
}
