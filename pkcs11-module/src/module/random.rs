//! Random numbers (PKCS#11 v3.2 section 5.19).

use crate::{
    Module,
    error::{Error, Result},
    handle::SessionHandle,
};

impl Module {
    /// C_SeedRandom: the operating system needs no seed, CKR_RANDOM_SEED_NOT_SUPPORTED.
    pub fn seed_random(&self, session: SessionHandle, _seed: &[u8]) -> Result<()> {
        self.session(session)?;
        Err(Error::RandomSeedNotSupported)
    }

    /// C_GenerateRandom.
    pub fn generate_random(&self, session: SessionHandle, out: &mut [u8]) -> Result<()> {
        self.session(session)?;
        Ok(algorithms::random::fill(out)?)
    }
}
