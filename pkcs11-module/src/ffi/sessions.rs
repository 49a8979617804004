//! Session management (PKCS#11 v3.2 section 5.6).

use std::ffi::c_void;

use cryptoki_sys as ck;

use super::{
    args::{self, Destination, Place},
    guard::exports,
};
use crate::{
    error::Error,
    handle::{ObjectHandle, SessionHandle, SlotId},
    module::UserType,
};

exports! {
    fn C_OpenSession(
        slot: ck::CK_SLOT_ID,
        flags: ck::CK_FLAGS,
        _application: *mut c_void,
        _notify: ck::CK_NOTIFY,
        session: *mut ck::CK_SESSION_HANDLE,
    ) |module| {
        let place = Place::new(session)?;
        place.set(module.open_session(SlotId(slot), flags)?.0);
        Ok(())
    }

    fn C_CloseSession(session: ck::CK_SESSION_HANDLE) |module| {
        module.close_session(SessionHandle(session))
    }

    fn C_CloseAllSessions(slot: ck::CK_SLOT_ID) |module| {
        module.close_all_sessions(SlotId(slot))
    }

    fn C_GetSessionInfo(session: ck::CK_SESSION_HANDLE, info: *mut ck::CK_SESSION_INFO) |module| {
        let place = Place::new(info)?;
        let info = module.session_info(SessionHandle(session))?;
        place.set(ck::CK_SESSION_INFO {
            slotID: info.slot.0,
            state: info.state,
            flags: info.flags,
            ulDeviceError: 0,
        });
        Ok(())
    }

    fn C_SessionCancel(session: ck::CK_SESSION_HANDLE, flags: ck::CK_FLAGS) |module| {
        module.session_cancel(SessionHandle(session), flags)
    }

    fn C_GetOperationState(
        session: ck::CK_SESSION_HANDLE,
        state: *mut ck::CK_BYTE,
        state_len: *mut ck::CK_ULONG,
    ) |module| {
        let out = Destination::new(state, state_len)?;
        out.fill(|out| module.operation_state(SessionHandle(session), out))
    }

    fn C_SetOperationState(
        session: ck::CK_SESSION_HANDLE,
        state: *mut ck::CK_BYTE,
        state_len: ck::CK_ULONG,
        encryption_key: ck::CK_OBJECT_HANDLE,
        authentication_key: ck::CK_OBJECT_HANDLE,
    ) |module| {
        let key = |handle| (handle != ck::CK_INVALID_HANDLE).then_some(ObjectHandle(handle));
        let state = args::bytes(state, state_len)?;
        module.set_operation_state(SessionHandle(session), state, key(encryption_key), key(authentication_key))
    }

    fn C_Login(
        session: ck::CK_SESSION_HANDLE,
        user: ck::CK_USER_TYPE,
        pin: *mut ck::CK_UTF8CHAR,
        pin_len: ck::CK_ULONG,
    ) |module| {
        let (session, user) = (SessionHandle(session), UserType::new(user)?);
        match args::presented_pin(pin, pin_len)? {
            Some(pin) => module.login(session, user, &pin),
            None => module.login_without_pin(session, user),
        }
    }

    fn C_LoginUser(
        session: ck::CK_SESSION_HANDLE,
        user: ck::CK_USER_TYPE,
        pin: *mut ck::CK_UTF8CHAR,
        pin_len: ck::CK_ULONG,
        name: *mut ck::CK_UTF8CHAR,
        name_len: ck::CK_ULONG,
    ) |module| {
        let user = UserType::new(user)?;
        let (pin, name) = (args::presented_pin(pin, pin_len)?, args::bytes(name, name_len)?);
        module.login_user(SessionHandle(session), user, &pin.ok_or(Error::ArgumentsBad)?, name)
    }

    fn C_Logout(session: ck::CK_SESSION_HANDLE) |module| {
        module.logout(SessionHandle(session))
    }

    fn C_GetSessionValidationFlags(
        session: ck::CK_SESSION_HANDLE,
        kind: ck::CK_SESSION_VALIDATION_FLAGS_TYPE,
        flags: *mut ck::CK_FLAGS,
    ) |module| {
        let place = Place::new(flags)?;
        place.set(module.session_validation_flags(SessionHandle(session), kind)?);
        Ok(())
    }
}
