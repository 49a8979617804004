//! Key management: generation, wrapping, unwrapping (PKCS#11 v3.2 section 5.18).

use crate::{
    Module,
    error::{Error, Result},
    handle::{ObjectHandle, SessionHandle},
    mechanism::MechanismCall,
    object::{generate, new, wrap},
    output::{Output, Written},
    template::Template,
};

impl Module {
    /// C_GenerateKey.
    pub fn generate_key(
        &self,
        session: SessionHandle,
        mechanism: MechanismCall,
        template: &Template<'_>,
    ) -> Result<ObjectHandle> {
        let session = self.session(session)?;
        let key = generate::secret_key(self, &session, &mechanism, template)?;
        new::add_one(self, &session, key)
    }

    /// C_GenerateKeyPair: public and private handle; both objects or neither. A pair that fails its pairwise check is
    /// CKR_DEVICE_ERROR, and the last thing that this module makes.
    pub fn generate_key_pair(
        &self,
        session: SessionHandle,
        mechanism: MechanismCall,
        public: &Template<'_>,
        private: &Template<'_>,
    ) -> Result<(ObjectHandle, ObjectHandle)> {
        let session = self.session(session)?;
        let pair = generate::key_pair(self, &session, &mechanism, public, private)?;
        match new::add(self, &session, pair.into())?[..] {
            [public, private] => Ok((public, private)),
            _ => Err(Error::GeneralError),
        }
    }

    /// C_WrapKey.
    pub fn wrap_key(
        &self,
        session: SessionHandle,
        mechanism: MechanismCall,
        wrapping_key: ObjectHandle,
        key: ObjectHandle,
        out: Output<'_>,
    ) -> Result<Written> {
        let session = self.session(session)?;
        Ok(out.write(&wrap::wrap(&session, &mechanism, wrapping_key, key, None)?))
    }

    /// C_UnwrapKey.
    pub fn unwrap_key(
        &self,
        session: SessionHandle,
        mechanism: MechanismCall,
        unwrapping_key: ObjectHandle,
        wrapped: &[u8],
        template: &Template<'_>,
    ) -> Result<ObjectHandle> {
        let session = self.session(session)?;
        let key = wrap::unwrap(&session, &mechanism, unwrapping_key, wrapped, template, None)?;
        new::add_one(self, &session, key)
    }

    /// C_WrapKeyAuthenticated, for AES-GCM: ciphertext and tag.
    pub fn wrap_key_authenticated(
        &self,
        session: SessionHandle,
        mechanism: MechanismCall,
        wrapping_key: ObjectHandle,
        key: ObjectHandle,
        associated_data: &[u8],
        out: Output<'_>,
    ) -> Result<Written> {
        let session = self.session(session)?;
        Ok(out.write(&wrap::wrap(&session, &mechanism, wrapping_key, key, Some(associated_data))?))
    }

    /// C_UnwrapKeyAuthenticated.
    pub fn unwrap_key_authenticated(
        &self,
        session: SessionHandle,
        mechanism: MechanismCall,
        unwrapping_key: ObjectHandle,
        wrapped: &[u8],
        associated_data: &[u8],
        template: &Template<'_>,
    ) -> Result<ObjectHandle> {
        let session = self.session(session)?;
        let key =
            wrap::unwrap(&session, &mechanism, unwrapping_key, wrapped, template, Some(associated_data))?;
        new::add_one(self, &session, key)
    }
}
