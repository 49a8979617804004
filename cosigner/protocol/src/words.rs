//! Words with rules: user ids, KMS keys, algorithms.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whose key it is: 1 to 256 bytes of UTF-8 without a zero byte, compared byte for byte. It selects a key and proves
/// nothing.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct UserId(String);

/// The ARN of a KMS key: 1 to 128 bytes of ASCII that can be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct KmsKey(String);

/// What a key signs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the standards' own")]
pub enum Algorithm {
    #[serde(rename = "ML-DSA-44")]
    MlDsa44,
    #[serde(rename = "ML-DSA-65")]
    MlDsa65,
    #[serde(rename = "ML-DSA-87")]
    MlDsa87,
    Ed25519,
}

/// Why a text is no such word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WordError {
    /// No user id.
    UserId,
    /// No ARN of a KMS key.
    KmsKey,
}

impl UserId {
    /// The longest, in bytes.
    pub const LONGEST: usize = 256;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Not the id itself: logs are read by people whom users are no business of.
impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserId")
    }
}

impl KmsKey {
    /// The longest, in bytes.
    pub const LONGEST: usize = 128;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::MlDsa44, Self::MlDsa65, Self::MlDsa87, Self::Ed25519];

    /// The name, as it stands in messages, in the associated data of a sealed key and in birth attestations.
    pub fn name(self) -> &'static str {
        match self {
            Self::MlDsa44 => "ML-DSA-44",
            Self::MlDsa65 => "ML-DSA-65",
            Self::MlDsa87 => "ML-DSA-87",
            Self::Ed25519 => "Ed25519",
        }
    }
}

impl TryFrom<String> for UserId {
    type Error = WordError;

    fn try_from(text: String) -> Result<Self, WordError> {
        let fits = (1..=Self::LONGEST).contains(&text.len()) && !text.contains('\0');
        if fits { Ok(Self(text)) } else { Err(WordError::UserId) }
    }
}

impl TryFrom<String> for KmsKey {
    type Error = WordError;

    fn try_from(text: String) -> Result<Self, WordError> {
        let fits =
            (1..=Self::LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(text)) } else { Err(WordError::KmsKey) }
    }
}

impl fmt::Display for WordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UserId => "a user id has 1 to 256 bytes and none of them is zero",
            Self::KmsKey => "the ARN of a KMS key has 1 to 128 visible ASCII characters",
        })
    }
}

impl std::error::Error for WordError {}
