//! Signing and MACing (PKCS#11 v3.2 section 5.13).

use cryptoki_sys as ck;

use super::{
    args::{self, Destination},
    guard::{exports, or_end},
    mechanism,
};
use crate::{
    error::Error,
    handle::{ObjectHandle, SessionHandle},
    operation::Family,
};

exports! {
    fn C_SignInit(
        session: ck::CK_SESSION_HANDLE,
        mechanism: *mut ck::CK_MECHANISM,
        key: ck::CK_OBJECT_HANDLE,
    ) |module| {
        mechanism::begin(module, session, mechanism, Some(Family::Sign), |session, mechanism| {
            module.sign_init(session, mechanism, ObjectHandle(key))
        })
    }

    fn C_Sign(
        session: ck::CK_SESSION_HANDLE,
        data: *mut ck::CK_BYTE,
        data_len: ck::CK_ULONG,
        signature: *mut ck::CK_BYTE,
        signature_len: *mut ck::CK_ULONG,
    ) |module| {
        let arguments = args::through(data, data_len, signature, signature_len);
        let (data, out) = or_end(module, session, Family::Sign, arguments)?;
        out.fill(|out| module.sign(SessionHandle(session), &data, out))
    }

    fn C_SignUpdate(session: ck::CK_SESSION_HANDLE, part: *mut ck::CK_BYTE, part_len: ck::CK_ULONG) |module| {
        let part = or_end(module, session, Family::Sign, args::bytes(part, part_len))?;
        module.sign_update(SessionHandle(session), part)
    }

    fn C_SignFinal(
        session: ck::CK_SESSION_HANDLE,
        signature: *mut ck::CK_BYTE,
        signature_len: *mut ck::CK_ULONG,
    ) |module| {
        let out = or_end(module, session, Family::Sign, Destination::new(signature, signature_len))?;
        out.fill(|out| module.sign_final(SessionHandle(session), out))
    }

    fn C_SignRecoverInit(
        session: ck::CK_SESSION_HANDLE,
        mechanism: *mut ck::CK_MECHANISM,
        key: ck::CK_OBJECT_HANDLE,
    ) |module| {
        mechanism::begin(module, session, mechanism, None, |session, mechanism| {
            module.sign_recover_init(session, mechanism, ObjectHandle(key))
        })
    }

    // No mechanism recovers data, so no such operation can be active.
    fn C_SignRecover(
        session: ck::CK_SESSION_HANDLE,
        data: *mut ck::CK_BYTE,
        data_len: ck::CK_ULONG,
        signature: *mut ck::CK_BYTE,
        signature_len: *mut ck::CK_ULONG,
    ) |module| {
        let _ = module;
        args::through(data, data_len, signature, signature_len)?;
        Err(Error::OperationNotInitialized)
    }
}
