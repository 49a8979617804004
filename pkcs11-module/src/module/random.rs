//! Random numbers (PKCS#11 v3.2 section 5.19).

use crate::{
    Module,
    error::{Error, Result},
    handle::SessionHandle,
};

impl Module {
    /// C_SeedRandom: stirs the seed into the operating system's generator; CKR_RANDOM_SEED_NOT_SUPPORTED where that
    /// has no device to write to.
    pub fn seed_random(&self, session: SessionHandle, seed: &[u8]) -> Result<()> {
        self.session(session)?;
        algorithms::random::stir(seed).map_err(|_| Error::RandomSeedNotSupported)
    }

    /// C_GenerateRandom.
    pub fn generate_random(&self, session: SessionHandle, out: &mut [u8]) -> Result<()> {
        self.session(session)?;
        Ok(algorithms::random::fill(out)?)
    }
}
