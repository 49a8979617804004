//! One `[[slot]]`: its lines as they stand in the file, and what they mean together.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, de::Error as _};

use super::{MechanismName, nitro::Nitro, pkcs11::Pkcs11, tpm::Tpm};
use crate::pin_source::PinSource;
use hsm_backends::pkcs11::Selector;

/// What the lines of one `[[slot]]` may be. An unknown one is refused, and one that belongs to another backend.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Lines {
    /// `id = 7`: the number by which clients know the slot; its position in the file, from 0, when absent. Two slots
    /// with one id are refused.
    id: Option<u64>,
    /// `backend = "embedded"` (the default), `"pkcs11"`, `"tpm"` or `"nitro"`: where the keys live.
    #[serde(default)]
    backend: Name,
    /// `path = "/var/lib/trellis/ca"`: the store's own directory; with `pkcs11` that of the records which are sealed
    /// under the HSM's key. `~/` is the user's home; any other relative path starts at the directory of the
    /// configuration file. Two slots with one path are refused.
    path: PathBuf,
    /// `description = "CA keys"`: what clients show for the slot, at most 64 bytes; made of the path when absent.
    description: Option<String>,
    /// `pin-tries = 10`: wrong PINs before a PIN is locked, 1 to 100.
    #[serde(default = "ten", deserialize_with = "pin_tries")]
    pin_tries: u32,
    /// `pin-source = "file:/etc/trellis/ca.pin"`: where the user's PIN is for programs that log in without one
    /// (CKF_PROTECTED_AUTHENTICATION_PATH); nobody but the file's owner may read or write it.
    pin_source: Option<String>,
    /// `module-path = "/usr/lib/softhsm/libsofthsm2.so"`: the HSM's PKCS#11 library; `pkcs11` must have it.
    pub(super) module_path: Option<PathBuf>,
    /// `token = "pkcs11:token=ca;serial=0123"`: which of its tokens, by the attributes `token`, `serial`,
    /// `manufacturer`, `model` and `slot-id` of a PKCS#11 URI (RFC 7512). Without it, or one of the next three, the
    /// library must have one initialised token.
    #[serde(deserialize_with = "token_uri", default)]
    pub(super) token: Option<Selector>,
    /// `token-label = "ca"`: the same, by the label alone.
    pub(super) token_label: Option<String>,
    /// `token-serial = "0123"`: the same, by the serial number.
    pub(super) token_serial: Option<String>,
    /// `token-slot = 3`: the same, by the HSM library's own number of the slot. SoftHSM gives new ones.
    pub(super) token_slot: Option<u64>,
    /// `pass-through = ["CKM_EDDSA", "CKM_EC_EDWARDS_KEY_PAIR_GEN"]`: only keys that these mechanisms make and use are
    /// made in the HSM; all that it can make when absent, none when empty. Other keys are sealed under the HSM's key.
    pub(super) pass_through: Option<Vec<MechanismName>>,
    /// `data-in-hsm = false`: data objects are not in the HSM as well, as certificates are, where its own tools find them. For
    /// an HSM that has little room, or takes long to make each. Where nothing may pass through they are not either.
    pub(super) data_in_hsm: Option<bool>,
    /// `tcti = "device:/dev/tpmrm0"` (the default), `"tabrmd"` or `"swtpm:host=127.0.0.1,port=2321"`: the way to the TPM
    /// of a slot with `tpm`.
    pub(super) tcti: Option<String>,
    /// `pcrs = "sha256:0,2,7"`: the PCRs that the user's PIN opens the token at, several banks joined by `+`; none when
    /// absent. A new selection counts from the next PIN or `trellis tpm reseal` on.
    pub(super) pcrs: Option<String>,
    /// `plug-in = "/usr/lib/trellis/libtrellis_tpm.so"`: the library that has libtss2; the one beside the module when
    /// absent.
    pub(super) plug_in: Option<PathBuf>,
    /// `host = "unix:/run/trellis/cosigner.sock"`, `"vsock://3:5006"` or `"tcp://127.0.0.1:5006"`: where the host of the
    /// enclave listens; `nitro` must have it.
    pub(super) host: Option<String>,
    /// `kms-key = "arn:aws:kms:..."`: the KMS key that the host must be using for new keys and PINs; any when absent.
    pub(super) kms_key: Option<String>,
}

/// What a backend is called in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Name {
    #[default]
    Embedded,
    Pkcs11,
    Tpm,
    Nitro,
}

/// Where the keys of a slot live, with the settings of that kind of store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backend {
    /// A directory with an SQLite database, sealed under the user's PIN.
    Embedded,
    /// A token of an HSM, through its vendor's PKCS#11 library.
    Pkcs11(Pkcs11),
    /// A directory with an SQLite database, sealed by a TPM 2.0.
    Tpm(Tpm),
    /// A directory with an SQLite database, and keys in a Nitro enclave.
    Nitro(Nitro),
}

/// One `[[slot]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotConfig {
    /// The number by which clients know the slot; its position in the file when absent.
    pub id: Option<u64>,
    /// Where the keys live.
    pub backend: Backend,
    /// The store's own directory, absolute.
    pub path: PathBuf,
    /// What clients show for the slot, at most 64 bytes; made of the path when absent.
    pub description: Option<String>,
    /// Wrong PINs before a PIN is locked, 1 to 100.
    pub pin_tries: u32,
    /// Where the user's PIN is for whoever logs in without one.
    pub pin_source: Option<PinSource>,
}

impl SlotConfig {
    /// An embedded slot.
    pub(super) fn embedded(path: PathBuf) -> Self {
        Self {
            id: None,
            backend: Backend::Embedded,
            path,
            description: None,
            pin_tries: ten(),
            pin_source: None,
        }
    }

    /// What the lines mean, where `absolute` tells where a path of theirs is.
    pub(super) fn of(
        mut lines: Lines,
        absolute: impl Fn(&Path) -> Result<PathBuf, String>,
    ) -> Result<Self, String> {
        let path = absolute(&lines.path)?;
        let description = lines.description.take();
        if description.as_ref().is_some_and(|text| text.len() > 64) {
            return Err("description is longer than 64 bytes".into());
        }
        let pin_source = lines.pin_source.take();
        let pin_source = pin_source.map(|source| file_of(&source, &absolute)).transpose()?;
        let (name, backend) = match lines.backend {
            Name::Embedded => ("embedded", Backend::Embedded),
            Name::Pkcs11 => ("pkcs11", Backend::Pkcs11(Pkcs11::take(&mut lines, absolute)?)),
            Name::Tpm => ("tpm", Backend::Tpm(Tpm::take(&mut lines, absolute)?)),
            Name::Nitro => ("nitro", Backend::Nitro(Nitro::take(&mut lines)?)),
        };
        match lines.left() {
            Some(line) => Err(format!("{line} says nothing with backend = {name:?}")),
            None => {
                Ok(Self { id: lines.id, backend, path, description, pin_tries: lines.pin_tries, pin_source })
            }
        }
    }
}

impl Lines {
    /// A line that the backend has not taken.
    fn left(&self) -> Option<&'static str> {
        let lines = [
            ("module-path", self.module_path.is_some()),
            ("token", self.token.is_some()),
            ("token-label", self.token_label.is_some()),
            ("token-serial", self.token_serial.is_some()),
            ("token-slot", self.token_slot.is_some()),
            ("pass-through", self.pass_through.is_some()),
            ("data-in-hsm", self.data_in_hsm.is_some()),
            ("tcti", self.tcti.is_some()),
            ("pcrs", self.pcrs.is_some()),
            ("plug-in", self.plug_in.is_some()),
            ("host", self.host.is_some()),
            ("kms-key", self.kms_key.is_some()),
        ];
        lines.into_iter().find_map(|(name, there)| there.then_some(name))
    }
}

fn file_of(source: &str, absolute: impl Fn(&Path) -> Result<PathBuf, String>) -> Result<PinSource, String> {
    let path = source.strip_prefix("file:").filter(|path| !path.is_empty());
    let path = path.ok_or_else(|| format!("pin-source {source:?} is not file:PATH"))?;
    Ok(PinSource::file(absolute(Path::new(path))?))
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
