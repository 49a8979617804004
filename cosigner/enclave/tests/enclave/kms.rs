//! As much of KMS as an enclave sees: it checks who asks, and encrypts data keys to them.

use std::collections::BTreeMap;

use algorithms::{
    SecretBytes,
    aes::{self, Cipher, Direction, Mode},
    random,
};
use attest::{Freshness, Policy};
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use cosigner_protocol::{
    Bytes, UserId,
    message::{FromEnclave, KmsRefusal, ToEnclave},
};

const OAEP: &[u8] = &[
    0x30, 0x3c, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x07, 0x30, 0x2f, 0xa0, 0x0f,
    0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0xa1, 0x1c,
    0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, 0x30, 0x0d, 0x06, 0x09,
    0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
];
const ENVELOPED_DATA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03];
const DATA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
const AES_256_CBC: &[u8] = &[0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a];

pub(crate) struct Kms {
    key: SecretBytes,
    root: [u8; 32],
}

impl Kms {
    /// One that trusts a root.
    pub(crate) fn new(root: [u8; 32]) -> Self {
        Self { key: random::secret(32).unwrap(), root }
    }

    /// Answers what an enclave asks.
    pub(crate) fn answer(&self, question: &FromEnclave) -> ToEnclave {
        match question {
            FromEnclave::KmsGenerateDataKey { user_id, attestation, .. } => {
                let data_key = random::secret(32).unwrap();
                let nonce = random::array::<12>().unwrap();
                let sealed = aes::seal(&self.key, &nonce, context(user_id), data_key.expose()).unwrap();
                self.reply(attestation, &data_key, Bytes([&nonce[..], &sealed].concat()))
            }
            FromEnclave::KmsDecryptDataKey { user_id, attestation, wrapped_key, .. } => {
                let (nonce, sealed) = wrapped_key.0.split_first_chunk().unwrap();
                match aes::open(&self.key, nonce, context(user_id), sealed) {
                    Ok(data_key) => self.reply(attestation, &data_key, wrapped_key.clone()),
                    Err(_) => ToEnclave::KmsError { reason: KmsRefusal::InvalidCiphertext },
                }
            }
            other => panic!("no question to KMS: {other:?}"),
        }
    }

    fn reply(&self, attestation: &Bytes, data_key: &SecretBytes, wrapped_key: Bytes) -> ToEnclave {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let now = u64::try_from(now.as_millis()).unwrap();
        let policy = Policy {
            root: self.root,
            pcrs: &BTreeMap::new(),
            allow_debug: false,
            nonce: None,
            freshness: Some(Freshness { now, oldest: 300_000, ahead: 300_000 }),
        };
        match policy.verify(&attestation.0) {
            Ok(document) => {
                let ciphertext = envelope(document.public_key().unwrap(), data_key.expose());
                ToEnclave::KmsReply { ciphertext_for_recipient: Bytes(ciphertext), wrapped_key }
            }
            Err(_) => ToEnclave::KmsError { reason: KmsRefusal::Denied },
        }
    }
}

fn context(user_id: &UserId) -> &[u8] {
    user_id.as_str().as_bytes()
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let length = match (high, low) {
        (0, 0..0x80) => vec![low],
        (0, _) => vec![0x81, low],
        _ => vec![0x82, high, low],
    };
    [&[tag][..], &length, content].concat()
}

fn indefinite(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, 0x80][..], content, &[0, 0]].concat()
}

/// EnvelopedData to a SubjectPublicKeyInfo.
pub(crate) fn envelope(spki: &[u8], content: &[u8]) -> Vec<u8> {
    let (key, iv) = (random::secret(32).unwrap(), random::array::<16>().unwrap());
    let mut encrypted = Vec::new();
    let mut cipher = Cipher::new(Mode::CbcPad { iv }, Direction::Encrypt, &key).unwrap();
    cipher.update(content, &mut encrypted).unwrap();
    cipher.finish(&mut encrypted).unwrap();
    let to = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(spki).unwrap()).unwrap();
    let mut space = vec![0; to.ciphertext_size()];
    let encrypted_key = to.encrypt(&OAEP_SHA256_MGF1SHA256, key.expose(), &mut space, None).unwrap();
    let version = [0x02, 0x01, 0x02];
    let recipient = [&version[..], &element(0x80, &[7; 32]), OAEP, &element(0x04, encrypted_key)].concat();
    let algorithm = element(0x30, &[AES_256_CBC, &element(0x04, &iv)].concat());
    let pieces = indefinite(0xa0, &element(0x04, &encrypted));
    let info = indefinite(0x30, &[DATA, &algorithm, &pieces].concat());
    let inner = [&version[..], &element(0x31, &element(0x30, &recipient)), &info].concat();
    indefinite(0x30, &[ENVELOPED_DATA, &indefinite(0xa0, &indefinite(0x30, &inner))].concat())
}
