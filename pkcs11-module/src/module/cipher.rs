//! Encryption and decryption (PKCS#11 v3.2 sections 5.8 and 5.10).

use algorithms::aes::Direction;

use crate::{
    Module,
    error::{Error, Result},
    handle::{ObjectHandle, SessionHandle},
    mechanism::MechanismCall,
    operation::{At, CipherOperation, Operations},
    output::{Output, Written},
};

impl Module {
    /// C_EncryptInit.
    pub fn encrypt_init(
        &self,
        session: SessionHandle,
        mechanism: MechanismCall,
        key: ObjectHandle,
    ) -> Result<()> {
        let session = self.session(session)?;
        let cipher = CipherOperation::new(&session.slot, mechanism, key, Direction::Encrypt)?;
        session.begin(Operations::encrypt, cipher)
    }

    /// C_Encrypt. After C_EncryptUpdate it is CKR_OPERATION_NOT_INITIALIZED, and ends the multi-part operation.
    pub fn encrypt(&self, session: SessionHandle, data: &[u8], out: Output<'_>) -> Result<Written> {
        self.cipher_whole(session, Operations::encrypt, data, out)
    }

    /// C_EncryptUpdate.
    pub fn encrypt_update(&self, session: SessionHandle, part: &[u8], out: Output<'_>) -> Result<Written> {
        self.cipher_update(session, Operations::encrypt, part, out)
    }

    /// C_EncryptFinal.
    pub fn encrypt_final(&self, session: SessionHandle, out: Output<'_>) -> Result<Written> {
        self.cipher_final(session, Operations::encrypt, out)
    }

    /// C_DecryptInit.
    pub fn decrypt_init(
        &self,
        session: SessionHandle,
        mechanism: MechanismCall,
        key: ObjectHandle,
    ) -> Result<()> {
        let session = self.session(session)?;
        let cipher = CipherOperation::new(&session.slot, mechanism, key, Direction::Decrypt)?;
        session.begin(Operations::decrypt, cipher)
    }

    /// C_Decrypt. After C_DecryptUpdate it is CKR_OPERATION_NOT_INITIALIZED, and ends the multi-part operation.
    pub fn decrypt(&self, session: SessionHandle, data: &[u8], out: Output<'_>) -> Result<Written> {
        self.cipher_whole(session, Operations::decrypt, data, out)
    }

    /// C_DecryptUpdate.
    pub fn decrypt_update(&self, session: SessionHandle, part: &[u8], out: Output<'_>) -> Result<Written> {
        self.cipher_update(session, Operations::decrypt, part, out)
    }

    /// C_DecryptFinal.
    pub fn decrypt_final(&self, session: SessionHandle, out: Output<'_>) -> Result<Written> {
        self.cipher_final(session, Operations::decrypt, out)
    }

    fn cipher_whole(
        &self,
        session: SessionHandle,
        at: At<CipherOperation>,
        data: &[u8],
        out: Output<'_>,
    ) -> Result<Written> {
        let session = self.session(session)?;
        let mut running = session.running(at)?;
        if running.is_multi_part() {
            return Err(Error::OperationNotInitialized);
        }
        let written = running.whole(data, out)?;
        if let Written::Needs(_) = written {
            running.keep();
        }
        Ok(written)
    }

    fn cipher_update(
        &self,
        session: SessionHandle,
        at: At<CipherOperation>,
        part: &[u8],
        out: Output<'_>,
    ) -> Result<Written> {
        let session = self.session(session)?;
        let mut running = session.running(at)?;
        let written = running.update(part, out)?;
        running.keep();
        Ok(written)
    }

    fn cipher_final(
        &self,
        session: SessionHandle,
        at: At<CipherOperation>,
        out: Output<'_>,
    ) -> Result<Written> {
        let session = self.session(session)?;
        let mut running = session.running(at)?;
        let written = running.finish(out)?;
        if let Written::Needs(_) = written {
            running.keep();
        }
        Ok(written)
    }
}
