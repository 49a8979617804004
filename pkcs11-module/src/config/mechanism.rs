//! Mechanisms by name.

use serde::Deserialize;

use crate::mechanism;

/// A mechanism of the module, by the standard's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct MechanismName(u64);

impl TryFrom<String> for MechanismName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        mechanism::row_named(&name)
            .map(|row| Self(row.kind))
            .ok_or_else(|| format!("{name:?} is no mechanism of this module"))
    }
}

impl MechanismName {
    /// CKM_*.
    pub fn kind(self) -> u64 {
        self.0
    }
}
