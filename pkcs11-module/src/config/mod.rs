//! Configuration: the file that TRELLIS_CONF names, else the user's (XDG), else /etc/trellis/trellis.toml, else one
//! embedded slot. The comments of `File` and of `Lines` (slot.rs) are the manual.

mod environment;
mod error;
mod mechanism;
mod nitro;
mod pkcs11;
mod slot;
#[cfg(test)]
mod tests;
mod tpm;

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Deserializer, de::Error as _};
use toml::Spanned;

use crate::{handle::SlotId, log};

pub use environment::Environment;
use environment::{absolute, exists};
pub use error::ConfigError;
pub use mechanism::MechanismName;
pub use nitro::Nitro;
pub use pkcs11::Pkcs11;
use slot::Lines;
pub use slot::{Backend, SlotConfig};
pub use tpm::Tpm;

/// What trellis.toml says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// What is logged, and where.
    pub log: Option<log::Setting>,
    /// The only mechanisms that may be used; all of them when absent.
    pub mechanisms: Option<Vec<MechanismName>>,
    /// Whether CKA_EC_POINT of Ed25519 public keys is the DER OCTET STRING that older clients want.
    pub ec_point_der: bool,
    /// In the order of the file.
    pub slots: Vec<SlotConfig>,
}

/// What the file may say. Every line may be left out; an unknown one is refused.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct File {
    /// `log = "LEVEL"` or `"LEVEL,file=/PATH"`, where LEVEL is `off` (the default), `error`, `warn`, `info` or
    /// `debug`. The environment variable TRELLIS_LOG has the same form and takes the place of all of this: where it
    /// names no file, the log goes to standard error. A file that cannot be opened is told there, once.
    log: Option<log::Setting>,
    /// `mechanisms = ["CKM_ML_DSA", "CKM_EDDSA"]`: the only mechanisms that may be used; all of them when absent.
    mechanisms: Option<Vec<MechanismName>>,
    /// `ec-point = "raw"` (the default) gives CKA_EC_POINT of Ed25519 public keys as the 32 bytes of v3.2, `"der"` as
    /// the DER OCTET STRING that older clients want.
    #[serde(rename = "ec-point", deserialize_with = "ec_point")]
    ec_point_der: bool,
    /// One `[[slot]]` for each slot; when there is none, one embedded slot at
    /// `${XDG_DATA_HOME:-~/.local/share}/trellis/default`.
    #[serde(rename = "slot")]
    slots: Vec<Spanned<Lines>>,
}

impl Config {
    /// Whether a mechanism may be used.
    pub fn allows(&self, kind: u64) -> bool {
        self.mechanisms.as_ref().is_none_or(|allowed| allowed.iter().any(|name| name.kind() == kind))
    }

    /// The slots with their ids, in the order of the file.
    pub fn slots(&self) -> impl Iterator<Item = (SlotId, &SlotConfig)> {
        (0..).zip(&self.slots).map(|(position, slot)| (SlotId(slot.id.unwrap_or(position)), slot))
    }

    /// The file to read, if there is one.
    pub fn file(environment: &Environment) -> Result<Option<PathBuf>, ConfigError> {
        Ok(match (&environment.conf, environment.xdg_config()) {
            (Some(named), _) => Some(PathBuf::from(named)),
            (None, Some(xdg)) if exists(&xdg)? => Some(xdg),
            _ => Some(PathBuf::from("/etc/trellis/trellis.toml")).filter(|path| path.exists()),
        })
    }

    /// Finds and reads the configuration; the path is that of its file, if there is one.
    pub fn load(environment: &Environment) -> Result<(Self, Option<PathBuf>), ConfigError> {
        let file = Self::file(environment)?;
        let mut config = match &file {
            Some(path) => {
                let text = fs::read_to_string(path).map_err(|cause| ConfigError::unreadable(path, &cause))?;
                Self::parse(&text, path, environment)?
            }
            None => Self::default(),
        };
        if config.slots.is_empty()
            && let Some(path) = environment.default_store()
        {
            config.slots.push(SlotConfig::embedded(path));
        }
        Ok((config, file))
    }

    /// Reads the text of the file at `path`.
    fn parse(text: &str, path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let at = |offset, message: &str| ConfigError::at(path, text, offset, message);
        let file: File =
            toml::from_str(text).map_err(|error| at(error.span().map(|span| span.start), error.message()))?;
        let mut config = Self {
            log: file.log,
            mechanisms: file.mechanisms,
            ec_point_der: file.ec_point_der,
            slots: vec![],
        };
        for lines in file.slots {
            let start = Some(lines.span().start);
            let slot = SlotConfig::of(lines.into_inner(), |named| {
                absolute(named, path, environment.home.as_deref())
            })
            .map_err(|message| at(start, &message))?;
            config.slots.push(slot);
            let mut slots: Vec<_> = config.slots().collect();
            let Some((id, slot)) = slots.pop() else { continue };
            let message = match slots.iter().find(|(other, one)| *other == id || one.path == slot.path) {
                None => continue,
                Some((other, _)) if *other == id => format!("two slots have the id {}", id.0),
                Some(_) => format!("two slots have the path {}", slot.path.display()),
            };
            return Err(at(start, &message));
        }
        Ok(config)
    }
}

fn ec_point<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "raw" => Ok(false),
        "der" => Ok(true),
        other => Err(D::Error::custom(format!("ec-point {other:?} is not \"raw\" or \"der\""))),
    }
}
