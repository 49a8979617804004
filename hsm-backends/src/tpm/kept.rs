//! What stands in a role's `pin` row. docs/formats.md gives the layout.

use algorithms::{SecretBytes, digest::Hash, mac::Hmac};

use super::protocol::{Reader, Writer};
use crate::{
    Pin, Role, StoreError,
    error::malformed_token_key,
    sealed::{Cost, TokenKey, derive, role_number},
};

/// The first byte: sealed by a TPM.
const VERSION: u8 = 3;
const TAG_KEY: &[u8] = b"trellis tpm row 1";
const SALT_LEN: usize = 16;
pub(super) const AUTH_LEN: usize = 32;

/// A row. What is in `anchor`, `door` and `copy` is the plug-in's.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// What the token has in the TPM.
    pub(super) anchor: Vec<u8>,
    /// How the PIN is stretched.
    pub(super) stretch: Stretch,
    /// What judges the PIN.
    pub(super) door: Vec<u8>,
    /// The token key.
    pub(super) copy: Vec<u8>,
    tag: [u8; 32],
}

/// Argon2id's cost and salt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    cost: Cost,
    salt: [u8; SALT_LEN],
}

impl Stretch {
    pub(super) fn fresh() -> Result<Self, StoreError> {
        Ok(Self { cost: Cost::usual(), salt: algorithms::random::array()? })
    }

    fn to_bytes(self) -> Vec<u8> {
        [&self.cost.to_bytes()[..], &self.salt].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (cost, salt) = bytes.split_first_chunk()?;
        Some(Self { cost: Cost::from_bytes(*cost)?, salt: salt.try_into().ok()? })
    }

    /// The authorisation that the TPM judges: Argon2id(PIN). A TPM drops zeros at its end, so there is none.
    pub(super) fn authorisation(self, pin: &Pin) -> Result<SecretBytes, StoreError> {
        let stretched = self.cost.stretch(pin, &self.salt)?;
        let made = SecretBytes::filled(AUTH_LEN, |out| {
            out.copy_from_slice(stretched.expose());
            out[AUTH_LEN - 1] |= 1;
            Ok::<_, algorithms::Error>(())
        })?;
        Ok(made)
    }
}

impl Row {
    /// Under a tag of the token key: a row that somebody else has made is not built upon.
    pub(super) fn new(
        (role, token_id, key): (Role, [u8; 16], &TokenKey),
        anchor: Vec<u8>,
        stretch: Stretch,
        door: Vec<u8>,
        copy: Vec<u8>,
    ) -> Result<Self, StoreError> {
        let mut row = Self { anchor, stretch, door, copy, tag: [0; 32] };
        row.tag = row.tag_under(role, token_id, key)?;
        Ok(row)
    }

    /// Whether it was made by whoever had the token key.
    pub(super) fn is_genuine(
        &self,
        role: Role,
        token_id: [u8; 16],
        key: &TokenKey,
    ) -> Result<bool, StoreError> {
        Ok(algorithms::mac::equal(&self.tag_under(role, token_id, key)?, &self.tag))
    }

    fn tag_under(&self, role: Role, token_id: [u8; 16], key: &TokenKey) -> Result<[u8; 32], StoreError> {
        let mut mac = Hmac::new(Hash::Sha256, &derive(key, TAG_KEY, &[])?)?;
        mac.update(&token_id);
        mac.update(&[role_number(role)]);
        mac.update(&self.fields().finish());
        Ok(*mac.finish()?.first_chunk().expect("SHA-256 gives 32 bytes"))
    }

    fn fields(&self) -> Writer {
        Writer::default()
            .bytes(&self.anchor)
            .bytes(&self.stretch.to_bytes())
            .bytes(&self.door)
            .bytes(&self.copy)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        [&[VERSION][..], &self.fields().finish(), &self.tag].concat()
    }

    pub(super) fn decode(kept: &[u8]) -> Result<Self, StoreError> {
        let decode = || {
            let (version, rest) = kept.split_first()?;
            let (fields, tag) = rest.split_last_chunk()?;
            let mut fields = Reader(fields);
            let anchor = fields.bytes()?.to_vec();
            let stretch = Stretch::from_bytes(fields.bytes()?)?;
            let (door, copy) = (fields.bytes()?.to_vec(), fields.bytes()?.to_vec());
            (*version == VERSION && fields.is_empty()).then_some(Self {
                anchor,
                stretch,
                door,
                copy,
                tag: *tag,
            })
        };
        decode().ok_or_else(malformed_token_key)
    }
}
