//! The proof for secret keys: both tokens answer a challenge with the same bytes.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType, ObjectHandle};
use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::proof::{Can, challenge};
use super::travel::Travel;
use crate::error::{Result, While};
use crate::token::OpenToken;

/// Something that a secret key does the same way each time.
#[derive(Debug, Clone, Copy)]
pub(super) enum Repeatable {
    Mac(CK_MECHANISM_TYPE),
    Encrypt,
    Decrypt,
}

impl Repeatable {
    /// What both tokens do with the key; `None` when there is nothing.
    pub(super) fn choose(
        key: &Travel,
        kind: KeyType,
        length: Option<usize>,
        from: &Can,
        to: &Can,
    ) -> Option<Self> {
        let (from, to) = (from.with(key), to.with(key));
        let both = |mechanism, what| from.does(mechanism, what) && to.does(mechanism, what);
        // Many tokens take no HMAC key that is shorter than the hash.
        let (mac, least) = match CK_KEY_TYPE::from(kind) {
            CKK_AES => (CKM_AES_CMAC, 0),
            CKK_SHA_1_HMAC => (CKM_SHA_1_HMAC, 20),
            CKK_SHA384_HMAC => (CKM_SHA384_HMAC, 48),
            CKK_SHA512_HMAC => (CKM_SHA512_HMAC, 64),
            _ => (CKM_SHA256_HMAC, 32),
        };
        let is_aes = kind == KeyType::AES;
        if is_aes && key.is(&Attribute::Encrypt(true)) && both(CKM_AES_CBC, CKF_ENCRYPT) {
            return Some(Self::Encrypt);
        }
        if is_aes && key.is(&Attribute::Decrypt(true)) && both(CKM_AES_CBC, CKF_DECRYPT) {
            return Some(Self::Decrypt);
        }
        let long_enough = length.is_some_and(|length| length >= least);
        (long_enough && key.is(&Attribute::Sign(true)) && both(mac, CKF_SIGN)).then_some(Self::Mac(mac))
    }

    /// The word for it in reports.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Mac(_) => "mac",
            Self::Encrypt => "encryption",
            Self::Decrypt => "decryption",
        }
    }

    fn of(self, open: &OpenToken, key: ObjectHandle, asked: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let session = open.session();
        let cbc = Mechanism::AesCbc([0x5a; 16]);
        let answer = match self {
            Self::Mac(code) => session.sign(&mac(code), key, asked)?,
            Self::Encrypt => session.encrypt(&cbc, key, asked)?,
            Self::Decrypt => session.decrypt(&cbc, key, asked)?,
        };
        Ok(Zeroizing::new(answer))
    }

    /// Whether both keys answer a challenge with the same bytes.
    pub(super) fn same(
        self,
        from: (&OpenToken, ObjectHandle),
        to: (&OpenToken, ObjectHandle),
    ) -> Result<bool> {
        let asked = challenge()?;
        let ours = self.of(from.0, from.1, &asked).while_doing("the source")?;
        let theirs = self.of(to.0, to.1, &asked).while_doing("the target")?;
        Ok(verify_slices_are_equal(&ours, &theirs).is_ok())
    }
}

fn mac(code: CK_MECHANISM_TYPE) -> Mechanism<'static> {
    match code {
        CKM_AES_CMAC => Mechanism::AesCMac,
        CKM_SHA_1_HMAC => Mechanism::Sha1Hmac,
        CKM_SHA384_HMAC => Mechanism::Sha384Hmac,
        CKM_SHA512_HMAC => Mechanism::Sha512Hmac,
        _ => Mechanism::Sha256Hmac,
    }
}
