//! Why a primitive refused.

use std::fmt;

/// The reasons for which a primitive refuses; each maps to one answer of the layer above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Key bytes that are malformed, out of range, or whose parts disagree.
    KeyInvalid,
    /// A key of a size, curve or parameter set that this crate does not do.
    KeySizeRange,
    /// A signature of the wrong length for its algorithm.
    SignatureLength,
    /// A signature of the right length that does not verify.
    SignatureInvalid,
    /// Input of a length that the primitive cannot take (a digest, a block, a message too long for RSA padding).
    InputLength,
    /// Input of a fitting length that is wrong: bad padding, a failed integrity check of a wrapped key.
    InputInvalid,
    /// An AEAD tag that does not match.
    TagMismatch,
    /// A parameter out of range: a context of over 255 bytes, an IV or salt length.
    ParameterInvalid,
    /// A key pair that was just generated does not verify its own signature: the engine, or the machine, is not to be
    /// trusted any more.
    PairwiseCheckFailed,
    /// The engine failed for no fault of the caller: out of memory, no randomness, a failed internal check.
    EngineFailed,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyInvalid => "the key is malformed or its parts disagree",
            Self::KeySizeRange => "no support for a key of this size, curve or parameter set",
            Self::SignatureLength => "the signature has the wrong length",
            Self::SignatureInvalid => "the signature does not verify",
            Self::InputLength => "the input has a length the algorithm cannot take",
            Self::InputInvalid => "the input is malformed",
            Self::TagMismatch => "the authentication tag does not match",
            Self::ParameterInvalid => "a parameter is out of range",
            Self::PairwiseCheckFailed => "a new key pair failed its pairwise check",
            Self::EngineFailed => "the cryptographic engine failed",
        })
    }
}

impl std::error::Error for Error {}
