//! What is known of a key beside its birth attestation, as `trellis attest verify` takes it (docs/formats.md).

use serde::Serialize;

use crate::{Algorithm, Bytes, KmsKey, UserId, message::PublicKey};

#[derive(Serialize)]
struct Record<'a> {
    user_id: &'a UserId,
    alg: Algorithm,
    kms_key_arn: &'a KmsKey,
    mldsa_pubkey: &'a Bytes,
    wrapped_dk: &'a Bytes,
}

/// The key record in JSON.
pub fn key_record(key: &PublicKey, kms_key: &KmsKey, wrapped_key: &Bytes) -> String {
    let record = Record {
        user_id: &key.user_id,
        alg: key.algorithm,
        kms_key_arn: kms_key,
        mldsa_pubkey: &key.public_key,
        wrapped_dk: wrapped_key,
    };
    serde_json::to_string(&record).expect("texts and bytes have a form in JSON")
}
