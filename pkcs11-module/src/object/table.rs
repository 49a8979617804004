//! Handles of one slot's objects: the same record has the same handle for as long as the module is initialised.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use algorithms::{PublicKey, Recent};
use hsm_backends::{Attributes, Record, RecordId};

use crate::{
    error::Result,
    handle::{HandleMap, ObjectHandle, SessionHandle, fresh},
    sync::{Mutex, RwLock},
};

use super::SessionObject;

/// What a handle names.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A record of the store, which may have been destroyed by another process since.
    Token(RecordId),
    /// The same by a handle of a login that has ended, while it is not known yet whether the object is public: nobody who has
    /// logged in since sees more by it than the public does.
    Left(RecordId),
    /// A session object.
    Session(Arc<SessionObject>),
    /// A profile or mechanism object.
    BuiltIn(Arc<Attributes>),
}

/// The handles of one slot, and the public keys of its token objects that were used last, by record and version.
#[derive(Debug)]
pub struct ObjectTable {
    maps: RwLock<Maps>,
    public_keys: Mutex<Recent<(RecordId, u64), Arc<PublicKey>>>,
}

/// How many opened public keys are kept: the largest that is common, ML-DSA-87, takes 5.4 KB.
const OPEN_PUBLIC_KEYS: usize = 256;

impl Default for ObjectTable {
    fn default() -> Self {
        Self { maps: RwLock::default(), public_keys: Mutex::new(Recent::new(OPEN_PUBLIC_KEYS)) }
    }
}

/// Session and built-in objects stand apart, so that a search among them does not walk over thousands of records.
#[derive(Debug, Default)]
struct Maps {
    tokens: HandleMap<ObjectHandle, RecordId>,
    records: HashMap<RecordId, ObjectHandle>,
    /// How often handles are set aside just now.
    leaving: usize,
    sessions: BTreeMap<ObjectHandle, Arc<SessionObject>>,
    built_in: BTreeMap<ObjectHandle, Arc<Attributes>>,
}

impl ObjectTable {
    /// What a handle names.
    pub fn entry(&self, handle: ObjectHandle) -> Option<Entry> {
        let maps = self.maps.read();
        let token = maps.tokens.get(&handle).map(|id| {
            let current = maps.leaving == 0 || maps.records.get(id) == Some(&handle);
            if current { Entry::Token(*id) } else { Entry::Left(*id) }
        });
        token
            .or_else(|| maps.sessions.get(&handle).cloned().map(Entry::Session))
            .or_else(|| maps.built_in.get(&handle).cloned().map(Entry::BuiltIn))
    }

    /// The handle of a record, given at the first call.
    pub fn token_object(&self, id: RecordId) -> ObjectHandle {
        if let Some(handle) = self.maps.read().records.get(&id) {
            return *handle;
        }
        let mut maps = self.maps.write();
        let handle = *maps.records.entry(id).or_insert_with(|| ObjectHandle(fresh()));
        maps.tokens.insert(handle, id);
        handle
    }

    /// Takes in a session object.
    pub fn add_session_object(&self, object: Arc<SessionObject>) -> ObjectHandle {
        let handle = ObjectHandle(fresh());
        self.maps.write().sessions.insert(handle, object);
        handle
    }

    /// Takes in a built-in object.
    pub fn add_built_in(&self, attributes: Arc<Attributes>) -> ObjectHandle {
        let handle = ObjectHandle(fresh());
        self.maps.write().built_in.insert(handle, attributes);
        handle
    }

    /// Forgets one handle, because its object was destroyed. Of two callers one is told that it was there.
    pub fn remove(&self, handle: ObjectHandle) -> bool {
        let mut maps = self.maps.write();
        if let Some(id) = maps.tokens.remove(&handle) {
            if maps.records.get(&id) == Some(&handle) {
                maps.records.remove(&id);
            }
            return true;
        }
        maps.sessions.remove(&handle).is_some()
    }

    /// Forgets the session objects for which `gone` says so: their session was closed, or the user logged out.
    pub fn remove_session_objects(&self, gone: impl Fn(&SessionObject) -> bool) {
        self.maps.write().sessions.retain(|_, object| !gone(object));
    }

    /// Forgets the handles of all token objects: the token is another now.
    pub(crate) fn forget_token_objects(&self) {
        let mut maps = self.maps.write();
        maps.records.clear();
        maps.tokens.clear();
    }

    /// Logs out by `log_out` and sets the handles of token objects aside, if it says that somebody was logged in. They still
    /// name their records, as [`Entry::Left`], but whoever finds one of these from now on gets another handle.
    pub(crate) fn set_handles_aside<T>(
        &self,
        log_out: impl FnOnce() -> Option<T>,
    ) -> Option<(T, HashMap<RecordId, ObjectHandle>)> {
        let mut maps = self.maps.write();
        let done = log_out()?;
        maps.leaving += 1;
        Some((done, std::mem::take(&mut maps.records)))
    }

    /// Of handles that were set aside, forgets those of records for which `stays` does not say so: after a logout the handles
    /// of private objects are invalid for good (PKCS#11 v3.2, C_Logout).
    pub(crate) fn keep_handles(
        &self,
        handles: HashMap<RecordId, ObjectHandle>,
        stays: impl Fn(RecordId) -> bool,
    ) {
        let mut maps = self.maps.write();
        maps.leaving -= 1;
        for (id, handle) in handles {
            if stays(id) {
                maps.records.entry(id).or_insert(handle);
            } else {
                maps.tokens.remove(&handle);
            }
        }
    }

    /// The opened public key of a record at its version; `open` opens it if it is not here.
    pub(super) fn public_key(
        &self,
        record: &Record,
        open: impl FnOnce() -> Result<Arc<PublicKey>>,
    ) -> Result<Arc<PublicKey>> {
        let name = (record.id, record.version);
        if let Some(key) = self.public_keys.lock().get(&name) {
            return Ok(key.clone());
        }
        let key = open()?;
        self.public_keys.lock().put(name, key.clone());
        Ok(key)
    }

    /// The session objects in order of their handles.
    pub fn session_objects(&self) -> Vec<(ObjectHandle, Arc<SessionObject>)> {
        self.maps.read().sessions.iter().map(|(handle, object)| (*handle, object.clone())).collect()
    }

    /// The built-in objects in order of their handles.
    pub fn built_in(&self) -> Vec<(ObjectHandle, Arc<Attributes>)> {
        self.maps.read().built_in.iter().map(|(handle, attributes)| (*handle, attributes.clone())).collect()
    }
}

/// Whether a session object belongs to a session.
pub fn of_session(handle: SessionHandle) -> impl Fn(&SessionObject) -> bool {
    move |object| object.session == handle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_login_keeps_its_handles_while_those_of_the_last_one_go() {
        let table = ObjectTable::default();
        let [private, public, other] = [1, 2, 3].map(|byte| RecordId([byte; 16]));
        let names = |handle, id| matches!(table.entry(handle), Some(Entry::Token(found)) if found == id);
        let left = |handle, id| matches!(table.entry(handle), Some(Entry::Left(found)) if found == id);
        let old = [private, public, other].map(|id| table.token_object(id));
        assert!(table.set_handles_aside(|| None::<()>).is_none(), "nobody was logged in");
        assert_eq!(table.token_object(private), old[0]);
        let (_, aside) = table.set_handles_aside(|| Some(())).unwrap();
        assert!(left(old[1], public), "a public object is used all the time");
        // Another thread logs in before the store has said which objects are public.
        let new = [private, public].map(|id| table.token_object(id));
        assert!(left(old[0], private) && left(old[1], public), "it sees nothing private by them");
        assert!(names(new[0], private) && names(new[1], public));
        table.keep_handles(aside, |id| id == public);
        assert!(table.entry(old[0]).is_none() && table.entry(old[2]).is_none());
        assert!(names(old[1], public) && names(new[0], private) && names(new[1], public));
        assert_eq!((table.token_object(private), table.token_object(public)), (new[0], new[1]));
        // One of two handles goes, and the other stays the record's.
        assert!(table.remove(old[1]) && !table.remove(old[1]));
        assert_eq!(table.token_object(public), new[1]);
    }
}
