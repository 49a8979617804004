//! Platform configuration registers: what an enclave was measured to be.

use std::fmt;

/// The value of one register: 48 bytes, SHA-384. Zero means that nothing was measured into it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pcr([u8; Self::LENGTH]);

impl Pcr {
    /// Bytes in a register.
    pub const LENGTH: usize = 48;

    /// A value.
    pub const fn new(value: [u8; Self::LENGTH]) -> Self {
        Self(value)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// Whether nothing was measured.
    pub fn is_zero(&self) -> bool {
        self.0 == [0; Self::LENGTH]
    }
}

impl TryFrom<&[u8]> for Pcr {
    type Error = std::array::TryFromSliceError;

    fn try_from(value: &[u8]) -> Result<Self, Self::Error> {
        value.try_into().map(Self)
    }
}

/// Hexadecimal, as `nitro-cli describe-eif` writes it.
impl fmt::Display for Pcr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::error::hex(f, &self.0)
    }
}

impl fmt::Debug for Pcr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
