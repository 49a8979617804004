//! HMAC (FIPS 198-1) over the SHA-1, SHA-2 and SHA-3 families.

use zeroize::Zeroizing;

use crate::{
    Error, SecretBytes,
    digest::{Digest, Hash},
    engine::aws_lc::symmetric,
};

/// A running HMAC.
#[derive(Debug, Clone)]
pub struct Hmac {
    inner: Digest,
    outer: Digest,
}

impl Hmac {
    /// Starts a MAC under `key`, of any length; [`Error::ParameterInvalid`] for SHAKE, which has no HMAC.
    pub fn new(hash: Hash, key: &SecretBytes) -> Result<Self, Error> {
        if matches!(hash, Hash::Shake128 | Hash::Shake256) {
            return Err(Error::ParameterInvalid);
        }
        let mut block = Zeroizing::new([0; MAX_BLOCK]);
        if key.len() > hash.block_len() {
            let short = Zeroizing::new(hash.digest(key.expose())?);
            block[..short.len()].copy_from_slice(&short);
        } else {
            block[..key.len()].copy_from_slice(key.expose());
        }
        let mut keyed = |mask: u8| -> Result<Digest, Error> {
            let mut digest = Digest::new(hash)?;
            block.iter_mut().for_each(|byte| *byte ^= mask);
            digest.update(&block[..hash.block_len()]);
            block.iter_mut().for_each(|byte| *byte ^= mask);
            Ok(digest)
        };
        Ok(Self { inner: keyed(0x36)?, outer: keyed(0x5c)? })
    }

    /// Takes in more of the message.
    pub fn update(&mut self, data: &[u8]) {
        self.inner.update(data);
    }

    /// The full-length MAC.
    pub fn finish(mut self) -> Result<Vec<u8>, Error> {
        self.outer.update(&self.inner.finish()?);
        self.outer.finish()
    }
}

/// The longest block of a function that HMAC runs over: SHA3-224's.
const MAX_BLOCK: usize = 144;

/// Whether two MACs agree, in time that depends on their lengths alone.
pub fn equal(left: &[u8], right: &[u8]) -> bool {
    symmetric::equal(left, right)
}
