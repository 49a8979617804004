//! Encryption and decryption: the state between C_EncryptInit or C_DecryptInit and the last part.

use std::{fmt, sync::Arc};

use algorithms::aes::{Cipher, Direction, Mode};
use hsm_backends::SecretKey;
use zeroize::Zeroizing;

use super::key_use::{self, KeyUse};
use crate::{
    error::{Error, Result},
    handle::ObjectHandle,
    mechanism::{MechanismCall, Parameters, Scheme},
    output::{Output, Written},
    slot::Slot,
};

/// A key with a cipher.
pub(crate) struct CipherOperation {
    mode: Mode,
    direction: Direction,
    key: Arc<SecretKey>,
    state: State,
    private: bool,
}

enum State {
    /// Nothing has come yet. The cipher that the operation began with is still there unless a one-part call used it
    /// and found its buffer too small.
    Fresh(Option<Box<Cipher>>),
    /// A multi-part operation.
    Running(Box<Cipher>),
    /// All is done, but the last part did not fit into the caller's buffer.
    Finished(Zeroizing<Vec<u8>>),
}

impl CipherOperation {
    /// Checks mechanism, key and parameters, and opens the key.
    pub(crate) fn new(
        slot: &Slot,
        call: MechanismCall,
        key: ObjectHandle,
        direction: Direction,
    ) -> Result<Self> {
        let row = call.row;
        let key_use = match direction {
            Direction::Encrypt => KeyUse::Encrypt,
            Direction::Decrypt => KeyUse::Decrypt,
        };
        let object = key_use::key(slot, key, row, key_use)?;
        let mode = mode(row.scheme, call.parameters)?;
        let mut operation = Self {
            mode,
            direction,
            key: object.secret_key(slot)?,
            state: State::Fresh(None),
            private: object.is_users(),
        };
        // Parameters and key size are judged when the operation begins.
        operation.state = State::Fresh(Some(operation.cipher()?));
        Ok(operation)
    }

    /// Whether the key is the user's, which a logout takes away.
    pub(super) fn is_private(&self) -> bool {
        self.private
    }

    /// Whether the operation is a multi-part one already.
    pub(crate) fn is_multi_part(&self) -> bool {
        !matches!(self.state, State::Fresh(_))
    }

    /// C_Encrypt and C_Decrypt. With [`Written::Needs`] nothing has happened.
    pub(crate) fn whole(&mut self, input: &[u8], out: Output<'_>) -> Result<Written> {
        let bound = self.whole_len(input.len());
        // Only the removal of padding makes the output shorter than can be foretold.
        if out.asks_length() || (!out.fits(bound) && !self.removes_padding()) {
            return Ok(Written::Needs(bound));
        }
        let mut cipher = self.fresh_cipher()?;
        let mut output = Zeroizing::new(Vec::with_capacity(bound + 16));
        cipher
            .update(input, &mut output)
            .and_then(|()| cipher.finish(&mut output))
            .map_err(|error| self.error(error))?;
        Ok(out.write(&output))
    }

    /// C_EncryptUpdate and C_DecryptUpdate. With [`Written::Needs`] nothing has happened.
    pub(crate) fn update(&mut self, part: &[u8], out: Output<'_>) -> Result<Written> {
        if let State::Fresh(_) = self.state {
            self.state = State::Running(self.fresh_cipher()?);
        }
        let State::Running(cipher) = &mut self.state else {
            return Err(Error::OperationNotInitialized);
        };
        let len = cipher.update_len(part.len());
        if !out.fits(len) {
            return Ok(Written::Needs(len));
        }
        let mut output = Zeroizing::new(Vec::with_capacity(len + 16));
        let done = cipher.update(part, &mut output);
        done.map_err(|error| self.error(error))?;
        Ok(out.write(&output))
    }

    /// C_EncryptFinal and C_DecryptFinal. With [`Written::Needs`] the last part waits for a buffer that is large
    /// enough.
    pub(crate) fn finish(&mut self, out: Output<'_>) -> Result<Written> {
        if let State::Fresh(_) = self.state {
            self.state = State::Running(self.fresh_cipher()?);
        }
        let bound = match &self.state {
            State::Running(cipher) => cipher.finish_len(),
            State::Finished(last) => last.len(),
            State::Fresh(_) => return Err(Error::GeneralError),
        };
        if out.asks_length() || (!out.fits(bound) && !self.removes_padding()) {
            return Ok(Written::Needs(bound));
        }
        let last = match std::mem::replace(&mut self.state, State::Fresh(None)) {
            State::Running(cipher) => {
                let mut last = Zeroizing::new(Vec::with_capacity(bound + 16));
                cipher.finish(&mut last).map_err(|error| self.error(error))?;
                last
            }
            State::Finished(last) => last,
            State::Fresh(_) => return Err(Error::GeneralError),
        };
        let written = out.write(&last);
        self.state = State::Finished(last);
        Ok(written)
    }

    /// The cipher that a fresh operation goes on with.
    fn fresh_cipher(&mut self) -> Result<Box<Cipher>> {
        match &mut self.state {
            State::Fresh(ready) => ready.take().map_or_else(|| self.cipher(), Ok),
            _ => Err(Error::GeneralError),
        }
    }

    fn cipher(&self) -> Result<Box<Cipher>> {
        Ok(Box::new(Cipher::new(self.mode.clone(), self.direction, self.key.bytes())?))
    }

    fn removes_padding(&self) -> bool {
        self.direction == Direction::Decrypt && matches!(self.mode, Mode::CbcPad { .. })
    }

    /// How much `len` bytes in one part become, at most.
    fn whole_len(&self, len: usize) -> usize {
        match (&self.mode, self.direction) {
            (Mode::Cbc { .. } | Mode::Ctr { .. }, _) | (Mode::CbcPad { .. }, Direction::Decrypt) => len,
            (Mode::CbcPad { .. }, Direction::Encrypt) => (len / 16 + 1) * 16,
            (Mode::Gcm { tag_len, .. }, Direction::Encrypt) => len + tag_len,
            (Mode::Gcm { tag_len, .. }, Direction::Decrypt) => len.saturating_sub(*tag_len),
        }
    }

    /// What a refusal of the cipher's means here: the input of a decryption is encrypted data. For an exhausted
    /// counter the standard names one code for both directions.
    fn error(&self, error: algorithms::Error) -> Error {
        use algorithms::Error as E;
        match (error, self.direction) {
            (E::InputLength, Direction::Decrypt) if !matches!(self.mode, Mode::Ctr { .. }) => {
                Error::EncryptedDataLenRange
            }
            (E::InputInvalid, Direction::Decrypt) => Error::EncryptedDataInvalid,
            (other, _) => other.into(),
        }
    }
}

/// The cipher mode of an AES mechanism with its parameters; what does not fit is CKR_MECHANISM_PARAM_INVALID, and a
/// mechanism that is no cipher CKR_MECHANISM_INVALID.
pub(crate) fn mode(scheme: Scheme, parameters: Parameters) -> Result<Mode> {
    match (scheme, parameters) {
        (Scheme::AesCbc, Parameters::Iv16(iv)) => Ok(Mode::Cbc { iv }),
        (Scheme::AesCbcPad, Parameters::Iv16(iv)) => Ok(Mode::CbcPad { iv }),
        (Scheme::AesCtr, Parameters::Ctr { counter_bits, block }) => match u32::try_from(counter_bits) {
            Ok(counter_bits @ 1..=128) => Ok(Mode::Ctr { block, counter_bits }),
            _ => Err(Error::MechanismParamInvalid),
        },
        (Scheme::AesGcm, Parameters::Gcm { iv, aad, tag_bits }) => match tag_bits {
            32 | 64 | 96 | 104 | 112 | 120 | 128 if (1..=256).contains(&iv.len()) => {
                let tag_len = usize::try_from(tag_bits / 8).expect("at most 16");
                Ok(Mode::Gcm { iv, aad, tag_len })
            }
            _ => Err(Error::MechanismParamInvalid),
        },
        (Scheme::AesCbc | Scheme::AesCbcPad | Scheme::AesCtr | Scheme::AesGcm, _) => {
            Err(Error::MechanismParamInvalid)
        }
        _ => Err(Error::MechanismInvalid),
    }
}

impl fmt::Debug for CipherOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CipherOperation({:?})", self.direction)
    }
}
