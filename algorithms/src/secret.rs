//! Bytes nobody may see: kept in [`crate::memory`], wiped when dropped.

use std::fmt;

use crate::{mac, memory::Block};

/// Secret bytes of any length. `Debug` prints the length alone; `==` takes the same time whatever differs.
pub struct SecretBytes(Block);

impl SecretBytes {
    /// Copies `bytes`; wiping the original is the caller's duty.
    pub fn new(bytes: &[u8]) -> Self {
        let mut block = Block::zeroed(bytes.len());
        block.copy_from_slice(bytes);
        Self(block)
    }

    /// `len` zero bytes, filled in place by `fill`.
    pub fn filled<E>(len: usize, fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Self, E> {
        let mut block = Block::zeroed(len);
        fill(&mut block)?;
        Ok(Self(block))
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Clone for SecretBytes {
    fn clone(&self) -> Self {
        Self::new(self.expose())
    }
}

impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        mac::equal(self.expose(), other.expose())
    }
}

impl Eq for SecretBytes {}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({})", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_length_alone() {
        assert_eq!(format!("{:?}", SecretBytes::new(b"open sesame")), "SecretBytes(11)");
    }

    #[test]
    fn equality_is_of_content() {
        let secret = SecretBytes::new(b"open sesame");
        assert_eq!(secret, secret.clone());
        assert_ne!(secret, SecretBytes::new(b"open sesami"));
        assert_ne!(secret, SecretBytes::new(b"open"));
    }
}
