//! The side towards the enclave: connections that are kept, one conversation for each request, and the questions that
//! the enclave may ask within one.

use std::{
    fmt, thread,
    time::{Duration, Instant},
};

use cosigner_protocol::{
    Address, Error, Timeouts, Transport,
    message::{FromEnclave, KmsRefusal, ToEnclave},
};
use parking_lot::{Condvar, Mutex};

use crate::kms::{Kms, Question, Refusal, Reply};

const PAUSE: Duration = Duration::from_millis(50);
/// A connection that has been idle for longer is not used any more.
const STALE: Duration = Duration::from_secs(60);

/// An enclave, wherever it listens.
#[derive(Debug)]
pub struct Enclave {
    address: Address,
    timeouts: Timeouts,
    /// How long one that is away is waited for: it may be starting again.
    patience: Duration,
    /// At most as many conversations at a time.
    limit: usize,
    connections: Mutex<Connections>,
    returned: Condvar,
}

#[derive(Debug, Default)]
struct Connections {
    idle: Vec<(Transport, Instant)>,
    in_use: usize,
}

/// What came of a request.
#[derive(Debug)]
pub struct Outcome {
    /// The enclave's answer, never a question.
    pub answer: FromEnclave,
    /// What KMS gave on the way.
    pub reply: Option<Reply>,
    /// Why KMS gave nothing.
    pub refusal: Option<Refusal>,
}

/// Why there is no answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum EnclaveError {
    /// Nobody answers, the connection breaks, or it takes too long.
    Transport(Error),
    /// All conversations that may go on at a time do.
    Busy,
    /// It says or asks what it must not.
    Protocol(&'static str),
}

/// Counts a conversation, to its end.
struct Permit<'a>(&'a Enclave);

impl Enclave {
    /// An enclave at an address, which is not yet called, with at most `limit` conversations at a time. One that is away
    /// is waited for as long as `patience`.
    pub fn new(address: Address, timeouts: Timeouts, patience: Duration, limit: usize) -> Self {
        let connections = Mutex::default();
        Self { address, timeouts, patience, limit, connections, returned: Condvar::new() }
    }

    /// Asks, relays the enclave's question to KMS if it has one, and returns its answer.
    ///
    /// A connection that breaks is made anew and the request said again, as long as patience lasts: whatever the enclave
    /// has made and nobody kept is nothing. Only a PIN is never said twice, since each time may count as a try.
    pub fn ask(&self, request: &ToEnclave, kms: &Kms) -> Result<Outcome, EnclaveError> {
        let until = Instant::now() + self.patience;
        let _permit = self.permit(until)?;
        let once = matches!(request, ToEnclave::OpenToken { .. });
        loop {
            let kept = if once { None } else { self.kept() };
            let mut transport = match kept {
                Some(kept) => kept,
                None => match Transport::connect(&self.address, self.timeouts) {
                    Ok(new) => new,
                    Err(_) if Instant::now() < until => {
                        thread::sleep(PAUSE);
                        continue;
                    }
                    Err(error) => return Err(EnclaveError::Transport(error)),
                },
            };
            match converse(&mut transport, request, kms) {
                Ok(outcome) => {
                    let mut connections = self.connections.lock();
                    // Not more than can be in use: the enclave has only so many places.
                    if connections.idle.len() < self.limit {
                        connections.idle.push((transport, Instant::now()));
                    }
                    return Ok(outcome);
                }
                Err(EnclaveError::Transport(Error::Closed | Error::Truncated | Error::Io(_)))
                    if !once && Instant::now() < until =>
                {
                    // Those beside it broke with it.
                    self.connections.lock().idle.clear();
                    thread::sleep(PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn kept(&self) -> Option<Transport> {
        let mut connections = self.connections.lock();
        connections.idle.retain(|(_, since)| since.elapsed() < STALE);
        connections.idle.pop().map(|(transport, _)| transport)
    }

    fn permit(&self, until: Instant) -> Result<Permit<'_>, EnclaveError> {
        let mut connections = self.connections.lock();
        while connections.in_use >= self.limit {
            if self.returned.wait_until(&mut connections, until).timed_out() {
                return Err(EnclaveError::Busy);
            }
        }
        connections.in_use += 1;
        Ok(Permit(self))
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.connections.lock().in_use -= 1;
        self.0.returned.notify_one();
    }
}

/// One request with its answer, and at most one question in between.
fn converse(transport: &mut Transport, request: &ToEnclave, kms: &Kms) -> Result<Outcome, EnclaveError> {
    let first: FromEnclave = transport.ask(request)?;
    let Some(question) = Question::from_enclave(&first) else {
        return Ok(Outcome { answer: first, reply: None, refusal: None });
    };
    if !question.belongs_to(request) {
        return Err(EnclaveError::Protocol("it asks KMS for something that its request is not about"));
    }
    let (message, reply, refusal) = match kms.ask(&question) {
        Ok(reply) => (reply.clone().into_message(), Some(reply), None),
        Err(refusal) => (ToEnclave::KmsError { reason: refusal.reason }, None, Some(refusal)),
    };
    transport.say(&message)?;
    let answer: FromEnclave = transport.hear()?;
    if Question::from_enclave(&answer).is_some() {
        return Err(EnclaveError::Protocol("it asks KMS twice within a request"));
    }
    Ok(Outcome { answer, reply, refusal })
}

impl Question {
    fn from_enclave(message: &FromEnclave) -> Option<Self> {
        match message.clone() {
            FromEnclave::KmsGenerateDataKey { kms_key, user_id, attestation } => {
                Some(Self { kms_key, user_id, attestation, wrapped_key: None })
            }
            FromEnclave::KmsDecryptDataKey { kms_key, user_id, attestation, wrapped_key } => {
                Some(Self { kms_key, user_id, attestation, wrapped_key: Some(wrapped_key) })
            }
            _ => None,
        }
    }

    /// Whether the request needs exactly this.
    fn belongs_to(&self, request: &ToEnclave) -> bool {
        let (kms_key, user_id, wrapped_key) = match request {
            ToEnclave::Generate { kms_key, user_id, .. } | ToEnclave::KeepToken { kms_key, user_id, .. } => {
                (kms_key, user_id, None)
            }
            ToEnclave::Sign { key, .. } => (&key.kms_key, &key.user_id, Some(&key.wrapped_key)),
            ToEnclave::OpenToken { token, .. } => (&token.kms_key, &token.user_id, Some(&token.wrapped_key)),
            _ => return false,
        };
        (&self.kms_key, &self.user_id, self.wrapped_key.as_ref()) == (kms_key, user_id, wrapped_key)
    }
}

impl EnclaveError {
    /// What the log says about a refusal of KMS.
    pub fn reason(refusal: &Refusal) -> &'static str {
        match refusal.reason {
            KmsRefusal::Denied => "KMS denies it",
            KmsRefusal::InvalidCiphertext => "KMS does not open the wrapped key for this user",
            KmsRefusal::Service => "KMS fails",
        }
    }
}

impl fmt::Display for EnclaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => write!(f, "{error}"),
            Self::Busy => f.write_str("it has more requests than may go on at a time"),
            Self::Protocol(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for EnclaveError {}

impl From<Error> for EnclaveError {
    fn from(error: Error) -> Self {
        Self::Transport(error)
    }
}
