//! Message digesting (PKCS#11 v3.2 section 5.12).

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
    fn C_DigestInit(session: ck::CK_SESSION_HANDLE, mechanism: *mut ck::CK_MECHANISM) |module| {
        mechanism::begin(module, session, mechanism, Some(Family::Digest), |session, mechanism| {
            module.digest_init(session, mechanism)
        })
    }

    fn C_Digest(
        session: ck::CK_SESSION_HANDLE,
        data: *mut ck::CK_BYTE,
        data_len: ck::CK_ULONG,
        digest: *mut ck::CK_BYTE,
        digest_len: *mut ck::CK_ULONG,
    ) |module| {
        let arguments = args::through(data, data_len, digest, digest_len);
        let (data, out) = or_end(module, session, Family::Digest, arguments)?;
        out.fill(|out| module.digest(SessionHandle(session), &data, out))
    }

    fn C_DigestUpdate(session: ck::CK_SESSION_HANDLE, part: *mut ck::CK_BYTE, part_len: ck::CK_ULONG) |module| {
        let part = or_end(module, session, Family::Digest, args::bytes(part, part_len))?;
        module.digest_update(SessionHandle(session), part)
    }

    fn C_DigestKey(session: ck::CK_SESSION_HANDLE, key: ck::CK_OBJECT_HANDLE) |module| {
        module.digest_key(SessionHandle(session), ObjectHandle(key))
    }

    fn C_DigestFinal(
        session: ck::CK_SESSION_HANDLE,
        digest: *mut ck::CK_BYTE,
        digest_len: *mut ck::CK_ULONG,
    ) |module| {
        let out = or_end(module, session, Family::Digest, Destination::new(digest, digest_len))?;
        out.fill(|out| module.digest_final(SessionHandle(session), out))
    }
}
