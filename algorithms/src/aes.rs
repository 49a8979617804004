//! AES-128/192/256: CBC, CTR, GCM (SP 800-38A, 38D) and key wrapping (SP 800-38F, RFC 3394, RFC 5649).

use std::fmt;

use zeroize::Zeroizing;

use crate::{
    Error, SecretBytes,
    engine::aws_lc::symmetric::{AesCipher, AesMode, WrappingKey},
};

/// The direction of a running cipher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the two directions")]
pub enum Direction {
    Encrypt,
    Decrypt,
}

/// A mode with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// CBC without padding: the total input is whole blocks, otherwise [`Error::InputLength`] at the end.
    Cbc {
        /// The initialisation vector.
        iv: [u8; 16],
    },
    /// CBC with PKCS#7 padding; bad padding is [`Error::InputInvalid`].
    CbcPad {
        /// The initialisation vector.
        iv: [u8; 16],
    },
    /// CTR over the whole 16-byte block, the low `counter_bits` of which count; wrapping past them is
    /// [`Error::InputLength`].
    Ctr {
        /// The first counter block.
        block: [u8; 16],
        /// 1 to 128.
        counter_bits: u32,
    },
    /// GCM; the tag follows the ciphertext. Decryption releases nothing before the tag is checked, so a running
    /// decryption holds the message.
    Gcm {
        /// 1 to 256 bytes; 12 is the usual length.
        iv: Vec<u8>,
        /// Additional authenticated data.
        aad: Vec<u8>,
        /// 4, 8, 12, 13, 14, 15 or 16 bytes.
        tag_len: usize,
    },
}

/// A running encryption or decryption.
pub struct Cipher {
    cipher: AesCipher,
    kind: Kind,
    direction: Direction,
    /// Bytes of message taken in so far.
    taken: u64,
}

enum Kind {
    Cbc,
    CbcPad,
    /// How many bytes may still come before the counter repeats.
    Ctr {
        left: u128,
    },
    /// What a decryption holds back.
    Gcm {
        tag_len: usize,
        held: Zeroizing<Vec<u8>>,
    },
}

impl Cipher {
    /// Starts under `key` of 16, 24 or 32 bytes ([`Error::KeySizeRange`] otherwise).
    pub fn new(mode: Mode, direction: Direction, key: &SecretBytes) -> Result<Self, Error> {
        let start = |mode, iv: &[u8]| AesCipher::new(mode, direction == Direction::Encrypt, key.expose(), iv);
        let (cipher, kind) = match mode {
            Mode::Cbc { iv } => (start(AesMode::Cbc, &iv)?, Kind::Cbc),
            Mode::CbcPad { iv } => (start(AesMode::CbcPad, &iv)?, Kind::CbcPad),
            Mode::Ctr { block, counter_bits } => {
                (start(AesMode::Ctr, &block)?, Kind::Ctr { left: counter_room(&block, counter_bits)? })
            }
            Mode::Gcm { iv, aad, tag_len } => {
                if !(1..=256).contains(&iv.len()) || !matches!(tag_len, 4 | 8 | 12..=16) {
                    return Err(Error::ParameterInvalid);
                }
                let mut cipher = start(AesMode::Gcm, &iv)?;
                cipher.authenticate(&aad)?;
                (cipher, Kind::Gcm { tag_len, held: Zeroizing::default() })
            }
        };
        Ok(Self { cipher, kind, direction, taken: 0 })
    }

    /// Appends to `out` what `input` lets go; how much that will be is [`Cipher::update_len`].
    pub fn update(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let taken = self.taken + input.len() as u64;
        match &mut self.kind {
            Kind::Cbc | Kind::CbcPad => {}
            Kind::Ctr { left } => *left = left.checked_sub(input.len() as u128).ok_or(Error::InputLength)?,
            Kind::Gcm { .. } if taken > GCM_LIMIT => return Err(Error::InputLength),
            Kind::Gcm { held, .. } if self.direction == Direction::Decrypt => {
                hold(held, input);
                self.taken = taken;
                return Ok(());
            }
            Kind::Gcm { .. } => {}
        }
        self.cipher.update(input, out)?;
        self.taken = taken;
        Ok(())
    }

    /// Exactly how many bytes `update` would append for `input_len` more bytes of input.
    pub fn update_len(&self, input_len: usize) -> usize {
        let taken = usize::try_from(self.taken % BLOCK).expect("below 16");
        match (&self.kind, self.direction) {
            (Kind::Cbc, _) | (Kind::CbcPad, Direction::Encrypt) => (taken + input_len) / 16 * 16,
            // The last whole block waits until it is known not to be the padding's.
            (Kind::CbcPad, Direction::Decrypt) if taken == 0 && self.taken > 0 => input_len.div_ceil(16) * 16,
            (Kind::CbcPad, Direction::Decrypt) => (taken + input_len).saturating_sub(1) / 16 * 16,
            (Kind::Ctr { .. }, _) | (Kind::Gcm { .. }, Direction::Encrypt) => input_len,
            (Kind::Gcm { .. }, Direction::Decrypt) => 0,
        }
    }

    /// An upper bound on what `finish` would append now (exact for everything but CBC_PAD decryption).
    pub fn finish_len(&self) -> usize {
        match (&self.kind, self.direction) {
            (Kind::Cbc | Kind::Ctr { .. }, _) => 0,
            (Kind::CbcPad, Direction::Encrypt) => 16,
            (Kind::CbcPad, Direction::Decrypt) => 15,
            (Kind::Gcm { tag_len, .. }, Direction::Encrypt) => *tag_len,
            (Kind::Gcm { tag_len, held }, Direction::Decrypt) => held.len().saturating_sub(*tag_len),
        }
    }

    /// Appends the rest: padding, tag, or the whole plaintext of a GCM decryption.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let whole_blocks = self.taken.is_multiple_of(BLOCK);
        match (self.kind, self.direction) {
            (Kind::Cbc, _) if !whole_blocks => Err(Error::InputLength),
            (Kind::CbcPad, Direction::Decrypt) if !whole_blocks || self.taken == 0 => Err(Error::InputLength),
            (Kind::Cbc | Kind::CbcPad | Kind::Ctr { .. }, _) => self.cipher.finish(out, Error::InputInvalid),
            (Kind::Gcm { tag_len, .. }, Direction::Encrypt) => {
                self.cipher.finish(out, Error::EngineFailed)?;
                let mut tag = [0; 16];
                self.cipher.tag(&mut tag[..tag_len])?;
                out.extend_from_slice(&tag[..tag_len]);
                Ok(())
            }
            (Kind::Gcm { tag_len, mut held }, Direction::Decrypt) => {
                let split = held.len().checked_sub(tag_len).ok_or(Error::InputLength)?;
                let (ciphertext, tag) = held.split_at_mut(split);
                self.cipher.expect_tag(tag)?;
                let mut plaintext = Zeroizing::new(Vec::with_capacity(ciphertext.len() + 16));
                self.cipher.update(ciphertext, &mut plaintext)?;
                self.cipher.finish(&mut plaintext, Error::TagMismatch)?;
                out.extend_from_slice(&plaintext);
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher")
    }
}

const BLOCK: u64 = 16;
/// SP 800-38D section 5.2.1.1: 2^39 - 256 bits of plaintext, and here the tag beside it.
const GCM_LIMIT: u64 = (1 << 36) - 32;

/// How many bytes can be encrypted before the low `counter_bits` of `block` have counted through.
fn counter_room(block: &[u8; 16], counter_bits: u32) -> Result<u128, Error> {
    if !(1..=128).contains(&counter_bits) {
        return Err(Error::ParameterInvalid);
    }
    let last = u128::MAX >> (128 - counter_bits);
    let used = u128::from_be_bytes(*block) & last;
    Ok((last - used).saturating_add(1).saturating_mul(16))
}

/// Appends to bytes that may be a plaintext's, so that growing leaves no copy behind.
fn hold(held: &mut Zeroizing<Vec<u8>>, more: &[u8]) {
    if held.capacity() - held.len() < more.len() {
        let mut larger =
            Zeroizing::new(Vec::with_capacity((held.len() + more.len()).max(2 * held.capacity())));
        larger.extend_from_slice(held);
        *held = larger;
    }
    held.extend_from_slice(more);
}

/// AES-GCM in one call: `nonce` of 12 bytes, 16-byte tag appended. For the store's own sealing.
pub fn seal(key: &SecretBytes, nonce: &[u8; 12], aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, Error> {
    let mut cipher = AesCipher::new(AesMode::Gcm, true, key.expose(), nonce)?;
    cipher.authenticate(aad)?;
    let mut sealed = Vec::with_capacity(plaintext.len() + 32);
    cipher.update(plaintext, &mut sealed)?;
    cipher.finish(&mut sealed, Error::EngineFailed)?;
    let mut tag = [0; TAG];
    cipher.tag(&mut tag)?;
    sealed.extend_from_slice(&tag);
    Ok(sealed)
}

/// The inverse of [`seal`]; anything altered is [`Error::TagMismatch`].
pub fn open(key: &SecretBytes, nonce: &[u8; 12], aad: &[u8], sealed: &[u8]) -> Result<SecretBytes, Error> {
    let (ciphertext, tag) = sealed.split_last_chunk::<TAG>().ok_or(Error::TagMismatch)?;
    let mut cipher = AesCipher::new(AesMode::Gcm, false, key.expose(), nonce)?;
    cipher.authenticate(aad)?;
    cipher.expect_tag(&mut tag.clone())?;
    let mut plaintext = Zeroizing::new(Vec::with_capacity(ciphertext.len() + 32));
    cipher.update(ciphertext, &mut plaintext)?;
    cipher.finish(&mut plaintext, Error::TagMismatch)?;
    Ok(SecretBytes::new(&plaintext))
}

const TAG: usize = 16;

/// AES Key Wrap (RFC 3394): `secret` of a multiple of 8 and at least 16 bytes. `iv` replaces the default.
pub fn wrap(key: &SecretBytes, iv: Option<&[u8; 8]>, secret: &[u8]) -> Result<Vec<u8>, Error> {
    if secret.len() < 16 || !secret.len().is_multiple_of(8) {
        return Err(Error::InputLength);
    }
    let mut out = vec![0; secret.len() + 8];
    WrappingKey::new(key.expose(), true)?.wrap(iv, secret, &mut out)?;
    Ok(out)
}

/// The inverse of [`wrap`]; a failed check is [`Error::InputInvalid`].
pub fn unwrap(key: &SecretBytes, iv: Option<&[u8; 8]>, wrapped: &[u8]) -> Result<SecretBytes, Error> {
    if wrapped.len() < 24 || !wrapped.len().is_multiple_of(8) {
        return Err(Error::InputLength);
    }
    let key = WrappingKey::new(key.expose(), false)?;
    SecretBytes::filled(wrapped.len() - 8, |out| key.unwrap(iv, wrapped, out).map(drop))
}

/// AES Key Wrap with Padding (RFC 5649): `secret` of 1 byte or more.
pub fn wrap_padded(key: &SecretBytes, secret: &[u8]) -> Result<Vec<u8>, Error> {
    if secret.is_empty() {
        return Err(Error::InputLength);
    }
    let mut out = vec![0; secret.len() + 15];
    let len = WrappingKey::new(key.expose(), true)?.wrap_padded(secret, &mut out)?;
    out.truncate(len);
    Ok(out)
}

/// The inverse of [`wrap_padded`].
pub fn unwrap_padded(key: &SecretBytes, wrapped: &[u8]) -> Result<SecretBytes, Error> {
    if wrapped.len() < 16 || !wrapped.len().is_multiple_of(8) {
        return Err(Error::InputLength);
    }
    let key = WrappingKey::new(key.expose(), false)?;
    let mut len = 0;
    let padded = SecretBytes::filled(wrapped.len(), |out| {
        len = key.unwrap_padded(wrapped, out)?;
        Ok(())
    })?;
    Ok(SecretBytes::new(&padded.expose()[..len]))
}
