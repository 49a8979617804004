//! A slot: a key store, who is logged in to it in this process, and the handles of its objects.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use cryptoki_sys::CKA_PRIVATE;
use hsm_backends::{Attributes, KeyStore, Objects, RecordId, Role, Turn, Turns, Vault};

use crate::{
    error::{Error, Result},
    handle::{ObjectHandle, SlotId},
    log,
    object::ObjectTable,
    pin_source::PinSource,
    sync::{Held, ReadMostly},
};

/// How long a PIN waits for another: as long as a store waits for its lock, and longer than for its device.
const LONGEST_PIN_WORK: Duration = Duration::from_secs(30);

/// One slot with its token.
#[derive(Debug)]
pub struct Slot {
    /// Stable: from the configuration.
    pub id: SlotId,
    /// The store behind the slot.
    pub store: Box<dyn KeyStore>,
    /// For C_GetSlotInfo: at most 64 bytes of UTF-8.
    pub description: String,
    /// The vault of this process's login, if there is one.
    pub login: ReadMostly<Arc<dyn Vault>>,
    /// What judges or changes a PIN, so that these happen one after the other. Nothing else waits for it:
    /// other sessions go on signing while a PIN is being stretched.
    pin_work: Turns,
    /// Handles of token and session objects.
    pub objects: ObjectTable,
    /// Where the user's PIN is for whoever logs in without one.
    pub(crate) pin_source: Option<PinSource>,
}

impl Slot {
    /// A slot nobody is logged in to.
    pub fn new(id: SlotId, store: Box<dyn KeyStore>, description: String) -> Self {
        Self {
            id,
            store,
            description,
            login: ReadMostly::default(),
            pin_work: Turns::default(),
            objects: ObjectTable::default(),
            pin_source: None,
        }
    }

    /// The same with a source of the user's PIN.
    pub fn with_pin_source(self, pin_source: Option<PinSource>) -> Self {
        Self { pin_source, ..self }
    }

    /// The turn of whoever judges or changes a PIN. CKR_DEVICE_ERROR where another thread's does not end: its device
    /// does not answer.
    pub(crate) fn pin_work(&self) -> Result<Turn<'_>> {
        self.pin_work.take(LONGEST_PIN_WORK).ok_or_else(|| {
            log::warn(format_args!(
                "slot {}: another thread has been giving the token a PIN for {} s; see to the token's device",
                self.id.0,
                LONGEST_PIN_WORK.as_secs()
            ));
            Error::DeviceError
        })
    }

    /// The open vault, whoever's it is.
    pub fn vault(&self) -> Option<Held<Arc<dyn Vault>>> {
        self.login.get()
    }

    /// Who is logged in.
    pub fn role(&self) -> Option<Role> {
        self.vault().map(|vault| vault.role())
    }

    /// The vault of the logged-in user, or CKR_USER_NOT_LOGGED_IN.
    pub fn user_vault(&self) -> Result<Held<Arc<dyn Vault>>> {
        self.vault().filter(|vault| vault.role() == Role::User).ok_or(Error::UserNotLoggedIn)
    }

    /// Runs `f` over everything that is visible now: the user's vault, or else the public objects.
    pub fn visible<T>(&self, f: impl FnOnce(&dyn Objects) -> T) -> T {
        match self.vault() {
            Some(vault) => f(&**vault),
            None => f(self.store.public()),
        }
    }

    /// The first half of a logout, which waits for nothing: nobody is logged in any more, and private session objects are
    /// destroyed. Whoever logs in from now on gets handles of his own.
    pub(crate) fn leave(&self) -> Option<Left> {
        let (vault, handles) = self.objects.set_handles_aside(|| self.login.replace(None))?;
        self.objects.remove_session_objects(|object| object.attributes.read().flag(CKA_PRIVATE));
        Some(Left { vault, handles })
    }

    /// The second half closes the vault. The handles of private token objects are invalid for good (PKCS#11 v3.2, C_Logout);
    /// where the store cannot say which objects are public, all handles go. The store's device is asked, so this is called
    /// without a lock.
    pub(crate) fn close(&self, left: Option<Left>) {
        let Some(Left { vault, handles }) = left else { return };
        drop(vault);
        let public: HashSet<_> =
            self.store.public().find(&Attributes::new()).unwrap_or_default().into_iter().collect();
        self.objects.keep_handles(handles, |id| public.contains(&id));
    }
}

/// What a login has left behind.
#[derive(Debug)]
pub(crate) struct Left {
    vault: Held<Arc<dyn Vault>>,
    handles: HashMap<RecordId, ObjectHandle>,
}
