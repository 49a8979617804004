//! Active operations of a session. Beginning one is a value put in; ending it, for whatever reason, is the value
//! taken out.

mod cipher;
mod digest;
pub mod key_use;
mod mac;
mod place;
mod plan;
mod saved_state;
mod sign;
mod stream;
mod verify;

use cryptoki_sys as ck;

use crate::{error::Result, handle::ObjectHandle, session::Session};

pub(crate) use cipher::{CipherOperation, mode as cipher_mode};
pub(crate) use digest::DigestOperation;
pub(crate) use place::{At, Place, Running};
pub(crate) use sign::{Signer, Spent};
pub(crate) use verify::{Verifier, VerifySignature};

/// The kinds of operation that can be active beside each other in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after the functions that begin them")]
pub enum Family {
    Find,
    Digest,
    Sign,
    Verify,
    VerifySignature,
    MessageSign,
    MessageVerify,
    Encrypt,
    Decrypt,
}

impl Family {
    const ALL: [Self; 9] = [
        Self::Find,
        Self::Digest,
        Self::Sign,
        Self::Verify,
        Self::VerifySignature,
        Self::MessageSign,
        Self::MessageVerify,
        Self::Encrypt,
        Self::Decrypt,
    ];

    /// The flag that names it in C_SessionCancel.
    fn flag(self) -> u64 {
        match self {
            Self::Find => ck::CKF_FIND_OBJECTS,
            Self::Digest => ck::CKF_DIGEST,
            Self::Sign => ck::CKF_SIGN,
            Self::Verify | Self::VerifySignature => ck::CKF_VERIFY,
            Self::MessageSign => ck::CKF_MESSAGE_SIGN,
            Self::MessageVerify => ck::CKF_MESSAGE_VERIFY,
            Self::Encrypt => ck::CKF_ENCRYPT,
            Self::Decrypt => ck::CKF_DECRYPT,
        }
    }
}

/// What is active in a session: at most one operation of each kind, as C_SessionCancel names them.
#[derive(Debug, Default)]
pub struct Operations {
    /// C_FindObjectsInit: the handles not handed out yet.
    pub find: Option<std::vec::IntoIter<ObjectHandle>>,
    digest: Place<DigestOperation>,
    sign: Place<Signer>,
    verify: Place<Verifier>,
    verify_signature: Place<VerifySignature>,
    message_sign: Place<Signer>,
    message_verify: Place<Verifier>,
    encrypt: Place<CipherOperation>,
    decrypt: Place<CipherOperation>,
    /// Of the last C_Sign: most applications sign with one key again and again.
    spent: Option<Spent>,
    /// How many operations were begun; the number of the last is its ticket.
    begun: u64,
}

impl Operations {
    pub(crate) fn digest(&mut self) -> &mut Place<DigestOperation> {
        &mut self.digest
    }

    pub(crate) fn sign(&mut self) -> &mut Place<Signer> {
        &mut self.sign
    }

    pub(crate) fn verify(&mut self) -> &mut Place<Verifier> {
        &mut self.verify
    }

    pub(crate) fn verify_signature(&mut self) -> &mut Place<VerifySignature> {
        &mut self.verify_signature
    }

    pub(crate) fn message_sign(&mut self) -> &mut Place<Signer> {
        &mut self.message_sign
    }

    pub(crate) fn message_verify(&mut self) -> &mut Place<Verifier> {
        &mut self.message_verify
    }

    pub(crate) fn encrypt(&mut self) -> &mut Place<CipherOperation> {
        &mut self.encrypt
    }

    pub(crate) fn decrypt(&mut self) -> &mut Place<CipherOperation> {
        &mut self.decrypt
    }

    /// Takes out what is left of the last C_Sign.
    pub(crate) fn spent_signer(&mut self) -> Option<Spent> {
        self.spent.take()
    }

    /// Puts in a new operation; CKR_OPERATION_ACTIVE if there is one of its kind.
    pub(crate) fn begin<T>(&mut self, at: At<T>, operation: T) -> Result<()> {
        self.begun += 1;
        let ticket = self.begun;
        at(self).begin(operation, ticket)
    }

    /// The flag that C_Login(CKU_CONTEXT_SPECIFIC) sets: of the operation begun last with a key that has
    /// CKA_ALWAYS_AUTHENTICATE. `None` when no such operation waits: CKR_OPERATION_NOT_INITIALIZED.
    pub fn awaiting_context_login(&mut self) -> Option<&mut bool> {
        let mut places = [&mut self.sign, &mut self.message_sign];
        places.sort_unstable_by_key(|place| std::cmp::Reverse(place.ticket()));
        places.into_iter().find_map(|place| place.waiting()?.context_login())
    }

    /// C_SessionCancel: ends the operations that `flags` (CKF_SIGN, CKF_FIND_OBJECTS, ...) name. A call that another
    /// thread is making finishes, and what it works on ends with it.
    pub fn cancel(&mut self, flags: u64) {
        for family in Family::ALL {
            if flags & family.flag() != 0 {
                self.end(family);
            }
        }
    }

    /// Ends one kind of operation if it is active: an Init function with a NULL mechanism, or a call whose arguments
    /// were bad.
    pub fn end(&mut self, family: Family) {
        match family {
            Family::Find => self.find = None,
            Family::Digest => self.digest.end(),
            Family::Sign => self.sign.end(),
            Family::Verify => self.verify.end(),
            Family::VerifySignature => self.verify_signature.end(),
            Family::MessageSign => self.message_sign.end(),
            Family::MessageVerify => self.message_verify.end(),
            Family::Encrypt => self.encrypt.end(),
            Family::Decrypt => self.decrypt.end(),
        }
    }

    /// C_Logout: ends the operations that use private objects. One that a call of another thread works on is ended
    /// too, as there is no telling what it uses.
    pub fn end_private(&mut self) {
        self.spent = None;
        end_if(&mut self.sign, Signer::is_private);
        end_if(&mut self.message_sign, Signer::is_private);
        end_if(&mut self.verify, Verifier::is_private);
        end_if(&mut self.message_verify, Verifier::is_private);
        end_if(&mut self.verify_signature, VerifySignature::is_private);
        end_if(&mut self.encrypt, CipherOperation::is_private);
        end_if(&mut self.decrypt, CipherOperation::is_private);
        end_if(&mut self.digest, DigestOperation::is_private);
    }

    /// Whether an operation other than a digest or a search is active: C_GetOperationState cannot save it.
    pub(crate) fn has_unsaveable(&self) -> bool {
        !(self.sign.is_empty()
            && self.verify.is_empty()
            && self.verify_signature.is_empty()
            && self.message_sign.is_empty()
            && self.message_verify.is_empty()
            && self.encrypt.is_empty()
            && self.decrypt.is_empty())
    }
}

fn end_if<T>(place: &mut Place<T>, private: impl FnOnce(&T) -> bool) {
    if place.waiting().is_none_or(|operation| private(operation)) {
        place.end();
    }
}

impl Session {
    /// Takes out the operation that a call works on; see [`Running`].
    pub(crate) fn running<T>(&self, at: At<T>) -> Result<Running<'_, T>> {
        Running::take(&self.operations, at)
    }

    /// Begins an operation.
    pub(crate) fn begin<T>(&self, at: At<T>, operation: T) -> Result<()> {
        self.operations.lock().begin(at, operation)
    }
}

#[cfg(test)]
mod tests;
