//! What each request of the PKCS#11 side does.

use std::fmt;

use cosigner_protocol::{
    Secret, UserId,
    message::{
        Class, Failure, FromEnclave, Health, Input, Layer, PublicKey, Request, Response, SealedKey, ToEnclave,
    },
};

use crate::{
    enclave::{Enclave, EnclaveError, Outcome},
    kms::Kms,
    log::Log,
    records::{Record, Records, RecordsError},
};

/// The longest message that is signed as it is, in bytes: with the sealed key beside it, it still fits into a frame.
pub const LONGEST_MESSAGE: usize = 180 * 1024;

/// A host: what it keeps, whom it asks, and where it writes what happened.
#[derive(Debug)]
pub struct Host {
    /// The key records.
    pub records: Records,
    /// The enclave.
    pub enclave: Enclave,
    /// KMS.
    pub kms: Kms,
    /// The log.
    pub log: Log,
}

const RECORD: Failure = Failure { class: Class::SigningFailed, layer: Layer::Record };
const CONFLICT: Failure = Failure { class: Class::SigningFailed, layer: Layer::Conflict };
const NOT_KEPT: Failure = Failure { class: Class::InternalError, layer: Layer::Record };
const TRANSPORT: Failure = Failure { class: Class::InternalError, layer: Layer::Transport };
const ENCLAVE: Failure = Failure { class: Class::InternalError, layer: Layer::Enclave };
const TOO_LONG: Failure = Failure { class: Class::MalformedRequest, layer: Layer::Request };

impl Host {
    /// Answers one request.
    pub fn answer(&self, request: Request) -> Response {
        let answer = match request {
            Request::Health {} => Ok(self.health()),
            Request::List { after } => self.list(after.as_ref()),
            Request::Generate { user_id, algorithm } => {
                let kms_key = self.kms.key().clone();
                self.generate(&ToEnclave::Generate { user_id: user_id.clone(), algorithm, kms_key }, &user_id)
            }
            Request::PublicKey { user_id } => self.public_key(&user_id),
            Request::Sign { user_id, input, deterministic } => self.sign(&user_id, input, deterministic),
            Request::Destroy { user_id } => self.destroy(&user_id),
            Request::KeepToken { user_id, token_key, pin, tries } => {
                let (kms_key, user) = (self.kms.key().clone(), user_id.clone());
                self.keep_token(&ToEnclave::KeepToken { user_id, token_key, pin, tries, kms_key }, &user)
            }
            Request::OpenToken { token, pin } => {
                let user = token.user_id.clone();
                self.open_token(&ToEnclave::OpenToken { token, pin }, &user)
            }
        };
        answer.unwrap_or_else(Response::Failed)
    }

    fn health(&self) -> Response {
        let enclave = match self.enclave.ask(&ToEnclave::Health {}, &self.kms) {
            Ok(Outcome { answer: FromEnclave::Health(enclave), .. }) => Some(enclave),
            Ok(_) => None,
            Err(error) => {
                self.log.warn(format_args!("the enclave is not well: {error}"));
                None
            }
        };
        Response::Health(Health { host_version: env!("CARGO_PKG_VERSION").to_owned(), enclave })
    }

    fn list(&self, after: Option<&UserId>) -> Result<Response, Failure> {
        let (keys, more) = self.records.list(after).map_err(|error| self.not_kept("list", &error))?;
        Ok(Response::Keys { keys, more })
    }

    /// The key is in the file, on the medium, before anybody hears of it. Who comes second gets nothing of what was made
    /// for him.
    fn generate(&self, request: &ToEnclave, user_id: &UserId) -> Result<Response, Failure> {
        if self.find("generate", user_id)?.is_some() {
            return Err(self.refused("generate", user_id, CONFLICT, &"there is a key already"));
        }
        let Outcome { answer, reply, .. } = self.ask("generate", user_id, request)?;
        let FromEnclave::Generated { key, birth_attestation, enclave_version } = answer else {
            return Err(self.unexpected("generate", user_id));
        };
        let asked = matches!(request, ToEnclave::Generate { user_id, algorithm, kms_key }
            if (&key.user_id, key.algorithm, &key.kms_key) == (user_id, *algorithm, kms_key));
        if !asked || reply.is_none_or(|reply| reply.wrapped_key != key.wrapped_key) {
            return Err(self.refused(
                "generate",
                user_id,
                ENCLAVE,
                &"the enclave made another key than was asked for",
            ));
        }
        let record = Record { key, birth_attestation, enclave_version };
        if !self.records.insert(&record).map_err(|error| self.not_kept("generate", &error))? {
            return Err(self.refused(
                "generate",
                user_id,
                CONFLICT,
                &"somebody else was quicker; the key is dropped",
            ));
        }
        self.done("generate", user_id, record.key.algorithm.name());
        Ok(key_response(record))
    }

    fn public_key(&self, user_id: &UserId) -> Result<Response, Failure> {
        self.find("public key", user_id)?.map(key_response).ok_or(RECORD)
    }

    fn sign(&self, user_id: &UserId, input: Input, deterministic: bool) -> Result<Response, Failure> {
        let length = match &input {
            Input::Message { message: bytes, .. }
            | Input::Ed25519Context { message: bytes, .. }
            | Input::Ed25519Prehashed { digest: bytes, .. }
            | Input::Mu(bytes) => Secret::expose(bytes).len(),
        };
        if length > LONGEST_MESSAGE {
            return Err(self.refused("sign", user_id, TOO_LONG, &"the message does not fit into a frame"));
        }
        let record = self.find("sign", user_id)?;
        let record = record.ok_or_else(|| self.refused("sign", user_id, RECORD, &"there is no such key"))?;
        let request = ToEnclave::Sign { key: record.key, input, deterministic };
        match self.ask("sign", user_id, &request)?.answer {
            FromEnclave::Signature { signature } => Ok(Response::Signature { signature }),
            _ => Err(self.unexpected("sign", user_id)),
        }
    }

    fn destroy(&self, user_id: &UserId) -> Result<Response, Failure> {
        if !self.records.destroy(user_id).map_err(|error| self.not_kept("destroy", &error))? {
            return Err(self.refused("destroy", user_id, RECORD, &"there is no such key"));
        }
        self.done("destroy", user_id, "gone");
        Ok(Response::Destroyed {})
    }

    fn keep_token(&self, request: &ToEnclave, user_id: &UserId) -> Result<Response, Failure> {
        let Outcome { answer, reply, .. } = self.ask("keep token", user_id, request)?;
        let FromEnclave::TokenKept { token } = answer else {
            return Err(self.unexpected("keep token", user_id));
        };
        let asked = (&token.user_id, &token.kms_key) == (user_id, self.kms.key());
        if !asked || reply.is_none_or(|reply| reply.wrapped_key != token.wrapped_key) {
            return Err(self.refused("keep token", user_id, ENCLAVE, &"the enclave kept another token"));
        }
        self.done("keep token", user_id, "kept");
        Ok(Response::TokenKept { token })
    }

    fn open_token(&self, request: &ToEnclave, user_id: &UserId) -> Result<Response, Failure> {
        match self.ask("open token", user_id, request)?.answer {
            FromEnclave::TokenOpened { token_key } => Ok(Response::TokenOpened { token_key }),
            FromEnclave::PinIncorrect {} => {
                self.log.info(format_args!("open token {}: the PIN is wrong", self.log.user(user_id)));
                Ok(Response::PinIncorrect {})
            }
            FromEnclave::PinLocked {} => {
                self.log.warn(format_args!("open token {}: the PIN is locked", self.log.user(user_id)));
                Ok(Response::PinLocked {})
            }
            _ => Err(self.unexpected("open token", user_id)),
        }
    }

    /// What the enclave answers, its own failures as such.
    fn ask(&self, what: &str, user_id: &UserId, request: &ToEnclave) -> Result<Outcome, Failure> {
        let outcome = self.enclave.ask(request, &self.kms).map_err(|error| {
            let failure = if matches!(error, EnclaveError::Protocol(_)) { ENCLAVE } else { TRANSPORT };
            self.refused(what, user_id, failure, &error)
        })?;
        if let Some(refusal) = &outcome.refusal {
            let user = self.log.user(user_id);
            self.log.warn(format_args!(
                "{what} {user}: {}: {}",
                EnclaveError::reason(refusal),
                refusal.cause
            ));
        }
        match outcome.answer {
            FromEnclave::Failed(failure) => Err(self.refused(what, user_id, failure, &"the enclave refuses")),
            _ => Ok(outcome),
        }
    }

    fn find(&self, what: &str, user_id: &UserId) -> Result<Option<Record>, Failure> {
        self.records.find(user_id).map_err(|error| self.not_kept(what, &error))
    }

    fn done(&self, what: &str, user_id: &UserId, how: &str) {
        self.log.info(format_args!("{what} {}: {how}", self.log.user(user_id)));
    }

    fn refused(&self, what: &str, user_id: &UserId, failure: Failure, cause: &dyn fmt::Display) -> Failure {
        let Failure { class, layer } = failure;
        self.log.warn(format_args!("{what} {}: {cause} ({class:?}, {layer:?})", self.log.user(user_id)));
        failure
    }

    fn unexpected(&self, what: &str, user_id: &UserId) -> Failure {
        self.refused(what, user_id, ENCLAVE, &"the enclave answers another question")
    }

    fn not_kept(&self, what: &str, error: &RecordsError) -> Failure {
        self.log.warn(format_args!("{what}: the key records: {error}"));
        NOT_KEPT
    }
}

fn key_response(record: Record) -> Response {
    let SealedKey { user_id, algorithm, public_key, kms_key, wrapped_key, .. } = record.key;
    let key = PublicKey { user_id, algorithm, public_key };
    Response::Key { key, kms_key, wrapped_key, birth_attestation: record.birth_attestation }
}
