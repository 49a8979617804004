//! What a right PIN gives: the user's view of everything, or the security officer's of the public objects.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{
    intents::{self, AtDevice, Intent, Pending},
    keeper::Keeper,
    pins::{self, Opened},
    pool::Pool,
    room::{Keys, Room},
    token::Name,
    view::View,
};
use crate::{
    Attributes, Change, KeySpec, NewSecret, Objects, OpenKey, Pin, PrivateKey, Record, RecordId, Role,
    SecretKey, StoreError, Vault,
};

/// A room of a sealed store. Dropping it wipes the token key and every key that was opened.
#[derive(Debug)]
pub(crate) struct SealedVault<K> {
    pool: Arc<Pool>,
    keeper: Arc<K>,
    role: Role,
    room: Arc<Room>,
    pin_tries: u32,
    view: View,
}

impl<K: Keeper> SealedVault<K> {
    pub(super) fn new(
        pool: Arc<Pool>,
        keeper: Arc<K>,
        role: Role,
        opened: Opened,
        pin_tries: u32,
    ) -> Result<Self, StoreError> {
        let Opened { token, key } = opened;
        let room = Room::new(Keys::new(token, key, role == Role::User)?);
        let view = match role {
            Role::User => View::private(pool.clone(), keeper.clone(), room.clone()),
            Role::SecurityOfficer => View::public(pool.clone()),
        };
        Ok(Self { pool, keeper, role, room, pin_tries, view })
    }

    pub(crate) fn keeper(&self) -> &K {
        &self.keeper
    }

    /// The token and its key, for C_InitPIN from the security officer's vault.
    pub(super) fn keys(&self) -> Arc<Keys> {
        self.room.latest()
    }

    pub(super) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Says of a key what is about to be asked of its device; on the medium when this returns.
    pub(crate) fn intend(&self, key: &AtDevice) -> Result<Intent, StoreError> {
        let intent = Intent::new(&self.pool, &self.room, key)?;
        intent.declare(&self.room)?;
        Ok(intent)
    }

    /// Makes changes together with the intents for those keys that the device has to change after it.
    pub(crate) fn commit_with(
        &self,
        changes: Vec<Change>,
        keys: &[AtDevice],
    ) -> Result<Vec<Intent>, StoreError> {
        let intent = |key| Intent::new(&self.pool, &self.room, key);
        let intents = keys.iter().map(intent).collect::<Result<Vec<_>, _>>()?;
        self.view.commit_with(&changes, &intents)?;
        Ok(intents)
    }

    /// The keys that the device may have otherwise than the records say.
    pub(crate) fn pending(&self) -> Result<Pending, StoreError> {
        intents::pending(&self.pool, &self.room)
    }

    /// Settles what processes have left that were killed. Nothing depends on it: what cannot be settled now will be later.
    pub(crate) fn sweep(&self) {
        if self.role == Role::User {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let _ = intents::sweep(&self.pool, &self.room, &*self.keeper, now.cast_signed());
        }
    }

    /// The name of the token it is a room of.
    pub(crate) fn token_id(&self) -> Name {
        self.room.latest().token.token_id
    }
}

impl<K: Keeper> Objects for SealedVault<K> {
    fn find(&self, template: &Attributes) -> Result<Vec<RecordId>, StoreError> {
        self.view.find(template)
    }

    fn read(&self, id: RecordId) -> Result<Arc<Record>, StoreError> {
        self.view.read(id)
    }

    fn read_with_open_key(&self, id: RecordId) -> Result<(Arc<Record>, OpenKey), StoreError> {
        self.view.read_with_open_key(id)
    }

    fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.view.commit(changes)
    }
}

impl<K: Keeper> Vault for SealedVault<K> {
    fn role(&self) -> Role {
        self.role
    }

    fn verify_pin(&self, pin: &Pin) -> Result<(), StoreError> {
        let mut call = self.pool.enter();
        let _lock = call.files().lock_for_login()?;
        let opened = pins::judge(&mut call, &*self.keeper, self.role, pin, self.pin_tries)?;
        self.room.at(opened.token.moment.incarnation).map(drop).ok_or(StoreError::TokenReplaced)
    }

    fn private_key(&self, id: RecordId) -> Result<Arc<dyn PrivateKey>, StoreError> {
        self.view.private_key(id)
    }

    fn secret_key(&self, id: RecordId) -> Result<Arc<SecretKey>, StoreError> {
        self.view.secret_key(id)
    }

    fn private_key_of(&self, record: &Record) -> Result<Arc<dyn PrivateKey>, StoreError> {
        self.view.private_key_of(record)
    }

    fn secret_key_of(&self, record: &Record) -> Result<Arc<SecretKey>, StoreError> {
        self.view.secret_key_of(record)
    }

    fn generate(&self, spec: &KeySpec) -> Result<NewSecret, StoreError> {
        NewSecret::generate(spec)
    }
}
