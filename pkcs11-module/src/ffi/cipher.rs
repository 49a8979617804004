//! Encryption and decryption (PKCS#11 v3.2 sections 5.8 and 5.10).

use cryptoki_sys as ck;

use super::{
    args::{self, Destination},
    guard::{exports, or_end},
    mechanism,
};
use crate::{
    handle::{ObjectHandle, SessionHandle},
    operation::Family,
};

exports! {
    fn C_EncryptInit(
        session: ck::CK_SESSION_HANDLE,
        mechanism: *mut ck::CK_MECHANISM,
        key: ck::CK_OBJECT_HANDLE,
    ) |module| {
        mechanism::begin(module, session, mechanism, Some(Family::Encrypt), |session, mechanism| {
            module.encrypt_init(session, mechanism, ObjectHandle(key))
        })
    }

    fn C_Encrypt(
        session: ck::CK_SESSION_HANDLE,
        input: *mut ck::CK_BYTE,
        input_len: ck::CK_ULONG,
        output: *mut ck::CK_BYTE,
        output_len: *mut ck::CK_ULONG,
    ) |module| {
        let arguments = args::through(input, input_len, output, output_len);
        let (input, out) = or_end(module, session, Family::Encrypt, arguments)?;
        out.fill(|out| module.encrypt(SessionHandle(session), &input, out))
    }

    fn C_EncryptUpdate(
        session: ck::CK_SESSION_HANDLE,
        input: *mut ck::CK_BYTE,
        input_len: ck::CK_ULONG,
        output: *mut ck::CK_BYTE,
        output_len: *mut ck::CK_ULONG,
    ) |module| {
        let arguments = args::through(input, input_len, output, output_len);
        let (input, out) = or_end(module, session, Family::Encrypt, arguments)?;
        out.fill(|out| module.encrypt_update(SessionHandle(session), &input, out))
    }

    fn C_EncryptFinal(
        session: ck::CK_SESSION_HANDLE,
        output: *mut ck::CK_BYTE,
        output_len: *mut ck::CK_ULONG,
    ) |module| {
        let out = or_end(module, session, Family::Encrypt, Destination::new(output, output_len))?;
        out.fill(|out| module.encrypt_final(SessionHandle(session), out))
    }

    fn C_DecryptInit(
        session: ck::CK_SESSION_HANDLE,
        mechanism: *mut ck::CK_MECHANISM,
        key: ck::CK_OBJECT_HANDLE,
    ) |module| {
        mechanism::begin(module, session, mechanism, Some(Family::Decrypt), |session, mechanism| {
            module.decrypt_init(session, mechanism, ObjectHandle(key))
        })
    }

    fn C_Decrypt(
        session: ck::CK_SESSION_HANDLE,
        input: *mut ck::CK_BYTE,
        input_len: ck::CK_ULONG,
        output: *mut ck::CK_BYTE,
        output_len: *mut ck::CK_ULONG,
    ) |module| {
        let arguments = args::through(input, input_len, output, output_len);
        let (input, out) = or_end(module, session, Family::Decrypt, arguments)?;
        out.fill(|out| module.decrypt(SessionHandle(session), &input, out))
    }

    fn C_DecryptUpdate(
        session: ck::CK_SESSION_HANDLE,
        input: *mut ck::CK_BYTE,
        input_len: ck::CK_ULONG,
        output: *mut ck::CK_BYTE,
        output_len: *mut ck::CK_ULONG,
    ) |module| {
        let arguments = args::through(input, input_len, output, output_len);
        let (input, out) = or_end(module, session, Family::Decrypt, arguments)?;
        out.fill(|out| module.decrypt_update(SessionHandle(session), &input, out))
    }

    fn C_DecryptFinal(
        session: ck::CK_SESSION_HANDLE,
        output: *mut ck::CK_BYTE,
        output_len: *mut ck::CK_ULONG,
    ) |module| {
        let out = or_end(module, session, Family::Decrypt, Destination::new(output, output_len))?;
        out.fill(|out| module.decrypt_final(SessionHandle(session), out))
    }
}
