//! The one thing in which sealed stores differ: who judges a PIN and gives the token key.

use std::{fmt::Debug, sync::Arc};

use super::{intents::AtDevice, seal::TokenKey, token::Name};
use crate::{Pin, PinState, PrivateKey, Record, RecordId, Role, StoreError};

/// Where a token key is kept: it opens nowhere else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    pub(crate) role: Role,
    pub(crate) token_id: Name,
}

/// What a right PIN gives.
#[derive(Debug)]
pub(crate) struct Judged {
    /// `None` where the role needs no key.
    pub(crate) key: Option<TokenKey>,
    /// What is to stand in the row from now on, where that has changed.
    pub(crate) anew: Option<Vec<u8>>,
}

/// Keeps the token key of a sealed store for whoever has the PIN. The store itself counts tries, durably and before
/// it asks, holds a lock that all processes share, and writes what it is given into the `pin` row of the role; all
/// that a keeper knows beyond that (a PIN's hash, a TPM's policy, a key in an HSM) is its own.
pub(crate) trait Keeper: Debug + Send + Sync + 'static {
    /// CK_TOKEN_INFO.model.
    const MODEL: &'static str;

    /// Puts the token key away for a role under a new PIN. The result opens by [`Keeper::judge`] with that PIN, at
    /// this place, alone.
    fn keep(&self, place: Kept, key: &TokenKey, pin: &Pin) -> Result<Vec<u8>, StoreError>;

    /// Judges a PIN; `None` when it is another. [`StoreError::Device`], [`StoreError::Absent`] and
    /// [`StoreError::Removed`] mean that nobody judged it: the try is not counted then.
    fn judge(&self, place: Kept, kept: &[u8], pin: &Pin) -> Result<Option<Judged>, StoreError>;

    /// Whether what a row holds is well formed, as far as can be told without the PIN.
    fn check(&self, role: Role, kept: &[u8]) -> Result<(), StoreError>;

    /// A key that does not leave the keeper's device, by what a record holds of it.
    fn device_key(&self, _: &Record, _locator: &[u8]) -> Result<Arc<dyn PrivateKey>, StoreError> {
        Err(StoreError::Unsupported)
    }

    /// Makes the device agree with the records on a key that a process was at work on when it died: with the record that
    /// names it and its whole locator, or, where none does, by destroying it. Nothing where the device agrees already. What
    /// fails is tried again another time.
    fn settle(&self, _: &AtDevice, _record: Option<(&Record, &[u8])>) -> Result<Settled, StoreError> {
        Ok(Settled::ForGood)
    }

    /// The record of an intent that is about something else than a key.
    fn record_of(&self, _: &AtDevice) -> Option<RecordId> {
        None
    }

    /// What the keeper's own device says of a PIN, for which this is kept (nothing where there is none). The worse of
    /// this and the store's count is what is told.
    fn pin_state(&self, _: Role, _kept: &[u8]) -> PinState {
        PinState::Good
    }

    /// How a new PIN brings a new token key. With `None`, the key stays and is kept again.
    fn rekeying(&self) -> Option<&dyn Rekeying> {
        None
    }

    /// What the keeper's device says of what is kept for a PIN.
    fn report(&self, _: Role, _kept: &[u8]) -> Result<Vec<(&'static str, String)>, StoreError> {
        Ok(Vec::new())
    }

    /// Whether the keeper's device answers, where there is no token yet.
    fn reach(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// What [`Keeper::keep`] gave for a new token is not to be used: its database could not be made.
    fn discard(&self, _kept: &[u8]) {}

    /// What of a backup's user is kept when it is restored: the device may have another PIN by now.
    fn restored(&self, kept: &[u8]) -> Vec<u8> {
        kept.to_vec()
    }
}

/// How records and device have come to agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    ForGood,
    /// The process asked for it and died, and the device may not have done all of it yet.
    ForNow,
}

/// What stands in the rows of both roles; of the user nothing before C_InitPIN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) so: Vec<u8>,
    pub(crate) user: Option<Vec<u8>>,
}

/// A token key that takes the place of another, because a PIN was set.
#[derive(Debug)]
pub(crate) struct Rekey<'a> {
    /// Whose PIN is set.
    pub(crate) role: Role,
    /// What it is from now on.
    pub(crate) pin: &'a Pin,
    /// The token and its key so far.
    pub(crate) from: (Name, &'a TokenKey),
    /// The token, which C_InitToken makes another, and the key from now on.
    pub(crate) to: (Name, &'a TokenKey),
    pub(crate) before: &'a Rows,
    /// C_InitToken: the user's PIN goes.
    pub(crate) erases: bool,
}

/// What a keeper does whose PINs each have a token key of their own. The store commits what it gets together with all
/// records sealed anew.
pub(crate) trait Rekeying: Debug {
    /// What is to stand in the rows. Until [`Rekeying::settle`], what was kept before opens as it did: the process may
    /// be killed before the commit, or the commit may fail.
    fn rekey(&self, change: &Rekey<'_>) -> Result<Rows, StoreError>;

    /// What [`Rekeying::rekey`] gave is on the medium, and what was kept before is to open no more. A process that is
    /// killed before this has its work done by the next [`Keeper::judge`].
    fn settle(&self, role: Role, rows: &Rows) -> Result<(), StoreError>;

    /// What is to stand in the user's row, so that his PIN opens the token in the present state of the machine.
    fn reseal(&self, token_id: Name, key: &TokenKey, user: &[u8]) -> Result<Vec<u8>, StoreError>;
}

/// What a view asks a keeper for.
pub(super) trait DeviceKeys: Debug + Send + Sync {
    fn open_device_key(&self, record: &Record, locator: &[u8]) -> Result<Arc<dyn PrivateKey>, StoreError>;
}

impl<K: Keeper> DeviceKeys for K {
    fn open_device_key(&self, record: &Record, locator: &[u8]) -> Result<Arc<dyn PrivateKey>, StoreError> {
        self.device_key(record, locator)
    }
}
