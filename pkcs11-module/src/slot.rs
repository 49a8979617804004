//! A slot: a key store, who is logged in to it in this process, and the handles of its objects.

use std::{collections::HashSet, sync::Arc};

use cryptoki_sys::CKA_PRIVATE;
use hsm_backends::{Attributes, KeyStore, Objects, Role, Vault};

use crate::{
    error::{Error, Result},
    handle::SlotId,
    object::ObjectTable,
    pin_source::PinSource,
    sync::{Held, Mutex, ReadMostly},
};

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
    /// Held by what judges or changes a PIN, so that these happen one after the other. Nothing else waits for it:
    /// other sessions go on signing while a PIN is being stretched.
    pub(crate) pin_work: Mutex<()>,
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
            pin_work: Mutex::default(),
            objects: ObjectTable::default(),
            pin_source: None,
        }
    }

    /// The same with a source of the user's PIN.
    pub fn with_pin_source(self, pin_source: Option<PinSource>) -> Self {
        Self { pin_source, ..self }
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

    /// Closes the vault. Private session objects are destroyed, and the handles of private token objects are invalid
    /// for good (PKCS#11 v3.2, C_Logout). Where the store cannot say which objects are public, all handles go.
    pub(crate) fn log_out(&self) {
        if self.login.replace(None).is_none() {
            return;
        }
        self.objects.remove_session_objects(|object| object.attributes.read().flag(CKA_PRIVATE));
        let public: HashSet<_> =
            self.store.public().find(&Attributes::new()).unwrap_or_default().into_iter().collect();
        self.objects.remove_token_objects(|id| !public.contains(&id));
    }
}
