//! Mechanism parameters, owned and checked for shape; the boundary reads them from the caller's structs.

use algorithms::ml_dsa::Hedging;

use super::table::Mechanism;

/// Which struct a mechanism takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterKind {
    /// None: ulParameterLen 0, otherwise CKR_MECHANISM_PARAM_INVALID.
    None,
    /// None or CK_SIGN_ADDITIONAL_CONTEXT.
    SignContext,
    /// CK_HASH_SIGN_ADDITIONAL_CONTEXT.
    HashSignContext,
    /// None or CK_EDDSA_PARAMS.
    Eddsa,
    /// CK_RSA_PKCS_PSS_PARAMS.
    Pss,
    /// 16 bytes.
    Iv16,
    /// CK_AES_CTR_PARAMS.
    Ctr,
    /// CK_GCM_PARAMS; CK_GCM_MESSAGE_PARAMS in the message functions and the Authenticated wrapping functions.
    Gcm,
    /// None, or 8 bytes that replace the default IV.
    KeyWrapIv,
    /// None, or the 4 bytes that RFC 5649 begins with, which is the same.
    PaddedKeyWrapIv,
    /// CK_MAC_GENERAL_PARAMS.
    MacLength,
}

/// The parameters of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the standard's structs")]
pub enum Parameters {
    None,
    SignContext { hedging: Hedging, context: Vec<u8> },
    HashSignContext { hedging: Hedging, context: Vec<u8>, hash: u64 },
    Eddsa { prehash: bool, context: Option<Vec<u8>> },
    Pss { hash: u64, mgf: u64, salt_len: usize },
    Iv16([u8; 16]),
    Ctr { counter_bits: u64, block: [u8; 16] },
    Gcm { iv: Vec<u8>, aad: Vec<u8>, tag_bits: u64 },
    KeyWrapIv([u8; 8]),
    MacLength(u64),
}

/// CK_MECHANISM: a mechanism that is in the table and allowed, with parameters of its kind.
#[derive(Debug, Clone)]
pub struct MechanismCall {
    /// What the table says of it.
    pub row: &'static Mechanism,
    /// Its parameters.
    pub parameters: Parameters,
}
