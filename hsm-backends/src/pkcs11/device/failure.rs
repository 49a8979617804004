//! What a device answers when something is wrong: what that means, and what the store says of it.

use std::fmt;

use cryptoki_sys as ck;

use super::{super::raw::Rv, Device, Session};
use crate::StoreError;

/// Why a call failed.
#[derive(Debug)]
pub(in crate::pkcs11) enum Failure {
    /// The device said so.
    Said(Rv),
    /// The library shows no token of that name, which may be for a moment only.
    Unseen,
    /// There is no device to say anything; the text says what to do.
    Away(String),
    /// The library does not return from a call that this one has to wait for; the text says what to do.
    Stuck(String),
    /// The PIN of this login does not open the device any more.
    LoggedOut,
    /// The process ends.
    Ended,
    /// The application uses the device itself, and the device does not judge a PIN while it does.
    Foreign,
}

impl From<Rv> for Failure {
    fn from(rv: Rv) -> Self {
        Self::Said(rv)
    }
}

/// What an answer says has to be made new before another try makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lost {
    /// The sessions, or the login that they share.
    Sessions,
    /// The library's way to the device.
    Library,
}

impl Rv {
    /// `None` for an answer that is one.
    pub(super) fn lost(self) -> Option<Lost> {
        match self.0 {
            ck::CKR_SESSION_HANDLE_INVALID
            | ck::CKR_SESSION_CLOSED
            | ck::CKR_USER_NOT_LOGGED_IN
            // Left in the session by something that failed half-way.
            | ck::CKR_OPERATION_ACTIVE => Some(Lost::Sessions),
            ck::CKR_DEVICE_REMOVED
            | ck::CKR_DEVICE_ERROR
            | ck::CKR_TOKEN_NOT_PRESENT
            | ck::CKR_SLOT_ID_INVALID
            | ck::CKR_CRYPTOKI_NOT_INITIALIZED => Some(Lost::Library),
            _ => None,
        }
    }

    /// What an HSM answers for many a reason, one of which is that it has lost the session or the login: the handles
    /// of private objects and what was begun with them go with it.
    pub(super) fn may_be_lost(self) -> bool {
        matches!(
            self.0,
            ck::CKR_GENERAL_ERROR
                | ck::CKR_FUNCTION_FAILED
                | ck::CKR_KEY_HANDLE_INVALID
                | ck::CKR_OBJECT_HANDLE_INVALID
                | ck::CKR_OPERATION_NOT_INITIALIZED
        )
    }

    /// Whether this answer to C_CreateObject would come again. A device that is away has refused nothing.
    pub(in crate::pkcs11) fn is_refusal(self) -> bool {
        self.lost().is_none()
    }

    /// The session was none before the call: the device has not begun.
    pub(super) fn did_nothing(self) -> bool {
        matches!(self.0, ck::CKR_SESSION_HANDLE_INVALID | ck::CKR_CRYPTOKI_NOT_INITIALIZED)
    }

    /// The PIN is not, or is no longer, the one that opens the device.
    pub(super) fn refuses_pin(self) -> bool {
        matches!(
            self.0,
            ck::CKR_PIN_INCORRECT
                | ck::CKR_PIN_INVALID
                | ck::CKR_PIN_LEN_RANGE
                | ck::CKR_PIN_EXPIRED
                | ck::CKR_PIN_LOCKED
                | ck::CKR_USER_PIN_NOT_INITIALIZED
        )
    }

    /// No session is left, or no memory for one.
    pub(super) fn is_session_limit(self) -> bool {
        matches!(self.0, ck::CKR_SESSION_COUNT | ck::CKR_DEVICE_MEMORY)
    }
}

impl Failure {
    /// As the stores' errors have it; `doing` names the function.
    pub(in crate::pkcs11) fn of(self, device: &Device, doing: &str) -> StoreError {
        let rv = match self {
            Self::Away(what) | Self::Stuck(what) if device.is_held() => return StoreError::Removed(what),
            Self::Away(what) | Self::Stuck(what) => return StoreError::Absent(what),
            Self::Unseen => return StoreError::Absent(format!("{} is not to be seen", device.name())),
            Self::Ended => return StoreError::Device(format!("{}: the process ends", device.name())),
            Self::LoggedOut => return StoreError::TokenReplaced,
            Self::Foreign => {
                return StoreError::Device(format!(
                    "{}: the application uses this token itself, so that the HSM cannot be made to judge the PIN; run \
                     `trellis key list` for this token once",
                    device.name()
                ));
            }
            Self::Said(rv) => rv,
        };
        match rv.0 {
            ck::CKR_PIN_INCORRECT | ck::CKR_PIN_INVALID | ck::CKR_PIN_LEN_RANGE => StoreError::PinIncorrect,
            ck::CKR_PIN_LOCKED => StoreError::PinLocked,
            ck::CKR_USER_PIN_NOT_INITIALIZED => StoreError::UserPinNotInitialized,
            ck::CKR_TOKEN_WRITE_PROTECTED => StoreError::ReadOnly,
            ck::CKR_DEVICE_MEMORY => StoreError::Full,
            ck::CKR_MECHANISM_INVALID | ck::CKR_MECHANISM_PARAM_INVALID | ck::CKR_FUNCTION_NOT_SUPPORTED => {
                StoreError::Unsupported
            }
            ck::CKR_DATA_LEN_RANGE => StoreError::Algorithm(algorithms::Error::InputLength),
            ck::CKR_DEVICE_REMOVED | ck::CKR_TOKEN_NOT_PRESENT => {
                StoreError::Removed(format!("{} went away ({doing}: {rv}); connect it again", device.name()))
            }
            _ => StoreError::Device(format!("{}: {doing} answered {rv}", device.name())),
        }
    }
}

/// What is behind an answer that many things may be behind.
pub(super) fn cause(session: &Session, rv: Rv) -> Rv {
    if !rv.may_be_lost() {
        return rv;
    }
    match session.check_login() {
        Err(found) if found.lost().is_some() => found,
        _ => rv,
    }
}

/// The name of what is likely, and the number.
impl fmt::Display for Rv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            ck::CKR_GENERAL_ERROR => "CKR_GENERAL_ERROR",
            ck::CKR_DEVICE_ERROR => "CKR_DEVICE_ERROR",
            ck::CKR_DEVICE_REMOVED => "CKR_DEVICE_REMOVED",
            ck::CKR_TOKEN_NOT_PRESENT => "CKR_TOKEN_NOT_PRESENT",
            ck::CKR_ARGUMENTS_BAD => "CKR_ARGUMENTS_BAD",
            ck::CKR_ATTRIBUTE_VALUE_INVALID => "CKR_ATTRIBUTE_VALUE_INVALID",
            ck::CKR_ATTRIBUTE_READ_ONLY => "CKR_ATTRIBUTE_READ_ONLY",
            ck::CKR_TEMPLATE_INCONSISTENT => "CKR_TEMPLATE_INCONSISTENT",
            ck::CKR_KEY_HANDLE_INVALID => "CKR_KEY_HANDLE_INVALID",
            ck::CKR_OBJECT_HANDLE_INVALID => "CKR_OBJECT_HANDLE_INVALID",
            ck::CKR_PIN_EXPIRED => "CKR_PIN_EXPIRED",
            ck::CKR_SESSION_EXISTS => "CKR_SESSION_EXISTS",
            ck::CKR_USER_ANOTHER_ALREADY_LOGGED_IN => "CKR_USER_ANOTHER_ALREADY_LOGGED_IN",
            ck::CKR_FUNCTION_FAILED => "CKR_FUNCTION_FAILED",
            rv => return write!(f, "{rv:#x}"),
        };
        write!(f, "{name} ({:#x})", self.0)
    }
}
