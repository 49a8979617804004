//! A scripted enclave: it talks and attests like one, and its keys and signatures are nothing. What it does wrong is up to
//! the test. (The real enclave has tests with the host of its own.)

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand,
    rsa::{KeySize, PrivateDecryptingKey},
};
use cosigner_protocol::{
    Address, Algorithm, Bytes, Error, KmsKey, Listener, Secret, Timeouts, Transport, UserId,
    message::{
        Class, EnclaveHealth, Failure, FromEnclave, KeptToken, KmsRefusal, Layer, SealedKey, ToEnclave,
    },
};
use document_maker::{Authority, Draft};

use crate::parts::LONG;

/// What makes documents.
pub(crate) struct Enclave {
    authority: Authority,
    recipient: Vec<u8>,
}

/// The listening side, which is there until it is dropped, and its path.
pub(crate) struct Peer {
    path: PathBuf,
    /// What the host said to it, questions' answers too.
    pub(crate) heard: Arc<Mutex<Vec<ToEnclave>>>,
}

/// One request in hand.
pub(crate) struct Conversation<'a> {
    pub(crate) transport: &'a mut Transport,
    pub(crate) enclave: &'a Enclave,
    pub(crate) request: ToEnclave,
    heard: &'a Mutex<Vec<ToEnclave>>,
}

impl Enclave {
    pub(crate) fn new() -> Self {
        let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let recipient: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        Self { authority: Authority::new(now() / 1000), recipient: recipient.as_ref().to_vec() }
    }

    pub(crate) fn root(&self) -> [u8; 32] {
        self.authority.root_sha256()
    }

    pub(crate) fn draft(&self) -> Draft {
        let mut draft = Draft::new(now());
        draft.public_key = Some(self.recipient.clone());
        draft
    }

    pub(crate) fn sign(&self, draft: &Draft) -> Bytes {
        Bytes(draft.sign(&self.authority))
    }
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

impl Peer {
    /// `look` sees each request with its number, from 0; where it is true the request is answered as it should be, else the
    /// connection is closed.
    pub(crate) fn start(
        path: &Path,
        enclave: Arc<Enclave>,
        look: impl Fn(&mut Conversation<'_>, usize) -> bool + Send + Sync + 'static,
    ) -> Self {
        let listener = Listener::bind(&Address::Unix(path.to_owned())).unwrap();
        let (heard, look, count) = (Arc::default(), Arc::new(look), Arc::new(AtomicUsize::new(0)));
        let peer = Self { path: path.to_owned(), heard: Arc::clone(&heard) };
        thread::spawn(move || {
            loop {
                let timeouts = Timeouts { connect: LONG, frame: LONG };
                let mut transport = Transport::accept(&listener, timeouts).unwrap();
                let (enclave, heard, look, count) =
                    (enclave.clone(), heard.clone(), look.clone(), count.clone());
                thread::spawn(move || {
                    while let Ok(request) = transport.next_request::<ToEnclave>(LONG) {
                        heard.lock().unwrap().push(request.clone());
                        let mut conversation = Conversation {
                            transport: &mut transport,
                            enclave: &enclave,
                            request,
                            heard: &heard,
                        };
                        let number = count.fetch_add(1, Ordering::SeqCst);
                        if !look(&mut conversation, number) || conversation.answer().is_err() {
                            return;
                        }
                    }
                });
            }
        });
        peer
    }

    pub(crate) fn heard(&self) -> Vec<ToEnclave> {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Peer {
    /// Nobody finds it any more.
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Conversation<'_> {
    /// As it should be.
    fn answer(&mut self) -> Result<(), Error> {
        let answer = match self.request.clone() {
            ToEnclave::Health {} => FromEnclave::Health(EnclaveHealth {
                enclave_version: "scripted".into(),
                algorithms: Algorithm::ALL.to_vec(),
                attestation: self.enclave.sign(&self.enclave.draft()),
            }),
            ToEnclave::Generate { user_id, algorithm, kms_key } => {
                match self.data_key(&kms_key, &user_id)? {
                    Ok(wrapped_key) => self.generated(user_id, algorithm, kms_key, wrapped_key),
                    Err(failure) => FromEnclave::Failed(failure),
                }
            }
            ToEnclave::Sign { key, .. } => match self.unwrap(&key.kms_key, &key.user_id, &key.wrapped_key)? {
                Ok(_) => FromEnclave::Signature { signature: key.public_key },
                Err(failure) => FromEnclave::Failed(failure),
            },
            ToEnclave::KeepToken { user_id, kms_key, .. } => match self.data_key(&kms_key, &user_id)? {
                Ok(wrapped_key) => {
                    let sealed_token = Bytes(vec![1]);
                    FromEnclave::TokenKept {
                        token: KeptToken { user_id, kms_key, wrapped_key, sealed_token },
                    }
                }
                Err(failure) => FromEnclave::Failed(failure),
            },
            ToEnclave::OpenToken { token, pin } => {
                match self.unwrap(&token.kms_key, &token.user_id, &token.wrapped_key)? {
                    Ok(_) if pin.expose() == [1; 32] => {
                        FromEnclave::TokenOpened { token_key: Secret::new(vec![7; 32]) }
                    }
                    Ok(_) => FromEnclave::PinIncorrect {},
                    Err(failure) => FromEnclave::Failed(failure),
                }
            }
            other => panic!("no request: {other:?}"),
        };
        self.transport.say(&answer)
    }

    /// A key that is as random as its attestation.
    pub(crate) fn generated(
        &self,
        user_id: UserId,
        algorithm: Algorithm,
        kms_key: KmsKey,
        wrapped_key: Bytes,
    ) -> FromEnclave {
        let random = || {
            let mut bytes = vec![0; 32];
            rand::fill(&mut bytes).unwrap();
            Bytes(bytes)
        };
        let (public_key, sealed_key) = (random(), random());
        FromEnclave::Generated {
            key: SealedKey { user_id, algorithm, public_key, kms_key, wrapped_key, sealed_key },
            birth_attestation: random(),
            enclave_version: "scripted".into(),
        }
    }

    pub(crate) fn data_key(
        &mut self,
        kms_key: &KmsKey,
        user_id: &UserId,
    ) -> Result<Result<Bytes, Failure>, Error> {
        let attestation = self.enclave.sign(&self.enclave.draft());
        let (kms_key, user_id) = (kms_key.clone(), user_id.clone());
        self.question(&FromEnclave::KmsGenerateDataKey { kms_key, user_id, attestation })
    }

    fn unwrap(
        &mut self,
        kms_key: &KmsKey,
        user_id: &UserId,
        wrapped: &Bytes,
    ) -> Result<Result<Bytes, Failure>, Error> {
        let attestation = self.enclave.sign(&self.enclave.draft());
        let (kms_key, user_id, wrapped_key) = (kms_key.clone(), user_id.clone(), wrapped.clone());
        self.question(&FromEnclave::KmsDecryptDataKey { kms_key, user_id, attestation, wrapped_key })
    }

    /// Asks, and returns the wrapped key.
    pub(crate) fn question(&mut self, question: &FromEnclave) -> Result<Result<Bytes, Failure>, Error> {
        self.transport.say(question)?;
        let reply: ToEnclave = self.transport.hear()?;
        self.heard.lock().unwrap().push(reply.clone());
        Ok(match reply {
            ToEnclave::KmsReply { wrapped_key, .. } => Ok(wrapped_key),
            ToEnclave::KmsError { reason } => {
                let (class, layer) = match reason {
                    KmsRefusal::Denied => (Class::SigningFailed, Layer::KmsAttestation),
                    KmsRefusal::InvalidCiphertext => (Class::SigningFailed, Layer::KmsContext),
                    KmsRefusal::Service => (Class::InternalError, Layer::KmsService),
                };
                Err(Failure { class, layer })
            }
            other => panic!("no answer of KMS: {other:?}"),
        })
    }
}
