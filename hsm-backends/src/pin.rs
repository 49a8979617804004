//! PINs: 4 to 255 bytes of anything.

use algorithms::SecretBytes;

use crate::StoreError;

/// How many bytes a new PIN may have.
pub const PIN_LEN: std::ops::RangeInclusive<usize> = 4..=255;

/// A PIN as it was presented. `Debug` prints nothing of it.
#[derive(Debug, Clone)]
pub struct Pin(SecretBytes);

impl Pin {
    /// A PIN to be judged: any length, since a wrong length is just a wrong PIN.
    pub fn presented(bytes: &[u8]) -> Self {
        Self(SecretBytes::new(bytes))
    }

    /// A PIN to be set.
    pub fn chosen(bytes: &[u8]) -> Result<Self, StoreError> {
        if PIN_LEN.contains(&bytes.len()) { Ok(Self::presented(bytes)) } else { Err(StoreError::PinLength) }
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }
}
