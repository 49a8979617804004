//! Where keys live.
//!
//! A [`KeyStore`] is a closed door: what can be reached without a PIN is behind [`KeyStore::public`], everything else
//! behind [`KeyStore::unlock`]. A [`Vault`] is the room behind the door; dropping it is C_Logout. Long-lived
//! private-key bytes exist in this crate only.

mod attributes;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod embedded;
mod encoding;
mod error;
mod gate;
mod keys;
mod lines;
pub mod nitro;
mod pin;
pub mod pkcs11;
mod record;
mod sealed;
pub mod tpm;
mod traits;
mod turns;

pub use attributes::{AttributeType, Attributes, Value};
pub use encoding::{MAX_LEN as MAX_ATTRIBUTES_LEN, Malformed};
pub use error::{RESTORE, StoreError};
pub use keys::{Birth, DeviceKey, KeySpec, NewSecret, Place, PrivateKey, SealedBy, SecretKey, SecretPart};
pub use lines::Lines;
pub use pin::{PIN_LEN, Pin};
pub use record::{Change, Record, RecordId};
pub use traits::{
    Admin, Admission, Description, KeyStore, Objects, OpenKey, PinState, ReportGroup, Role, Vault,
};
pub use turns::{Turn, Turns};
