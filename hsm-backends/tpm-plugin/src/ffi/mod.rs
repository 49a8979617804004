//! libtss2-esys behind safe functions, and the plug-in's own C functions: the only folder of this crate with unsafe code.
//!
//! The contract that every unsafe block here cites.
//! - libtss2-esys keeps to its headers (TCG TSS 2.0 ESAPI): it reads its inputs during a call only, gives a result that
//!   [`taken`] frees with `Esys_Free`, or none with an error. A context is used by one thread at a time: [`Tpm`] is not
//!   `Sync`, and lives within one call of [`exports::trellis_tpm_call`].
//! - The store passes to [`exports::trellis_tpm_call`] bytes that live during the call and two places to write to, and gives what
//!   it gets there, once, to [`exports::trellis_tpm_free`] with its length.
#![expect(unsafe_code, reason = "C functions of libtss2, and C functions for the store")]

mod commands;
pub mod exports;
mod tcti;

use std::{
    ffi::CString,
    ptr::{null, null_mut},
    time::Instant,
};

use tss_esapi_sys as tss;
use zeroize::Zeroize;

use crate::transport::{Address, Transport};
use tcti::OwnTcti;

/// A handle of ESAPI's, not the TPM's.
pub(crate) type Handle = tss::ESYS_TR;
pub(crate) const NONE: Handle = 0xFFF;
pub(crate) const PASSWORD: Handle = 0x0FF;
pub(crate) const OWNER: Handle = 0x101;
const SHA256: u16 = 0x000B;

/// What a command answered, where it was not TPM2_RC_SUCCESS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rc(pub(crate) u32);

pub(crate) type Result<T> = std::result::Result<T, Rc>;

/// TSS2_ESYS_RC_GENERAL_FAILURE: what does not fit the structures of the TPM.
pub(crate) const UNFIT: Rc = Rc(0x0007_0001);

fn check(rc: tss::TSS2_RC) -> Result<()> {
    if rc == 0 { Ok(()) } else { Err(Rc(rc)) }
}

/// Copies what ESAPI has allocated, wipes it and frees it.
fn taken<T: Copy>(from: *mut T) -> T {
    // SAFETY: a result of a call that succeeded, of this very type, freed once.
    unsafe {
        let value = *from;
        std::slice::from_raw_parts_mut(from.cast::<u8>(), size_of::<T>()).zeroize();
        tss::Esys_Free(from.cast());
        value
    }
}

/// A TPM2B of the type that is wanted.
macro_rules! sized {
    ($kind:ident, $field:ident, $bytes:expr) => {{
        let mut made = tss::$kind::default();
        let bytes: &[u8] = $bytes;
        made.$field.get_mut(..bytes.len()).ok_or(UNFIT)?.copy_from_slice(bytes);
        made.size = u16::try_from(bytes.len()).map_err(|_| UNFIT)?;
        made
    }};
}

/// The bytes of a TPM2B.
macro_rules! content {
    ($made:expr, $field:ident) => {{
        let made = $made;
        made.$field.get(..usize::from(made.size)).ok_or(UNFIT)?.to_vec()
    }};
}

use {content, sized};

enum Link {
    /// Made of a box and freed as one. libtss2 has this very pointer, so nobody else may hold the box meanwhile.
    Own(*mut OwnTcti),
    Loaded(*mut tss::TSS2_TCTI_CONTEXT),
}

/// An open TPM. Dropping it flushes every handle that was opened, and closes it.
pub(crate) struct Tpm {
    esys: *mut tss::ESYS_CONTEXT,
    link: Link,
    /// Sessions and objects in the TPM's memory.
    open: Vec<Handle>,
    /// Handles with authorisations, to be wiped.
    with_auth: Vec<Handle>,
    /// The session that encrypts and authenticates every command, once there is one.
    pub(crate) session: Handle,
}

impl Tpm {
    /// Connects; the text says why it could not.
    pub(crate) fn open(address: &Address, deadline: Instant) -> std::result::Result<Self, String> {
        let link = match Transport::open(address, deadline).map_err(|error| error.to_string())? {
            Some(transport) => Link::Own(Box::into_raw(Box::new(OwnTcti::new(transport)))),
            None => {
                let Address::Loader(name) = address else { return Err("no way there".into()) };
                let name = CString::new(name.as_str()).map_err(|error| error.to_string())?;
                let mut tcti = null_mut();
                // SAFETY: see the head; the name is a C string that lives during the call.
                check(unsafe { tss::Tss2_TctiLdr_Initialize(name.as_ptr(), &raw mut tcti) })
                    .map_err(|rc| format!("libtss2 cannot connect ({:#x})", rc.0))?;
                Link::Loaded(tcti)
            }
        };
        let tcti = match link {
            Link::Own(own) => own.cast(),
            Link::Loaded(tcti) => tcti,
        };
        let mut esys = null_mut();
        // SAFETY: see the head; the TCTI lives as long as the context.
        let made = check(unsafe { tss::Esys_Initialize(&raw mut esys, tcti, null_mut()) });
        let this = Self { esys, link, open: Vec::new(), with_auth: Vec::new(), session: NONE };
        made.map_err(|rc| format!("libtss2 cannot begin ({:#x})", rc.0))?;
        Ok(this)
    }

    /// Why the way to the TPM failed.
    pub(crate) fn failure(&mut self) -> Option<String> {
        match self.link {
            // SAFETY: it is freed when this is dropped; libtss2 uses it within its calls only, and none is under way.
            Link::Own(own) => unsafe { &mut *own }.transport.failure.take().map(|error| error.to_string()),
            Link::Loaded(_) => None,
        }
    }

    fn opened(&mut self, handle: Handle) -> Handle {
        self.open.push(handle);
        handle
    }

    /// Frees a session or object.
    pub(crate) fn flush(&mut self, handle: Handle) -> Result<()> {
        self.forget_auth(handle);
        self.open.retain(|open| *open != handle);
        // SAFETY: see the head.
        check(unsafe { tss::Esys_FlushContext(self.esys, handle) })
    }

    fn forget_auth(&mut self, handle: Handle) {
        if self.with_auth.contains(&handle) {
            let nothing = tss::TPM2B_AUTH::default();
            // SAFETY: see the head.
            let _ = unsafe { tss::Esys_TR_SetAuth(self.esys, handle, &raw const nothing) };
            self.with_auth.retain(|with| *with != handle);
        }
    }

    /// The authorisation of what a handle names.
    pub(crate) fn set_auth(&mut self, handle: Handle, auth: &[u8]) -> Result<()> {
        let mut auth = sized!(TPM2B_AUTH, buffer, auth);
        self.with_auth.push(handle);
        // SAFETY: see the head.
        let set = check(unsafe { tss::Esys_TR_SetAuth(self.esys, handle, &raw const auth) });
        auth.buffer.zeroize();
        set
    }

    /// TPM2_StartAuthSession: of HMAC, salted with a key of the TPM's and encrypting, or of policy.
    pub(crate) fn start_session(&mut self, salted_with: Option<Handle>) -> Result<Handle> {
        let mut aes = tss::TPMT_SYM_DEF { algorithm: 0x0006, ..Default::default() };
        aes.keyBits.aes = 128;
        aes.mode.aes = 0x0043;
        let none = tss::TPMT_SYM_DEF { algorithm: 0x0010, ..Default::default() };
        let (key, kind, symmetric) = match salted_with {
            Some(key) => (key, 0, aes),
            None => (NONE, 1, none),
        };
        let mut session = NONE;
        // SAFETY: see the head.
        check(unsafe {
            tss::Esys_StartAuthSession(
                self.esys,
                key,
                NONE,
                NONE,
                NONE,
                NONE,
                null(),
                kind,
                &raw const symmetric,
                SHA256,
                &raw mut session,
            )
        })?;
        self.opened(session);
        if salted_with.is_some() {
            // continueSession, decrypt, encrypt.
            // SAFETY: see the head.
            check(unsafe { tss::Esys_TRSess_SetAttributes(self.esys, session, 0x61, 0xFF) })?;
            self.session = session;
        }
        Ok(session)
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        if !self.esys.is_null() {
            for handle in self.with_auth.clone() {
                self.forget_auth(handle);
            }
            for handle in std::mem::take(&mut self.open).into_iter().rev() {
                let _ = self.flush(handle);
            }
            // SAFETY: see the head; nothing is used afterwards.
            unsafe { tss::Esys_Finalize(&raw mut self.esys) };
        }
        match &mut self.link {
            // SAFETY: the context that used it is gone; it came out of a box.
            Link::Own(own) => drop(unsafe { Box::from_raw(*own) }),
            // SAFETY: the context that used it is gone.
            Link::Loaded(tcti) => unsafe { tss::Tss2_TctiLdr_Finalize(tcti) },
        }
    }
}
