//! Verifying signatures and MACs (PKCS#11 v3.2 section 5.15), with the signature first or last.

use cryptoki_sys as ck;

use super::{
    args,
    guard::{exports, or_end},
    mechanism,
};
use crate::{
    error::Error,
    handle::{ObjectHandle, SessionHandle},
    operation::Family,
};

exports! {
    fn C_VerifyInit(
        session: ck::CK_SESSION_HANDLE,
        mechanism: *mut ck::CK_MECHANISM,
        key: ck::CK_OBJECT_HANDLE,
    ) |module| {
        mechanism::begin(module, session, mechanism, Some(Family::Verify), |session, mechanism| {
            module.verify_init(session, mechanism, ObjectHandle(key))
        })
    }

    fn C_Verify(
        session: ck::CK_SESSION_HANDLE,
        data: *mut ck::CK_BYTE,
        data_len: ck::CK_ULONG,
        signature: *mut ck::CK_BYTE,
        signature_len: ck::CK_ULONG,
    ) |module| {
        let data = or_end(module, session, Family::Verify, args::bytes(data, data_len))?;
        let signature = or_end(module, session, Family::Verify, args::bytes(signature, signature_len))?;
        module.verify(SessionHandle(session), data, signature)
    }

    fn C_VerifyUpdate(session: ck::CK_SESSION_HANDLE, part: *mut ck::CK_BYTE, part_len: ck::CK_ULONG) |module| {
        let part = or_end(module, session, Family::Verify, args::bytes(part, part_len))?;
        module.verify_update(SessionHandle(session), part)
    }

    fn C_VerifyFinal(
        session: ck::CK_SESSION_HANDLE,
        signature: *mut ck::CK_BYTE,
        signature_len: ck::CK_ULONG,
    ) |module| {
        let signature = or_end(module, session, Family::Verify, args::bytes(signature, signature_len))?;
        module.verify_final(SessionHandle(session), signature)
    }

    fn C_VerifyRecoverInit(
        session: ck::CK_SESSION_HANDLE,
        mechanism: *mut ck::CK_MECHANISM,
        key: ck::CK_OBJECT_HANDLE,
    ) |module| {
        mechanism::begin(module, session, mechanism, None, |session, mechanism| {
            module.verify_recover_init(session, mechanism, ObjectHandle(key))
        })
    }

    // No mechanism recovers data, so no such operation can be active.
    fn C_VerifyRecover(
        session: ck::CK_SESSION_HANDLE,
        signature: *mut ck::CK_BYTE,
        signature_len: ck::CK_ULONG,
        data: *mut ck::CK_BYTE,
        data_len: *mut ck::CK_ULONG,
    ) |module| {
        let _ = module;
        args::through(signature, signature_len, data, data_len)?;
        Err(Error::OperationNotInitialized)
    }

    fn C_VerifySignatureInit(
        session: ck::CK_SESSION_HANDLE,
        mechanism: *mut ck::CK_MECHANISM,
        key: ck::CK_OBJECT_HANDLE,
        signature: *mut ck::CK_BYTE,
        signature_len: ck::CK_ULONG,
    ) |module| {
        mechanism::begin(module, session, mechanism, Some(Family::VerifySignature), |session, mechanism| {
            let signature = args::bytes(signature, signature_len)?;
            module.verify_signature_init(session, mechanism, ObjectHandle(key), signature)
        })
    }

    fn C_VerifySignature(session: ck::CK_SESSION_HANDLE, data: *mut ck::CK_BYTE, len: ck::CK_ULONG) |module| {
        let data = or_end(module, session, Family::VerifySignature, args::bytes(data, len))?;
        module.verify_signature(SessionHandle(session), data)
    }

    fn C_VerifySignatureUpdate(
        session: ck::CK_SESSION_HANDLE,
        part: *mut ck::CK_BYTE,
        part_len: ck::CK_ULONG,
    ) |module| {
        let part = or_end(module, session, Family::VerifySignature, args::bytes(part, part_len))?;
        module.verify_signature_update(SessionHandle(session), part)
    }

    fn C_VerifySignatureFinal(session: ck::CK_SESSION_HANDLE) |module| {
        module.verify_signature_final(SessionHandle(session))
    }
}
