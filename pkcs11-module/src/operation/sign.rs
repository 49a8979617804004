//! Signing: the state between C_SignInit and C_Sign or C_SignFinal, and between C_MessageSignInit and
//! C_MessageSignFinal.

use std::sync::Arc;

use cryptoki_sys as ck;
use hsm_backends::{PrivateKey, Record};

use super::{
    key_use::{self, KeyUse},
    mac::Mac,
    plan::Plan,
    stream::Stream,
};
use crate::{
    error::{Error, Result},
    handle::ObjectHandle,
    mechanism::{Mechanism, MechanismCall, Parameters},
    object::{Object, Source},
    slot::Slot,
};

/// A key with a mechanism that is ready to sign, and what has come of the message so far.
#[derive(Debug)]
pub(crate) struct Signer {
    work: Work,
    private: bool,
    /// Of a key with CKA_ALWAYS_AUTHENTICATE: whether the user has logged in for the next signature.
    context_login: Option<bool>,
    /// What it was made of, where nothing else went into it.
    origin: Option<Origin>,
}

/// What a signer was made of, apart from the key: a mechanism without parameters, and a version of a record.
#[derive(Debug)]
struct Origin {
    mechanism: &'static Mechanism,
    handle: ObjectHandle,
    record: Arc<Record>,
}

/// What is left of a signer that has done its work: all but the key.
#[derive(Debug)]
pub(crate) struct Spent {
    plan: Plan,
    private: bool,
    origin: Origin,
}

#[derive(Debug)]
enum Work {
    Signature { plan: Plan, key: Arc<dyn PrivateKey>, stream: Option<Box<Stream>> },
    Mac(Mac),
}

impl Origin {
    fn is(&self, call: &MechanismCall, object: &Object) -> bool {
        let same_record =
            matches!(&object.source, Source::Token(record) if Arc::ptr_eq(record, &self.record));
        same_record
            && self.handle == object.handle
            && std::ptr::eq(self.mechanism, call.row)
            && matches!(call.parameters, Parameters::None)
    }
}

impl Signer {
    /// Checks mechanism, key and parameters, and opens the key.
    pub(crate) fn new(slot: &Slot, call: MechanismCall, key: ObjectHandle) -> Result<Self> {
        let object = key_use::resolve(slot, key, call.row, KeyUse::Sign)?;
        Self::with(slot, call, object)
    }

    /// [`Signer::new`], which is less work where it was done before: with the same mechanism and no parameters, for the
    /// same record at the same version. That it is visible, and still at that version, is found out anew.
    pub(crate) fn renew(slot: &Slot, call: MechanismCall, key: ObjectHandle, spent: Spent) -> Result<Self> {
        let object = key_use::resolve(slot, key, call.row, KeyUse::Sign)?;
        if !spent.origin.is(&call, &object) {
            return Self::with(slot, call, object);
        }
        let Spent { plan, private, origin } = spent;
        let work = Work::Signature { plan, key: object.private_key(slot)?, stream: None };
        Ok(Self { work, private, context_login: None, origin: Some(origin) })
    }

    fn with(slot: &Slot, call: MechanismCall, object: Object) -> Result<Self> {
        let row = call.row;
        let attributes = object.attributes();
        key_use::check(attributes, row, KeyUse::Sign)?;
        let context_login = attributes.flag(ck::CKA_ALWAYS_AUTHENTICATE).then_some(false);
        let origin = match (&object.source, &call.parameters, context_login) {
            (Source::Token(record), Parameters::None, None) => {
                Some(Origin { mechanism: row, handle: object.handle, record: record.clone() })
            }
            _ => None,
        };
        let work = match Mac::new(row.scheme, &call.parameters, || object.secret_key(slot))? {
            Some(mac) => Work::Mac(mac),
            None => Work::Signature {
                plan: Plan::new(row, call.parameters, KeyUse::Sign, attributes)?,
                key: object.private_key(slot)?,
                stream: None,
            },
        };
        Ok(Self { work, private: object.is_users(), context_login, origin })
    }

    /// What [`Signer::renew`] takes, after a message in one part.
    pub(super) fn spend(self) -> Option<Spent> {
        match self {
            Self {
                work: Work::Signature { plan, stream: None, .. }, private, origin: Some(origin), ..
            } => Some(Spent { plan, private, origin }),
            _ => None,
        }
    }

    /// Whether the key is the user's, which a logout takes away.
    pub(super) fn is_private(&self) -> bool {
        self.private
    }

    /// The flag for C_Login(CKU_CONTEXT_SPECIFIC), where the key wants it.
    pub(super) fn context_login(&mut self) -> Option<&mut bool> {
        self.context_login.as_mut()
    }

    /// Exactly how many bytes the signature will have.
    pub(crate) fn signature_len(&self) -> usize {
        match &self.work {
            Work::Signature { plan, .. } => plan.signature_len(),
            Work::Mac(mac) => mac.len(),
        }
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
                *stream = Some(Box::new(plan.stream(key.ml_dsa_tr(), key.signs_mu_deterministically())?));
                Ok(())
            }
            Work::Mac(mac) => mac.start(),
        }
    }

    /// Takes in a part of the message, the first if none came before.
    pub(crate) fn update(&mut self, part: &[u8]) -> Result<()> {
        self.check_context_login()?;
        if !self.is_multi_part() {
            self.start()?;
        }
        match &mut self.work {
            Work::Signature { stream: Some(stream), .. } => stream.update(part),
            Work::Signature { stream: None, .. } => Err(Error::GeneralError),
            Work::Mac(mac) => mac.update(part),
        }
    }

    /// Signs what came in parts, or the empty message if nothing came.
    pub(crate) fn finish(&mut self) -> Result<Vec<u8>> {
        if !self.is_multi_part() {
            self.start()?;
        }
        self.use_context_login()?;
        match &mut self.work {
            Work::Signature { plan, key, stream } => {
                let input = stream.take().ok_or(Error::GeneralError)?.finish()?;
                plan.gathered(&input, |signing| Ok(key.sign(signing)?))
            }
            Work::Mac(mac) => mac.finish(),
        }
    }

    /// Signs a whole message, into a buffer of [`Signer::signature_len`] bytes. After a failure these are zeros.
    pub(crate) fn sign(&mut self, message: &[u8], out: &mut [u8]) -> Result<()> {
        self.use_context_login()?;
        let signed = match &mut self.work {
            Work::Signature { plan, key, .. } => {
                plan.whole(message, |signing| Ok(key.sign_into(signing, out)?))
            }
            Work::Mac(mac) => {
                mac.update(message)?;
                mac.finish().map(|code| out.copy_from_slice(&code))
            }
        };
        if signed.is_err() {
            out.fill(0);
        }
        signed
    }

    /// Forgets an unfinished message.
    pub(crate) fn reset(&mut self) {
        match &mut self.work {
            Work::Signature { stream, .. } => *stream = None,
            Work::Mac(mac) => mac.reset(),
        }
    }

    fn check_context_login(&self) -> Result<()> {
        if self.context_login == Some(false) { Err(Error::UserNotLoggedIn) } else { Ok(()) }
    }

    /// A login counts for one signature.
    fn use_context_login(&mut self) -> Result<()> {
        self.check_context_login()?;
        self.context_login = self.context_login.map(|_| false);
        Ok(())
    }
}
