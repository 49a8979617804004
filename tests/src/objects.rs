//! Objects and keys through the raw functions: templates that own their values, and one method for each call that
//! tests make often. Every method answers with the CK_RV of the first call that was not CKR_OK.

use std::ptr::null_mut;

use cryptoki_sys::*;

use crate::{c, raw::Raw};

/// CKA_EC_PARAMS of Ed25519.
pub const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
/// CKA_EC_PARAMS of P-256.
pub const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// What a call answered.
pub type Answer<T> = Result<T, CK_RV>;

/// CK_ATTRIBUTEs with the values that they point to.
#[derive(Debug, Clone, Default)]
pub struct Template(Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)>);

impl Template {
    /// Without attributes.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one attribute more, of any type.
    #[must_use]
    pub fn bytes(mut self, kind: CK_ATTRIBUTE_TYPE, value: &[u8]) -> Self {
        self.0.push((kind, value.to_vec()));
        self
    }

    /// With a CK_ULONG more.
    #[must_use]
    pub fn number(self, kind: CK_ATTRIBUTE_TYPE, value: CK_ULONG) -> Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// With a CK_BBOOL more.
    #[must_use]
    pub fn flag(self, kind: CK_ATTRIBUTE_TYPE, value: bool) -> Self {
        self.bytes(kind, &[u8::from(value)])
    }

    /// With CKA_LABEL.
    #[must_use]
    pub fn label(self, label: &str) -> Self {
        self.bytes(CKA_LABEL, label.as_bytes())
    }

    /// The structs for C, good for as long as the template is not changed.
    pub fn attributes(&self) -> Vec<CK_ATTRIBUTE> {
        let attribute = |(kind, value): &(CK_ATTRIBUTE_TYPE, Vec<u8>)| CK_ATTRIBUTE {
            type_: *kind,
            pValue: value.as_ptr().cast_mut().cast(),
            ulValueLen: value.len() as CK_ULONG,
        };
        self.0.iter().map(attribute).collect()
    }
}

/// A mechanism without a parameter.
pub fn plain(mechanism: CK_MECHANISM_TYPE) -> CK_MECHANISM {
    CK_MECHANISM { mechanism, ..CK_MECHANISM::default() }
}

/// A mechanism whose parameter is `value`, which must outlive it.
pub fn with_parameter<T>(mechanism: CK_MECHANISM_TYPE, value: &T) -> CK_MECHANISM {
    let parameter = std::ptr::from_ref(value).cast_mut().cast();
    CK_MECHANISM { mechanism, pParameter: parameter, ulParameterLen: size_of::<T>() as CK_ULONG }
}

fn input(bytes: &[u8]) -> (*mut u8, CK_ULONG) {
    (bytes.as_ptr().cast_mut(), bytes.len() as CK_ULONG)
}

fn done<T>(rv: CK_RV, value: T) -> Answer<T> {
    if rv == CKR_OK { Ok(value) } else { Err(rv) }
}

impl Raw {
    /// Initialises, makes a token, and logs the user in to a read-write session of it.
    pub fn user_session(&self) -> CK_SESSION_HANDLE {
        self.initialize();
        self.make_token();
        let session = self.open(CKF_RW_SESSION);
        assert_eq!(self.login(session, CKU_USER, crate::raw::USER_PIN), CKR_OK);
        session
    }

    /// C_CreateObject.
    pub fn create(&self, session: CK_SESSION_HANDLE, template: &Template) -> Answer<CK_OBJECT_HANDLE> {
        let (mut attributes, mut object) = (template.attributes(), 0);
        let count = attributes.len() as CK_ULONG;
        let rv = c!(self.C_CreateObject(session, attributes.as_mut_ptr(), count, &raw mut object));
        done(rv, object)
    }

    /// C_CopyObject.
    pub fn copy(
        &self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        template: &Template,
    ) -> Answer<CK_OBJECT_HANDLE> {
        let (mut attributes, mut copy) = (template.attributes(), 0);
        let count = attributes.len() as CK_ULONG;
        let rv = c!(self.C_CopyObject(session, object, attributes.as_mut_ptr(), count, &raw mut copy));
        done(rv, copy)
    }

    /// C_SetAttributeValue.
    pub fn set(
        &self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        template: &Template,
    ) -> Answer<()> {
        let mut attributes = template.attributes();
        let count = attributes.len() as CK_ULONG;
        done(c!(self.C_SetAttributeValue(session, object, attributes.as_mut_ptr(), count)), ())
    }

    /// C_DestroyObject.
    pub fn destroy(&self, session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> Answer<()> {
        done(c!(self.C_DestroyObject(session, object)), ())
    }

    /// One attribute, by the two calls of the length convention.
    pub fn value(
        &self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        kind: CK_ATTRIBUTE_TYPE,
    ) -> Answer<Vec<u8>> {
        let mut attribute = CK_ATTRIBUTE { type_: kind, pValue: null_mut(), ulValueLen: 0 };
        let get = |attribute: &mut CK_ATTRIBUTE| {
            c!(self.C_GetAttributeValue(session, object, std::ptr::from_mut(attribute), 1))
        };
        done(get(&mut attribute), ())?;
        let mut value = vec![0_u8; attribute.ulValueLen as usize];
        attribute.pValue = value.as_mut_ptr().cast();
        done(get(&mut attribute), ())?;
        value.truncate(attribute.ulValueLen as usize);
        Ok(value)
    }

    /// Every object that matches, by a whole search.
    pub fn find(&self, session: CK_SESSION_HANDLE, template: &Template) -> Answer<Vec<CK_OBJECT_HANDLE>> {
        let mut attributes = template.attributes();
        let count = attributes.len() as CK_ULONG;
        done(c!(self.C_FindObjectsInit(session, attributes.as_mut_ptr(), count)), ())?;
        let mut all = Vec::new();
        loop {
            let (mut some, mut found) = ([0; 64], 0);
            done(c!(self.C_FindObjects(session, some.as_mut_ptr(), 64, &raw mut found)), ())?;
            if found == 0 {
                break;
            }
            all.extend_from_slice(&some[..found as usize]);
        }
        done(c!(self.C_FindObjectsFinal(session)), all)
    }

    /// C_GenerateKey.
    pub fn generate(
        &self,
        session: CK_SESSION_HANDLE,
        mut mechanism: CK_MECHANISM,
        template: &Template,
    ) -> Answer<CK_OBJECT_HANDLE> {
        let (mut attributes, mut key) = (template.attributes(), 0);
        let count = attributes.len() as CK_ULONG;
        let rv =
            c!(self.C_GenerateKey(session, &raw mut mechanism, attributes.as_mut_ptr(), count, &raw mut key));
        done(rv, key)
    }

    /// C_GenerateKeyPair: public and private key.
    pub fn generate_pair(
        &self,
        session: CK_SESSION_HANDLE,
        mut mechanism: CK_MECHANISM,
        public: &Template,
        private: &Template,
    ) -> Answer<(CK_OBJECT_HANDLE, CK_OBJECT_HANDLE)> {
        let (mut public, mut private) = (public.attributes(), private.attributes());
        let (public_count, private_count) = (public.len() as CK_ULONG, private.len() as CK_ULONG);
        let (mut public_key, mut private_key) = (0, 0);
        let rv = c!(self.C_GenerateKeyPair(
            session,
            &raw mut mechanism,
            public.as_mut_ptr(),
            public_count,
            private.as_mut_ptr(),
            private_count,
            &raw mut public_key,
            &raw mut private_key,
        ));
        done(rv, (public_key, private_key))
    }

    /// C_SignInit.
    pub fn sign_init(
        &self,
        session: CK_SESSION_HANDLE,
        mut mechanism: CK_MECHANISM,
        key: CK_OBJECT_HANDLE,
    ) -> Answer<()> {
        done(c!(self.C_SignInit(session, &raw mut mechanism, key)), ())
    }

    /// C_SignUpdate.
    pub fn sign_update(&self, session: CK_SESSION_HANDLE, part: &[u8]) -> Answer<()> {
        let (part, len) = input(part);
        done(c!(self.C_SignUpdate(session, part, len)), ())
    }

    /// C_SignFinal, with room for any signature.
    pub fn sign_final(&self, session: CK_SESSION_HANDLE) -> Answer<Vec<u8>> {
        let (mut signature, mut len) = (vec![0; 8192], 8192);
        let rv = c!(self.C_SignFinal(session, signature.as_mut_ptr(), &raw mut len));
        signature.truncate(len as usize);
        done(rv, signature)
    }

    /// C_SignInit and C_Sign, with room for any signature.
    pub fn sign(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: CK_MECHANISM,
        key: CK_OBJECT_HANDLE,
        message: &[u8],
    ) -> Answer<Vec<u8>> {
        self.sign_init(session, mechanism, key)?;
        self.sign_begun(session, message)
    }

    /// C_Sign, with room for any signature.
    pub fn sign_begun(&self, session: CK_SESSION_HANDLE, message: &[u8]) -> Answer<Vec<u8>> {
        let ((message, message_len), mut signature, mut len) = (input(message), vec![0; 8192], 8192);
        let rv = c!(self.C_Sign(session, message, message_len, signature.as_mut_ptr(), &raw mut len));
        signature.truncate(len as usize);
        done(rv, signature)
    }

    /// C_VerifyInit.
    pub fn verify_init(
        &self,
        session: CK_SESSION_HANDLE,
        mut mechanism: CK_MECHANISM,
        key: CK_OBJECT_HANDLE,
    ) -> Answer<()> {
        done(c!(self.C_VerifyInit(session, &raw mut mechanism, key)), ())
    }

    /// C_VerifyUpdate.
    pub fn verify_update(&self, session: CK_SESSION_HANDLE, part: &[u8]) -> Answer<()> {
        let (part, len) = input(part);
        done(c!(self.C_VerifyUpdate(session, part, len)), ())
    }

    /// C_VerifyFinal.
    pub fn verify_final(&self, session: CK_SESSION_HANDLE, signature: &[u8]) -> Answer<()> {
        let (signature, len) = input(signature);
        done(c!(self.C_VerifyFinal(session, signature, len)), ())
    }

    /// C_VerifyInit and C_Verify.
    pub fn verify(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: CK_MECHANISM,
        key: CK_OBJECT_HANDLE,
        message: &[u8],
        signature: &[u8],
    ) -> Answer<()> {
        self.verify_init(session, mechanism, key)?;
        let ((message, message_len), (signature, len)) = (input(message), input(signature));
        done(c!(self.C_Verify(session, message, message_len, signature, len)), ())
    }
}
