//! The door and the room: what every store must be able to do.

use std::{any::Any, fmt::Debug, sync::Arc};

use crate::{
    Attributes, Change, KeySpec, NewSecret, Pin, PrivateKey, Record, RecordId, SealedBy, SecretKey,
    StoreError,
};

/// Who logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "CKU_USER and CKU_SO")]
pub enum Role {
    User,
    SecurityOfficer,
}

/// How many tries are left on a PIN; the later, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "in the words of PKCS#11: none, COUNT_LOW, FINAL_TRY, LOCKED")]
pub enum PinState {
    Good,
    CountLow,
    FinalTry,
    Locked,
}

/// What C_GetTokenInfo tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Whether C_InitToken has been done.
    pub initialized: bool,
    /// At most 32 bytes of UTF-8, not padded.
    pub label: String,
    /// At most 16 ASCII characters, not padded; stable for the life of the token.
    pub serial: String,
    /// At most 16 characters: what kind of store it is.
    pub model: &'static str,
    /// Whether the SO has set a user PIN.
    pub user_pin_initialized: bool,
    /// Tries left for the user.
    pub user_pin: PinState,
    /// Tries left for the SO.
    pub so_pin: PinState,
    /// Whether the medium refuses writes.
    pub write_protected: bool,
}

/// Objects that can be reached: without a PIN the public ones, from a user's vault all.
pub trait Objects: Debug + Send + Sync {
    /// The ids of all visible records that have every attribute of `template`, oldest first; CKA_UNIQUE_ID is the record's id
    /// in hexadecimal. What another process has committed before the call is seen.
    fn find(&self, template: &Attributes) -> Result<Vec<RecordId>, StoreError>;

    /// One record, as last committed by any process; [`StoreError::NotFound`] when it is gone or not visible.
    fn read(&self, id: RecordId) -> Result<Arc<Record>, StoreError>;

    /// [`Objects::read`], and the record's private key where it is open already: a signature then needs one look.
    fn read_with_open_key(&self, id: RecordId) -> Result<(Arc<Record>, OpenKey), StoreError> {
        Ok((self.read(id)?, None))
    }

    /// Makes all changes or none. When it returns `Ok` they are on the medium and survive a power failure.
    fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError>;
}

/// A private key that somebody has opened before.
pub type OpenKey = Option<Arc<dyn PrivateKey>>;

/// What C_OpenSession has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// Whether C_InitToken has been done.
    pub initialized: bool,
    /// Whether the medium refuses writes.
    pub write_protected: bool,
}

/// One part of [`KeyStore::report`]: what it is about, and names with their values.
pub type ReportGroup = (&'static str, Vec<(&'static str, String)>);

/// A closed door. Nothing is created implicitly: a store without a token says so.
pub trait KeyStore: Debug + Send + Sync {
    /// What the token says of itself, read afresh.
    fn description(&self) -> Result<Description, StoreError>;

    /// Whether there is a token to open a session with, and one that may write. Asked for each session, so no device
    /// is waited for.
    fn admission(&self) -> Result<Admission, StoreError> {
        let token = self.description()?;
        Ok(Admission { initialized: token.initialized, write_protected: token.write_protected })
    }

    /// What will stop changes, though the store can be described: a disk without room, a folder that cannot be made.
    fn obstacle(&self) -> Option<StoreError> {
        None
    }

    /// Why a call of [`KeyStore::admin`] that has succeeded left something to the next login with the same PIN. Told once.
    fn unfinished(&self) -> Option<StoreError> {
        None
    }

    /// What needs no PIN: records with CKA_PRIVATE false.
    fn public(&self) -> &dyn Objects;

    /// Opens the door. A wrong PIN has been counted, durably, before it is judged. A security officer's vault shows
    /// the public objects only.
    fn unlock(&self, role: Role, pin: &Pin) -> Result<Box<dyn Vault>, StoreError>;

    /// Under what the keys that are records here are sealed.
    fn sealed_by(&self) -> SealedBy {
        SealedBy::Pin
    }

    /// What the store's device says of the token, for people: groups of names and values. Empty where there is no
    /// such device.
    fn report(&self) -> Result<Vec<ReportGroup>, StoreError> {
        Ok(Vec::new())
    }

    /// What only some stores can do.
    fn admin(&self) -> Option<&dyn Admin>;

    /// Called in the parent right before fork(2) (a pthread_atfork prepare handler): waits for calls in progress,
    /// closes every file and connection, and holds new calls until [`KeyStore::after_fork`], so that a child
    /// inherits nothing open, locked or half done.
    fn before_fork(&self);

    /// Called in the parent after fork(2): calls go on, opening anew. In the child the store is forgotten, not used.
    fn after_fork(&self);
}

/// The room behind the door. [`Any`], so that a store knows its own vaults again.
pub trait Vault: Objects + Any {
    /// Whose room it is.
    fn role(&self) -> Role;

    /// Judges the PIN again (CKU_CONTEXT_SPECIFIC); counts as [`KeyStore::unlock`] does.
    fn verify_pin(&self, pin: &Pin) -> Result<(), StoreError>;

    /// A record's private key, opened at the first use and kept open for the life of the vault.
    fn private_key(&self, id: RecordId) -> Result<Arc<dyn PrivateKey>, StoreError>;

    /// A record's secret key.
    fn secret_key(&self, id: RecordId) -> Result<Arc<SecretKey>, StoreError>;

    /// As [`Vault::private_key`], for a record that the same call has just had from [`Objects::read`]: a store that
    /// has its key open at that version need not ask the medium a second time whether the record is current.
    fn private_key_of(&self, record: &Record) -> Result<Arc<dyn PrivateKey>, StoreError> {
        self.private_key(record.id)
    }

    /// As [`Vault::private_key_of`], for a secret key.
    fn secret_key_of(&self, record: &Record) -> Result<Arc<SecretKey>, StoreError> {
        self.secret_key(record.id)
    }

    /// Generates where this store's keys are generated; nothing is stored before [`Objects::commit`].
    fn generate(&self, spec: &KeySpec) -> Result<NewSecret, StoreError>;

    /// As [`Vault::generate`], for a key whose object will have these attributes: they may say that it must be able to
    /// leave, which a key in a device cannot.
    fn generate_for(&self, spec: &KeySpec, _: &Attributes) -> Result<NewSecret, StoreError> {
        self.generate(spec)
    }
}

/// Managing a token. Each change is atomic and durable.
pub trait Admin {
    /// C_InitToken: erases everything and starts anew. On an initialised token `so_pin` must be the SO's, and is
    /// counted and judged first; on a new one it becomes the SO's. `label` has at most 32
    /// bytes; a longer one is [`algorithms::Error::InputLength`].
    fn init_token(&self, so_pin: &Pin, label: &str) -> Result<(), StoreError>;

    /// C_InitPIN from the SO's vault: sets the user's PIN, unlocks it, resets its count.
    fn init_pin(&self, vault: &dyn Vault, new: &Pin) -> Result<(), StoreError>;

    /// C_SetPIN: `old` is counted and judged first.
    fn set_pin(&self, role: Role, old: &Pin, new: &Pin) -> Result<(), StoreError>;

    /// Binds the user's PIN to the present state of the machine, after it was changed as planned; the security officer's
    /// PIN is counted and judged first.
    fn reseal(&self, _so_pin: &Pin) -> Result<(), StoreError> {
        Err(StoreError::Unsupported)
    }

    /// Writes the whole token as one consistent file, encrypted under `passphrase`. The file must not exist.
    fn backup(&self, path: &std::path::Path, passphrase: &Pin) -> Result<(), StoreError>;

    /// Verifies every record of a backup and only then puts it in place of the token. With `replace` false an
    /// initialised token is left alone ([`StoreError::ReadOnly`]).
    fn restore(&self, path: &std::path::Path, passphrase: &Pin, replace: bool) -> Result<(), StoreError>;
}
