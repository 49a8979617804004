//! Configuration: the file that TRELLIS_CONF names, else the user's (XDG), else /etc/trellis/trellis.toml, else one
//! embedded slot. The field comments of [`Config`] and [`SlotConfig`] are the manual.

use std::{
    ffi::OsString,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Deserializer, de::Error as _};
use toml::Spanned;

use hsm_backends::pkcs11::Selector;

use crate::{handle::SlotId, log, mechanism};

/// What trellis.toml says. Every field may be left out; an unknown one is refused.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Config {
    /// `log = "LEVEL"` or `"LEVEL,file=/PATH"`, where LEVEL is `off` (the default), `error`, `warn`, `info` or
    /// `debug`. The environment variable TRELLIS_LOG has the same form and takes the place of all of this: where it
    /// names no file, the log goes to standard error. A file that cannot be opened is told there, once.
    pub log: Option<log::Setting>,
    /// `mechanisms = ["CKM_ML_DSA", "CKM_EDDSA"]`: the only mechanisms that may be used; all of them when absent.
    pub mechanisms: Option<Vec<MechanismName>>,
    /// `ec-point = "raw"` (the default) gives CKA_EC_POINT of Ed25519 public keys as the 32 bytes of v3.2, `"der"` as
    /// the DER OCTET STRING that older clients want.
    #[serde(rename = "ec-point", deserialize_with = "ec_point")]
    pub ec_point_der: bool,
    /// One `[[slot]]` for each slot; when there is none, one embedded slot at
    /// `${XDG_DATA_HOME:-~/.local/share}/trellis/default`.
    #[serde(rename = "slot")]
    pub slots: Vec<Spanned<SlotConfig>>,
}

/// One `[[slot]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SlotConfig {
    /// `id = 7`: the number by which clients know the slot; its position in the file, from 0, when absent. Two slots
    /// with one id are refused.
    pub id: Option<u64>,
    /// `backend = "embedded"` (the default) or `"pkcs11"`: where the keys live.
    #[serde(default)]
    pub backend: Backend,
    /// `path = "/var/lib/trellis/ca"`: the store's own directory; with `pkcs11` that of the records which are sealed
    /// under the HSM's key. `~/` is the user's home; any other relative path
    /// starts at the directory of the configuration file. Two slots with one path are refused.
    pub path: PathBuf,
    /// `description = "CA keys"`: what clients show for the slot, at most 64 bytes; made of the path when absent.
    pub description: Option<String>,
    /// `pin-tries = 10`: wrong PINs before a PIN is locked, 1 to 100.
    #[serde(default = "ten", deserialize_with = "pin_tries")]
    pub pin_tries: u32,
    /// `module-path = "/usr/lib/softhsm/libsofthsm2.so"`: the HSM's PKCS#11 library; with `pkcs11` only, and there it
    /// must be.
    pub module_path: Option<PathBuf>,
    /// `token = "pkcs11:token=ca;serial=0123"`: which of its tokens, by the attributes `token`, `serial`,
    /// `manufacturer`, `model` and `slot-id` of a PKCS#11 URI (RFC 7512). Without it, or one of the next three, the
    /// library must have one initialised token.
    #[serde(deserialize_with = "token_uri")]
    #[serde(default)]
    pub token: Option<Selector>,
    /// `token-label = "ca"`: the same, by the label alone.
    pub token_label: Option<String>,
    /// `token-serial = "0123"`: the same, by the serial number.
    pub token_serial: Option<String>,
    /// `token-slot = 3`: the same, by the HSM library's own number of the slot. SoftHSM gives new ones.
    pub token_slot: Option<u64>,
    /// `pass-through = ["CKM_EDDSA", "CKM_EC_EDWARDS_KEY_PAIR_GEN"]`: only keys that these mechanisms make and use are
    /// made in the HSM; all that it can make when absent, none when empty. Other keys are sealed under the HSM's key.
    pub pass_through: Option<Vec<MechanismName>>,
}

/// Where keys live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// A directory with an SQLite database, sealed under the user's PIN.
    #[default]
    Embedded,
    /// A token of an HSM, through its vendor's PKCS#11 library.
    Pkcs11,
}

impl SlotConfig {
    /// An embedded slot.
    fn embedded(path: PathBuf) -> Self {
        Self {
            id: None,
            backend: Backend::Embedded,
            path,
            description: None,
            pin_tries: ten(),
            module_path: None,
            token: None,
            token_label: None,
            token_serial: None,
            token_slot: None,
            pass_through: None,
        }
    }

    /// Which token of the HSM's library.
    pub fn selector(&self) -> Selector {
        let mut selector = self.token.clone().unwrap_or_default();
        selector.label = selector.label.or_else(|| self.token_label.clone());
        selector.serial = selector.serial.or_else(|| self.token_serial.clone());
        selector.slot = selector.slot.or(self.token_slot);
        selector
    }

    /// The settings of one backend say nothing with another.
    fn check(&self) -> Result<(), &'static str> {
        let of_hsm = self.module_path.is_some()
            || self.token.is_some()
            || self.token_label.is_some()
            || self.token_serial.is_some()
            || self.token_slot.is_some()
            || self.pass_through.is_some();
        let twice = self.token.as_ref().is_some_and(|token| {
            (token.label.is_some() && self.token_label.is_some())
                || (token.serial.is_some() && self.token_serial.is_some())
                || (token.slot.is_some() && self.token_slot.is_some())
        });
        match self.backend {
            Backend::Embedded if of_hsm => Err(
                "module-path, token, token-label, token-serial, token-slot and pass-through need backend = \"pkcs11\"",
            ),
            Backend::Pkcs11 if self.module_path.is_none() => {
                Err("backend = \"pkcs11\" needs module-path, the HSM's PKCS#11 library")
            }
            Backend::Pkcs11 if twice => {
                Err("token says what token-label, token-serial or token-slot says as well")
            }
            _ => Ok(()),
        }
    }
}

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

impl Config {
    /// Whether a mechanism may be used.
    pub fn allows(&self, kind: u64) -> bool {
        self.mechanisms.as_ref().is_none_or(|allowed| allowed.contains(&MechanismName(kind)))
    }

    /// The slots with their ids, in the order of the file.
    pub fn slots(&self) -> impl Iterator<Item = (SlotId, &SlotConfig)> {
        (0..).zip(&self.slots).map(|(position, slot)| {
            let slot = slot.get_ref();
            (SlotId(slot.id.unwrap_or(position)), slot)
        })
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
            config.slots.push(Spanned::new(0..0, SlotConfig::embedded(path)));
        }
        Ok((config, file))
    }

    /// Reads the text of the file at `path`.
    fn parse(text: &str, path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let mut config: Self = toml::from_str(text).map_err(|error| {
            ConfigError::at(path, text, error.span().map(|span| span.start), error.message())
        })?;
        for slot in &mut config.slots {
            let at = slot.span().start;
            let slot = slot.get_mut();
            slot.path = absolute(&slot.path, path, environment.home.as_deref())
                .map_err(|message| ConfigError::at(path, text, Some(at), &message))?;
            if let Some(module) = &slot.module_path {
                let module = absolute(module, path, environment.home.as_deref())
                    .map_err(|message| ConfigError::at(path, text, Some(at), &message))?;
                slot.module_path = Some(module);
            }
            slot.check().map_err(|message| ConfigError::at(path, text, Some(at), message))?;
            if slot.description.as_ref().is_some_and(|text| text.len() > 64) {
                let message = "description is longer than 64 bytes";
                return Err(ConfigError::at(path, text, Some(at), message));
            }
        }
        let slots: Vec<_> = config.slots().collect();
        for (position, (id, slot)) in slots.iter().enumerate() {
            let message =
                match slots[..position].iter().find(|(other, one)| other == id || one.path == slot.path) {
                    None => continue,
                    Some((other, _)) if other == id => format!("two slots have the id {}", id.0),
                    Some(_) => format!("two slots have the path {}", slot.path.display()),
                };
            return Err(ConfigError::at(path, text, Some(config.slots[position].span().start), &message));
        }
        Ok(config)
    }
}

/// What the configuration is looked up by.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// TRELLIS_CONF.
    pub conf: Option<OsString>,
    /// TRELLIS_LOG.
    pub log: Option<String>,
    /// XDG_CONFIG_HOME.
    pub xdg_config_home: Option<PathBuf>,
    /// XDG_DATA_HOME.
    pub xdg_data_home: Option<PathBuf>,
    /// The user's home directory.
    pub home: Option<PathBuf>,
}

impl Environment {
    /// This process's; a variable that is empty is as if it were not set. A program that runs with more rights than its user (setuid, file capabilities) has none: who
    /// starts it must not choose its configuration, so there only /etc/trellis/trellis.toml counts.
    pub fn of_process() -> Self {
        if crate::ffi::process::runs_with_foreign_rights() {
            return Self::default();
        }
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let path = |name| set(name).map(PathBuf::from).filter(|path| path.is_absolute());
        Self {
            conf: set("TRELLIS_CONF"),
            log: set("TRELLIS_LOG").map(|value| value.to_string_lossy().into_owned()),
            xdg_config_home: path("XDG_CONFIG_HOME"),
            xdg_data_home: path("XDG_DATA_HOME"),
            home: std::env::home_dir().filter(|path| path.is_absolute()),
        }
    }

    fn xdg_config(&self) -> Option<PathBuf> {
        let base = self.xdg_config_home.clone().or_else(|| Some(self.home.as_ref()?.join(".config")))?;
        Some(base.join("trellis/trellis.toml"))
    }

    fn default_store(&self) -> Option<PathBuf> {
        let base = self.xdg_data_home.clone().or_else(|| Some(self.home.as_ref()?.join(".local/share")))?;
        Some(base.join("trellis/default"))
    }
}

/// Why the configuration was refused, with file, line and column. C_Initialize answers CKR_FUNCTION_FAILED.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(String);

impl ConfigError {
    fn at(path: &Path, text: &str, offset: Option<usize>, message: &str) -> Self {
        let before = &text[..offset.unwrap_or(0).min(text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        Self(format!("{}:{line}:{column}: {message}", path.display()))
    }

    fn unreadable(path: &Path, cause: &io::Error) -> Self {
        Self(format!("{}: cannot be read: {cause}", path.display()))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// Whether there is a file; one that is there but hidden from us is an error, not an absence.
fn exists(path: &Path) -> Result<bool, ConfigError> {
    path.try_exists().map_err(|cause| ConfigError::unreadable(path, &cause))
}

fn absolute(path: &Path, file: &Path, home: Option<&Path>) -> Result<PathBuf, String> {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => Ok(home.join(rest)),
        (Ok(_), None) => Err("no home directory is known for ~".into()),
        (Err(_), _) => std::path::absolute(file.parent().unwrap_or(Path::new("")).join(path))
            .map_err(|cause| format!("path {}: {cause}", path.display())),
    }
}

fn ec_point<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "raw" => Ok(false),
        "der" => Ok(true),
        other => Err(D::Error::custom(format!("ec-point {other:?} is not \"raw\" or \"der\""))),
    }
}

fn token_uri<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Selector>, D::Error> {
    let uri = String::deserialize(deserializer)?;
    Selector::from_uri(&uri).map(Some).map_err(|why| D::Error::custom(format!("token {uri:?}: {why}")))
}

fn pin_tries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        tries @ 1..=100 => Ok(tries),
        other => Err(D::Error::custom(format!("pin-tries {other} is not between 1 and 100"))),
    }
}

fn ten() -> u32 {
    10
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        let environment = Environment { home: Some("/home/ada".into()), ..Environment::default() };
        Config::parse(text, Path::new("/etc/trellis/trellis.toml"), &environment).map_err(|error| error.0)
    }

    #[test]
    fn slots_are_numbered_by_position_unless_they_say_otherwise() {
        let config =
            parse("[[slot]]\npath='~/a'\n[[slot]]\nid=7\npath='b'\npin-tries=3\n[[slot]]\npath='/c'\n")
                .unwrap();
        let slots: Vec<_> =
            config.slots().map(|(id, slot)| (id.0, slot.path.to_str().unwrap(), slot.pin_tries)).collect();
        assert_eq!(slots, [(0, "/home/ada/a", 10), (7, "/etc/trellis/b", 3), (2, "/c", 10)]);
    }

    #[test]
    fn a_token_of_an_hsm_is_named_in_two_ways() {
        let begin = "[[slot]]\nbackend = 'pkcs11'\npath = '/a'\nmodule-path = '~/hsm.so'\n";
        let slot = |rest: &str| {
            let config = parse(&format!("{begin}{rest}")).unwrap();
            let (_, slot) = config.slots().next().unwrap();
            assert_eq!(slot.module_path.as_deref(), Some(Path::new("/home/ada/hsm.so")));
            slot.selector()
        };
        let by_uri = slot("token = 'pkcs11:token=my%20ca;serial=12;slot-id=3'\n");
        assert_eq!(by_uri, slot("token-label = 'my ca'\ntoken-serial = '12'\ntoken-slot = 3\n"));
        assert_eq!(by_uri, slot("token = 'pkcs11:token=my%20ca;serial=12'\ntoken-slot = 3\n"));
        assert_eq!(slot(""), Selector::default());
    }

    #[test]
    fn errors_name_file_line_and_column() {
        for (text, at, what) in [
            ("log = 'info'\ncolour = 'red'\n", "2:1", "colour"),
            ("ec-point = 'point'\n", "1:12", "point"),
            ("log = 'loud'\n", "1:7", "loud"),
            ("mechanisms = ['CKM_NO_SUCH']\n", "1:14", "CKM_NO_SUCH"),
            ("[[slot]]\npath = '/a'\npin-tries = 0\n", "3:13", "between 1 and 100"),
            ("[[slot]]\npath = '/a'\n[[slot]]\nid = 0\npath = '/b'\n", "3:1", "id 0"),
            ("[[slot]]\npath = '/a'\n[[slot]]\npath = '/a'\n", "3:1", "path /a"),
            ("[[slot]]\nbackend = 'cloud'\npath = '/a'\n", "2:11", "cloud"),
            ("[[slot]]\npath = '/a'\nmodule-path = '/b'\n", "1:1", "pkcs11"),
            ("[[slot]]\nbackend = 'pkcs11'\npath = '/a'\n", "1:1", "module-path"),
            (
                "[[slot]]\nbackend = 'pkcs11'\npath = '/a'\nmodule-path = '/b'\ntoken = 'x'\n",
                "5:9",
                "pkcs11:",
            ),
            (
                "[[slot]]\nbackend='pkcs11'\npath='/a'\nmodule-path='/b'\ntoken='pkcs11:token=a'\ntoken-label='a'\n",
                "1:1",
                "as well",
            ),
            (
                "[[slot]]\nbackend='pkcs11'\npath='/a'\nmodule-path='/b'\npass-through=['CKM_X']\n",
                "5:14",
                "CKM_X",
            ),
            ("[[slot]]\n", "1:1", "path"),
            ("log = \n", "1:7", ""),
        ] {
            let error = parse(text).unwrap_err();
            let prefix = format!("/etc/trellis/trellis.toml:{at}: ");
            assert!(error.starts_with(&prefix) && error.contains(what), "{text:?} gave {error}");
        }
    }

    #[test]
    fn lookup_order() {
        let dir = tempfile::tempdir().unwrap();
        let (home, named) = (dir.path().join("home"), dir.path().join("named.toml"));
        let xdg = home.join(".config/trellis");
        let mut environment = Environment { home: Some(home.clone()), ..Environment::default() };

        let (config, file) = Config::load(&environment).unwrap();
        assert_eq!(file, None);
        let paths: Vec<_> = config.slots().map(|(id, slot)| (id, slot.path.clone())).collect();
        assert_eq!(paths, [(SlotId(0), home.join(".local/share/trellis/default"))]);

        fs::create_dir_all(&xdg).unwrap();
        fs::write(xdg.join("trellis.toml"), "ec-point = 'der'").unwrap();
        let (config, file) = Config::load(&environment).unwrap();
        assert_eq!(file, Some(xdg.join("trellis.toml")));
        assert!(config.ec_point_der);
        assert_eq!(config.slots.len(), 1);

        environment.conf = Some(named.clone().into());
        let error = Config::load(&environment).unwrap_err();
        assert!(error.to_string().contains("named.toml: cannot be read"), "{error}");
        fs::write(&named, "").unwrap();
        assert_eq!(Config::load(&environment).unwrap().1, Some(named));
    }
}
