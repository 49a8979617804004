//! Keys of PKCS#11 tokens, each for whoever knows a PIN. The PIN is judged here, where nobody can copy the judge.
//!
//! `sealed_token` = 01 ‖ nonce ‖ AES-256-GCM(data key, tries ‖ nonce ‖ AES-256-GCM(HMAC-SHA-256(data key, PIN), token
//! key)). So whoever has the data key has still to guess the PIN.
//!
//! Wrong PINs are counted in memory, for each sealed token: as long as this enclave runs. A restart forgets them.

use std::{
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
};

use algorithms::{SecretBytes, aes, digest::Hash, mac::Hmac};
use attest::sha256;
use cosigner_protocol::{
    Bytes, KmsKey, Secret, UserId,
    message::{KeptToken, Layer},
};

use crate::{data_key::DataKey, fields, refusal::Refusal, tries::Counts};

const MAGIC: &[u8; 14] = b"trellis-token\0";
const PIN_CONTEXT: &[u8] = b"trellis token pin 1";
const VERSION: u8 = 1;
const NONCE: usize = 12;
/// Of a token key, and of a PIN that was stretched.
const KEY: usize = 32;

/// Seals a token key under a new data key and a PIN.
pub(crate) fn keep(
    data_key: &DataKey,
    user_id: UserId,
    kms_key: KmsKey,
    wrapped_key: Bytes,
    (token_key, pin, tries): (&Secret, &Secret, NonZeroU32),
) -> Result<KeptToken, Refusal> {
    check_len(token_key)?;
    let mut token = KeptToken { user_id, kms_key, wrapped_key, sealed_token: Bytes(Vec::new()) };
    let [outer, inner] = [algorithms::random::array::<NONCE>()?, algorithms::random::array()?];
    let mut content = tries.get().to_be_bytes().to_vec();
    content.extend(inner);
    content.extend(aes::seal(&under(data_key, pin)?, &inner, PIN_CONTEXT, token_key.expose())?);
    let ciphertext = aes::seal(data_key.bytes(), &outer, &associated_data(&token), &content)?;
    token.sealed_token = Bytes([&[VERSION][..], &outer, &ciphertext].concat());
    Ok(token)
}

/// What a PIN gave.
#[derive(Debug)]
pub(crate) enum Judged {
    Right(Secret),
    Wrong,
    Locked,
}

/// How many wrong PINs each token has had since this enclave started, or since the last right one.
#[derive(Debug, Default)]
pub(crate) struct Tries(Mutex<Counts>);

impl Tries {
    /// Judges a PIN. The try is counted before the PIN is looked at, and one at a time, so that none goes uncounted.
    pub(crate) fn judge(
        &self,
        token: &KeptToken,
        data_key: &DataKey,
        pin: &Secret,
    ) -> Result<Judged, Refusal> {
        let altered = || Refusal::refused(Layer::Sealing, "the sealed token was altered, or is another's");
        let parts = match token.sealed_token.0.split_first() {
            Some((&VERSION, rest)) => rest.split_first_chunk::<NONCE>(),
            _ => None,
        };
        let (nonce, ciphertext) = parts.ok_or_else(altered)?;
        let content = aes::open(data_key.bytes(), nonce, &associated_data(token), ciphertext);
        let content = content.map_err(|_| altered())?;
        let parts = content
            .expose()
            .split_first_chunk::<4>()
            .and_then(|(tries, rest)| Some((u32::from_be_bytes(*tries), rest.split_first_chunk::<NONCE>()?)));
        let (tries, (nonce, sealed)) = parts.ok_or_else(altered)?;
        let key = under(data_key, pin)?;
        // Only what this enclave or another of its kind has sealed gets a place in the table.
        let name = sha256(&token.sealed_token.0);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !counts.count(name, tries) {
            return Ok(Judged::Locked);
        }
        match aes::open(&key, nonce, PIN_CONTEXT, sealed) {
            Ok(token_key) => {
                counts.right(&name);
                Ok(Judged::Right(Secret::new(token_key.expose().to_vec())))
            }
            Err(_) => Ok(Judged::Wrong),
        }
    }
}

/// The key that a token key lies under.
fn under(data_key: &DataKey, pin: &Secret) -> Result<SecretBytes, Refusal> {
    check_len(pin)?;
    let mut mac = Hmac::new(Hash::Sha256, data_key.bytes())?;
    mac.update(PIN_CONTEXT);
    mac.update(pin.expose());
    let key = zeroize::Zeroizing::new(mac.finish()?);
    Ok(SecretBytes::new(&key))
}

/// Before a question is asked that would be asked in vain.
pub(crate) fn check_len(secret: &Secret) -> Result<(), Refusal> {
    if secret.expose().len() == KEY {
        Ok(())
    } else {
        Err(Refusal::malformed(Layer::Request, "a token key or PIN has not 32 bytes"))
    }
}

/// "trellis-token" 00 ‖ 01 ‖ user id ‖ KMS key.
fn associated_data(token: &KeptToken) -> Vec<u8> {
    let mut out = [&MAGIC[..], &[VERSION]].concat();
    fields::user_id(&mut out, &token.user_id);
    fields::kms_key(&mut out, &token.kms_key);
    out
}
