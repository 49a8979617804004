//! Message-based signing and verifying (PKCS#11 v3.2 sections 5.14 and 5.16).
//!
//! An error ends the message, not the process: mechanism and key stay ready for the next message until
//! C_MessageSignFinal or C_MessageVerifyFinal. None of our mechanisms has a per-message parameter.

use crate::{
    Module,
    error::{Error, Result},
    handle::{ObjectHandle, SessionHandle},
    mechanism::MechanismCall,
    operation::{Operations, Running, Signer, Verifier},
    output::{Output, Written},
};

impl Module {
    /// C_MessageSignInit.
    pub fn message_sign_init(
        &self,
        session: SessionHandle,
        mechanism: MechanismCall,
        key: ObjectHandle,
    ) -> Result<()> {
        let session = self.session(session)?;
        session.begin(Operations::message_sign, Signer::new(&session.slot, mechanism, key)?)
    }

    /// C_SignMessage. A `parameter_len` other than 0 is CKR_MECHANISM_PARAM_INVALID, and a message that is being
    /// signed in parts CKR_OPERATION_ACTIVE.
    pub fn sign_message(
        &self,
        session: SessionHandle,
        parameter_len: usize,
        data: &[u8],
        out: Output<'_>,
    ) -> Result<Written> {
        let session = self.session(session)?;
        going_on(session.running(Operations::message_sign)?, |signer| {
            if signer.is_multi_part() {
                return Err(Error::OperationActive);
            }
            no_parameter(parameter_len)?;
            out.filled(signer.signature_len(), |out| signer.sign(data, out))
        })
    }

    /// C_SignMessageBegin. A mechanism that is single-part answers CKR_FUNCTION_NOT_SUPPORTED: it has no
    /// CKF_MULTI_MESSAGE.
    pub fn sign_message_begin(&self, session: SessionHandle, parameter_len: usize) -> Result<()> {
        let session = self.session(session)?;
        going_on(session.running(Operations::message_sign)?, |signer| {
            if signer.is_multi_part() {
                return Err(Error::OperationActive);
            }
            no_parameter(parameter_len)?;
            signer.start().map_err(single_part)
        })
    }

    /// C_SignMessageNext; `last` is there when the caller asked for the signature. With [`Written::Needs`] the part
    /// has not been taken in: the caller gives it again.
    pub fn sign_message_next(
        &self,
        session: SessionHandle,
        parameter_len: usize,
        part: &[u8],
        last: Option<Output<'_>>,
    ) -> Result<Option<Written>> {
        let session = self.session(session)?;
        going_on(session.running(Operations::message_sign)?, |signer| {
            if !signer.is_multi_part() {
                return Err(Error::OperationNotInitialized);
            }
            let next = || {
                no_parameter(parameter_len)?;
                match last {
                    Some(out) if !out.fits(signer.signature_len()) => {
                        Ok(Some(Written::Needs(signer.signature_len())))
                    }
                    Some(out) => {
                        signer.update(part)?;
                        Ok(Some(out.write(&signer.finish()?)))
                    }
                    None => signer.update(part).map(|()| None),
                }
            };
            let answer = next();
            if answer.is_err() {
                signer.reset();
            }
            answer
        })
    }

    /// C_SignMessageNext with arguments that cannot be read: an error, so it ends the message like any other. Fails only
    /// where there is no such session.
    pub fn sign_message_abandon(&self, session: SessionHandle) -> Result<()> {
        let session = self.session(session)?;
        abandon(session.running(Operations::message_sign), Signer::reset);
        Ok(())
    }

    /// C_MessageSignFinal. A message that has not been finished is forgotten.
    pub fn message_sign_final(&self, session: SessionHandle) -> Result<()> {
        self.session(session)?.running(Operations::message_sign)?.end();
        Ok(())
    }

    /// C_MessageVerifyInit.
    pub fn message_verify_init(
        &self,
        session: SessionHandle,
        mechanism: MechanismCall,
        key: ObjectHandle,
    ) -> Result<()> {
        let session = self.session(session)?;
        session.begin(Operations::message_verify, Verifier::new(&session.slot, mechanism, key)?)
    }

    /// C_VerifyMessage.
    pub fn verify_message(
        &self,
        session: SessionHandle,
        parameter_len: usize,
        data: &[u8],
        signature: &[u8],
    ) -> Result<()> {
        let session = self.session(session)?;
        going_on(session.running(Operations::message_verify)?, |verifier| {
            if verifier.is_multi_part() {
                return Err(Error::OperationActive);
            }
            no_parameter(parameter_len)?;
            verifier.verify(data, signature)
        })
    }

    /// C_VerifyMessageBegin.
    pub fn verify_message_begin(&self, session: SessionHandle, parameter_len: usize) -> Result<()> {
        let session = self.session(session)?;
        going_on(session.running(Operations::message_verify)?, |verifier| {
            if verifier.is_multi_part() {
                return Err(Error::OperationActive);
            }
            no_parameter(parameter_len)?;
            verifier.start().map_err(single_part)
        })
    }

    /// C_VerifyMessageNext; `signature` comes with the last part.
    pub fn verify_message_next(
        &self,
        session: SessionHandle,
        parameter_len: usize,
        part: &[u8],
        signature: Option<&[u8]>,
    ) -> Result<()> {
        let session = self.session(session)?;
        going_on(session.running(Operations::message_verify)?, |verifier| {
            if !verifier.is_multi_part() {
                return Err(Error::OperationNotInitialized);
            }
            let answer =
                no_parameter(parameter_len).and_then(|()| verifier.update(part)).and_then(
                    |()| match signature {
                        Some(signature) => verifier.finish(signature),
                        None => Ok(()),
                    },
                );
            if answer.is_err() {
                verifier.reset();
            }
            answer
        })
    }

    /// C_VerifyMessageNext with arguments that cannot be read; see [`Module::sign_message_abandon`].
    pub fn verify_message_abandon(&self, session: SessionHandle) -> Result<()> {
        let session = self.session(session)?;
        abandon(session.running(Operations::message_verify), Verifier::reset);
        Ok(())
    }

    /// C_MessageVerifyFinal. A message that has not been finished is forgotten.
    pub fn message_verify_final(&self, session: SessionHandle) -> Result<()> {
        self.session(session)?.running(Operations::message_verify)?.end();
        Ok(())
    }
}

/// Runs a step of a process that goes on whatever the step answers.
fn going_on<T, A>(mut running: Running<'_, T>, step: impl FnOnce(&mut T) -> Result<A>) -> Result<A> {
    let answer = step(&mut running);
    running.keep();
    answer
}

/// Forgets the message of a process that goes on, if there is one.
fn abandon<T>(running: Result<Running<'_, T>>, reset: fn(&mut T)) {
    if let Ok(mut running) = running {
        reset(&mut running);
        running.keep();
    }
}

fn no_parameter(len: usize) -> Result<()> {
    if len == 0 { Ok(()) } else { Err(Error::MechanismParamInvalid) }
}

fn single_part(error: Error) -> Error {
    match error {
        Error::OperationNotInitialized => Error::FunctionNotSupported,
        other => other,
    }
}
