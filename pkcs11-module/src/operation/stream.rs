//! A message taken in part by part, in as little memory as the mechanism allows.

use std::fmt;

use algorithms::{digest::Digest, ml_dsa::Mu};

use super::plan::Input;
use crate::error::{Error, Result};

/// How many bytes of a message are held where the mechanism needs the whole of it at once: multi-part pure Ed25519
/// and Ed25519ctx, and multi-part deterministic ML-DSA with a key whose seed is not known. Longer ones are
/// CKR_TOKEN_RESOURCE_EXCEEDED; C_Sign in one part, Ed25519ph and hedged ML-DSA know no limit.
pub(super) const WHOLE_MESSAGE_LIMIT: usize = 16 << 20;

/// What has been taken in.
pub(super) enum Stream {
    Digest(Digest),
    Mu(Mu),
    Whole(Vec<u8>),
}

impl Stream {
    pub(super) fn update(&mut self, part: &[u8]) -> Result<()> {
        match self {
            Self::Digest(digest) => digest.update(part),
            Self::Mu(mu) => mu.update(part),
            Self::Whole(message) if part.len() > WHOLE_MESSAGE_LIMIT - message.len() => {
                return Err(Error::TokenResourceExceeded);
            }
            Self::Whole(message) => message.extend_from_slice(part),
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Input> {
        Ok(match self {
            Self::Digest(digest) => Input::Bytes(digest.finish()?),
            Self::Mu(mu) => Input::Mu(mu.finish()?),
            Self::Whole(message) => Input::Bytes(message),
        })
    }
}

/// Messages are nobody's business.
impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Digest(_) => "Digest",
            Self::Mu(_) => "Mu",
            Self::Whole(_) => "Whole",
        })
    }
}
