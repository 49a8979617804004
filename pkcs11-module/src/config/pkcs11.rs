//! The lines of a slot over an HSM.

use std::path::{Path, PathBuf};

use super::{MechanismName, slot::Lines};
use hsm_backends::pkcs11::Selector;

/// `backend = "pkcs11"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pkcs11 {
    /// The HSM's PKCS#11 library.
    pub library: PathBuf,
    /// Which of its tokens.
    pub token: Selector,
    /// With which mechanisms a key is made in the HSM itself; all that the HSM has when `None`.
    pub pass_through: Option<Vec<MechanismName>>,
    /// Whether data objects are in the HSM as well.
    pub data_in_hsm: bool,
}

impl Pkcs11 {
    /// Takes its lines out of a slot's.
    pub(super) fn take(
        lines: &mut Lines,
        absolute: impl Fn(&Path) -> Result<PathBuf, String>,
    ) -> Result<Self, String> {
        let library = lines
            .module_path
            .take()
            .ok_or("backend = \"pkcs11\" needs module-path, the HSM's PKCS#11 library")?;
        let mut token = lines.token.take().unwrap_or_default();
        let once = add(&mut token.label, lines.token_label.take())
            && add(&mut token.serial, lines.token_serial.take())
            && add(&mut token.slot, lines.token_slot.take());
        if !once {
            return Err("token says what token-label, token-serial or token-slot says as well".into());
        }
        let pass_through = lines.pass_through.take();
        // Where no key may be in the HSM, nothing else is unless it is asked for.
        let takes_some = pass_through.as_ref().is_none_or(|named| !named.is_empty());
        let data_in_hsm = lines.data_in_hsm.take().unwrap_or(takes_some);
        Ok(Self { library: absolute(&library)?, token, pass_through, data_in_hsm })
    }
}

/// Puts a line of its own where the URI says nothing; whether not both say it.
fn add<T>(said: &mut Option<T>, line: Option<T>) -> bool {
    let once = said.is_none() || line.is_none();
    if line.is_some() {
        *said = line;
    }
    once
}
