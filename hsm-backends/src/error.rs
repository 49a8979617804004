//! Why a store refused.

use std::fmt;

/// The reasons for which a store refuses. The module maps each to one CK_RV; stores never see those.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The PIN is wrong; the try has been counted.
    PinIncorrect,
    /// The PIN is locked: too many wrong tries.
    PinLocked,
    /// A new PIN is shorter or longer than [`crate::PIN_LEN`].
    PinLength,
    /// The SO has not set a user PIN yet.
    UserPinNotInitialized,
    /// No token has been initialised here.
    TokenNotInitialized,
    /// The token was initialised anew, restored or removed since this vault was opened.
    TokenReplaced,
    /// No such record, or none that is visible here.
    NotFound,
    /// The record is no longer at the version that the change was made from.
    Changed,
    /// The store, its directory or its medium cannot be written.
    ReadOnly,
    /// No room is left on the medium.
    Full,
    /// The store could not be locked within the busy timeout.
    Busy,
    /// The store was written by a newer version of this software.
    NewerFormat,
    /// The store, or one record of it, is damaged or was altered from outside. The text names what and where, and may
    /// end in a remedy after `; `.
    Damaged(String),
    /// The store's files belong to somebody else or may be read by others. The text names the file, and after the last
    /// `; ` the remedy.
    Permissions(String),
    /// The key or operation is one that this store does not do.
    Unsupported,
    /// A key that is malformed or whose parts disagree, or a primitive that refused its input.
    Algorithm(algorithms::Error),
    /// There is no device, or no such token in it. The text says what to do.
    Absent(String),
    /// The device went away after a login to it. The text says what to do.
    Removed(String),
    /// The device or the file system failed. The text names the operation and the cause.
    Device(String),
    /// A backup file cannot be read or written, is damaged, or is none. The text names file and cause.
    Backup(String),
}

/// The remedy for most of what is damaged.
pub const RESTORE: &str = "restore a backup";

/// A token key on record that is not in the form of this kind of store.
pub(crate) fn malformed_token_key() -> StoreError {
    let what = "a wrapped token key is malformed, or of another kind of store";
    StoreError::Damaged(format!("{what}; set the slot's `backend` back if it was changed"))
}

impl StoreError {
    /// Of a key that its device did not destroy: whoever asked for it is told that it is there yet, although no search finds
    /// its object any more.
    pub(crate) fn of_a_key_that_goes_later(self) -> Self {
        self.and_say("the object is gone, and its key goes from the device at a later login")
    }

    /// Of the keys of a token that C_InitToken has erased.
    pub(crate) fn of_keys_that_go_later(self) -> Self {
        self.and_say("the token is new, and the old one's keys go when the new one's user logs in")
    }

    fn and_say(self, what: &str) -> Self {
        let say = |why| format!("{why}; {what}");
        match self {
            Self::Absent(why) => Self::Absent(say(why)),
            Self::Removed(why) => Self::Removed(say(why)),
            Self::Device(why) => Self::Device(say(why)),
            other => other,
        }
    }
}

impl From<algorithms::Error> for StoreError {
    fn from(error: algorithms::Error) -> Self {
        Self::Algorithm(error)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PinIncorrect => f.write_str("the PIN is wrong"),
            Self::PinLocked => f.write_str("the PIN is locked after too many wrong tries"),
            Self::PinLength => f.write_str("the PIN is too short or too long"),
            Self::UserPinNotInitialized => f.write_str("the security officer has not set a user PIN"),
            Self::TokenNotInitialized => f.write_str("the token is not initialised"),
            Self::TokenReplaced => f.write_str("the token was initialised anew since login"),
            Self::NotFound => f.write_str("no such object"),
            Self::Changed => f.write_str("the object was changed by somebody else at the same time"),
            Self::ReadOnly => f.write_str("the store cannot be written: its disk or directory is read-only"),
            Self::Full => f.write_str("no room is left on the store's disk; make some, and try again"),
            Self::Busy => {
                f.write_str("another process kept the store locked; try again, or end that process")
            }
            Self::NewerFormat => f.write_str(
                "the store was written by a newer version of Trellis; use that version, or restore a backup",
            ),
            Self::Damaged(what) => write!(f, "the store is damaged: {what}"),
            Self::Permissions(what) => write!(f, "unsafe permissions: {what}"),
            Self::Unsupported => f.write_str("this store does not support that"),
            Self::Algorithm(error) => error.fmt(f),
            Self::Absent(what) => write!(f, "there is no token: {what}"),
            Self::Removed(what) => write!(f, "the token went away: {what}"),
            Self::Device(what) => write!(f, "the store failed: {what}"),
            Self::Backup(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for StoreError {}
