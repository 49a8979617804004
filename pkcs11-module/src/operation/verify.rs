//! Verifying: the state between C_VerifyInit and C_Verify or C_VerifyFinal, and of the message-based and the
//! C_VerifySignature functions.

use std::sync::Arc;

use algorithms::PublicKey;

use super::{
    key_use::{self, KeyUse},
    mac::Mac,
    plan::Plan,
    stream::Stream,
};
use crate::{
    error::{Error, Result},
    handle::ObjectHandle,
    mechanism::MechanismCall,
    slot::Slot,
};

/// A key with a mechanism that is ready to verify, and what has come of the message so far.
#[derive(Debug)]
pub(crate) struct Verifier {
    work: Work,
    private: bool,
}

/// A verification whose signature is known from the start.
#[derive(Debug)]
pub(crate) struct VerifySignature {
    pub(crate) verifier: Verifier,
    pub(crate) signature: Vec<u8>,
}

#[derive(Debug)]
enum Work {
    Signature { plan: Plan, key: Arc<PublicKey>, stream: Option<Box<Stream>> },
    Mac(Mac),
}

impl Verifier {
    /// Checks mechanism, key and parameters, and opens the key.
    pub(crate) fn new(slot: &Slot, call: MechanismCall, key: ObjectHandle) -> Result<Self> {
        let row = call.row;
        let object = key_use::key(slot, key, row, KeyUse::Verify)?;
        let attributes = object.attributes();
        let work = match Mac::new(row.scheme, &call.parameters, || object.secret_key(slot))? {
            Some(mac) => Work::Mac(mac),
            None => Work::Signature {
                plan: Plan::new(row, call.parameters, KeyUse::Verify, attributes)?,
                key: object.public_key(slot)?,
                stream: None,
            },
        };
        Ok(Self { work, private: object.is_users() })
    }

    /// Whether the key is the user's, which a logout takes away.
    pub(super) fn is_private(&self) -> bool {
        self.private
    }

    /// Whether a message is being taken in part by part.
    pub(crate) fn is_multi_part(&self) -> bool {
        match &self.work {
            Work::Signature { stream, .. } => stream.is_some(),
            Work::Mac(mac) => mac.is_multi_part(),
        }
    }

    /// Begins a message that comes in parts.
    pub(crate) fn start(&mut self) -> Result<()> {
        match &mut self.work {
            Work::Signature { plan, key, stream } => {
                let tr = match &**key {
                    PublicKey::MlDsa(key) => Some(key.tr()),
                    _ => None,
                };
                *stream = Some(Box::new(plan.stream(tr, true)?));
                Ok(())
            }
            Work::Mac(mac) => mac.start(),
        }
    }

    /// Takes in a part of the message, the first if none came before.
    pub(crate) fn update(&mut self, part: &[u8]) -> Result<()> {
        if !self.is_multi_part() {
            self.start()?;
        }
        match &mut self.work {
            Work::Signature { stream: Some(stream), .. } => stream.update(part),
            Work::Signature { stream: None, .. } => Err(Error::GeneralError),
            Work::Mac(mac) => mac.update(part),
        }
    }

    /// Judges the signature of what came in parts, or of the empty message if nothing came.
    pub(crate) fn finish(&mut self, signature: &[u8]) -> Result<()> {
        if !self.is_multi_part() {
            self.start()?;
        }
        match &mut self.work {
            Work::Signature { plan, key, stream } => {
                let input = stream.take().ok_or(Error::GeneralError)?.finish()?;
                let signature = plan.full_length(signature)?;
                plan.gathered(&input, |signing| Ok(key.verify(signing, &signature)?))
            }
            Work::Mac(mac) => mac.verify(signature),
        }
    }

    /// Judges the signature of a whole message.
    pub(crate) fn verify(&mut self, message: &[u8], signature: &[u8]) -> Result<()> {
        match &mut self.work {
            Work::Signature { plan, key, .. } => {
                let signature = plan.full_length(signature)?;
                plan.whole(message, |signing| Ok(key.verify(signing, &signature)?))
            }
            Work::Mac(mac) => {
                mac.update(message)?;
                mac.verify(signature)
            }
        }
    }

    /// Forgets an unfinished message.
    pub(crate) fn reset(&mut self) {
        match &mut self.work {
            Work::Signature { stream, .. } => *stream = None,
            Work::Mac(mac) => mac.reset(),
        }
    }
}

impl VerifySignature {
    /// Whether the key is the user's, which a logout takes away.
    pub(super) fn is_private(&self) -> bool {
        self.verifier.is_private()
    }
}
