//! The commands of TPM 2.0 part 3 that are used, one function each.

use std::ptr::{null, null_mut};

use tss_esapi_sys as tss;
use zeroize::Zeroize;

use super::{Handle, NONE, OWNER, PASSWORD, Result, SHA256, Tpm, UNFIT, check, content, sized, taken};

const NULL_HIERARCHY: Handle = 0x107;
static NO_DATA: tss::TPM2B_DATA = tss::TPM2B_DATA { size: 0, buffer: [0; 64] };

impl Tpm {
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
        check(rc)?;
        // ESAPI remembers the authorisation of what it has defined.
        self.with_auth.push(handle);
        Ok(handle)
    }

    /// TPM2_NV_UndefineSpace.
    pub(crate) fn nv_undefine(&mut self, index: Handle) -> Result<()> {
        self.forget_auth(index);
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

    /// TPM2_PCR_Read, which takes no session that encrypts, of a selection of one PCR: its value; empty where the TPM does not have it.
    pub(crate) fn pcr_read(&mut self, bank: u16, pcr: u8) -> Result<Vec<u8>> {
        let selection = pcr_selection(&[(bank, 1 << pcr)])?;
        let (mut counter, mut selected, mut values) = (0, null_mut(), null_mut());
        // SAFETY: see the head.
        check(unsafe {
            tss::Esys_PCR_Read(
                self.esys,
                NONE,
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
