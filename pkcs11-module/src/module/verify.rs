//! Verifying signatures and MACs (PKCS#11 v3.2 section 5.15), C_VerifySignature* among them.

use crate::{
    Module,
    error::{Error, Result},
    handle::{ObjectHandle, SessionHandle},
    mechanism::MechanismCall,
    operation::{Operations, Verifier, VerifySignature},
};

impl Module {
    /// C_VerifyInit.
    pub fn verify_init(
        &self,
        session: SessionHandle,
        mechanism: MechanismCall,
        key: ObjectHandle,
    ) -> Result<()> {
        let session = self.session(session)?;
        session.begin(Operations::verify, Verifier::new(&session.slot, mechanism, key)?)
    }

    /// C_Verify. After C_VerifyUpdate it is CKR_OPERATION_NOT_INITIALIZED, and ends the multi-part operation.
    pub fn verify(&self, session: SessionHandle, data: &[u8], signature: &[u8]) -> Result<()> {
        let session = self.session(session)?;
        let mut running = session.running(Operations::verify)?;
        if running.is_multi_part() {
            return Err(Error::OperationNotInitialized);
        }
        running.verify(data, signature)
    }

    /// C_VerifyUpdate. A mechanism that is single-part has no multi-part operation: CKR_OPERATION_NOT_INITIALIZED.
    pub fn verify_update(&self, session: SessionHandle, part: &[u8]) -> Result<()> {
        let session = self.session(session)?;
        let mut running = session.running(Operations::verify)?;
        running.update(part)?;
        running.keep();
        Ok(())
    }

    /// C_VerifyFinal. Without C_VerifyUpdate the message is empty.
    pub fn verify_final(&self, session: SessionHandle, signature: &[u8]) -> Result<()> {
        self.session(session)?.running(Operations::verify)?.finish(signature)
    }

    /// C_VerifyRecoverInit: no mechanism of ours recovers data.
    pub fn verify_recover_init(
        &self,
        session: SessionHandle,
        _mechanism: MechanismCall,
        _key: ObjectHandle,
    ) -> Result<()> {
        self.session(session)?;
        Err(Error::MechanismInvalid)
    }

    /// C_VerifySignatureInit. The length of the signature is judged with the signature.
    pub fn verify_signature_init(
        &self,
        session: SessionHandle,
        mechanism: MechanismCall,
        key: ObjectHandle,
        signature: &[u8],
    ) -> Result<()> {
        let session = self.session(session)?;
        let verifier = Verifier::new(&session.slot, mechanism, key)?;
        let operation = VerifySignature { verifier, signature: signature.to_vec() };
        session.begin(Operations::verify_signature, operation)
    }

    /// C_VerifySignature.
    pub fn verify_signature(&self, session: SessionHandle, data: &[u8]) -> Result<()> {
        let session = self.session(session)?;
        let VerifySignature { mut verifier, signature } =
            session.running(Operations::verify_signature)?.end();
        if verifier.is_multi_part() {
            return Err(Error::OperationNotInitialized);
        }
        verifier.verify(data, &signature)
    }

    /// C_VerifySignatureUpdate.
    pub fn verify_signature_update(&self, session: SessionHandle, part: &[u8]) -> Result<()> {
        let session = self.session(session)?;
        let mut running = session.running(Operations::verify_signature)?;
        running.verifier.update(part)?;
        running.keep();
        Ok(())
    }

    /// C_VerifySignatureFinal.
    pub fn verify_signature_final(&self, session: SessionHandle) -> Result<()> {
        let session = self.session(session)?;
        let VerifySignature { mut verifier, signature } =
            session.running(Operations::verify_signature)?.end();
        verifier.finish(&signature)
    }
}
