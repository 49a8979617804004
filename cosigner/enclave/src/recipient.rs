//! The RSA keys that KMS encrypts to: one for each question, made ahead of time.

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, sync_channel},
    },
};

use algorithms::SecretBytes;
use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rsa::{KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey},
};
use cosigner_protocol::message::Layer;
use zeroize::Zeroizing;

use crate::refusal::Refusal;

/// How many keys wait to be used.
const AHEAD: usize = 8;

/// A key for one question to KMS. It goes with the value.
pub(crate) struct Recipient {
    key: OaepPrivateDecryptingKey,
    spki: Vec<u8>,
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recipient")
    }
}

impl Recipient {
    fn generate() -> Option<Self> {
        let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).ok()?;
        let spki: PublicKeyX509Der<'_> = key.public_key().as_der().ok()?;
        let spki = spki.as_ref().to_vec();
        Some(Self { key: OaepPrivateDecryptingKey::new(key).ok()?, spki })
    }

    /// SubjectPublicKeyInfo, for the attestation document.
    pub(crate) fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Opens RSAES-OAEP with SHA-256; `None` for what is encrypted to another key.
    pub(crate) fn decrypt(&self, ciphertext: &[u8]) -> Option<SecretBytes> {
        let mut space = Zeroizing::new(vec![0; self.key.min_output_size()]);
        let opened = self.key.decrypt(&OAEP_SHA256_MGF1SHA256, ciphertext, &mut space, None).ok()?;
        Some(SecretBytes::new(opened))
    }
}

/// Keys that wait to be used, and the thread that makes them.
#[derive(Debug)]
pub(crate) struct Recipients(Mutex<Receiver<Option<Recipient>>>);

impl Recipients {
    /// Starts the thread, which lives as long as the value.
    pub(crate) fn start() -> std::io::Result<Self> {
        let (give, take) = sync_channel(AHEAD);
        let make = move || while give.send(Recipient::generate()).is_ok() {};
        std::thread::Builder::new().name("recipients".into()).spawn(make)?;
        Ok(Self(Mutex::new(take)))
    }

    /// A key that nobody else has; waits for one when many were wanted at once.
    pub(crate) fn next(&self) -> Result<Recipient, Refusal> {
        let key = self.0.lock().unwrap_or_else(PoisonError::into_inner).recv();
        key.ok().flatten().ok_or_else(|| Refusal::failed(Layer::Enclave, "no RSA key could be made"))
    }
}
