//! Every word of both hops. docs/formats.md shows them as JSON.
//!
//! | hop | one side says | the other answers |
//! |---|---|---|
//! | PKCS#11 side to host | [`Request`] | [`Response`] |
//! | host to enclave | [`ToEnclave`] | [`FromEnclave`]; before its answer to anything but `Health` the enclave may ask once for a data key, and gets [`ToEnclave::KmsReply`] or [`ToEnclave::KmsError`] |
//!
//! Unknown and repeated members are refused everywhere. Each side reads only what the other may say, so that a host
//! cannot be asked to be an enclave.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::{Algorithm, Bytes, KmsKey, Secret, UserId};

/// What the PKCS#11 side asks of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Request {
    /// Whether host and enclave are there. Answered by [`Response::Health`].
    Health {},
    /// Which keys there are, in the order of their user ids, after `after`. Answered by [`Response::Keys`].
    List {
        /// The last one of the answer before, or nothing to begin.
        after: Option<UserId>,
    },
    /// Make a key for a user id that has none. Answered by [`Response::Key`].
    Generate {
        /// Whose.
        user_id: UserId,
        /// What for.
        algorithm: Algorithm,
    },
    /// The public key and its birth attestation. Answered by [`Response::Key`].
    PublicKey {
        /// Whose.
        user_id: UserId,
    },
    /// Sign. Answered by [`Response::Signature`].
    Sign {
        /// Whose key.
        user_id: UserId,
        /// What.
        input: Input,
        /// The deterministic variant of ML-DSA (FIPS 204 section 3.4); means nothing to Ed25519, which has no other.
        deterministic: bool,
    },
    /// Forget a key for ever. Answered by [`Response::Destroyed`].
    Destroy {
        /// Whose.
        user_id: UserId,
    },
    /// Seal a PKCS#11 token's key for whoever knows a PIN. The host keeps nothing of it. Answered by
    /// [`Response::TokenKept`].
    KeepToken {
        /// The token and the role, in the asker's words.
        user_id: UserId,
        /// What is to be kept; 32 bytes.
        token_key: Secret,
        /// The PIN, stretched; 32 bytes.
        pin: Secret,
        /// Wrong PINs, one after the other, before the enclave judges no more.
        tries: NonZeroU32,
    },
    /// Judge a PIN in the enclave. Answered by [`Response::TokenOpened`], [`Response::PinIncorrect`] or
    /// [`Response::PinLocked`].
    OpenToken {
        /// As the enclave once gave it.
        token: KeptToken,
        /// The PIN, stretched in the same way; 32 bytes.
        pin: Secret,
    },
}

/// What the host answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Response {
    /// They are there.
    Health(Health),
    /// Some of the keys.
    Keys {
        /// In the order of their user ids.
        keys: Vec<PublicKey>,
        /// Whether there are more after these.
        more: bool,
    },
    /// A key.
    Key {
        /// The key.
        key: PublicKey,
        /// The KMS key, as the birth attestation names it.
        kms_key: KmsKey,
        /// The data key as KMS wrapped it, whose hash the birth attestation has.
        wrapped_key: Bytes,
        /// The COSE_Sign1 that was made with it.
        birth_attestation: Bytes,
    },
    /// A signature.
    Signature {
        /// In the form of the algorithm's standard.
        signature: Bytes,
    },
    /// It is gone.
    Destroyed {},
    /// A token's key, sealed, for the asker to keep.
    TokenKept {
        /// What to keep.
        token: KeptToken,
    },
    /// The PIN was right.
    TokenOpened {
        /// What was kept.
        token_key: Secret,
    },
    /// The PIN was wrong, and the enclave has counted it.
    PinIncorrect {},
    /// Too many were wrong since the enclave started: the PIN was not looked at.
    PinLocked {},
    /// It was not done.
    Failed(Failure),
}

/// What the host says to the enclave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum ToEnclave {
    /// Whether the enclave is there. Answered by [`FromEnclave::Health`].
    Health {},
    /// Make a key and seal it. Answered by [`FromEnclave::Generated`].
    Generate {
        /// Whose: goes into the sealing, the encryption context and the birth attestation.
        user_id: UserId,
        /// What for.
        algorithm: Algorithm,
        /// The KMS key that the data key is wrapped by.
        kms_key: KmsKey,
    },
    /// Open a sealed key and sign. Answered by [`FromEnclave::Signature`].
    Sign {
        /// The key as the enclave once made it.
        key: SealedKey,
        /// What.
        input: Input,
        /// The deterministic variant of ML-DSA.
        deterministic: bool,
    },
    /// Seal a token's key for whoever knows a PIN. Answered by [`FromEnclave::TokenKept`].
    KeepToken {
        /// The token and the role: goes into the sealing and the encryption context.
        user_id: UserId,
        /// What is to be kept; 32 bytes.
        token_key: Secret,
        /// The PIN, stretched; 32 bytes.
        pin: Secret,
        /// Wrong PINs, one after the other, before the enclave judges no more.
        tries: NonZeroU32,
        /// The KMS key that the data key is wrapped by.
        kms_key: KmsKey,
    },
    /// Judge a PIN. Answered by [`FromEnclave::TokenOpened`], [`FromEnclave::PinIncorrect`] or
    /// [`FromEnclave::PinLocked`].
    OpenToken {
        /// As the enclave once gave it.
        token: KeptToken,
        /// The PIN, stretched in the same way; 32 bytes.
        pin: Secret,
    },
    /// What KMS answered to the enclave's question.
    KmsReply {
        /// The data key, encrypted to the enclave: CMS EnvelopedData. KMS' field `Plaintext` has no place here.
        ciphertext_for_recipient: Bytes,
        /// The data key as KMS wrapped it; for a decryption, the one that was asked about.
        wrapped_key: Bytes,
    },
    /// KMS did not do it.
    KmsError {
        /// Why.
        reason: KmsRefusal,
    },
}

/// What the enclave says to the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum FromEnclave {
    /// Ask KMS for a new data key (GenerateDataKey, AES_256).
    KmsGenerateDataKey {
        /// The KMS key.
        kms_key: KmsKey,
        /// For the encryption context `{"user_id": ...}`.
        user_id: UserId,
        /// To whom KMS shall encrypt: a document with the enclave's RSA key for this request, RSAES_OAEP_SHA_256.
        attestation: Bytes,
    },
    /// Ask KMS to unwrap a data key (Decrypt).
    KmsDecryptDataKey {
        /// The KMS key.
        kms_key: KmsKey,
        /// For the encryption context.
        user_id: UserId,
        /// To whom KMS shall encrypt, as above.
        attestation: Bytes,
        /// The data key as KMS wrapped it.
        wrapped_key: Bytes,
    },
    /// It is there.
    Health(EnclaveHealth),
    /// A new key, for the host to keep.
    Generated {
        /// The key.
        key: SealedKey,
        /// Made together with it (docs/formats.md).
        birth_attestation: Bytes,
        /// Which enclave made it.
        enclave_version: String,
    },
    /// A signature that the enclave has verified.
    Signature {
        /// In the form of the algorithm's standard.
        signature: Bytes,
    },
    /// A token's key, sealed.
    TokenKept {
        /// For the asker to keep.
        token: KeptToken,
    },
    /// The PIN was right.
    TokenOpened {
        /// What was kept.
        token_key: Secret,
    },
    /// The PIN was wrong, and has been counted.
    PinIncorrect {},
    /// Too many were wrong since the enclave started: the PIN was not looked at.
    PinLocked {},
    /// It was not done.
    Failed(Failure),
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Input {
    /// A message as it is. One that does not fit into a frame is signed by its mu.
    Message {
        /// The context of ML-DSA (FIPS 204), 0 to 255 bytes; empty for Ed25519.
        context: Bytes,
        /// The message.
        message: Secret,
    },
    /// A message for Ed25519ctx (RFC 8032 section 5.1).
    Ed25519Context {
        /// 0 to 255 bytes.
        context: Bytes,
        /// The message.
        message: Secret,
    },
    /// A message's SHA-512 for Ed25519ph.
    Ed25519Prehashed {
        /// 0 to 255 bytes.
        context: Bytes,
        /// 64 bytes.
        digest: Secret,
    },
    /// The message representative of ML-DSA (FIPS 204 algorithm 7, line 6), computed where the message is; 64 bytes.
    Mu(Secret),
}

/// A public key and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicKey {
    /// Whose.
    pub user_id: UserId,
    /// What for.
    pub algorithm: Algorithm,
    /// In the form of the algorithm's standard, without a wrapping.
    pub public_key: Bytes,
}

/// A key that only an enclave can open (docs/formats.md). The host keeps it and cannot read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedKey {
    /// Whose.
    pub user_id: UserId,
    /// What for.
    pub algorithm: Algorithm,
    /// In the form of the algorithm's standard, without a wrapping.
    pub public_key: Bytes,
    /// The KMS key.
    pub kms_key: KmsKey,
    /// The data key as KMS wrapped it.
    pub wrapped_key: Bytes,
    /// The private key under the data key.
    pub sealed_key: Bytes,
}

/// A token's key that only an enclave can open, for whoever knows the PIN (docs/formats.md).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptToken {
    /// The token and the role.
    pub user_id: UserId,
    /// The KMS key.
    pub kms_key: KmsKey,
    /// The data key as KMS wrapped it.
    pub wrapped_key: Bytes,
    /// The token key and the limit of tries, under the data key and the PIN.
    pub sealed_token: Bytes,
}

/// That host and enclave are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// The host's version.
    pub host_version: String,
    /// The enclave, or nothing when it does not answer.
    pub enclave: Option<EnclaveHealth>,
}

/// That an enclave is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnclaveHealth {
    /// Its version.
    pub enclave_version: String,
    /// What it makes keys for.
    pub algorithms: Vec<Algorithm>,
    /// A document without user_data, by which the asker sees what runs there.
    pub attestation: Bytes,
}

/// Why something was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// What the asker may know.
    pub class: Class,
    /// Where it went wrong: for the logs of host and operator only.
    pub layer: Layer,
}

/// What the asker may know of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The request cannot be meant.
    MalformedRequest,
    /// It was refused: no such key, a key that is there already, a sealing or context that does not fit.
    SigningFailed,
    /// It may work another time.
    InternalError,
}

/// Where it went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Layer {
    Request,
    Record,
    Conflict,
    Algorithm,
    KmsAttestation,
    KmsContext,
    KmsReply,
    KmsService,
    Sealing,
    Transport,
    Enclave,
    Internal,
}

/// Why KMS did not do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KmsRefusal {
    /// The key policy refuses it, to this enclave or to this host (AccessDeniedException and its like).
    Denied,
    /// The wrapped key is another's, or of another encryption context (InvalidCiphertextException).
    InvalidCiphertext,
    /// KMS cannot be reached or failed.
    Service,
}
