//! Message-based signing and verifying (PKCS#11 v3.2 sections 5.14 and 5.16). No mechanism has a parameter for a single
//! message, so of pParameter and ulParameterLen only the length is looked at.

use std::ffi::c_void;

use cryptoki_sys as ck;

use super::{
    args::{self, Destination},
    guard::exports,
    mechanism,
};
use crate::{
    error::{Error, Result},
    handle::{ObjectHandle, SessionHandle},
    operation::Family,
    output::Written,
};

exports! {
    fn C_MessageSignInit(
        session: ck::CK_SESSION_HANDLE,
        mechanism: *mut ck::CK_MECHANISM,
        key: ck::CK_OBJECT_HANDLE,
    ) |module| {
        mechanism::begin(module, session, mechanism, Some(Family::MessageSign), |session, mechanism| {
            module.message_sign_init(session, mechanism, ObjectHandle(key))
        })
    }

    fn C_SignMessage(
        session: ck::CK_SESSION_HANDLE,
        _parameter: *mut c_void,
        parameter_len: ck::CK_ULONG,
        data: *mut ck::CK_BYTE,
        data_len: ck::CK_ULONG,
        signature: *mut ck::CK_BYTE,
        signature_len: *mut ck::CK_ULONG,
    ) |module| {
        let (data, out) = args::through(data, data_len, signature, signature_len)?;
        out.fill(|out| module.sign_message(SessionHandle(session), len(parameter_len)?, &data, out))
    }

    fn C_SignMessageBegin(
        session: ck::CK_SESSION_HANDLE,
        _parameter: *mut c_void,
        parameter_len: ck::CK_ULONG,
    ) |module| {
        module.sign_message_begin(SessionHandle(session), len(parameter_len)?)
    }

    // A NULL signature_len says that more parts follow.
    fn C_SignMessageNext(
        session: ck::CK_SESSION_HANDLE,
        _parameter: *mut c_void,
        parameter_len: ck::CK_ULONG,
        part: *mut ck::CK_BYTE,
        part_len: ck::CK_ULONG,
        signature: *mut ck::CK_BYTE,
        signature_len: *mut ck::CK_ULONG,
    ) |module| {
        let session = SessionHandle(session);
        let arguments = || {
            let (parameter_len, part) = (len(parameter_len)?, args::bytes(part, part_len)?);
            let last = !signature_len.is_null();
            Ok((parameter_len, part, last.then(|| Destination::new(signature, signature_len)).transpose()?))
        };
        let (parameter_len, part, out) = match arguments() {
            Ok(arguments) => arguments,
            Err(error) => return module.sign_message_abandon(session).and(Err(error)),
        };
        let Some(out) = out else {
            return module.sign_message_next(session, parameter_len, part, None).map(drop);
        };
        let part = out.apart_from(part);
        out.fill(|out| {
            let written = module.sign_message_next(session, parameter_len, &part, Some(out))?;
            Ok(written.unwrap_or(Written::Bytes(0)))
        })
    }

    fn C_MessageSignFinal(session: ck::CK_SESSION_HANDLE) |module| {
        module.message_sign_final(SessionHandle(session))
    }

    fn C_MessageVerifyInit(
        session: ck::CK_SESSION_HANDLE,
        mechanism: *mut ck::CK_MECHANISM,
        key: ck::CK_OBJECT_HANDLE,
    ) |module| {
        mechanism::begin(module, session, mechanism, Some(Family::MessageVerify), |session, mechanism| {
            module.message_verify_init(session, mechanism, ObjectHandle(key))
        })
    }

    fn C_VerifyMessage(
        session: ck::CK_SESSION_HANDLE,
        _parameter: *mut c_void,
        parameter_len: ck::CK_ULONG,
        data: *mut ck::CK_BYTE,
        data_len: ck::CK_ULONG,
        signature: *mut ck::CK_BYTE,
        signature_len: ck::CK_ULONG,
    ) |module| {
        let (data, signature) = (args::bytes(data, data_len)?, args::bytes(signature, signature_len)?);
        module.verify_message(SessionHandle(session), len(parameter_len)?, data, signature)
    }

    fn C_VerifyMessageBegin(
        session: ck::CK_SESSION_HANDLE,
        _parameter: *mut c_void,
        parameter_len: ck::CK_ULONG,
    ) |module| {
        module.verify_message_begin(SessionHandle(session), len(parameter_len)?)
    }

    // A NULL signature says that more parts follow.
    fn C_VerifyMessageNext(
        session: ck::CK_SESSION_HANDLE,
        _parameter: *mut c_void,
        parameter_len: ck::CK_ULONG,
        part: *mut ck::CK_BYTE,
        part_len: ck::CK_ULONG,
        signature: *mut ck::CK_BYTE,
        signature_len: ck::CK_ULONG,
    ) |module| {
        let session = SessionHandle(session);
        let arguments = || {
            let (parameter_len, part) = (len(parameter_len)?, args::bytes(part, part_len)?);
            Ok((parameter_len, part, args::optional_bytes(signature, signature_len)?))
        };
        match arguments() {
            Ok((parameter_len, part, signature)) => {
                module.verify_message_next(session, parameter_len, part, signature)
            }
            Err(error) => module.verify_message_abandon(session).and(Err(error)),
        }
    }

    fn C_MessageVerifyFinal(session: ck::CK_SESSION_HANDLE) |module| {
        module.message_verify_final(SessionHandle(session))
    }
}

fn len(parameter_len: ck::CK_ULONG) -> Result<usize> {
    usize::try_from(parameter_len).map_err(|_| Error::MechanismParamInvalid)
}
