//! The keys of one login. A new PIN may bring a new token key; whoever is logged in through the same store goes on
//! with it, whoever is logged in elsewhere is told that the token was replaced.

use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use super::{
    seal::{RecordKeys, TokenKey},
    token::{Name, Token},
};
use crate::StoreError;

/// What a login has of one incarnation of the token.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) token: Token,
    /// `None` where the role needs no key.
    pub(super) key: Option<TokenKey>,
    /// `None` where the role sees public objects only.
    records: Option<RecordKeys>,
}

impl Keys {
    pub(super) fn new(token: Token, key: Option<TokenKey>, private: bool) -> Result<Self, StoreError> {
        let records = match &key {
            Some(key) if private => Some(RecordKeys::new(token.token_id, key.clone())?),
            None if private => return Err(StoreError::Unsupported),
            _ => None,
        };
        Ok(Self { token, key, records })
    }

    pub(super) fn records(&self) -> Option<&RecordKeys> {
        self.records.as_ref()
    }

    fn incarnation(&self) -> Name {
        self.token.moment.incarnation
    }
}

/// The keys of one login; while a new token key is being committed, those of before and after.
#[derive(Debug)]
pub(super) struct Room(RwLock<Vec<Arc<Keys>>>);

impl Room {
    pub(super) fn new(keys: Keys) -> Arc<Self> {
        Arc::new(Self(RwLock::new(vec![Arc::new(keys)])))
    }

    /// The keys of an incarnation.
    pub(super) fn at(&self, incarnation: Name) -> Option<Arc<Keys>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|keys| keys.incarnation() == incarnation).cloned()
    }

    /// The keys that were learnt last.
    pub(super) fn latest(&self) -> Arc<Keys> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.last().expect("a room is made with keys, and loses only older ones").clone()
    }
}

/// The logins of one store.
#[derive(Debug, Default)]
pub(super) struct Rooms(Mutex<Vec<Weak<Room>>>);

impl Rooms {
    pub(super) fn add(&self, room: &Arc<Room>) {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.retain(|room| room.strong_count() > 0);
        rooms.push(Arc::downgrade(room));
    }

    fn each(&self, each: impl Fn(&mut Vec<Arc<Keys>>) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for room in rooms.iter().filter_map(Weak::upgrade) {
            each(&mut room.0.write().unwrap_or_else(PoisonError::into_inner))?;
        }
        Ok(())
    }

    /// The incarnation `before` is about to become `token`, with another key.
    pub(super) fn announce(&self, before: Name, token: &Token, key: &TokenKey) -> Result<(), StoreError> {
        self.each(|known| {
            if let Some(keys) = known.iter().find(|keys| keys.incarnation() == before) {
                let next = Keys::new(token.clone(), Some(key.clone()), keys.records.is_some())?;
                known.push(Arc::new(next));
            }
            Ok(())
        })
    }

    /// `now` is committed: the key of before is wiped.
    pub(super) fn confirm(&self, now: Name) {
        let kept = self.each(|known| {
            if known.iter().any(|keys| keys.incarnation() == now) {
                known.retain(|keys| keys.incarnation() == now);
            }
            Ok(())
        });
        kept.expect("nothing that is done there fails");
    }

    /// `next` was not committed.
    pub(super) fn withdraw(&self, next: Name) {
        let kept = self.each(|known| {
            known.retain(|keys| keys.incarnation() != next);
            Ok(())
        });
        kept.expect("nothing that is done there fails");
    }
}
