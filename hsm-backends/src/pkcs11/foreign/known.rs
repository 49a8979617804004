//! The objects that searches have found. Public ones are known to all logins, so that a handle from before C_Login names the
//! same object after it; private ones are the login's own.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cryptoki_sys as ck;

use super::Foreign;
use crate::RecordId;

type Objects = HashMap<RecordId, Foreign>;

#[derive(Debug, Default)]
pub(super) struct Known {
    public: Arc<Mutex<Objects>>,
    private: Mutex<Objects>,
}

impl Known {
    /// What another login begins with.
    pub(super) fn of_login(&self) -> Self {
        Self { public: self.public.clone(), private: Mutex::default() }
    }

    pub(super) fn get(&self, id: RecordId) -> Option<Foreign> {
        let public = lock(&self.public).get(&id).cloned();
        public.or_else(|| lock(&self.private).get(&id).cloned())
    }

    pub(super) fn put(&self, id: RecordId, object: Foreign) {
        let private = object.record.attributes.flag(ck::CKA_PRIVATE);
        lock(if private { &self.private } else { &self.public }).insert(id, object);
    }

    pub(super) fn forget(&self, id: RecordId) {
        self.both().for_each(|mut objects| drop(objects.remove(&id)));
    }

    pub(super) fn any(&self, f: impl Fn(&RecordId, &Foreign) -> bool) -> bool {
        self.both().any(|objects| objects.iter().any(|(id, object)| f(id, object)))
    }

    pub(super) fn forget_all(&self, f: impl Fn(&RecordId, &Foreign) -> bool) {
        self.both().for_each(|mut objects| objects.retain(|id, object| !f(id, object)));
    }

    fn both(&self) -> impl Iterator<Item = MutexGuard<'_, Objects>> {
        [&*self.public, &self.private].into_iter().map(lock)
    }
}

fn lock(objects: &Mutex<Objects>) -> MutexGuard<'_, Objects> {
    objects.lock().unwrap_or_else(PoisonError::into_inner)
}
