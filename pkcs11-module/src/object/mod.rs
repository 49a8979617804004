//! Objects (PKCS#11 v3.2 section 4): token objects live in the store, session objects in memory, and profiles and
//! mechanisms are built in. All have handles in one [`ObjectTable`] per slot.

pub(crate) mod batch;
mod built_in;
pub(crate) mod certificate;
pub(crate) mod change;
pub(crate) mod curves;
mod der;
pub(crate) mod find;
pub(crate) mod generate;
mod material;
pub(crate) mod new;
pub(crate) mod read;
mod table;
pub(crate) mod wrap;

#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use algorithms::PublicKey;
use cryptoki_sys as ck;
use hsm_backends::{
    Attributes, NewSecret, Objects, OpenKey, PrivateKey, Record, RecordId, SecretKey, StoreError,
};

pub use built_in::install;
pub use table::{Entry, ObjectTable, of_session};

use crate::{
    error::{Error, Result},
    handle::{ObjectHandle, SessionHandle},
    slot::Slot,
    sync::RwLock,
};

/// A session object. It dies with its session, and at logout if it is private.
#[derive(Debug)]
pub struct SessionObject {
    /// The session that made it.
    pub session: SessionHandle,
    /// Its name, of which CKA_UNIQUE_ID is made.
    pub id: RecordId,
    /// Its attributes; C_SetAttributeValue replaces the whole list.
    pub attributes: RwLock<Arc<Attributes>>,
    /// Its secret. Copies share it.
    pub secret: Option<NewSecret>,
    /// Its public key, opened at the first use.
    pub public_key: OnceLock<Arc<PublicKey>>,
}

/// An object as one call sees it: resolved, visible, and with the attributes it has now.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its handle.
    pub handle: ObjectHandle,
    /// Where it lives.
    pub source: Source,
    /// Its private key, where that was open when a key was asked for.
    open_key: OpenKey,
}

/// Where an object lives.
#[derive(Debug, Clone)]
pub enum Source {
    /// In the store.
    Token(Arc<Record>),
    /// In memory; with the attributes of the moment.
    Session(Arc<SessionObject>, Arc<Attributes>),
    /// Built in: CKO_PROFILE, CKO_MECHANISM.
    BuiltIn(Arc<Attributes>),
}

impl Object {
    /// Resolves a handle. A handle that names nothing, or nothing that is visible to this application now, is
    /// CKR_OBJECT_HANDLE_INVALID.
    pub fn resolve(slot: &Slot, handle: ObjectHandle) -> Result<Self> {
        Self::resolve_with(slot, handle, |objects, id| Ok((objects.read(id)?, None)))
    }

    fn resolve_with(
        slot: &Slot,
        handle: ObjectHandle,
        read: impl FnOnce(&dyn Objects, RecordId) -> std::result::Result<(Arc<Record>, OpenKey), StoreError>,
    ) -> Result<Self> {
        let mut open_key = None;
        let source = match slot.objects.entry(handle).ok_or(Error::ObjectHandleInvalid)? {
            Entry::Token(id) => {
                let record;
                (record, open_key) = slot.visible(|objects| read(objects, id))?;
                Source::Token(record)
            }
            Entry::Left(id) => Source::Token(read(slot.store.public(), id)?.0),
            Entry::Session(object) => {
                let attributes = object.attributes.read().clone();
                Source::Session(object, attributes)
            }
            Entry::BuiltIn(attributes) => Source::BuiltIn(attributes),
        };
        Ok(Self { handle, source, open_key })
    }

    /// [`Object::resolve`] for a handle that must be a key's: CKR_KEY_HANDLE_INVALID.
    pub fn resolve_key(slot: &Slot, handle: ObjectHandle) -> Result<Self> {
        Self::resolve_with(slot, handle, |objects, id| objects.read_with_open_key(id)).map_err(|error| {
            match error {
                Error::ObjectHandleInvalid => Error::KeyHandleInvalid,
                other => other,
            }
        })
    }

    /// Everything but the secret attributes.
    pub fn attributes(&self) -> &Attributes {
        match &self.source {
            Source::Token(record) => &record.attributes,
            Source::Session(_, attributes) | Source::BuiltIn(attributes) => attributes,
        }
    }

    /// Whether only the logged-in user may use the object: it is private, or a key whose secret is sealed in the store.
    pub fn is_users(&self) -> bool {
        let sealed = matches!(&self.source, Source::Token(record) if record.has_secret);
        sealed || self.attributes().flag(ck::CKA_PRIVATE)
    }

    /// The private key behind the object. Where there is none: CKR_KEY_HANDLE_INVALID.
    pub fn private_key(&self, slot: &Slot) -> Result<Arc<dyn PrivateKey>> {
        match &self.source {
            Source::Token(record) => match &self.open_key {
                Some(key) => Ok(key.clone()),
                None => Ok(slot.user_vault()?.private_key_of(record)?),
            },
            Source::Session(object, _) => match &object.secret {
                Some(NewSecret::Private(key)) => Ok(key.clone()),
                _ => Err(Error::KeyHandleInvalid),
            },
            Source::BuiltIn(_) => Err(Error::KeyHandleInvalid),
        }
    }

    /// The secret key behind the object. Where there is none: CKR_KEY_HANDLE_INVALID.
    pub fn secret_key(&self, slot: &Slot) -> Result<Arc<SecretKey>> {
        match &self.source {
            Source::Token(record) => Ok(slot.user_vault()?.secret_key_of(record)?),
            Source::Session(object, _) => match &object.secret {
                Some(NewSecret::Secret(key)) => Ok(key.clone()),
                _ => Err(Error::KeyHandleInvalid),
            },
            Source::BuiltIn(_) => Err(Error::KeyHandleInvalid),
        }
    }

    /// The public key that the object's attributes hold, opened once per version of the object. An object that is no
    /// public key: CKR_KEY_HANDLE_INVALID.
    pub fn public_key(&self, slot: &Slot) -> Result<Arc<PublicKey>> {
        let open = || -> Result<Arc<PublicKey>> {
            let attributes = self.attributes();
            if attributes.ulong(ck::CKA_CLASS) != Some(ck::CKO_PUBLIC_KEY) {
                return Err(Error::KeyHandleInvalid);
            }
            let spki = attributes.bytes(ck::CKA_PUBLIC_KEY_INFO).ok_or(Error::KeyHandleInvalid)?;
            Ok(Arc::new(PublicKey::from_spki(spki)?))
        };
        match &self.source {
            Source::Token(record) => slot.objects.public_key(record, open),
            Source::Session(object, _) => match object.public_key.get() {
                Some(key) => Ok(key.clone()),
                None => {
                    let key = open()?;
                    Ok(object.public_key.get_or_init(|| key).clone())
                }
            },
            Source::BuiltIn(_) => Err(Error::KeyHandleInvalid),
        }
    }
}
