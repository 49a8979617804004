//! Random numbers (PKCS#11 v3.2 section 5.19).

use cryptoki_sys as ck;

use super::{args, guard::exports};
use crate::handle::SessionHandle;

exports! {
    fn C_SeedRandom(session: ck::CK_SESSION_HANDLE, seed: *mut ck::CK_BYTE, seed_len: ck::CK_ULONG) |module| {
        module.seed_random(SessionHandle(session), args::bytes(seed, seed_len)?)
    }

    fn C_GenerateRandom(session: ck::CK_SESSION_HANDLE, data: *mut ck::CK_BYTE, len: ck::CK_ULONG) |module| {
        module.generate_random(SessionHandle(session), args::buffer(data, len)?)
    }
}
