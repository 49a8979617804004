//! What happens between a request and its answer.

use std::{sync::Arc, time::Duration};

use cosigner_protocol::{
    Algorithm, Bytes, Error, KmsKey, Secret, Transport, UserId,
    message::{EnclaveHealth, FromEnclave, Input, KeptToken, SealedKey, ToEnclave},
};

use crate::{
    birth,
    cache::OpenKeys,
    data_key::Asking,
    keys,
    nsm::Nsm,
    options::Settings,
    recipient::Recipients,
    refusal::Refusal,
    tokens::{self, Judged, Tries},
};

/// Why there is no answer but a failure, or none at all.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The asker is told.
    Refusal(Refusal),
    /// The connection is of no use any more.
    Connection(Error),
    /// A message came that may not come now.
    Unexpected,
}

impl From<Refusal> for Broken {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self::Connection(error)
    }
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Service {
    nsm: Box<dyn Nsm>,
    recipients: Recipients,
    open: OpenKeys,
    tries: Tries,
    patience: Duration,
}

impl Service {
    /// Starts what runs beside the connections.
    pub(crate) fn start(nsm: Box<dyn Nsm>, settings: &Settings) -> std::io::Result<Arc<Self>> {
        let stirred = nsm.random().map_err(|error| std::io::Error::other(error.0))?;
        algorithms::random::stir(&stirred).map_err(|error| std::io::Error::other(error.to_string()))?;
        let service = Arc::new(Self {
            nsm,
            recipients: Recipients::start(settings.questions_per_key)?,
            open: OpenKeys::new(settings.keep_open),
            tries: Tries::default(),
            patience: settings.frame,
        });
        if let Some(pause) = Some(settings.keep_open / 10).filter(|pause| !pause.is_zero()) {
            let service = Arc::downgrade(&service);
            std::thread::Builder::new().name("sweeper".into()).spawn(move || {
                while let Some(service) = service.upgrade() {
                    service.open.sweep();
                    drop(service);
                    std::thread::sleep(pause);
                }
            })?;
        }
        Ok(service)
    }

    /// Serves one connection to its end, and says why it ended.
    pub(crate) fn converse(&self, mut transport: Transport, settings: &Settings) -> Error {
        loop {
            let request = match transport.next_request::<ToEnclave>(settings.idle) {
                Ok(request) => request,
                Err(error) => return error,
            };
            let answer = match self.answer(request, &mut transport) {
                Ok(answer) => answer,
                Err(Broken::Refusal(refusal)) => {
                    eprintln!("trellis-enclave: refused ({:?}): {}", refusal.failure.layer, refusal.reason);
                    FromEnclave::Failed(refusal.failure)
                }
                Err(Broken::Connection(error)) => return error,
                Err(Broken::Unexpected) => {
                    return Error::Message("it answers a question that was not asked".into());
                }
            };
            if let Err(error) = transport.say(&answer) {
                return error;
            }
        }
    }

    fn answer(&self, request: ToEnclave, transport: &mut Transport) -> Result<FromEnclave, Broken> {
        let mut asking =
            Asking { transport, nsm: &*self.nsm, recipients: &self.recipients, patience: self.patience };
        match request {
            ToEnclave::Health {} => Ok(self.health()?),
            ToEnclave::Generate { user_id, algorithm, kms_key } => {
                self.generate(&mut asking, user_id, algorithm, kms_key)
            }
            ToEnclave::Sign { key, input, deterministic } => {
                self.sign(&mut asking, &key, &input, deterministic)
            }
            ToEnclave::KeepToken { user_id, token_key, pin, tries, kms_key } => {
                for secret in [&token_key, &pin] {
                    tokens::check_len(secret)?;
                }
                let (data_key, wrapped_key) = asking.generate(&kms_key, &user_id)?;
                let what = (&token_key, &pin, tries);
                let token = tokens::keep(&data_key, user_id, kms_key, wrapped_key, what)?;
                Ok(FromEnclave::TokenKept { token })
            }
            ToEnclave::OpenToken { token, pin } => self.open_token(&mut asking, &token, &pin),
            ToEnclave::KmsReply { .. } | ToEnclave::KmsError { .. } => Err(Broken::Unexpected),
        }
    }

    fn health(&self) -> Result<FromEnclave, Refusal> {
        Ok(FromEnclave::Health(EnclaveHealth {
            enclave_version: crate::options::VERSION.into(),
            algorithms: Algorithm::ALL.into(),
            attestation: Bytes(self.nsm.attest(None, None)?),
        }))
    }

    fn generate(
        &self,
        asking: &mut Asking<'_>,
        user_id: UserId,
        algorithm: Algorithm,
        kms_key: KmsKey,
    ) -> Result<FromEnclave, Broken> {
        let (data_key, wrapped_key) = asking.generate(&kms_key, &user_id)?;
        let private = keys::generate(algorithm)?;
        let key = keys::seal(&private, &data_key, user_id, algorithm, kms_key, wrapped_key)?;
        let birth = self.nsm.attest(Some(&birth::user_data(&key)), None).map_err(Refusal::from)?;
        self.open.put(&key, &Arc::new(private));
        Ok(FromEnclave::Generated {
            key,
            birth_attestation: Bytes(birth),
            enclave_version: crate::options::VERSION.into(),
        })
    }

    fn sign(
        &self,
        asking: &mut Asking<'_>,
        sealed: &SealedKey,
        input: &Input,
        deterministic: bool,
    ) -> Result<FromEnclave, Broken> {
        let key = match self.open.get(sealed) {
            Some(open) => open,
            None => {
                let data_key = asking.decrypt(&sealed.kms_key, &sealed.user_id, &sealed.wrapped_key)?;
                let opened = Arc::new(keys::open(sealed, &data_key)?);
                self.open.put(sealed, &opened);
                opened
            }
        };
        Ok(FromEnclave::Signature { signature: Bytes(keys::sign(&key, input, deterministic)?) })
    }

    fn open_token(
        &self,
        asking: &mut Asking<'_>,
        token: &KeptToken,
        pin: &Secret,
    ) -> Result<FromEnclave, Broken> {
        tokens::check_len(pin)?;
        let data_key = asking.decrypt(&token.kms_key, &token.user_id, &token.wrapped_key)?;
        Ok(match self.tries.judge(token, &data_key, pin)? {
            Judged::Right(token_key) => FromEnclave::TokenOpened { token_key },
            Judged::Wrong => FromEnclave::PinIncorrect {},
            Judged::Locked => FromEnclave::PinLocked {},
        })
    }
}
