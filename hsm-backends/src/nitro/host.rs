//! The way to the enclave: the host, a program of this machine that carries requests and keeps what the enclave seals.
//!
//! Requests may be made again: they change nothing the second time, or say what the first has changed. So a host or an
//! enclave that is started anew costs time and nothing else. A PIN alone is said again only where nobody can have judged
//! it, since each time may count as a try.

use std::time::{Duration, Instant};

use cosigner_protocol::{
    Address, Error, KmsKey, Timeouts, Transport,
    message::{Class, Failure, Layer, Request, Response},
};

use crate::{ReportGroup, StoreError, gate::Gate};

/// How long a request is made again and again: longer than an enclave takes to start.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause before it is made again, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// For everything together: the host waits for the enclave and for KMS before it answers.
const LONGEST: Duration = Duration::from_secs(30);
const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(2), frame: LONGEST };

/// The host, and connections to it.
#[derive(Debug)]
pub(super) struct Host {
    address: Address,
    kms_key: Option<KmsKey>,
    connections: Gate<Transport>,
}

impl Host {
    pub(super) fn new(address: Address, kms_key: Option<KmsKey>) -> Self {
        Self { address, kms_key, connections: Gate::default() }
    }

    /// Asks until there is an answer that another try would not change.
    pub(super) fn ask(&self, request: &Request) -> Result<Response, StoreError> {
        let start = Instant::now();
        let (mut pause, longest) = PAUSES;
        loop {
            let trouble = match self.ask_until(request, start + LONGEST) {
                Ok(Response::Failed(Failure { class: Class::InternalError, layer })) => {
                    Trouble::Answered(layer)
                }
                Ok(answer) => return Ok(answer),
                Err(Trouble::Connection(Error::Message(reason))) => {
                    return Err(self.device(&format!("speaks another protocol: {reason}")));
                }
                Err(trouble) => trouble,
            };
            if matches!(request, Request::OpenToken { .. }) && !trouble.judged_nothing() {
                return Err(self.perhaps_counted(&trouble));
            }
            if start.elapsed() + pause > PATIENCE {
                return Err(self.trouble(&trouble));
            }
            std::thread::sleep(pause);
            pause = longest.min(2 * pause);
        }
    }

    /// Asks without patience.
    pub(super) fn ask_once(&self, request: &Request) -> Result<Response, StoreError> {
        self.ask_until(request, Instant::now() + LONGEST).map_err(|trouble| self.trouble(&trouble))
    }

    fn ask_until(&self, request: &Request, until: Instant) -> Result<Response, Trouble> {
        let left = || until.saturating_duration_since(Instant::now());
        let mut inside = self.connections.enter();
        // A connection that was kept may have been closed long ago, which only asking tells: nothing for a PIN.
        let kept = inside.held.take().filter(|_| !matches!(request, Request::OpenToken { .. }));
        if let Some(mut kept) = kept {
            match kept.ask_within(request, left()) {
                Ok(answer) => {
                    inside.held = Some(kept);
                    return Ok(answer);
                }
                Err(Error::TimedOut) => return Err(Trouble::Connection(Error::TimedOut)),
                Err(_) => {}
            }
        }
        let mut fresh = Transport::connect(&self.address, TIMEOUTS).map_err(Trouble::Unreached)?;
        let answer = fresh.ask_within(request, left()).map_err(Trouble::Connection)?;
        inside.held = Some(fresh);
        Ok(answer)
    }

    /// What host and enclave say of themselves. Nobody is waited for who is not there.
    pub(super) fn report(&self) -> Result<Vec<ReportGroup>, StoreError> {
        let health = match self.ask_once(&Request::Health {}) {
            Ok(Response::Health(health)) => health,
            Ok(other) => return Err(self.unexpected(&other)),
            Err(error) => return Err(error),
        };
        let enclave = health.enclave.ok_or_else(|| self.trouble(&Trouble::Answered(Layer::Enclave)))?;
        let algorithms: Vec<_> = enclave.algorithms.iter().map(|algorithm| algorithm.name()).collect();
        Ok(vec![
            ("host", vec![("address", self.address.to_string()), ("version", health.host_version)]),
            ("enclave", vec![("version", enclave.enclave_version), ("algorithms", algorithms.join(", "))]),
        ])
    }

    /// Whether what the enclave has sealed just now is under the KMS key that the configuration names.
    pub(super) fn check_kms_key(&self, key: &KmsKey) -> Result<(), StoreError> {
        match &self.kms_key {
            Some(named) if named != key => Err(self.device(&format!(
                "uses the KMS key {} and not {}; correct kms-key, or the host's",
                key.as_str(),
                named.as_str()
            ))),
            _ => Ok(()),
        }
    }

    /// What an answer means that no request of ours should get.
    pub(super) fn unexpected(&self, answer: &Response) -> StoreError {
        match answer {
            Response::Failed(Failure { class: Class::InternalError, layer }) => {
                self.trouble(&Trouble::Answered(*layer))
            }
            Response::Failed(failure) => self.refused(*failure),
            _ => self.device("gave an answer to something else"),
        }
    }

    pub(super) fn device(&self, what: &str) -> StoreError {
        StoreError::Device(format!("the enclave's host at {} {what}", self.address))
    }

    /// Before fork(2).
    pub(super) fn shut(&self) {
        self.connections.shut();
    }

    /// After fork(2).
    pub(super) fn reopen(&self) {
        self.connections.reopen();
    }

    fn refused(&self, failure: Failure) -> StoreError {
        match failure.layer {
            Layer::Record => self.device("does not have this key any more"),
            Layer::KmsAttestation => self.device(
                "may not use the KMS key; look at the key's policy, and whether it names this enclave's image",
            ),
            Layer::KmsContext | Layer::Sealing => StoreError::Damaged(
                "what the enclave has sealed does not open: it was altered, or is another's; restore a backup".into(),
            ),
            layer => self.device(&format!("refused ({layer:?}); its log says more")),
        }
    }

    fn trouble(&self, trouble: &Trouble) -> StoreError {
        match trouble {
            Trouble::Answered(Layer::KmsService) => self.device("cannot reach KMS; its log says more"),
            Trouble::Answered(Layer::Transport | Layer::Enclave) => {
                self.device("cannot reach the enclave; look whether it runs")
            }
            Trouble::Answered(Layer::Record) => {
                self.device("cannot read or write its key records; its log says more")
            }
            Trouble::Answered(layer) => self.device(&format!("failed ({layer:?}); its log says more")),
            Trouble::Unreached(error) => {
                let error = match error {
                    Error::Connect(error) => error.to_string(),
                    other => other.to_string(),
                };
                self.device(&format!(
                    "does not answer: {error}; look whether it runs, and at the slot's host"
                ))
            }
            Trouble::Connection(error) => self.device(&format!("does not answer: {error}")),
        }
    }

    fn perhaps_counted(&self, trouble: &Trouble) -> StoreError {
        let why = match trouble {
            Trouble::Answered(layer) => format!("{layer:?}; its log says more"),
            Trouble::Unreached(error) | Trouble::Connection(error) => error.to_string(),
        };
        self.device(&format!(
            "gave no answer about the PIN, which the enclave may have counted as a wrong one ({why}); try once more"
        ))
    }
}

/// What made another try necessary.
#[derive(Debug)]
enum Trouble {
    Answered(Layer),
    /// Nobody took the connection, so nothing was said.
    Unreached(Error),
    Connection(Error),
}

impl Trouble {
    /// Whether a PIN that was to be judged certainly was not: without KMS no token is opened.
    fn judged_nothing(&self) -> bool {
        matches!(self, Self::Unreached(_) | Self::Answered(Layer::KmsService))
    }
}
