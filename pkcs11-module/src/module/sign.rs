//! Signing and MACing (PKCS#11 v3.2 section 5.13).

use crate::{
    Module,
    error::{Error, Result},
    handle::{ObjectHandle, SessionHandle},
    mechanism::MechanismCall,
    operation::{Family, Operations, Signer},
    output::{Output, Written},
};

impl Module {
    /// Ends one kind of operation, if it is active: what an Init function with a NULL mechanism asks for (PKCS#11 from
    /// v3.0 on), and what becomes of an operation when the arguments of a call that continues it are bad.
    pub fn end_operation(&self, session: SessionHandle, family: Family) -> Result<()> {
        self.session(session)?.operations.lock().end(family);
        Ok(())
    }

    /// C_SignInit.
    pub fn sign_init(
        &self,
        session: SessionHandle,
        mechanism: MechanismCall,
        key: ObjectHandle,
    ) -> Result<()> {
        let session = self.session(session)?;
        let spent = session.operations.lock().spent_signer();
        let signer = match spent {
            Some(spent) => Signer::renew(&session.slot, mechanism, key, spent),
            None => Signer::new(&session.slot, mechanism, key),
        }?;
        session.begin(Operations::sign, signer)
    }

    /// C_Sign. After C_SignUpdate it is CKR_OPERATION_NOT_INITIALIZED, and ends the multi-part operation.
    pub fn sign(&self, session: SessionHandle, data: &[u8], out: Output<'_>) -> Result<Written> {
        let session = self.session(session)?;
        let mut running = session.running(Operations::sign)?;
        if running.is_multi_part() {
            return Err(Error::OperationNotInitialized);
        }
        let len = running.signature_len();
        let written = out.filled(len, |out| running.sign(data, out))?;
        match written {
            Written::Bytes(_) => running.spend(),
            Written::Needs(_) => running.keep(),
        }
        Ok(written)
    }

    /// C_SignUpdate. A mechanism that is single-part has no multi-part operation: CKR_OPERATION_NOT_INITIALIZED.
    pub fn sign_update(&self, session: SessionHandle, part: &[u8]) -> Result<()> {
        let session = self.session(session)?;
        let mut running = session.running(Operations::sign)?;
        running.update(part)?;
        running.keep();
        Ok(())
    }

    /// C_SignFinal. Without C_SignUpdate the message is empty.
    pub fn sign_final(&self, session: SessionHandle, out: Output<'_>) -> Result<Written> {
        let session = self.session(session)?;
        let mut running = session.running(Operations::sign)?;
        if !out.fits(running.signature_len()) {
            let len = running.signature_len();
            running.keep();
            return Ok(Written::Needs(len));
        }
        Ok(out.write(&running.finish()?))
    }

    /// C_SignRecoverInit: no mechanism of ours recovers data.
    pub fn sign_recover_init(
        &self,
        session: SessionHandle,
        _mechanism: MechanismCall,
        _key: ObjectHandle,
    ) -> Result<()> {
        self.session(session)?;
        Err(Error::MechanismInvalid)
    }
}
