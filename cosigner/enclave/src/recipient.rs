//! The RSA keys that KMS encrypts to: made ahead of time, one for each question unless a key is to serve for more.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
    num::NonZeroU32,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use algorithms::SecretBytes;
use attest::sha256;
use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rsa::{KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey},
};
use cosigner_protocol::message::Layer;
use zeroize::Zeroizing;

use crate::refusal::Refusal;

/// How many keys wait to be used.
const AHEAD: usize = 8;

/// A key for one question to KMS, or a few. It goes with the value.
pub(crate) struct Recipient {
    key: OaepPrivateDecryptingKey,
    spki: Vec<u8>,
    /// SHA-256 of what was opened: KMS never says the same twice.
    opened: Mutex<HashSet<[u8; 32]>>,
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recipient")
    }
}

impl Recipient {
    pub(crate) fn generate() -> Option<Self> {
        let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).ok()?;
        let spki: PublicKeyX509Der<'_> = key.public_key().as_der().ok()?;
        let spki = spki.as_ref().to_vec();
        Some(Self { key: OaepPrivateDecryptingKey::new(key).ok()?, spki, opened: Mutex::default() })
    }

    /// SubjectPublicKeyInfo, for the attestation document.
    pub(crate) fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Opens RSAES-OAEP with SHA-256; `None` for what is encrypted to another key, and for what was opened before.
    pub(crate) fn decrypt(&self, ciphertext: &[u8]) -> Option<SecretBytes> {
        if !self.opened.lock().unwrap_or_else(PoisonError::into_inner).insert(sha256(ciphertext)) {
            return None;
        }
        let mut space = Zeroizing::new(vec![0; self.key.min_output_size()]);
        let opened = self.key.decrypt(&OAEP_SHA256_MGF1SHA256, ciphertext, &mut space, None).ok()?;
        Some(SecretBytes::new(opened))
    }
}

/// Keys that wait to be used, and the thread that makes them.
#[derive(Debug)]
pub(crate) struct Recipients {
    uses: NonZeroU32,
    waiting: Arc<Waiting>,
    current: Mutex<Option<(Arc<Recipient>, u32)>>,
}

#[derive(Debug, Default)]
struct Waiting {
    keys: Mutex<VecDeque<Option<Recipient>>>,
    changed: Condvar,
}

impl Recipients {
    /// Starts the thread. Each key will serve for so many questions.
    pub(crate) fn start(uses: NonZeroU32) -> std::io::Result<Self> {
        let waiting = Arc::new(Waiting::default());
        let filled = waiting.clone();
        std::thread::Builder::new().name("recipients".into()).spawn(move || {
            loop {
                let key = Recipient::generate();
                let keys = filled.keys.lock().unwrap_or_else(PoisonError::into_inner);
                let full = |keys: &mut VecDeque<_>| keys.len() >= AHEAD;
                let mut keys = filled.changed.wait_while(keys, full).unwrap_or_else(PoisonError::into_inner);
                keys.push_back(key);
                filled.changed.notify_all();
            }
        })?;
        Ok(Self { uses, waiting, current: Mutex::default() })
    }

    /// A key, waited for when many were wanted at once; but not longer than the host waits for us.
    pub(crate) fn next(&self, patience: Duration) -> Result<Arc<Recipient>, Refusal> {
        if self.uses == NonZeroU32::MIN {
            return Ok(Arc::new(self.unused(patience)?));
        }
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((key, left @ 1..)) = &mut *current {
            *left -= 1;
            return Ok(key.clone());
        }
        let key = Arc::new(self.unused(patience)?);
        *current = Some((key.clone(), self.uses.get() - 1));
        Ok(key)
    }

    fn unused(&self, patience: Duration) -> Result<Recipient, Refusal> {
        let keys = self.waiting.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let empty = |keys: &mut VecDeque<_>| keys.is_empty();
        let waited = self.waiting.changed.wait_timeout_while(keys, patience, empty);
        let key = waited.unwrap_or_else(PoisonError::into_inner).0.pop_front();
        self.waiting.changed.notify_all();
        match key {
            Some(Some(key)) => Ok(key),
            Some(None) => Err(Refusal::failed(Layer::Enclave, "no RSA key could be made")),
            None => Err(Refusal::failed(Layer::Enclave, "RSA keys are not made as fast as they are wanted")),
        }
    }
}
