//! HMAC as a signature: a secret key and how much of the MAC counts.

use std::{fmt, sync::Arc};

use algorithms::{digest::Hash, mac};
use hsm_backends::SecretKey;

use crate::{
    error::{Error, Result},
    mechanism::{Parameters, Scheme},
};

/// An HMAC mechanism with its key.
pub(super) struct Mac {
    hash: Hash,
    len: usize,
    key: Arc<SecretKey>,
    running: Option<Box<mac::Hmac>>,
}

impl Mac {
    /// The MAC of a scheme; `None` if it is no HMAC. A length of 0 or above the hash's output is
    /// CKR_MECHANISM_PARAM_INVALID. `key` is asked for only if it is one.
    pub(super) fn new(
        scheme: Scheme,
        parameters: &Parameters,
        key: impl FnOnce() -> Result<Arc<SecretKey>>,
    ) -> Result<Option<Self>> {
        let (hash, len) = match (scheme, parameters) {
            (Scheme::Hmac(hash), Parameters::None) => (hash, hash.output_len()),
            (Scheme::HmacGeneral(hash), Parameters::MacLength(len)) => {
                let len = usize::try_from(*len).unwrap_or(0);
                if !(1..=hash.output_len()).contains(&len) {
                    return Err(Error::MechanismParamInvalid);
                }
                (hash, len)
            }
            (Scheme::Hmac(_) | Scheme::HmacGeneral(_), _) => return Err(Error::MechanismParamInvalid),
            _ => return Ok(None),
        };
        Ok(Some(Self { hash, len, key: key()?, running: None }))
    }

    /// Bytes in a MAC.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether a message is being taken in part by part.
    pub(super) fn is_multi_part(&self) -> bool {
        self.running.is_some()
    }

    /// Begins a message that comes in parts.
    pub(super) fn start(&mut self) -> Result<()> {
        self.running = Some(Box::new(mac::Hmac::new(self.hash, self.key.bytes())?));
        Ok(())
    }

    /// Takes in a part, the first of a message if none came before.
    pub(super) fn update(&mut self, part: &[u8]) -> Result<()> {
        if self.running.is_none() {
            self.start()?;
        }
        if let Some(running) = &mut self.running {
            running.update(part);
        }
        Ok(())
    }

    /// The MAC of what came in parts.
    pub(super) fn finish(&mut self) -> Result<Vec<u8>> {
        self.update(&[])?;
        let running = self.running.take().ok_or(Error::GeneralError)?;
        let mut mac = running.finish()?;
        mac.truncate(self.len);
        Ok(mac)
    }

    /// Forgets the parts of an unfinished message.
    pub(super) fn reset(&mut self) {
        self.running = None;
    }

    /// Whether `claimed` is the MAC of what came in parts: CKR_SIGNATURE_LEN_RANGE, CKR_SIGNATURE_INVALID.
    pub(super) fn verify(&mut self, claimed: &[u8]) -> Result<()> {
        let computed = self.finish()?;
        if claimed.len() != self.len {
            return Err(Error::SignatureLenRange);
        }
        if mac::equal(&computed, claimed) { Ok(()) } else { Err(Error::SignatureInvalid) }
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mac({:?}, {})", self.hash, self.len)
    }
}
