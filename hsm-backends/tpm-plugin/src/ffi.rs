//! The plug-in's own C functions, and libtss2-esys behind safe ones: the only unsafe code of this crate.
//!
//! The contract that every unsafe block here cites.
//! - libtss2-esys keeps to its headers (TCG TSS 2.0 ESAPI): it reads its inputs during a call only, gives a result that
//!   [`taken`] frees with `Esys_Free`, or none with an error. A context is used by one thread at a time: [`Tpm`] is not
//!   `Sync`, and lives within one call of [`trellis_tpm_call`].
//! - The store passes to [`trellis_tpm_call`] bytes that live during the call and two places to write to, and gives what
//!   it gets there, once, to [`trellis_tpm_free`] with its length.
#![expect(unsafe_code, reason = "C functions of libtss2, and C functions for the store")]

use std::{
    ffi::CString,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::{null, null_mut},
    time::Instant,
};

use tss_esapi_sys as tss;
use zeroize::Zeroize;

use crate::{
    operations,
    protocol::{Answer, VERSION},
    transport::{Address, Transport},
};

/// A handle of ESAPI's, not the TPM's.
pub(crate) type Handle = tss::ESYS_TR;
pub(crate) const NONE: Handle = 0xFFF;
pub(crate) const PASSWORD: Handle = 0x0FF;
pub(crate) const OWNER: Handle = 0x101;
const NULL_HIERARCHY: Handle = 0x107;
const SHA256: u16 = 0x000B;
static NO_DATA: tss::TPM2B_DATA = tss::TPM2B_DATA { size: 0, buffer: [0; 64] };

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

/// libtss2's view of a [`Transport`]: its first member is what it calls by.
#[repr(C)]
struct OwnTcti {
    common: tss::TSS2_TCTI_CONTEXT_COMMON_V1,
    transport: Transport,
}

const TCTI_IO_ERROR: u32 = 0x000A_000A;

extern "C" fn transmit(
    tcti: *mut tss::TSS2_TCTI_CONTEXT,
    size: tss::size_t,
    command: *const u8,
) -> tss::TSS2_RC {
    // SAFETY: called with the context that was given to Esys_Initialize, whose box lives as long, and with live bytes.
    let (own, command) =
        unsafe { (&mut *tcti.cast::<OwnTcti>(), std::slice::from_raw_parts(command, size as usize)) };
    if own.transport.transmit(command) { 0 } else { TCTI_IO_ERROR }
}

extern "C" fn receive(
    tcti: *mut tss::TSS2_TCTI_CONTEXT,
    size: *mut tss::size_t,
    response: *mut u8,
    _: i32,
) -> tss::TSS2_RC {
    // SAFETY: as in `transmit`; `size` can be read and written.
    let (own, size) = unsafe { (&mut *tcti.cast::<OwnTcti>(), &mut *size) };
    let Some(received) = own.transport.receive() else { return TCTI_IO_ERROR };
    let room = std::mem::replace(size, received.len() as tss::size_t);
    // First it is asked how long the response is.
    if !response.is_null() {
        // SAFETY: `response` has room for as many bytes as `size` said.
        let room = unsafe { std::slice::from_raw_parts_mut(response, room as usize) };
        let Some(place) = room.get_mut(..received.len()) else { return TCTI_IO_ERROR };
        place.copy_from_slice(received);
    }
    0
}

extern "C" fn finalize(_: *mut tss::TSS2_TCTI_CONTEXT) {}

enum Link {
    Own(Box<OwnTcti>),
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
        let mut link = match Transport::open(address, deadline).map_err(|error| error.to_string())? {
            Some(transport) => {
                let common = tss::TSS2_TCTI_CONTEXT_COMMON_V1 {
                    magic: u64::from_be_bytes(*b"TRELLIS\0"),
                    version: 1,
                    transmit: Some(transmit),
                    receive: Some(receive),
                    finalize: Some(finalize),
                    cancel: None,
                    getPollHandles: None,
                    setLocality: None,
                };
                Link::Own(Box::new(OwnTcti { common, transport }))
            }
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
        let tcti = match &mut link {
            Link::Own(own) => (&raw mut **own).cast(),
            Link::Loaded(tcti) => *tcti,
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
        match &mut self.link {
            Link::Own(own) => own.transport.failure.take().map(|error| error.to_string()),
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

    /// TPM2_CreatePrimary below the owner, without anything secret.
    pub(crate) fn create_primary(&mut self, template: &[u8], by: Handle) -> Result<Handle> {
        let public = public(template)?;
        let sensitive = tss::TPM2B_SENSITIVE_CREATE::default();
        let pcrs = tss::TPML_PCR_SELECTION::default();
        let mut handle = NONE;
        // SAFETY: see the head; results that are not wanted may be null.
        check(unsafe {
            tss::Esys_CreatePrimary(
                self.esys,
                OWNER,
                by,
                NONE,
                NONE,
                &raw const sensitive,
                &raw const public,
                &raw const NO_DATA,
                &raw const pcrs,
                &raw mut handle,
                null_mut(),
                null_mut(),
                null_mut(),
                null_mut(),
            )
        })?;
        Ok(self.opened(handle))
    }

    /// TPM2_Create of a sealed object: its public and its private part.
    pub(crate) fn create(
        &mut self,
        parent: Handle,
        template: &[u8],
        auth: &[u8],
        data: &[u8],
    ) -> Result<(Vec<u8>, Vec<u8>)> {
        let public = public(template)?;
        let mut sensitive = tss::TPM2B_SENSITIVE_CREATE::default();
        sensitive.sensitive.userAuth = sized!(TPM2B_AUTH, buffer, auth);
        sensitive.sensitive.data = sized!(TPM2B_SENSITIVE_DATA, buffer, data);
        let pcrs = tss::TPML_PCR_SELECTION::default();
        let (mut private, mut made) = (null_mut(), null_mut());
        // SAFETY: see the head.
        let rc = unsafe {
            tss::Esys_Create(
                self.esys,
                parent,
                self.session,
                NONE,
                NONE,
                &raw const sensitive,
                &raw const public,
                &raw const NO_DATA,
                &raw const pcrs,
                &raw mut private,
                &raw mut made,
                null_mut(),
                null_mut(),
                null_mut(),
            )
        };
        sensitive.sensitive.userAuth.buffer.zeroize();
        sensitive.sensitive.data.buffer.zeroize();
        check(rc)?;
        Ok((marshalled(&taken(made))?, content!(taken(private), buffer)))
    }

    /// TPM2_Load.
    pub(crate) fn load(&mut self, parent: Handle, public_part: &[u8], private: &[u8]) -> Result<Handle> {
        let public = public(public_part)?;
        let private = sized!(TPM2B_PRIVATE, buffer, private);
        let mut handle = NONE;
        // SAFETY: see the head.
        check(unsafe {
            tss::Esys_Load(
                self.esys,
                parent,
                self.session,
                NONE,
                NONE,
                &raw const private,
                &raw const public,
                &raw mut handle,
            )
        })?;
        Ok(self.opened(handle))
    }

    /// TPM2_Unseal, its answer encrypted.
    pub(crate) fn unseal(&mut self, object: Handle, policy: Handle) -> Result<zeroize::Zeroizing<Vec<u8>>> {
        let mut data = null_mut();
        // SAFETY: see the head.
        check(unsafe { tss::Esys_Unseal(self.esys, object, policy, self.session, NONE, &raw mut data) })?;
        let mut data = taken(data);
        let bytes =
            data.buffer.get(..usize::from(data.size)).map(|bytes| zeroize::Zeroizing::new(bytes.to_vec()));
        data.buffer.zeroize();
        bytes.ok_or(UNFIT)
    }

    /// Anything that is in the TPM already, by the TPM's own handle.
    pub(crate) fn existing(&mut self, handle: u32) -> Result<Handle> {
        let mut found = NONE;
        // SAFETY: see the head.
        check(unsafe { tss::Esys_TR_FromTPMPublic(self.esys, handle, NONE, NONE, NONE, &raw mut found) })?;
        Ok(found)
    }

    /// The Name of an object or index (TPM 2.0 part 1, 16).
    pub(crate) fn name(&mut self, handle: Handle) -> Result<Vec<u8>> {
        let mut name = null_mut();
        // SAFETY: see the head.
        check(unsafe { tss::Esys_TR_GetName(self.esys, handle, &raw mut name) })?;
        Ok(content!(taken(name), name))
    }

    /// TPM2_NV_DefineSpace of 8 bytes.
    pub(crate) fn nv_define(
        &mut self,
        index: u32,
        attributes: u32,
        policy: &[u8],
        auth: &[u8],
    ) -> Result<Handle> {
        let mut auth = sized!(TPM2B_AUTH, buffer, auth);
        let public = tss::TPM2B_NV_PUBLIC {
            size: 0,
            nvPublic: tss::TPMS_NV_PUBLIC {
                nvIndex: index,
                nameAlg: SHA256,
                attributes,
                authPolicy: sized!(TPM2B_DIGEST, buffer, policy),
                dataSize: 8,
            },
        };
        let mut handle = NONE;
        // SAFETY: see the head.
        let rc = unsafe {
            tss::Esys_NV_DefineSpace(
                self.esys,
                OWNER,
                self.session,
                NONE,
                NONE,
                &raw const auth,
                &raw const public,
                &raw mut handle,
            )
        };
        auth.buffer.zeroize();
        check(rc).map(|()| handle)
    }

    /// TPM2_NV_UndefineSpace.
    pub(crate) fn nv_undefine(&mut self, index: Handle) -> Result<()> {
        let by = if self.session == NONE { PASSWORD } else { self.session };
        // SAFETY: see the head.
        check(unsafe { tss::Esys_NV_UndefineSpace(self.esys, OWNER, index, by, NONE, NONE) })
    }

    /// TPM2_NV_Write of the whole index.
    pub(crate) fn nv_write(&mut self, index: Handle, by: Handle, data: &[u8]) -> Result<()> {
        let data = sized!(TPM2B_MAX_NV_BUFFER, buffer, data);
        // SAFETY: see the head.
        check(unsafe { tss::Esys_NV_Write(self.esys, index, index, by, NONE, NONE, &raw const data, 0) })
    }

    /// TPM2_NV_Read of the whole index.
    pub(crate) fn nv_read(&mut self, index: Handle, by: Handle) -> Result<[u8; 8]> {
        let mut data = null_mut();
        // SAFETY: see the head.
        check(unsafe { tss::Esys_NV_Read(self.esys, index, index, by, NONE, NONE, 8, 0, &raw mut data) })?;
        content!(taken(data), buffer).try_into().map_err(|_| UNFIT)
    }

    /// TPM2_NV_Increment.
    pub(crate) fn nv_increment(&mut self, index: Handle) -> Result<()> {
        // SAFETY: see the head.
        check(unsafe { tss::Esys_NV_Increment(self.esys, index, index, self.session, NONE, NONE) })
    }

    /// TPM2_Hash with SHA-256, of at most 1024 bytes.
    pub(crate) fn hash(&mut self, data: &[u8]) -> Result<[u8; 32]> {
        let data = sized!(TPM2B_MAX_BUFFER, buffer, data);
        let (mut hash, mut ticket) = (null_mut(), null_mut());
        // SAFETY: see the head.
        check(unsafe {
            tss::Esys_Hash(
                self.esys,
                self.session,
                NONE,
                NONE,
                &raw const data,
                SHA256,
                NULL_HIERARCHY,
                &raw mut hash,
                &raw mut ticket,
            )
        })?;
        taken(ticket);
        content!(taken(hash), buffer).try_into().map_err(|_| UNFIT)
    }

    /// TPM2_PCR_Read of a selection of one PCR: its value; empty where the TPM does not have it.
    pub(crate) fn pcr_read(&mut self, bank: u16, pcr: u8) -> Result<Vec<u8>> {
        let selection = pcr_selection(&[(bank, 1 << pcr)])?;
        let (mut counter, mut selected, mut values) = (0, null_mut(), null_mut());
        // SAFETY: see the head.
        check(unsafe {
            tss::Esys_PCR_Read(
                self.esys,
                self.session_for_integrity(),
                NONE,
                NONE,
                &raw const selection,
                &raw mut counter,
                &raw mut selected,
                &raw mut values,
            )
        })?;
        taken(selected);
        let values = taken(values);
        if values.count == 0 { Ok(Vec::new()) } else { Ok(content!(values.digests[0], buffer)) }
    }

    /// Commands without a parameter that could be encrypted take no such session.
    fn session_for_integrity(&self) -> Handle {
        NONE
    }

    /// TPM2_GetCapability of handles from `first` on.
    pub(crate) fn handles(&mut self, first: u32) -> Result<Vec<u32>> {
        const TPM2_CAP_HANDLES: u32 = 1;
        let (mut more, mut data) = (0, null_mut());
        // SAFETY: see the head.
        check(unsafe {
            tss::Esys_GetCapability(
                self.esys,
                NONE,
                NONE,
                NONE,
                TPM2_CAP_HANDLES,
                first,
                254,
                &raw mut more,
                &raw mut data,
            )
        })?;
        // SAFETY: the answer to a question for handles holds handles.
        let list = unsafe { taken(data).data.handles };
        Ok(list.handle.get(..usize::try_from(list.count).map_err(|_| UNFIT)?).ok_or(UNFIT)?.to_vec())
    }

    /// TPM2_FlushContext of what no context of ours has made.
    pub(crate) fn flush_foreign(&mut self, handle: u32) -> Result<()> {
        let found = self.existing(handle)?;
        // SAFETY: see the head.
        check(unsafe { tss::Esys_FlushContext(self.esys, found) })
    }

    /// TPM2_PolicySecret: the authorisation of `entity` is judged.
    pub(crate) fn policy_secret(&mut self, policy: Handle, entity: Handle) -> Result<()> {
        // SAFETY: see the head.
        check(unsafe {
            tss::Esys_PolicySecret(
                self.esys,
                entity,
                policy,
                self.session,
                NONE,
                NONE,
                null(),
                null(),
                null(),
                0,
                null_mut(),
                null_mut(),
            )
        })
    }

    /// TPM2_PolicyPCR.
    pub(crate) fn policy_pcr(&mut self, policy: Handle, digest: &[u8], pcrs: &[(u16, u32)]) -> Result<()> {
        let (digest, pcrs) = (sized!(TPM2B_DIGEST, buffer, digest), pcr_selection(pcrs)?);
        // SAFETY: see the head.
        check(unsafe {
            tss::Esys_PolicyPCR(self.esys, policy, NONE, NONE, NONE, &raw const digest, &raw const pcrs)
        })
    }

    /// TPM2_PolicyNV with TPM2_EO_EQ.
    pub(crate) fn policy_nv(&mut self, policy: Handle, index: Handle, equals: &[u8]) -> Result<()> {
        let operand = sized!(TPM2B_OPERAND, buffer, equals);
        // SAFETY: see the head.
        check(unsafe {
            tss::Esys_PolicyNV(
                self.esys,
                index,
                index,
                policy,
                self.session,
                NONE,
                NONE,
                &raw const operand,
                0,
                0,
            )
        })
    }

    /// TPM2_PolicyNvWritten.
    pub(crate) fn policy_nv_written(&mut self, policy: Handle, written: bool) -> Result<()> {
        // SAFETY: see the head.
        check(unsafe { tss::Esys_PolicyNvWritten(self.esys, policy, NONE, NONE, NONE, u8::from(written)) })
    }

    /// TPM2_PolicyCommandCode.
    pub(crate) fn policy_command(&mut self, policy: Handle, command: u32) -> Result<()> {
        // SAFETY: see the head.
        check(unsafe { tss::Esys_PolicyCommandCode(self.esys, policy, NONE, NONE, NONE, command) })
    }

    /// TPM2_PolicyOR.
    pub(crate) fn policy_or(&mut self, policy: Handle, branches: &[&[u8]]) -> Result<()> {
        let mut list = tss::TPML_DIGEST::default();
        for branch in branches {
            list.digests[list.count as usize] = sized!(TPM2B_DIGEST, buffer, branch);
            list.count += 1;
        }
        // SAFETY: see the head.
        check(unsafe { tss::Esys_PolicyOR(self.esys, policy, NONE, NONE, NONE, &raw const list) })
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
        if let Link::Loaded(tcti) = &mut self.link {
            // SAFETY: the context that used it is gone.
            unsafe { tss::Tss2_TctiLdr_Finalize(tcti) };
        }
    }
}

/// TPML_PCR_SELECTION of banks and their PCRs, one bit for each.
fn pcr_selection(banks: &[(u16, u32)]) -> Result<tss::TPML_PCR_SELECTION> {
    let mut list = tss::TPML_PCR_SELECTION::default();
    for (bank, pcrs) in banks {
        let [a, b, c, _] = pcrs.to_le_bytes();
        let place = list.pcrSelections.get_mut(list.count as usize).ok_or(UNFIT)?;
        *place = tss::TPMS_PCR_SELECTION { hash: *bank, sizeofSelect: 3, pcrSelect: [a, b, c, 0] };
        list.count += 1;
    }
    Ok(list)
}

/// TPM2B_PUBLIC of its marshalled form.
fn public(bytes: &[u8]) -> Result<tss::TPM2B_PUBLIC> {
    let mut made = tss::TPM2B_PUBLIC::default();
    let mut offset = 0;
    // SAFETY: see the head; libtss2-mu reads no further than the length.
    check(unsafe {
        tss::Tss2_MU_TPM2B_PUBLIC_Unmarshal(
            bytes.as_ptr(),
            bytes.len() as tss::size_t,
            &raw mut offset,
            &raw mut made,
        )
    })?;
    Ok(made)
}

fn marshalled(made: &tss::TPM2B_PUBLIC) -> Result<Vec<u8>> {
    let mut bytes = vec![0; size_of::<tss::TPM2B_PUBLIC>()];
    let mut offset = 0;
    // SAFETY: see the head; libtss2-mu writes no further than the length.
    check(unsafe {
        tss::Tss2_MU_TPM2B_PUBLIC_Marshal(
            made,
            bytes.as_mut_ptr(),
            bytes.len() as tss::size_t,
            &raw mut offset,
        )
    })?;
    bytes.truncate(offset as usize);
    Ok(bytes)
}

/// The version of what the two sides say to each other.
// SAFETY: no other symbol has this name.
#[unsafe(no_mangle)]
pub extern "C" fn trellis_tpm_version() -> u32 {
    VERSION
}

/// Does one operation of the file `protocol.rs`. The answer's bytes are the caller's, to be given back to
/// [`trellis_tpm_free`].
///
/// # Safety
///
/// `request` has `len` bytes; `response` and `response_len` can be written.
// SAFETY: no other symbol has this name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trellis_tpm_call(
    operation: u32,
    request: *const u8,
    len: usize,
    response: *mut *mut u8,
    response_len: *mut usize,
) -> i32 {
    // SAFETY: the caller's promise.
    let request = unsafe { std::slice::from_raw_parts(request, len) };
    let done = catch_unwind(AssertUnwindSafe(|| operations::perform(operation, request)));
    let (answer, bytes) = done.unwrap_or_else(|_| {
        (Answer::Failed, b"the TPM plug-in has a bug; see standard error".to_vec().into())
    });
    let bytes = Box::leak(bytes.as_slice().to_vec().into_boxed_slice());
    // SAFETY: the caller's promise.
    unsafe {
        *response_len = bytes.len();
        *response = bytes.as_mut_ptr();
    }
    answer as i32
}

/// Wipes and frees an answer.
///
/// # Safety
///
/// The two come from one call of [`trellis_tpm_call`], and come here once.
// SAFETY: no other symbol has this name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trellis_tpm_free(response: *mut u8, len: usize) {
    // SAFETY: the caller's promise: the box that was leaked there.
    let mut bytes = unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(response, len)) };
    bytes.zeroize();
}
