//! Token management: C_InitToken, C_InitPIN, C_SetPIN (PKCS#11 v3.2 section 5.5), and the vendor interface's backup.

use std::path::Path;

use hsm_backends::{Admin, Pin, Role};

use crate::{
    Module,
    error::{Error, Result},
    handle::{SessionHandle, SlotId},
    log,
    slot::Slot,
};

impl Module {
    /// C_InitToken with the label that its 32 padded bytes hold.
    pub fn init_token(&self, slot: SlotId, so_pin: &[u8], label: &str) -> Result<()> {
        let slot = self.slot(slot)?;
        let _alone = slot.pin_work()?;
        self.no_sessions(slot)?;
        let pin = match slot.store.description()?.initialized {
            true => Pin::presented(so_pin),
            false => Pin::chosen(so_pin)?,
        };
        admin(slot)?.init_token(&pin, label)?;
        slot.objects.forget_token_objects();
        tell_unfinished(slot);
        log::info(format_args!("slot {}: token initialised with label {label:?}", slot.id.0));
        Ok(())
    }

    /// C_InitPIN, in a session of the SO.
    pub fn init_pin(&self, session: SessionHandle, pin: &[u8]) -> Result<()> {
        let session = self.session(session)?;
        let slot = &session.slot;
        let _alone = slot.pin_work()?;
        let vault = slot
            .vault()
            .filter(|vault| vault.role() == Role::SecurityOfficer)
            .ok_or(Error::UserNotLoggedIn)?;
        admin(slot)?.init_pin(&**vault, &Pin::chosen(pin)?)?;
        tell_unfinished(slot);
        log::info(format_args!("slot {}: user PIN set by the SO", slot.id.0));
        Ok(())
    }

    /// C_SetPIN: the SO's in a session of the SO, otherwise the user's, logged in or not.
    pub fn set_pin(&self, session: SessionHandle, old: &[u8], new: &[u8]) -> Result<()> {
        let session = self.session(session)?;
        if !session.read_write {
            return Err(Error::SessionReadOnly);
        }
        let slot = &session.slot;
        let _alone = slot.pin_work()?;
        let role = slot.role().unwrap_or(Role::User);
        admin(slot)?.set_pin(role, &Pin::presented(old), &Pin::chosen(new)?)?;
        tell_unfinished(slot);
        log::info(format_args!("slot {}: PIN changed ({role:?})", slot.id.0));
        Ok(())
    }

    /// T_BackupToken.
    pub fn backup_token(&self, slot: SlotId, path: &Path, passphrase: &[u8]) -> Result<()> {
        let slot = self.slot(slot)?;
        admin(slot)?.backup(path, &Pin::chosen(passphrase)?)?;
        log::info(format_args!("slot {}: token written to {}", slot.id.0, path.display()));
        Ok(())
    }

    /// T_RestoreToken. As with C_InitToken, no session may be open.
    pub fn restore_token(&self, slot: SlotId, path: &Path, passphrase: &[u8], replace: bool) -> Result<()> {
        let slot = self.slot(slot)?;
        let _alone = slot.pin_work()?;
        self.no_sessions(slot)?;
        admin(slot)?.restore(path, &Pin::presented(passphrase), replace)?;
        slot.objects.forget_token_objects();
        log::info(format_args!("slot {}: token restored from {}", slot.id.0, path.display()));
        Ok(())
    }

    /// T_ResealToken. Logins go on: the token key stays.
    pub fn reseal_token(&self, slot: SlotId, so_pin: &[u8]) -> Result<()> {
        let slot = self.slot(slot)?;
        let _alone = slot.pin_work()?;
        admin(slot)?.reseal(&Pin::presented(so_pin))?;
        log::info(format_args!("slot {}: token sealed to the present state of the machine", slot.id.0));
        Ok(())
    }

    fn no_sessions(&self, slot: &Slot) -> Result<()> {
        if self.sessions.count(slot.id).0 > 0 { Err(Error::SessionExists) } else { Ok(()) }
    }
}

/// What was kept under the PINs of before opens until a login has finished this.
fn tell_unfinished(slot: &Slot) {
    if let Some(error) = slot.store.unfinished() {
        log::warn(format_args!(
            "slot {}: older copies of this token still open with the PIN of before; log in with the new one: {error}",
            slot.id.0
        ));
    }
}

fn admin(slot: &Slot) -> Result<&dyn Admin> {
    slot.store.admin().ok_or(Error::FunctionNotSupported)
}
