//! A vendor's PKCS#11 library, loaded with dlopen(3). This file and `process.rs` have the only unsafe code of this store.
//!
//! The contract that every unsafe block here cites. The library is one that the configuration names, and it is trusted
//! as the process's own code is. It keeps to the PKCS#11 ABI:
//! - C_GetFunctionList gives a list that lives as long as the library, which is never unloaded (vendors' libraries
//!   leave exit handlers and thread-locals behind, so that unloading them crashes);
//! - a function reads of each input no more than the length beside it, writes to each output no more than the length
//!   that was passed in, and keeps no pointer after it has returned;
//! - it may be called from several threads, since it was initialised with CKF_OS_LOCKING_OK.
//!
//! For its part this file passes pointers to live memory with its true length, and believes no length that comes back
//! without comparing it. `cryptoki` is not used here: it finalises the library when it is dropped, and would do that
//! to an application that has initialised the library itself.
#![expect(unsafe_code, reason = "C functions of a vendor's library are called through their pointers")]

mod mechanism;
mod process;

use std::{ffi::c_void, fmt, path::Path, ptr};

use cryptoki_sys as ck;
use zeroize::Zeroizing;

use mechanism::with;

pub(super) use mechanism::{Mechanism, Parameter};
pub(super) use process::{NoSigpipe, at_exit};

/// What the library answered, where it was not CKR_OK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rv(pub(super) ck::CK_RV);

/// A template: each attribute's type and its value as PKCS#11 has it in memory.
pub(super) type Template = Vec<(ck::CK_ATTRIBUTE_TYPE, Vec<u8>)>;

/// More objects, slots or mechanisms than this are a broken library, not a token.
const MOST: usize = 1 << 20;
/// Handles that are asked for at once.
const BATCH: usize = 256;
/// The longest value of an attribute that is read.
const LONGEST_VALUE: usize = 16 << 20;

/// What C_GetTokenInfo says, without padding.
#[derive(Debug, Clone)]
pub(super) struct TokenInfo {
    pub(super) label: String,
    pub(super) manufacturer: String,
    pub(super) model: String,
    pub(super) serial: String,
    pub(super) flags: u64,
}

/// The functions of one loaded library.
#[derive(Clone, Copy)]
pub(super) struct Raw(&'static ck::CK_FUNCTION_LIST);

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Raw")
    }
}

/// Calls a function of the list, where the library has it.
macro_rules! call {
    ($raw:expr, $function:ident($($argument:expr),* $(,)?)) => {
        match $raw.0.$function {
            // SAFETY: the contract in the head of this file; the arguments are as it says.
            Some(function) => unsafe { function($($argument),*) },
            None => ck::CKR_FUNCTION_NOT_SUPPORTED,
        }
    };
}

fn ok(rv: ck::CK_RV) -> Result<(), Rv> {
    if rv == ck::CKR_OK { Ok(()) } else { Err(Rv(rv)) }
}

fn len(bytes: &[u8]) -> ck::CK_ULONG {
    bytes.len() as ck::CK_ULONG
}

/// A pointer that C wants mutable although it only reads.
fn input(bytes: &[u8]) -> *mut u8 {
    bytes.as_ptr().cast_mut()
}

impl Raw {
    /// Loads the library for the rest of the process's life. It is not initialised.
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        // SAFETY: the configuration names the library, and running its initialisers is what it names it for.
        let library = unsafe { libloading::Library::new(path) }.map_err(|error| error.to_string())?;
        // SAFETY: C_GetFunctionList has this type in every version of the standard.
        let list = unsafe { library.get::<ck::CK_C_GetFunctionList>(b"C_GetFunctionList\0") };
        let list = list.map(|symbol| *symbol).map_err(|error| error.to_string())?;
        // Never unloaded: see the contract.
        std::mem::forget(library);
        let mut pointer: *mut ck::CK_FUNCTION_LIST = ptr::null_mut();
        let list = list.ok_or("C_GetFunctionList is null")?;
        // SAFETY: the contract; the output is a live pointer.
        let rv = unsafe { list(&raw mut pointer) };
        if rv != ck::CKR_OK || pointer.is_null() || !pointer.is_aligned() {
            return Err(format!("C_GetFunctionList failed ({rv:#x})"));
        }
        // SAFETY: the contract: the list is valid, and lives as long as the library, which is for ever.
        Ok(Self(unsafe { &*pointer }))
    }

    pub(super) fn initialize(&self) -> Result<(), Rv> {
        let mut arguments = ck::CK_C_INITIALIZE_ARGS {
            CreateMutex: None,
            DestroyMutex: None,
            LockMutex: None,
            UnlockMutex: None,
            flags: ck::CKF_OS_LOCKING_OK,
            pReserved: ptr::null_mut(),
        };
        ok(call!(self, C_Initialize((&raw mut arguments).cast::<c_void>())))
    }

    pub(super) fn finalize(&self) -> Result<(), Rv> {
        ok(call!(self, C_Finalize(ptr::null_mut())))
    }

    /// All slots, or those with a token.
    pub(super) fn slots(&self, with_token: bool) -> Result<Vec<ck::CK_SLOT_ID>, Rv> {
        let present = if with_token { ck::CK_TRUE } else { ck::CK_FALSE };
        list(|pointer, count| call!(self, C_GetSlotList(present, pointer, count)))
    }

    pub(super) fn mechanisms(&self, slot: ck::CK_SLOT_ID) -> Result<Vec<ck::CK_MECHANISM_TYPE>, Rv> {
        list(|pointer, count| call!(self, C_GetMechanismList(slot, pointer, count)))
    }

    /// CKF_* of a mechanism.
    pub(super) fn mechanism_flags(&self, slot: ck::CK_SLOT_ID, kind: u64) -> Result<u64, Rv> {
        let mut info = ck::CK_MECHANISM_INFO::default();
        ok(call!(self, C_GetMechanismInfo(slot, kind, &raw mut info)))?;
        Ok(info.flags)
    }

    pub(super) fn token_info(&self, slot: ck::CK_SLOT_ID) -> Result<TokenInfo, Rv> {
        let mut info = ck::CK_TOKEN_INFO::default();
        ok(call!(self, C_GetTokenInfo(slot, &raw mut info)))?;
        Ok(TokenInfo {
            label: text(&info.label),
            manufacturer: text(&info.manufacturerID),
            model: text(&info.model),
            serial: text(&info.serialNumber),
            flags: info.flags,
        })
    }

    pub(super) fn init_token(&self, slot: ck::CK_SLOT_ID, pin: &[u8], label: &str) -> Result<(), Rv> {
        let mut padded = [b' '; 32];
        padded.iter_mut().zip(label.bytes()).for_each(|(place, byte)| *place = byte);
        ok(call!(self, C_InitToken(slot, input(pin), len(pin), padded.as_mut_ptr())))
    }

    pub(super) fn open_session(
        &self,
        slot: ck::CK_SLOT_ID,
        write: bool,
    ) -> Result<ck::CK_SESSION_HANDLE, Rv> {
        let flags = ck::CKF_SERIAL_SESSION | if write { ck::CKF_RW_SESSION } else { 0 };
        let mut session = 0;
        ok(call!(self, C_OpenSession(slot, flags, ptr::null_mut(), None, &raw mut session)))?;
        Ok(session)
    }

    pub(super) fn close_session(&self, session: ck::CK_SESSION_HANDLE) -> Result<(), Rv> {
        ok(call!(self, C_CloseSession(session)))
    }

    /// CKS_*.
    pub(super) fn session_state(&self, session: ck::CK_SESSION_HANDLE) -> Result<u64, Rv> {
        let mut info = ck::CK_SESSION_INFO::default();
        ok(call!(self, C_GetSessionInfo(session, &raw mut info)))?;
        Ok(info.state)
    }

    pub(super) fn login(&self, session: ck::CK_SESSION_HANDLE, user: u64, pin: &[u8]) -> Result<(), Rv> {
        ok(call!(self, C_Login(session, user, input(pin), len(pin))))
    }

    pub(super) fn logout(&self, session: ck::CK_SESSION_HANDLE) -> Result<(), Rv> {
        ok(call!(self, C_Logout(session)))
    }

    pub(super) fn init_pin(&self, session: ck::CK_SESSION_HANDLE, pin: &[u8]) -> Result<(), Rv> {
        ok(call!(self, C_InitPIN(session, input(pin), len(pin))))
    }

    pub(super) fn set_pin(&self, session: ck::CK_SESSION_HANDLE, old: &[u8], new: &[u8]) -> Result<(), Rv> {
        ok(call!(self, C_SetPIN(session, input(old), len(old), input(new), len(new))))
    }

    /// The objects that have all of `template`.
    pub(super) fn find(
        &self,
        session: ck::CK_SESSION_HANDLE,
        template: &Template,
    ) -> Result<Vec<ck::CK_OBJECT_HANDLE>, Rv> {
        let mut raw = attributes(template);
        ok(call!(self, C_FindObjectsInit(session, raw.as_mut_ptr(), raw.len() as ck::CK_ULONG)))?;
        let mut found = Vec::new();
        let outcome = loop {
            let mut batch = [0; BATCH];
            let mut count = 0;
            let rv = call!(
                self,
                C_FindObjects(session, batch.as_mut_ptr(), BATCH as ck::CK_ULONG, &raw mut count)
            );
            if let Err(rv) = ok(rv) {
                break Err(rv);
            }
            let count = usize::try_from(count).unwrap_or(usize::MAX).min(BATCH);
            found.extend_from_slice(&batch[..count]);
            if count == 0 || found.len() > MOST {
                break Ok(found);
            }
        };
        let ended = ok(call!(self, C_FindObjectsFinal(session)));
        let found = outcome?;
        ended.map(|()| found)
    }

    /// The values of attributes, `None` for each that the object does not have or does not show.
    pub(super) fn values(
        &self,
        session: ck::CK_SESSION_HANDLE,
        object: ck::CK_OBJECT_HANDLE,
        kinds: &[ck::CK_ATTRIBUTE_TYPE],
    ) -> Result<Vec<Option<Vec<u8>>>, Rv> {
        let mut raw: Vec<ck::CK_ATTRIBUTE> = kinds
            .iter()
            .map(|kind| ck::CK_ATTRIBUTE { type_: *kind, pValue: ptr::null_mut(), ulValueLen: 0 })
            .collect();
        let ask = |raw: &mut Vec<ck::CK_ATTRIBUTE>| {
            let count = raw.len() as ck::CK_ULONG;
            match call!(self, C_GetAttributeValue(session, object, raw.as_mut_ptr(), count)) {
                ck::CKR_OK | ck::CKR_ATTRIBUTE_SENSITIVE | ck::CKR_ATTRIBUTE_TYPE_INVALID => Ok(()),
                rv => Err(Rv(rv)),
            }
        };
        ask(&mut raw)?;
        let mut values: Vec<Option<Vec<u8>>> = raw
            .iter()
            .map(|asked| {
                let len = usize::try_from(asked.ulValueLen).ok().filter(|len| *len <= LONGEST_VALUE)?;
                Some(vec![0; len])
            })
            .collect();
        for (asked, value) in raw.iter_mut().zip(&mut values) {
            // What the object lacks is asked for again without a place, so that nothing is written.
            asked.pValue = value.as_mut().map_or(ptr::null_mut(), |value| value.as_mut_ptr().cast());
            asked.ulValueLen = value.as_ref().map_or(0, |value| len(value));
        }
        ask(&mut raw)?;
        for (asked, value) in raw.iter().zip(&mut values) {
            let written = usize::try_from(asked.ulValueLen).unwrap_or(usize::MAX);
            match value {
                Some(bytes) if written <= bytes.len() => bytes.truncate(written),
                value => *value = None,
            }
        }
        Ok(values)
    }

    pub(super) fn set_values(
        &self,
        session: ck::CK_SESSION_HANDLE,
        object: ck::CK_OBJECT_HANDLE,
        template: &Template,
    ) -> Result<(), Rv> {
        let mut raw = attributes(template);
        ok(call!(self, C_SetAttributeValue(session, object, raw.as_mut_ptr(), raw.len() as ck::CK_ULONG)))
    }

    pub(super) fn create(
        &self,
        session: ck::CK_SESSION_HANDLE,
        template: &Template,
    ) -> Result<ck::CK_OBJECT_HANDLE, Rv> {
        let mut raw = attributes(template);
        let count = raw.len() as ck::CK_ULONG;
        let mut object = 0;
        ok(call!(self, C_CreateObject(session, raw.as_mut_ptr(), count, &raw mut object)))?;
        Ok(object)
    }

    pub(super) fn destroy(
        &self,
        session: ck::CK_SESSION_HANDLE,
        object: ck::CK_OBJECT_HANDLE,
    ) -> Result<(), Rv> {
        ok(call!(self, C_DestroyObject(session, object)))
    }

    pub(super) fn generate_key(
        &self,
        session: ck::CK_SESSION_HANDLE,
        mechanism: Mechanism<'_>,
        template: &Template,
    ) -> Result<ck::CK_OBJECT_HANDLE, Rv> {
        let mut raw = attributes(template);
        let count = raw.len() as ck::CK_ULONG;
        let mut key = 0;
        with(mechanism, |mechanism| {
            ok(call!(self, C_GenerateKey(session, mechanism, raw.as_mut_ptr(), count, &raw mut key)))
        })?;
        Ok(key)
    }

    /// The public and the private key.
    pub(super) fn generate_key_pair(
        &self,
        session: ck::CK_SESSION_HANDLE,
        mechanism: Mechanism<'_>,
        public: &Template,
        private: &Template,
    ) -> Result<(ck::CK_OBJECT_HANDLE, ck::CK_OBJECT_HANDLE), Rv> {
        let (mut one, mut two) = (attributes(public), attributes(private));
        let (ones, twos) = (one.len() as ck::CK_ULONG, two.len() as ck::CK_ULONG);
        let (mut public, mut private) = (0, 0);
        with(mechanism, |mechanism| {
            ok(call!(
                self,
                C_GenerateKeyPair(
                    session,
                    mechanism,
                    one.as_mut_ptr(),
                    ones,
                    two.as_mut_ptr(),
                    twos,
                    &raw mut public,
                    &raw mut private
                )
            ))
        })?;
        Ok((public, private))
    }

    /// A signature of at most `most` bytes; `between` runs when it is begun.
    pub(super) fn sign(
        &self,
        session: ck::CK_SESSION_HANDLE,
        mechanism: Mechanism<'_>,
        key: ck::CK_OBJECT_HANDLE,
        (data, most): (&[u8], usize),
        between: impl FnOnce() -> Result<(), Rv>,
    ) -> Result<Vec<u8>, Rv> {
        with(mechanism, |mechanism| ok(call!(self, C_SignInit(session, mechanism, key))))?;
        between()?;
        let mut signature = vec![0; most];
        let mut written = len(&signature);
        ok(call!(self, C_Sign(session, input(data), len(data), signature.as_mut_ptr(), &raw mut written)))?;
        cut(&mut signature, written)?;
        Ok(signature)
    }

    pub(super) fn encrypt(
        &self,
        session: ck::CK_SESSION_HANDLE,
        mechanism: Mechanism<'_>,
        key: ck::CK_OBJECT_HANDLE,
        plain: &[u8],
    ) -> Result<Vec<u8>, Rv> {
        with(mechanism, |mechanism| ok(call!(self, C_EncryptInit(session, mechanism, key))))?;
        let mut out = vec![0; plain.len() + 64];
        let mut written = len(&out);
        ok(call!(self, C_Encrypt(session, input(plain), len(plain), out.as_mut_ptr(), &raw mut written)))?;
        cut(&mut out, written)?;
        Ok(out)
    }

    pub(super) fn decrypt(
        &self,
        session: ck::CK_SESSION_HANDLE,
        mechanism: Mechanism<'_>,
        key: ck::CK_OBJECT_HANDLE,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Rv> {
        with(mechanism, |mechanism| ok(call!(self, C_DecryptInit(session, mechanism, key))))?;
        let mut out = Zeroizing::new(vec![0; sealed.len() + 64]);
        let mut written = len(&out);
        ok(call!(self, C_Decrypt(session, input(sealed), len(sealed), out.as_mut_ptr(), &raw mut written)))?;
        cut(&mut out, written)?;
        Ok(out)
    }
}

/// Two calls, as the standard has it for lists: how many, then which.
fn list(
    mut call: impl FnMut(*mut ck::CK_ULONG, *mut ck::CK_ULONG) -> ck::CK_RV,
) -> Result<Vec<ck::CK_ULONG>, Rv> {
    loop {
        let mut count = 0;
        ok(call(ptr::null_mut(), &raw mut count))?;
        let room = usize::try_from(count).unwrap_or(usize::MAX);
        if room > MOST {
            return Err(Rv(ck::CKR_GENERAL_ERROR));
        }
        let mut items = vec![0; room];
        match call(items.as_mut_ptr(), &raw mut count) {
            // There are more since.
            ck::CKR_BUFFER_TOO_SMALL => continue,
            rv => ok(rv)?,
        }
        items.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        return Ok(items);
    }
}

fn attributes(template: &Template) -> Vec<ck::CK_ATTRIBUTE> {
    let raw = |(kind, value): &(_, Vec<u8>)| ck::CK_ATTRIBUTE {
        type_: *kind,
        pValue: input(value).cast(),
        ulValueLen: len(value),
    };
    template.iter().map(raw).collect()
}

fn cut(out: &mut Vec<u8>, written: ck::CK_ULONG) -> Result<(), Rv> {
    let written = usize::try_from(written).unwrap_or(usize::MAX);
    if written > out.len() {
        return Err(Rv(ck::CKR_GENERAL_ERROR));
    }
    out.truncate(written);
    Ok(())
}

/// A padded field.
fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field).trim_end_matches([' ', '\0']).to_owned()
}
