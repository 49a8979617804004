//! The price of a guess: Argon2id, and what it costs.

use algorithms::SecretBytes;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::Zeroizing;

use super::seal::TokenKey;
use crate::{Pin, StoreError};

/// Argon2id's cost as OWASP gives it: 19 MiB, two passes, one lane. It stands beside each salt, so it can change.
const COST: Cost = Cost { memory_kib: 19 << 10, passes: 2, lanes: 1 };

/// What a slow hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    pub(crate) fn usual() -> Self {
        COST
    }

    pub(crate) fn to_bytes(self) -> [u8; 12] {
        let mut out = [0; 12];
        for (place, number) in
            out.as_chunks_mut().0.iter_mut().zip([self.memory_kib, self.passes, self.lanes])
        {
            *place = number.to_be_bytes();
        }
        out
    }

    /// `None` where the cost is beyond reason: a hostile file must not stop the host.
    pub(crate) fn from_bytes(bytes: [u8; 12]) -> Option<Self> {
        let numbers = bytes.as_chunks().0;
        let cost = Self {
            memory_kib: u32::from_be_bytes(numbers[0]),
            passes: u32::from_be_bytes(numbers[1]),
            lanes: u32::from_be_bytes(numbers[2]),
        };
        // At most a gigabyte, and four gigabytes written: some seconds.
        let sane = (1..=8).contains(&cost.lanes)
            && (8 * cost.lanes..=1 << 20).contains(&cost.memory_kib)
            && (1..=64).contains(&cost.passes)
            && cost.memory_kib * cost.passes <= 4 << 20;
        sane.then_some(cost)
    }

    /// Argon2id of a PIN or passphrase: 32 bytes. Its working memory is wiped.
    pub(crate) fn stretch(self, pin: &Pin, salt: &[u8]) -> Result<SecretBytes, StoreError> {
        let failed = |_| StoreError::Device("Argon2id refused its parameters".into());
        let params =
            Params::new(self.memory_kib, self.passes, self.lanes, Some(TokenKey::LEN)).map_err(failed)?;
        let mut blocks = Vec::new();
        blocks.try_reserve_exact(params.block_count()).map_err(|_| {
            StoreError::Device(format!("no memory for checking a PIN: {} KiB", self.memory_kib))
        })?;
        blocks.resize(params.block_count(), Block::new());
        let mut blocks = Zeroizing::new(blocks);
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        SecretBytes::filled(TokenKey::LEN, |out| {
            argon2.hash_password_into_with_memory(pin.expose(), salt, out, blocks.as_mut_slice())
        })
        .map_err(failed)
    }
}
