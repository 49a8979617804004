//! C_InitToken, C_InitPIN and C_SetPIN at the HSM, and what follows from them for the records.

use std::path::Path;

use super::{Pkcs11Store, is_initialized, keeper, vault};
use crate::{Admin, KeyStore, Pin, Role, StoreError, Vault, sealed::Keeper};

/// Bytes of a label: the field of C_InitToken.
const MAX_LABEL_LEN: usize = 32;

impl Admin for Pkcs11Store {
    /// The HSM erases its token, and the records go with it. A token that nobody has initialised is one that the
    /// configuration names by its slot.
    fn init_token(&self, so_pin: &Pin, label: &str) -> Result<(), StoreError> {
        if label.len() > MAX_LABEL_LEN {
            return Err(algorithms::Error::InputLength.into());
        }
        let token = self.token()?;
        let _turn = self.device.logins()?;
        let at_device = || {
            let made = self.device.init_token(so_pin, label);
            made.map_err(|failure| failure.of(&self.device, "C_InitToken"))
        };
        if !is_initialized(&token) {
            at_device().map_err(chosen)?;
            if self.sealed.exists()? {
                // Records of a token that was erased by other means.
                return self.sealed.erase_unjudged(label);
            }
            return self.sealed.adopt(label, &[Role::SecurityOfficer]);
        }
        self.adopt(&token)?;
        self.sealed.erase(so_pin, label, at_device)
    }

    fn init_pin(&self, vault: &dyn Vault, new: &Pin) -> Result<(), StoreError> {
        let vault = vault::ours(vault).ok_or(StoreError::Unsupported)?;
        let so_pin = vault.so_pin.as_ref().ok_or(StoreError::Unsupported)?;
        let _turn = self.device.logins()?;
        // Before anything is changed at the HSM: this officer may be another token's.
        self.sealed.check_current(vault.sealed())?;
        // From here on the PIN of before is not known any more, whatever happens to this process.
        self.sealed.keep_less(vault.sealed(), keeper::without_verifier)?;
        self.device
            .set_user_pin(so_pin, new)
            .map_err(|failure| chosen(failure.of(&self.device, "C_InitPIN")))?;
        self.sealed.forgive_user(vault.sealed(), keeper::without_verifier)
    }

    fn set_pin(&self, role: Role, old: &Pin, new: &Pin) -> Result<(), StoreError> {
        let token = self.token()?;
        if !is_initialized(&token) {
            return Err(StoreError::TokenNotInitialized);
        }
        self.adopt(&token)?;
        let _turn = self.device.logins()?;
        let changed = self.sealed.change_pin(role, old, keeper::without_verifier, |place, key| {
            let changed = self.device.change_pin(role, old, new);
            changed.map_err(|failure| chosen(failure.of(&self.device, "C_SetPIN")))?;
            key.map_or_else(|| Ok(Vec::new()), |key| self.sealed.keeper().keep(place, key, new))
        });
        if let Some(how) = self.sealed.keeper().last_login() {
            self.device.drop_unheld(how);
        }
        changed
    }

    /// The records, whose key is in the HSM: a backup is of use beside this very token, or one that the HSM's own
    /// backup has brought back.
    fn backup(&self, path: &Path, passphrase: &Pin) -> Result<(), StoreError> {
        self.adopt(&self.token()?)?;
        self.sealed.admin().ok_or(StoreError::Unsupported)?.backup(path, passphrase)
    }

    fn restore(&self, path: &Path, passphrase: &Pin, replace: bool) -> Result<(), StoreError> {
        self.sealed.admin().ok_or(StoreError::Unsupported)?.restore(path, passphrase, replace)
    }
}

/// Of a PIN that is to be, a refusal means its length or its letters.
fn chosen(error: StoreError) -> StoreError {
    if error == StoreError::PinIncorrect { StoreError::PinLength } else { error }
}
