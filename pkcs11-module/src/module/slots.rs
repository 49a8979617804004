//! Slots and mechanisms (PKCS#11 v3.2 section 5.5). A slot's token is a directory or a device that was configured; it
//! is always present, though perhaps not initialised, so there are no slot events.

use hsm_backends::Description;

use crate::{
    Module,
    error::{Error, Result},
    handle::SlotId,
    mechanism::{MECHANISMS, Mechanism},
    slot::Slot,
};

impl Module {
    /// C_GetSlotList, with or without a token.
    pub fn slot_ids(&self) -> Vec<u64> {
        self.slots.keys().map(|id| id.0).collect()
    }

    /// C_GetSlotInfo.
    pub fn slot_info(&self, slot: SlotId) -> Result<&Slot> {
        Ok(self.slot(slot)?)
    }

    /// C_GetTokenInfo: what the store says, and how many sessions there are, of which how many may write.
    pub fn token_info(&self, slot: SlotId) -> Result<(Description, (u64, u64))> {
        let description = self.slot(slot)?.store.description()?;
        Ok((description, self.sessions.count(slot)))
    }

    /// Whether a login may leave out the PIN.
    pub(crate) fn knows_pin(&self, slot: SlotId) -> Result<bool> {
        Ok(self.slot(slot)?.pin_source.is_some())
    }

    /// C_GetMechanismList.
    pub fn mechanisms(&self, slot: SlotId) -> Result<Vec<u64>> {
        self.slot(slot)?;
        Ok(MECHANISMS.iter().map(|row| row.kind).filter(|kind| self.config.allows(*kind)).collect())
    }

    /// C_GetMechanismInfo.
    pub fn mechanism_info(&self, slot: SlotId, kind: u64) -> Result<&'static Mechanism> {
        self.slot(slot)?;
        self.mechanism(kind)
    }

    /// C_WaitForSlotEvent. Without CKF_DONT_BLOCK it ends with C_Finalize only.
    pub fn wait_for_slot_event(&self, dont_block: bool) -> Result<SlotId> {
        if dont_block {
            return Err(Error::NoEvent);
        }
        self.finalized.wait();
        Err(Error::CryptokiNotInitialized)
    }
}
