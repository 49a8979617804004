//! Digesting: the state between C_DigestInit and C_Digest or C_DigestFinal.

use std::fmt;

use algorithms::digest::{Digest, Hash};
use cryptoki_sys as ck;

use super::saved_state;
use crate::{
    error::{Error, Result},
    handle::ObjectHandle,
    mechanism::{MechanismCall, Parameters, Scheme},
    object::Object,
    slot::Slot,
};

/// A running digest.
pub(crate) struct DigestOperation {
    digest: Digest,
    multi_part: bool,
    /// Whether a key went in, and whether it was the user's: the state then holds bytes of it.
    holds: Holds,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Holds {
    DataOnly,
    Key,
    PrivateKey,
}

impl DigestOperation {
    /// Starts the digest of a mechanism.
    pub(crate) fn new(call: &MechanismCall) -> Result<Self> {
        let row = call.row;
        match (row.scheme, &call.parameters) {
            (Scheme::Digest(hash), Parameters::None) => {
                Ok(Self { digest: Digest::new(hash)?, multi_part: false, holds: Holds::DataOnly })
            }
            (Scheme::Digest(_), _) => Err(Error::MechanismParamInvalid),
            _ => Err(Error::MechanismInvalid),
        }
    }

    pub(super) fn is_private(&self) -> bool {
        self.holds == Holds::PrivateKey
    }

    /// Whether C_DigestUpdate or C_DigestKey has been called.
    pub(crate) fn is_multi_part(&self) -> bool {
        self.multi_part
    }

    /// Bytes in the digest.
    pub(crate) fn len(&self) -> usize {
        self.hash().output_len()
    }

    pub(crate) fn update(&mut self, part: &[u8]) {
        self.multi_part = true;
        self.digest.update(part);
    }

    /// Takes in the value of a secret key; of what is none, CKR_KEY_INDIGESTIBLE.
    pub(crate) fn update_key(&mut self, slot: &Slot, key: ObjectHandle) -> Result<()> {
        let object = Object::resolve_key(slot, key)?;
        let private = object.is_users();
        match object.attributes().ulong(ck::CKA_CLASS) {
            Some(ck::CKO_SECRET_KEY) => {}
            Some(ck::CKO_PUBLIC_KEY | ck::CKO_PRIVATE_KEY) => return Err(Error::KeyIndigestible),
            _ => return Err(Error::KeyHandleInvalid),
        }
        self.update(object.secret_key(slot)?.bytes().expose());
        let holds = if private { Holds::PrivateKey } else { Holds::Key };
        if holds > self.holds {
            self.holds = holds;
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Vec<u8>> {
        Ok(self.digest.finish()?)
    }

    /// What C_GetOperationState saves. A state that holds bytes of a key is CKR_STATE_UNSAVEABLE: the saved form is
    /// in the clear.
    pub(crate) fn save(&self) -> Result<Vec<u8>> {
        if self.holds != Holds::DataOnly {
            return Err(Error::StateUnsaveable);
        }
        saved_state::save(&self.digest, self.multi_part)
    }

    /// The inverse of [`DigestOperation::save`]: CKR_SAVED_STATE_INVALID for anything else.
    pub(crate) fn restore(state: &[u8]) -> Result<Self> {
        let (digest, multi_part) = saved_state::restore(state)?;
        Ok(Self { digest, multi_part, holds: Holds::DataOnly })
    }

    fn hash(&self) -> Hash {
        self.digest.hash()
    }
}

impl fmt::Debug for DigestOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DigestOperation({:?})", self.hash())
    }
}
