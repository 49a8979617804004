//! Objects that are in the HSM and not of our making: seen as records, without being copied anywhere.
//!
//! They are read anew at each search, so that what others make, change and destroy in the HSM is seen. The id of such a
//! record is a hash of the token's serial number and of what cannot change about the object, so that it is the same in
//! every process and after every login.

mod known;
mod object;
mod search;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use algorithms::PublicKey;
use cryptoki_sys as ck;

use super::{
    claims::{Names, names},
    device::{Device, Session},
    native::{NativeKey, key_type},
    raw::{Rv, Template},
};
use crate::{Attributes, PrivateKey, Record, RecordId, StoreError, Value};
use known::Known;
use object::{Found, id, identity};

/// How often an object is looked for again whose handle is of an earlier login.
const MAX_LOOKS: usize = 10;

/// One object of the HSM.
#[derive(Debug, Clone)]
struct Foreign {
    record: Arc<Record>,
    key: Option<Arc<dyn PrivateKey>>,
    /// The handle, and the turn in which it is worth something.
    handle: (u64, ck::CK_OBJECT_HANDLE),
}

/// The HSM's own objects, as the last searches have found them.
#[derive(Debug)]
pub(super) struct ForeignObjects {
    device: Arc<Device>,
    /// Whether private objects are to be seen.
    private: bool,
    known: Known,
}

impl ForeignObjects {
    /// Those that are seen without a login.
    pub(super) fn new(device: Arc<Device>) -> Self {
        Self { device, private: false, known: Known::default() }
    }

    /// Those that a login sees; with `private`, the user's.
    pub(super) fn of_login(&self, private: bool) -> Self {
        Self { device: self.device.clone(), private, known: self.known.of_login() }
    }

    pub(super) fn device(&self) -> &Arc<Device> {
        &self.device
    }

    pub(super) fn sees_private(&self) -> bool {
        self.private
    }

    /// The ids of the objects that match, in the HSM's order. `is_ours` says of an object, by its attributes,
    /// whether it has a record of ours already.
    pub(super) fn find(
        &self,
        template: &Attributes,
        is_ours: impl Fn(&Attributes) -> Result<bool, StoreError>,
    ) -> Result<Vec<RecordId>, StoreError> {
        let listed = self.refresh(&search::asked(template))?;
        let mut rest = template.clone();
        let unique_id = rest.remove(ck::CKA_UNIQUE_ID);
        let mut ids = Vec::new();
        for (id, record) in listed {
            let named =
                unique_id.as_ref().is_none_or(|wanted| *wanted == Value::Bytes(id.to_string().into_bytes()));
            if named && record.attributes.matches(&rest) && !is_ours(&record.attributes)? {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    /// One of those that a search has found.
    pub(super) fn read(&self, id: RecordId) -> Option<Arc<Record>> {
        self.known.get(id).map(|foreign| foreign.record)
    }

    /// Its private key. An object that is no private key, or one whose public half the HSM does not have, is
    /// [`StoreError::Unsupported`].
    pub(super) fn private_key(&self, id: RecordId) -> Option<Result<Arc<dyn PrivateKey>, StoreError>> {
        self.known.get(id).map(|foreign| foreign.key.ok_or(StoreError::Unsupported))
    }

    /// Changes what may be changed of an object in the HSM: its label and id.
    pub(super) fn update(
        &self,
        id: RecordId,
        version: u64,
        attributes: &Attributes,
    ) -> Result<(), StoreError> {
        let foreign = self.known.get(id).ok_or(StoreError::NotFound)?;
        if foreign.record.version != version {
            return Err(StoreError::Changed);
        }
        let mut changes: Template = Vec::new();
        for (kind, value) in attributes.iter() {
            if foreign.record.attributes.value(kind) == Some(value) {
                continue;
            }
            match (kind, value) {
                (ck::CKA_LABEL | ck::CKA_ID, Value::Bytes(bytes)) => changes.push((kind, bytes.clone())),
                _ => return Err(StoreError::Unsupported),
            }
        }
        let handle = self.on((id, version), "C_SetAttributeValue", |session, handle| {
            session.raw.set_values(session.handle, handle, &changes)
        })?;
        let record = Arc::new(Record {
            version: version + 1,
            attributes: attributes.clone(),
            ..(*foreign.record).clone()
        });
        let key = self.key_of(&record.attributes, record.has_secret)?;
        self.known.put(id, Foreign { record, key, handle });
        Ok(())
    }

    /// Destroys an object in the HSM.
    pub(super) fn destroy(&self, id: RecordId) -> Result<(), StoreError> {
        let version = self.known.get(id).ok_or(StoreError::NotFound)?.record.version;
        let destroyed = self.on((id, version), "C_DestroyObject", |session, handle| {
            session.raw.destroy(session.handle, handle)
        });
        match destroyed {
            // It was there: the HSM destroyed it, and the answer was lost.
            Ok(_) | Err(StoreError::NotFound) => self.known.forget(id),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Destroys the public half of a key in the HSM, which has the names of a record that is gone and was made with it.
    pub(super) fn destroy_public(&self, spki: &[u8], (label, key_id): &Names) -> Result<(), StoreError> {
        let is_named = |object: &Attributes| {
            let (their_label, their_id) = names(object);
            // A key in the HSM has a CKA_ID even where its record has none.
            their_label == *label && (key_id.is_empty() || their_id == *key_id)
        };
        let Ok(public) = PublicKey::from_spki(spki) else { return Ok(()) };
        let key_type = key_type(public.algorithm());
        let done = self.device.call(|session| {
            for object in search::keys(session, ck::CKO_PUBLIC_KEY, key_type, self.private)? {
                if object.spki.as_deref() == Some(spki) && is_named(&object.attributes) {
                    session.raw.destroy(session.handle, object.handle)?;
                }
            }
            Ok(())
        });
        done.map_err(|failure| failure.of(&self.device, "C_DestroyObject"))
    }

    /// Does something with an object at its version, and gives back the handle by which it was done. A handle of an earlier
    /// login is worth nothing: then the object is looked for again.
    fn on(
        &self,
        (id, version): (RecordId, u64),
        doing: &str,
        f: impl Fn(&Session, ck::CK_OBJECT_HANDLE) -> Result<(), Rv>,
    ) -> Result<(u64, ck::CK_OBJECT_HANDLE), StoreError> {
        for _ in 0..MAX_LOOKS {
            let Foreign { record, handle, .. } = self.known.get(id).ok_or(StoreError::NotFound)?;
            if record.version != version {
                return Err(StoreError::Changed);
            }
            let done = self.device.call(|session| match handle {
                (turn, handle) if turn == session.turn => f(session, handle).map(|()| true),
                _ => Ok(false),
            });
            if done.map_err(|failure| failure.of(&self.device, doing))? {
                return Ok(handle);
            }
            self.refresh(&Attributes::new())?;
        }
        Err(StoreError::Device(format!("{}: the login is lost again and again", self.device.name())))
    }

    /// Reads what the HSM has of what is asked for. Objects keep their version for as long as they look the same.
    fn refresh(&self, asked: &Attributes) -> Result<Vec<(RecordId, Arc<Record>)>, StoreError> {
        let (turn, found) = self
            .device
            .call(|session| Ok((session.turn, search::list(session, asked, self.private)?)))
            .map_err(|failure| failure.of(&self.device, "C_FindObjects"))?;
        let mut list = Vec::new();
        if !found.is_empty() {
            let serial =
                self.device.token().map_err(|failure| failure.of(&self.device, "C_GetTokenInfo"))?.serial;
            let mut ordinals: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
            for object in found {
                let identity = identity(&serial, &object);
                let ordinal = ordinals.entry(identity.clone()).or_default();
                let id = id(&identity, *ordinal)?;
                *ordinal += 1;
                list.push((id, self.keep(id, turn, object)?));
            }
        }
        let present: HashSet<RecordId> = list.iter().map(|(id, _)| *id).collect();
        let is_missing =
            |id: &RecordId, known: &Foreign| !present.contains(id) && known.record.attributes.matches(asked);
        if !asked.is_empty() && self.known.any(is_missing) {
            // Gone, or changed by somebody else and still there.
            return self.refresh(&Attributes::new());
        }
        self.known.forget_all(is_missing);
        Ok(list)
    }

    fn keep(&self, id: RecordId, turn: u64, object: Found) -> Result<Arc<Record>, StoreError> {
        let Found { handle, attributes, public: _, spki: _ } = object;
        let handle = (turn, handle);
        let before = self.known.get(id);
        if let Some(before) = &before
            && before.record.attributes == attributes
        {
            self.known.put(id, Foreign { handle, ..before.clone() });
            return Ok(before.record.clone());
        }
        let version = before.map_or(1, |before| before.record.version + 1);
        let has_secret =
            matches!(attributes.ulong(ck::CKA_CLASS), Some(ck::CKO_PRIVATE_KEY | ck::CKO_SECRET_KEY));
        let key = self.key_of(&attributes, has_secret)?;
        let record = Arc::new(Record { id, version, attributes, has_secret });
        self.known.put(id, Foreign { record: record.clone(), key, handle });
        Ok(record)
    }

    fn key_of(
        &self,
        attributes: &Attributes,
        has_secret: bool,
    ) -> Result<Option<Arc<dyn PrivateKey>>, StoreError> {
        let private = has_secret && attributes.ulong(ck::CKA_CLASS) == Some(ck::CKO_PRIVATE_KEY);
        let spki = attributes.bytes(ck::CKA_PUBLIC_KEY_INFO).filter(|_| private);
        let Some(public) = spki.and_then(|spki| PublicKey::from_spki(spki).ok()) else { return Ok(None) };
        let name = |kind| attributes.bytes(kind).unwrap_or_default();
        let guarded = attributes.flag(ck::CKA_ALWAYS_AUTHENTICATE);
        let key = NativeKey::kept(&self.device, public, name(ck::CKA_LABEL), name(ck::CKA_ID), guarded)?;
        Ok(Some(Arc::new(key)))
    }
}
