//! ML-DSA and Ed25519.

use std::{ffi::c_int, ptr};

use aws_lc_sys as c;

use super::{check, gate, handle};
use crate::{Error, ml_dsa::ParameterSet};

handle!(Pkey(EVP_PKEY), EVP_PKEY_free);
handle!(PkeyContext(EVP_PKEY_CTX), EVP_PKEY_CTX_free);

/// ML-DSA keys.
impl Pkey {
    /// From a 32-byte seed or an expanded private key, which AWS-LC checks whole: it recomputes t0 and tr, and
    /// refuses s1 and s2 out of range.
    pub(crate) fn ml_dsa_private(set: ParameterSet, secret: &[u8]) -> Result<Self, Error> {
        let _inside = gate::enter();
        // SAFETY: `secret` is readable for its length.
        let key =
            unsafe { c::EVP_PKEY_pqdsa_new_raw_private_key(ml_dsa_nid(set), secret.as_ptr(), secret.len()) };
        Self::take(key, Error::KeyInvalid)
    }

    /// From pkEncode's bytes.
    pub(crate) fn ml_dsa_public(set: ParameterSet, encoded: &[u8]) -> Result<Self, Error> {
        let _inside = gate::enter();
        // SAFETY: `encoded` is readable for its length.
        let key =
            unsafe { c::EVP_PKEY_pqdsa_new_raw_public_key(ml_dsa_nid(set), encoded.as_ptr(), encoded.len()) };
        Self::take(key, Error::KeyInvalid)
    }

    /// Writes skEncode's bytes, which fill `out`.
    pub(crate) fn raw_private(&self, out: &mut [u8]) -> Result<(), Error> {
        let _inside = gate::enter();
        let mut len = out.len();
        // SAFETY: AWS-LC writes at most `len` bytes to `out`.
        let answer =
            unsafe { c::EVP_PKEY_get_raw_private_key(self.0.as_ptr(), out.as_mut_ptr(), &raw mut len) };
        check(answer, Error::EngineFailed)
    }

    /// Writes pkEncode's bytes, which fill `out`.
    pub(crate) fn raw_public(&self, out: &mut [u8]) -> Result<(), Error> {
        let _inside = gate::enter();
        let mut len = out.len();
        // SAFETY: AWS-LC writes at most `len` bytes to `out`.
        let answer =
            unsafe { c::EVP_PKEY_get_raw_public_key(self.0.as_ptr(), out.as_mut_ptr(), &raw mut len) };
        check(answer, Error::EngineFailed)
    }

    /// Signs mu, hedged. `out` is as long as a signature.
    pub(crate) fn sign_mu(&self, mu: &[u8; 64], out: &mut [u8]) -> Result<(), Error> {
        let _inside = gate::enter();
        let context = self.context()?;
        let mut len = out.len();
        // SAFETY: AWS-LC writes at most `len` bytes to `out` and reads 64 from `mu`.
        unsafe {
            check(c::EVP_PKEY_sign_init(context.0.as_ptr()), Error::EngineFailed)?;
            let answer =
                c::EVP_PKEY_sign(context.0.as_ptr(), out.as_mut_ptr(), &raw mut len, mu.as_ptr(), mu.len());
            check(answer, Error::EngineFailed)
        }
    }

    pub(crate) fn verify_mu(&self, mu: &[u8; 64], signature: &[u8]) -> Result<(), Error> {
        let _inside = gate::enter();
        let context = self.context()?;
        // SAFETY: both slices are readable for the lengths passed.
        unsafe {
            check(c::EVP_PKEY_verify_init(context.0.as_ptr()), Error::EngineFailed)?;
            let answer = c::EVP_PKEY_verify(
                context.0.as_ptr(),
                signature.as_ptr(),
                signature.len(),
                mu.as_ptr(),
                mu.len(),
            );
            check(answer, Error::SignatureInvalid)
        }
    }

    fn context(&self) -> Result<PkeyContext, Error> {
        // SAFETY: the key is alive; the context counts its own reference to it.
        let context = unsafe { c::EVP_PKEY_CTX_new(self.0.as_ptr(), ptr::null_mut()) };
        PkeyContext::take(context, Error::EngineFailed)
    }
}

fn ml_dsa_nid(set: ParameterSet) -> c_int {
    match set {
        ParameterSet::MlDsa44 => c::NID_MLDSA44,
        ParameterSet::MlDsa65 => c::NID_MLDSA65,
        ParameterSet::MlDsa87 => c::NID_MLDSA87,
    }
}

/// Ed25519: the 64-byte private key is the seed followed by the public key.
pub(crate) mod ed25519 {
    use super::{Error, c, check};

    /// Writes the private key of `seed`, and returns the public one.
    pub(crate) fn expand(seed: &[u8; 32], private: &mut [u8; 64]) -> [u8; 32] {
        let mut public = [0; 32];
        // SAFETY: the arrays have the lengths that AWS-LC's header declares.
        unsafe { c::ED25519_keypair_from_seed(public.as_mut_ptr(), private.as_mut_ptr(), seed.as_ptr()) };
        public
    }

    pub(crate) fn sign(private: &[u8; 64], message: &[u8], out: &mut [u8; 64]) -> Result<(), Error> {
        // SAFETY: the arrays have the lengths declared; `message` is readable for its length.
        let answer =
            unsafe { c::ED25519_sign(out.as_mut_ptr(), message.as_ptr(), message.len(), private.as_ptr()) };
        check(answer, Error::EngineFailed)
    }

    pub(crate) fn sign_ctx(
        private: &[u8; 64],
        context: &[u8],
        message: &[u8],
        out: &mut [u8; 64],
    ) -> Result<(), Error> {
        // SAFETY: as in `sign`; `context` is readable for its length.
        let answer = unsafe {
            c::ED25519ctx_sign(
                out.as_mut_ptr(),
                message.as_ptr(),
                message.len(),
                private.as_ptr(),
                context.as_ptr(),
                context.len(),
            )
        };
        check(answer, Error::ParameterInvalid)
    }

    pub(crate) fn sign_ph(
        private: &[u8; 64],
        context: &[u8],
        digest: &[u8; 64],
        out: &mut [u8; 64],
    ) -> Result<(), Error> {
        // SAFETY: as in `sign_ctx`.
        let answer = unsafe {
            c::ED25519ph_sign_digest(
                out.as_mut_ptr(),
                digest.as_ptr(),
                private.as_ptr(),
                context.as_ptr(),
                context.len(),
            )
        };
        check(answer, Error::ParameterInvalid)
    }

    pub(crate) fn verify(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> Result<(), Error> {
        // SAFETY: as in `sign`.
        let answer = unsafe {
            c::ED25519_verify(message.as_ptr(), message.len(), signature.as_ptr(), public.as_ptr())
        };
        check(answer, Error::SignatureInvalid)
    }

    pub(crate) fn verify_ctx(
        public: &[u8; 32],
        context: &[u8],
        message: &[u8],
        signature: &[u8; 64],
    ) -> Result<(), Error> {
        // SAFETY: as in `sign_ctx`.
        let answer = unsafe {
            c::ED25519ctx_verify(
                message.as_ptr(),
                message.len(),
                signature.as_ptr(),
                public.as_ptr(),
                context.as_ptr(),
                context.len(),
            )
        };
        check(answer, Error::SignatureInvalid)
    }

    pub(crate) fn verify_ph(
        public: &[u8; 32],
        context: &[u8],
        digest: &[u8; 64],
        signature: &[u8; 64],
    ) -> Result<(), Error> {
        // SAFETY: as in `sign_ctx`.
        let answer = unsafe {
            c::ED25519ph_verify_digest(
                digest.as_ptr(),
                signature.as_ptr(),
                public.as_ptr(),
                context.as_ptr(),
                context.len(),
            )
        };
        check(answer, Error::SignatureInvalid)
    }
}
