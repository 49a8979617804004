//! One object as a store keeps it.

use crate::{Attributes, NewSecret};

/// The name of a record: 16 random bytes, never used twice. CKA_UNIQUE_ID is its lower-case hexadecimal form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId(pub [u8; 16]);

/// One object as a store keeps it. Its secret, if it has one, is reached through [`crate::Vault`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub id: RecordId,
    /// Grows with every change of the record.
    pub version: u64,
    /// Every attribute but the secret ones (CKA_VALUE of keys, CKA_SEED, the RSA private numbers), and but
    /// CKA_UNIQUE_ID, which is the id.
    pub attributes: Attributes,
    /// Whether a secret belongs to it.
    pub has_secret: bool,
}

/// One step of a commit.
#[derive(Debug)]
pub enum Change {
    /// A new record under an id of the caller's making ([`RecordId`] must be fresh and random).
    Create {
        /// Its name.
        id: RecordId,
        /// Its attributes; CKA_PRIVATE decides whether they are sealed.
        attributes: Attributes,
        /// Its secret, which is sealed in any case: only the user's vault makes or changes a record that has one.
        secret: Option<NewSecret>,
    },
    /// New attributes for a record that is still at `version`, otherwise [`crate::StoreError::Changed`]. The secret
    /// stays. CKA_PRIVATE may not change.
    Update {
        /// Which record.
        id: RecordId,
        /// The version that the new attributes were made from.
        version: u64,
        /// The whole new list.
        attributes: Attributes,
    },
    /// Removal; [`crate::StoreError::NotFound`] when it is gone already.
    Destroy {
        /// Which record.
        id: RecordId,
    },
}

/// CKA_UNIQUE_ID.
impl std::fmt::Display for RecordId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl RecordId {
    /// A fresh one.
    pub fn random() -> Result<Self, crate::StoreError> {
        Ok(Self(algorithms::random::array()?))
    }

    /// The id that a CKA_UNIQUE_ID names; `None` for anything but 32 lower-case hexadecimal digits.
    pub fn from_unique_id(unique_id: &[u8]) -> Option<Self> {
        let digits = std::str::from_utf8(unique_id).ok()?;
        let number = u128::from_str_radix(digits, 16).ok()?;
        let id = Self(number.to_be_bytes());
        (id.to_string() == digits).then_some(id)
    }
}
