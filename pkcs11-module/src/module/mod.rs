//! One run of the module from C_Initialize to C_Finalize: a plain value; the only global is the boundary's.
//!
//! The functions of the standard are methods, one file per chapter of section 5.

mod cipher;
mod digest;
mod general;
mod keys;
mod message;
mod objects;
mod random;
mod sessions;
mod sign;
mod slots;
mod status;
mod tokens;
mod verify;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use hsm_backends::{
    KeyStore, RecordId, StoreError,
    embedded::{self, EmbeddedStore},
    nitro::{self, NitroStore},
    pkcs11::{self, Libraries, Pkcs11Store},
    tpm::{self, TpmStore},
};

use crate::{
    config::{Backend, Config, MechanismName, SlotConfig},
    error::{Error, Result},
    handle::{SessionHandle, SlotId},
    log,
    mechanism::{self, Mechanism},
    object,
    reason::{self, Place},
    session::{Session, Sessions},
    slot::Slot,
    sync::Event,
};

pub use general::{Info, LIBRARY_VERSION, MANUFACTURER};
pub use sessions::{SessionInfo, UserType};
pub(crate) use status::status_uninitialized;

/// One run of the module.
#[derive(Debug)]
pub struct Module {
    /// What the configuration says.
    pub config: Config,
    /// The file it was read from.
    pub config_file: Option<PathBuf>,
    pub(crate) slots: BTreeMap<SlotId, Arc<Slot>>,
    pub(crate) sessions: Sessions,
    pub(crate) finalized: Event,
    failed: AtomicBool,
}

impl Module {
    /// A module with the slots of its configuration. No store is opened yet.
    pub fn new(config: Config, config_file: Option<PathBuf>) -> Self {
        let libraries = Libraries::default();
        let slots = config
            .slots()
            .map(|(id, slot)| {
                Slot::new(id, store(slot, &libraries), description(slot))
                    .with_pin_source(slot.pin_source.clone())
            })
            .collect();
        Self::with_slots(config, config_file, slots)
    }

    /// A module with the slots given.
    pub fn with_slots(config: Config, config_file: Option<PathBuf>, slots: Vec<Slot>) -> Self {
        for slot in &slots {
            let allowed =
                mechanism::MECHANISMS.iter().map(|row| row.kind).filter(|kind| config.allows(*kind));
            object::install(&slot.objects, allowed);
        }
        let slots = slots.into_iter().map(|slot| (slot.id, Arc::new(slot))).collect();
        Self {
            config,
            config_file,
            slots,
            sessions: Sessions::default(),
            finalized: Event::default(),
            failed: AtomicBool::new(false),
        }
    }

    /// Enters the error state: from now on the boundary answers CKR_DEVICE_ERROR to everything but C_GetInfo and
    /// C_Finalize. The result is that answer, for the call that found out.
    pub(crate) fn fail(&self, why: impl std::fmt::Display) -> Error {
        self.failed.store(true, Ordering::Release);
        log::error(format_args!("self-test failed: {why}; every function answers CKR_DEVICE_ERROR"));
        reason::tell(reason::self_test());
        Error::DeviceError
    }

    /// Whether a self-test has failed, at C_Initialize or at the end of a key generation.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// The slot of an id, or CKR_SLOT_ID_INVALID.
    pub(crate) fn slot(&self, id: SlotId) -> Result<&Arc<Slot>> {
        self.slots.get(&id).ok_or(Error::SlotIdInvalid)
    }

    /// Where the store of a slot is, for messages.
    pub(crate) fn place(&self, slot: SlotId) -> Place<'_> {
        let configured = self.config.slots().find(|(id, _)| *id == slot);
        Place { slot, store: configured.map(|(_, slot)| slot.path.as_path()) }
    }

    /// The session of a handle, or CKR_SESSION_HANDLE_INVALID.
    pub(crate) fn session(&self, handle: SessionHandle) -> Result<Arc<Session>> {
        self.sessions.session(handle)
    }

    /// The table row of a mechanism; CKR_MECHANISM_INVALID when it is unknown or not allowed. The boundary asks this
    /// before it reads the caller's parameters.
    pub fn mechanism(&self, kind: u64) -> Result<&'static Mechanism> {
        mechanism::row(kind).filter(|_| self.config.allows(kind)).ok_or(Error::MechanismInvalid)
    }

    /// Ends the logins to tokens that have been initialised anew or restored since. The boundary calls this when a
    /// function has met one (CKR_DEVICE_REMOVED).
    pub(crate) fn leave_replaced_tokens(&self) {
        for slot in self.slots.values() {
            let replaced = slot
                .vault()
                .is_some_and(|vault| matches!(vault.read(RecordId([0; 16])), Err(StoreError::TokenReplaced)));
            if replaced {
                log::warn(format_args!("slot {}: the token was replaced; logged out", slot.id.0));
                self.log_out(slot);
            }
        }
    }
}

fn store(slot: &SlotConfig, libraries: &Libraries) -> Box<dyn KeyStore> {
    let (directory, pin_tries) = (slot.path.clone(), slot.pin_tries);
    match &slot.backend {
        Backend::Embedded => Box::new(EmbeddedStore::new(embedded::Options { directory, pin_tries })),
        Backend::Pkcs11(hsm) => {
            let kinds = |names: &Vec<MechanismName>| names.iter().map(|name| name.kind()).collect();
            let options = pkcs11::Options {
                library: hsm.library.clone(),
                token: hsm.token.clone(),
                directory,
                pin_tries,
                pass_through: hsm.pass_through.as_ref().map(kinds),
                data_in_hsm: hsm.data_in_hsm,
            };
            Box::new(Pkcs11Store::new(options, libraries))
        }
        Backend::Tpm(settings) => Box::new(TpmStore::new(tpm::Options {
            directory,
            pin_tries,
            tcti: settings.tcti.clone(),
            pcrs: settings.pcrs.clone(),
            plug_in: settings.plug_in.clone(),
        })),
        Backend::Nitro(settings) => Box::new(NitroStore::new(nitro::Options {
            directory,
            pin_tries,
            host: settings.host.clone(),
            kms_key: settings.kms_key.clone(),
        })),
    }
}

/// The configured description, or the end of the path: what of it fits into 64 bytes.
fn description(slot: &SlotConfig) -> String {
    slot.description.clone().unwrap_or_else(|| {
        let text = format!("Trellis {}", tail(&slot.path, 56));
        text.chars().filter(|c| !c.is_control()).collect()
    })
}

fn tail(path: &Path, len: usize) -> String {
    let text = path.to_string_lossy();
    let start = (text.len().saturating_sub(len)..=text.len()).find(|at| text.is_char_boundary(*at));
    text[start.unwrap_or(0)..].to_owned()
}
