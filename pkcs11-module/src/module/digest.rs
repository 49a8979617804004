//! Message digesting (PKCS#11 v3.2 section 5.12), and saving its state (section 5.6).

use crate::{
    Module,
    error::{Error, Result},
    handle::{ObjectHandle, SessionHandle},
    mechanism::MechanismCall,
    operation::{DigestOperation, Operations},
    output::{Output, Written},
};

impl Module {
    /// C_DigestInit.
    pub fn digest_init(&self, session: SessionHandle, mechanism: MechanismCall) -> Result<()> {
        self.session(session)?.begin(Operations::digest, DigestOperation::new(&mechanism)?)
    }

    /// C_Digest.
    pub fn digest(&self, session: SessionHandle, data: &[u8], out: Output<'_>) -> Result<Written> {
        let session = self.session(session)?;
        let mut running = session.running(Operations::digest)?;
        if running.is_multi_part() {
            return Err(Error::OperationNotInitialized);
        }
        if !out.fits(running.len()) {
            let len = running.len();
            running.keep();
            return Ok(Written::Needs(len));
        }
        running.update(data);
        Ok(out.write(&running.end().finish()?))
    }

    /// C_DigestUpdate.
    pub fn digest_update(&self, session: SessionHandle, part: &[u8]) -> Result<()> {
        let session = self.session(session)?;
        let mut running = session.running(Operations::digest)?;
        running.update(part);
        running.keep();
        Ok(())
    }

    /// C_DigestKey: the value of a secret key; CKR_KEY_INDIGESTIBLE for other keys.
    pub fn digest_key(&self, session: SessionHandle, key: ObjectHandle) -> Result<()> {
        let session = self.session(session)?;
        let mut running = session.running(Operations::digest)?;
        running.update_key(&session.slot, key)?;
        running.keep();
        Ok(())
    }

    /// C_DigestFinal.
    pub fn digest_final(&self, session: SessionHandle, out: Output<'_>) -> Result<Written> {
        let session = self.session(session)?;
        let running = session.running(Operations::digest)?;
        if !out.fits(running.len()) {
            let len = running.len();
            running.keep();
            return Ok(Written::Needs(len));
        }
        Ok(out.write(&running.end().finish()?))
    }

    /// C_GetOperationState, for digests: CKR_STATE_UNSAVEABLE while anything else but a search is active, or once a
    /// key has been digested.
    pub fn operation_state(&self, session: SessionHandle, out: Output<'_>) -> Result<Written> {
        let session = self.session(session)?;
        if session.operations.lock().has_unsaveable() {
            return Err(Error::StateUnsaveable);
        }
        let running = session.running(Operations::digest)?;
        let state = running.save();
        running.keep();
        Ok(out.write(&state?))
    }

    /// C_SetOperationState: what was active in the session before ends. A digest needs no keys: CKR_KEY_NOT_NEEDED.
    pub fn set_operation_state(
        &self,
        session: SessionHandle,
        state: &[u8],
        encryption_key: Option<ObjectHandle>,
        authentication_key: Option<ObjectHandle>,
    ) -> Result<()> {
        let session = self.session(session)?;
        let digest = DigestOperation::restore(state)?;
        if encryption_key.is_some() || authentication_key.is_some() {
            return Err(Error::KeyNotNeeded);
        }
        let mut operations = session.operations.lock();
        operations.cancel(u64::MAX);
        operations.begin(Operations::digest, digest)
    }
}
