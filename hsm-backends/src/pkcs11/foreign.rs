//! Objects that are in the HSM and not of our making: seen as records, without being copied anywhere.
//!
//! A list is taken anew at each search, so that what others make and destroy in the HSM is seen. The id of such a
//! record is a hash of the token's serial number and of what cannot change about the object, so that it is the same in
//! every process and after every login.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use algorithms::{PublicKey, digest::Hash};
use cryptoki_sys as ck;

use super::{
    device::{Device, Session},
    keeper::number,
    native::{NativeKey, UNFINISHED, public_of, read_number},
    raw::{Rv, Template},
    wrap::KEK_LABEL,
};
use crate::{Attributes, PrivateKey, Record, RecordId, StoreError, Value};

const NUMBERS: [u64; 5] =
    [ck::CKA_CLASS, ck::CKA_KEY_TYPE, ck::CKA_CERTIFICATE_TYPE, ck::CKA_VALUE_LEN, ck::CKA_MODULUS_BITS];
const FLAGS: [u64; 20] = [
    ck::CKA_PRIVATE,
    ck::CKA_MODIFIABLE,
    ck::CKA_COPYABLE,
    ck::CKA_DESTROYABLE,
    ck::CKA_TRUSTED,
    ck::CKA_LOCAL,
    ck::CKA_DERIVE,
    ck::CKA_ENCRYPT,
    ck::CKA_DECRYPT,
    ck::CKA_SIGN,
    ck::CKA_SIGN_RECOVER,
    ck::CKA_VERIFY,
    ck::CKA_VERIFY_RECOVER,
    ck::CKA_WRAP,
    ck::CKA_UNWRAP,
    ck::CKA_SENSITIVE,
    ck::CKA_EXTRACTABLE,
    ck::CKA_ALWAYS_SENSITIVE,
    ck::CKA_NEVER_EXTRACTABLE,
    ck::CKA_ALWAYS_AUTHENTICATE,
];
const BYTES: [u64; 12] = [
    ck::CKA_LABEL,
    ck::CKA_ID,
    ck::CKA_SUBJECT,
    ck::CKA_ISSUER,
    ck::CKA_SERIAL_NUMBER,
    ck::CKA_APPLICATION,
    ck::CKA_OBJECT_ID,
    ck::CKA_URL,
    ck::CKA_EC_PARAMS,
    ck::CKA_MODULUS,
    ck::CKA_PUBLIC_EXPONENT,
    ck::CKA_START_DATE,
];

/// One object of the HSM.
#[derive(Debug, Clone)]
struct Foreign {
    record: Arc<Record>,
    key: Option<Arc<dyn PrivateKey>>,
    /// The handle, and the turn in which it is worth something.
    handle: (u64, ck::CK_OBJECT_HANDLE),
}

/// The HSM's own objects, as the last search has found them.
#[derive(Debug)]
pub(super) struct ForeignObjects {
    device: Arc<Device>,
    /// Whether private objects are to be seen.
    private: bool,
    known: Mutex<HashMap<RecordId, Foreign>>,
}

/// One object as it was read.
struct Found {
    handle: ck::CK_OBJECT_HANDLE,
    attributes: Attributes,
    public: Option<PublicKey>,
    spki: Option<Vec<u8>>,
}

impl ForeignObjects {
    pub(super) fn new(device: Arc<Device>, private: bool) -> Self {
        Self { device, private, known: Mutex::default() }
    }

    /// The ids of the objects that match, in the HSM's order. `is_ours` says of a key, by class, key type, CKA_ID and
    /// public key, whether it has a record of ours already.
    pub(super) fn find(
        &self,
        template: &Attributes,
        is_ours: impl Fn(&Attributes) -> Result<bool, StoreError>,
    ) -> Result<Vec<RecordId>, StoreError> {
        let listed = self.refresh()?;
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
        self.known().get(&id).map(|foreign| foreign.record.clone())
    }

    /// Its private key. An object that is no private key, or one whose public half the HSM does not have, is
    /// [`StoreError::Unsupported`].
    pub(super) fn private_key(&self, id: RecordId) -> Option<Result<Arc<dyn PrivateKey>, StoreError>> {
        self.known().get(&id).map(|foreign| foreign.key.clone().ok_or(StoreError::Unsupported))
    }

    /// Changes what may be changed of an object in the HSM: its label and id.
    pub(super) fn update(
        &self,
        id: RecordId,
        version: u64,
        attributes: &Attributes,
    ) -> Result<(), StoreError> {
        let foreign = self.known().get(&id).cloned().ok_or(StoreError::NotFound)?;
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
        self.on(&foreign, "C_SetAttributeValue", |session, handle| {
            session.raw.set_values(session.handle, handle, &changes)
        })?;
        let record = Arc::new(Record {
            version: version + 1,
            attributes: attributes.clone(),
            ..(*foreign.record).clone()
        });
        let key = self.key_of(&record.attributes, record.has_secret)?;
        self.known().insert(id, Foreign { record, key, ..foreign });
        Ok(())
    }

    /// Destroys an object in the HSM.
    pub(super) fn destroy(&self, id: RecordId) -> Result<(), StoreError> {
        let foreign = self.known().get(&id).cloned().ok_or(StoreError::NotFound)?;
        self.on(&foreign, "C_DestroyObject", |session, handle| session.raw.destroy(session.handle, handle))?;
        self.known().remove(&id);
        Ok(())
    }

    /// Destroys the public key objects of a key in the HSM: their record is gone, and they were made with it.
    pub(super) fn destroy_public(&self, spki: &[u8]) -> Result<(), StoreError> {
        let done = self.device.call(|session| {
            for object in self.list(session)? {
                let public = object.attributes.ulong(ck::CKA_CLASS) == Some(ck::CKO_PUBLIC_KEY);
                if public && object.spki.as_deref() == Some(spki) {
                    session.raw.destroy(session.handle, object.handle)?;
                }
            }
            Ok(())
        });
        done.map_err(|failure| failure.of(&self.device, "C_DestroyObject"))
    }

    fn on(
        &self,
        foreign: &Foreign,
        doing: &str,
        f: impl Fn(&Session, ck::CK_OBJECT_HANDLE) -> Result<(), Rv>,
    ) -> Result<(), StoreError> {
        let done = self.device.call(|session| match foreign.handle {
            (turn, handle) if turn == session.turn => f(session, handle).map(|()| true),
            _ => Ok(false),
        });
        match done.map_err(|failure| failure.of(&self.device, doing))? {
            true => Ok(()),
            // The handle is of an earlier login: look again, then change what was meant.
            false => Err(StoreError::Changed),
        }
    }

    /// Reads the HSM's list. Objects keep their version for as long as they look the same.
    fn refresh(&self) -> Result<Vec<(RecordId, Arc<Record>)>, StoreError> {
        let (turn, found) = self
            .device
            .call(|session| Ok((session.turn, self.list(session)?)))
            .map_err(|failure| failure.of(&self.device, "C_FindObjects"))?;
        let serial =
            self.device.token().map_err(|failure| failure.of(&self.device, "C_GetTokenInfo"))?.serial;
        let mut ordinals: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        let mut list = Vec::new();
        for object in found {
            let identity = identity(&serial, &object);
            let ordinal = ordinals.entry(identity.clone()).or_default();
            let id = id(&identity, *ordinal)?;
            *ordinal += 1;
            list.push((id, self.keep(id, turn, object)?));
        }
        let present: HashSet<RecordId> = list.iter().map(|(id, _)| *id).collect();
        self.known().retain(|id, _| present.contains(id));
        Ok(list)
    }

    fn keep(&self, id: RecordId, turn: u64, object: Found) -> Result<Arc<Record>, StoreError> {
        let Found { handle, attributes, public: _, spki: _ } = object;
        let handle = (turn, handle);
        let before = self.known().get(&id).cloned();
        if let Some(before) = &before
            && before.record.attributes == attributes
        {
            self.known().insert(id, Foreign { handle, ..before.clone() });
            return Ok(before.record.clone());
        }
        let version = before.map_or(1, |before| before.record.version + 1);
        let has_secret =
            matches!(attributes.ulong(ck::CKA_CLASS), Some(ck::CKO_PRIVATE_KEY | ck::CKO_SECRET_KEY));
        let key = self.key_of(&attributes, has_secret)?;
        let record = Arc::new(Record { id, version, attributes, has_secret });
        self.known().insert(id, Foreign { record: record.clone(), key, handle });
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

    fn list(&self, session: &Session) -> Result<Vec<Found>, Rv> {
        let mut template: Template = vec![(ck::CKA_TOKEN, vec![ck::CK_TRUE])];
        if !self.private {
            template.push((ck::CKA_PRIVATE, vec![ck::CK_FALSE]));
        }
        let mut found = Vec::new();
        for handle in session.raw.find(session.handle, &template)? {
            match read(session, handle) {
                Ok(Some(object)) => found.push(object),
                // Gone since, or nothing of ours to show.
                Ok(None) | Err(Rv(ck::CKR_OBJECT_HANDLE_INVALID)) => {}
                Err(rv) => return Err(rv),
            }
        }
        if self.private {
            session.check_login()?;
        }
        match_halves(&mut found);
        Ok(found)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<RecordId, Foreign>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An object; `None` for what this store keeps in the HSM for itself.
fn read(session: &Session, handle: ck::CK_OBJECT_HANDLE) -> Result<Option<Found>, Rv> {
    let kinds: Vec<u64> = NUMBERS.into_iter().chain(FLAGS).chain(BYTES).collect();
    let values = session.raw.values(session.handle, handle, &kinds)?;
    let mut attributes = Attributes::new();
    for (kind, value) in kinds.into_iter().zip(values) {
        let Some(value) = value else { continue };
        if NUMBERS.contains(&kind) {
            if let Some(number) = read_number(&value) {
                attributes.set(kind, number);
            }
        } else if FLAGS.contains(&kind) {
            attributes.set(kind, value.first().is_some_and(|flag| *flag != ck::CK_FALSE));
        } else {
            attributes.set(kind, value);
        }
    }
    attributes.set(ck::CKA_TOKEN, true);
    let label = attributes.bytes(ck::CKA_LABEL).unwrap_or_default();
    let class = attributes.ulong(ck::CKA_CLASS);
    if label == UNFINISHED || (class == Some(ck::CKO_SECRET_KEY) && label == KEK_LABEL) {
        return Ok(None);
    }
    if matches!(class, Some(ck::CKO_CERTIFICATE | ck::CKO_DATA)) {
        let value = session.raw.values(session.handle, handle, &[ck::CKA_VALUE])?.pop().flatten();
        attributes.set(ck::CKA_VALUE, value.unwrap_or_default());
    }
    let is_pair = matches!(class, Some(ck::CKO_PUBLIC_KEY | ck::CKO_PRIVATE_KEY));
    let public = if is_pair { public_of(session, handle)? } else { None };
    let spki = public.as_ref().and_then(|public| public.to_spki().ok());
    let mut found = Found { handle, attributes, public, spki };
    describe(&mut found);
    Ok(Some(found))
}

/// What a known public key adds to an object, in the form that records have it.
fn describe(found: &mut Found) {
    if let Some(spki) = &found.spki {
        found.attributes.set(ck::CKA_PUBLIC_KEY_INFO, spki.clone());
    }
    let public = found.attributes.ulong(ck::CKA_CLASS) == Some(ck::CKO_PUBLIC_KEY);
    match &found.public {
        Some(PublicKey::Ed25519(key)) if public => {
            found.attributes.set(ck::CKA_EC_POINT, key.as_bytes());
        }
        Some(PublicKey::Ecdsa(key)) if public => {
            let point = key.as_bytes();
            let len = u8::try_from(point.len()).unwrap_or(u8::MAX);
            let head: &[u8] = if len < 0x80 { &[0x04, len] } else { &[0x04, 0x81, len] };
            found.attributes.set(ck::CKA_EC_POINT, [head, point].concat());
        }
        Some(PublicKey::MlDsa(key)) => {
            found.attributes.set(ck::CKA_PARAMETER_SET, key.parameter_set().ckp());
            if public {
                found.attributes.set(ck::CKA_VALUE, key.as_bytes());
            }
        }
        _ => {}
    }
}

/// A private key's public half is the public key object of the same type, CKA_ID and CKA_LABEL, or of the same type and
/// CKA_ID where there is one of that only. That it is will be proved before the key is used.
fn match_halves(found: &mut [Found]) {
    let name = |object: &Found, kind| object.attributes.bytes(kind).unwrap_or_default().to_vec();
    let id = |object: &Found| (object.attributes.ulong(ck::CKA_KEY_TYPE), name(object, ck::CKA_ID));
    let is = |object: &Found, class| object.attributes.ulong(ck::CKA_CLASS) == Some(class);
    let mut halves: BTreeMap<_, Vec<(Vec<u8>, Vec<u8>)>> = BTreeMap::new();
    for half in found.iter().filter(|object| is(object, ck::CKO_PUBLIC_KEY)) {
        if let Some(spki) = &half.spki {
            halves.entry(id(half)).or_default().push((name(half, ck::CKA_LABEL), spki.clone()));
        }
    }
    for object in found.iter_mut().filter(|object| object.spki.is_none() && is(object, ck::CKO_PRIVATE_KEY)) {
        let Some(candidates) = halves.get(&id(object)) else { continue };
        let label = name(object, ck::CKA_LABEL);
        let half = match &candidates[..] {
            [only] => Some(only),
            several => several.iter().find(|(theirs, _)| *theirs == label),
        };
        if let Some((_, spki)) = half {
            object.public = PublicKey::from_spki(spki).ok();
            object.spki = Some(spki.clone());
            describe(object);
        }
    }
}

/// What cannot change about an object, as far as it can be told.
fn identity(serial: &str, object: &Found) -> Vec<u8> {
    let attributes = &object.attributes;
    let name = |kind| attributes.bytes(kind).unwrap_or_default();
    let mut identity = Vec::new();
    let mut part = |bytes: &[u8]| {
        identity.extend((bytes.len() as u64).to_be_bytes());
        identity.extend(bytes);
    };
    part(serial.as_bytes());
    part(&number(attributes.ulong(ck::CKA_CLASS).unwrap_or(u64::MAX)));
    part(&number(attributes.ulong(ck::CKA_KEY_TYPE).unwrap_or(u64::MAX)));
    match &object.spki {
        Some(spki) => part(spki),
        None => {
            [ck::CKA_VALUE, ck::CKA_LABEL, ck::CKA_ID, ck::CKA_APPLICATION]
                .into_iter()
                .for_each(|kind| part(name(kind)));
        }
    }
    identity
}

fn id(identity: &[u8], ordinal: u64) -> Result<RecordId, StoreError> {
    let hash = Hash::Sha256.digest(&[b"trellis hsm object 1", identity, &ordinal.to_be_bytes()].concat())?;
    Ok(RecordId(*hash.first_chunk().expect("SHA-256 gives 32 bytes")))
}
