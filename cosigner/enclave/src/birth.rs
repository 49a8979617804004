//! What a birth attestation says (docs/formats.md, layout v1).

use std::time::{SystemTime, UNIX_EPOCH};

use attest::{birth::UserData, sha256};
use cosigner_protocol::message::SealedKey;

/// The `user_data` of a key that has just been made.
pub(crate) fn user_data(key: &SealedKey) -> Vec<u8> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let data = UserData {
        public_key_sha256: sha256(&key.public_key.0),
        wrapped_key_sha256: sha256(&key.wrapped_key.0),
        user_id: key.user_id.as_str().into(),
        kms_key: key.kms_key.as_str().into(),
        algorithm: key.algorithm.name().into(),
        timestamp: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
    };
    data.encode().expect("the protocol's words are within the layout's limits")
}
