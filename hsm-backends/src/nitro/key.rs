//! Keys that live in the enclave: made there, and signing there.
//!
//! A key's user id at the host is random, and stands in the key's record only. What comes back as a signature is
//! believed when the public key on record verifies it.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use algorithms::{Algorithm, PublicKey, SecretBytes, Signing, ed25519, ml_dsa};
use cosigner_protocol::{
    self as protocol, Bytes, Secret, UserId,
    message::{Class, Failure, Input as Form, Layer, Request, Response},
};

use super::host::Host;
use crate::{
    Birth, DeviceKey, KeySpec, Place, PrivateKey, SecretPart, StoreError,
    encoding::Input,
    sealed::{AtDevice, Intent, Settled},
};

/// The first byte of a locator, before the user id and the public key.
const LOCATOR_VERSION: u8 = 1;
/// The first byte of what stands for all keys of a token, before the token's name. No record has it.
const ALL_OF_TOKEN: u8 = 2;
/// The longest message that Ed25519 signs here: in base64 and with a sealed key beside it, it fits into a frame.
pub(super) const LONGEST_MESSAGE: usize = 180_000;

/// A private key in the enclave.
#[derive(Debug)]
pub(super) struct EnclaveKey {
    host: Arc<Host>,
    user_id: UserId,
    public: PublicKey,
    locator: Vec<u8>,
    /// Not kept yet: it goes when the value does.
    unfinished: AtomicBool,
    /// What stands on record for as long as it is not kept, so that it goes also where this process is killed.
    intent: Mutex<Option<Intent>>,
}

/// What the enclave makes of a kind of key; `None` for those that it does not make.
fn algorithm(spec: &KeySpec) -> Option<protocol::Algorithm> {
    match spec {
        KeySpec::Pair(Algorithm::MlDsa(ml_dsa::ParameterSet::MlDsa44)) => Some(protocol::Algorithm::MlDsa44),
        KeySpec::Pair(Algorithm::MlDsa(ml_dsa::ParameterSet::MlDsa65)) => Some(protocol::Algorithm::MlDsa65),
        KeySpec::Pair(Algorithm::MlDsa(ml_dsa::ParameterSet::MlDsa87)) => Some(protocol::Algorithm::MlDsa87),
        KeySpec::Pair(Algorithm::Ed25519) => Some(protocol::Algorithm::Ed25519),
        _ => None,
    }
}

fn public_key(key: &protocol::message::PublicKey) -> Result<PublicKey, algorithms::Error> {
    let bytes = &key.public_key.0;
    let ml_dsa = |set| ml_dsa::PublicKey::from_bytes(set, bytes).map(PublicKey::MlDsa);
    match key.algorithm {
        protocol::Algorithm::MlDsa44 => ml_dsa(ml_dsa::ParameterSet::MlDsa44),
        protocol::Algorithm::MlDsa65 => ml_dsa(ml_dsa::ParameterSet::MlDsa65),
        protocol::Algorithm::MlDsa87 => ml_dsa(ml_dsa::ParameterSet::MlDsa87),
        protocol::Algorithm::Ed25519 => ed25519::PublicKey::from_bytes(bytes).map(PublicKey::Ed25519),
    }
}

/// Where a token's keys begin in the order of user ids; all that begin so are its.
fn prefix(token_id: &[u8; 16]) -> String {
    format!("trellis-key/{:032x}/", u128::from_be_bytes(*token_id))
}

fn named(text: String) -> UserId {
    UserId::try_from(text).expect("a short text without a zero byte")
}

/// What stands on record for all keys of a token, until they are destroyed.
pub(super) fn all_of(token_id: &[u8; 16]) -> AtDevice {
    AtDevice { locator: [&[ALL_OF_TOKEN], &token_id[..]].concat(), label: Vec::new(), id: Vec::new() }
}

/// The inverse of [`all_of`].
fn token_of(locator: &[u8]) -> Option<&[u8; 16]> {
    locator.strip_prefix(&[ALL_OF_TOKEN])?.try_into().ok()
}

/// Destroys every key of a token at the host.
pub(super) fn destroy_all(host: &Host, token_id: &[u8; 16]) -> Result<(), StoreError> {
    destroy_all_by(host, token_id, |request| host.ask(request))
}

fn destroy_all_by(
    host: &Host,
    token_id: &[u8; 16],
    ask: impl Fn(&Request) -> Result<Response, StoreError>,
) -> Result<(), StoreError> {
    let prefix = prefix(token_id);
    let mut after = named(prefix.clone());
    loop {
        let (keys, more) = match ask(&Request::List { after: Some(after) })? {
            Response::Keys { keys, more } => (keys, more),
            other => return Err(host.unexpected(&other)),
        };
        let ours: Vec<_> = keys.iter().filter(|key| key.user_id.as_str().starts_with(&prefix)).collect();
        for key in &ours {
            is_gone(host, &ask(&Request::Destroy { user_id: key.user_id.clone() })?)?;
        }
        match keys.last() {
            // Beyond the last of ours nothing is ours.
            Some(last) if more && ours.len() == keys.len() => after = last.user_id.clone(),
            _ => return Ok(()),
        }
    }
}

fn destroy(host: &Host, user_id: &UserId) -> Result<(), StoreError> {
    let answer = host.ask(&Request::Destroy { user_id: user_id.clone() })?;
    is_gone(host, &answer)
}

/// Destroys a key that no record names, or all of a token that was erased, without patience.
pub(super) fn settle(host: &Host, key: &AtDevice) -> Result<Settled, StoreError> {
    if let Some(token_id) = token_of(&key.locator) {
        // What is being made still has an intent of its own.
        destroy_all_by(host, token_id, |request| host.ask_once(request))?;
        return Ok(Settled::ForGood);
    }
    let Some((user_id, public)) = user_id_of(&mut Input(&key.locator)) else { return Ok(Settled::ForGood) };
    let answer = host.ask_once(&Request::Destroy { user_id })?;
    is_gone(host, &answer)?;
    // Enclave and host may still be making one whose public key nobody knows.
    let was_there = answer == Response::Destroyed {};
    Ok(if was_there || !public.is_empty() { Settled::ForGood } else { Settled::ForNow })
}

/// What stands first in a locator, and all of it before the key is made; and what comes after it.
fn user_id_of<'a>(locator: &mut Input<'a>) -> Option<(UserId, &'a [u8])> {
    if locator.byte().ok()? != LOCATOR_VERSION {
        return None;
    }
    let length = u16::from_be_bytes(locator.array().ok()?);
    let user_id = String::from_utf8(locator.take(length.into()).ok()?.to_vec()).ok()?;
    Some((UserId::try_from(user_id).ok()?, locator.rest()))
}

/// A locator without the public key.
fn locator_of(user_id: &UserId) -> Vec<u8> {
    let text = user_id.as_str().as_bytes();
    let length = u16::try_from(text.len()).expect("a user id is short");
    [&[LOCATOR_VERSION], &length.to_be_bytes()[..], text].concat()
}

/// A name for a key of a token that is to be made, and what there is of the key before it is.
pub(super) fn before(token_id: &[u8; 16]) -> Result<(UserId, AtDevice), StoreError> {
    let random = u128::from_be_bytes(algorithms::random::array()?);
    let user_id = named(format!("{}{random:032x}", prefix(token_id)));
    let key = AtDevice { locator: locator_of(&user_id), label: Vec::new(), id: Vec::new() };
    Ok((user_id, key))
}

/// The same layer fails in another class where the host cannot read or write its records.
fn is_gone(host: &Host, answer: &Response) -> Result<(), StoreError> {
    match answer {
        Response::Destroyed {}
        | Response::Failed(Failure { class: Class::SigningFailed, layer: Layer::Record }) => Ok(()),
        other => Err(host.unexpected(other)),
    }
}

impl EnclaveKey {
    /// Whether the enclave makes such keys.
    pub(super) fn is_for(spec: &KeySpec) -> bool {
        algorithm(spec).is_some()
    }

    /// Makes a key in the enclave under a user id that is on record by `intent` already.
    pub(super) fn generate(
        host: &Arc<Host>,
        user_id: UserId,
        spec: &KeySpec,
        intent: Intent,
    ) -> Result<Self, StoreError> {
        let algorithm = algorithm(spec).ok_or(StoreError::Unsupported)?;
        let mut answer = host.ask(&Request::Generate { user_id: user_id.clone(), algorithm })?;
        if let Response::Failed(Failure { class: Class::SigningFailed, layer: Layer::Conflict }) = answer {
            // Nobody else knows the name: it was made, and the answer was lost.
            answer = host.ask(&Request::PublicKey { user_id: user_id.clone() })?;
        }
        match answer {
            Response::Key { key, kms_key, .. } => {
                if key.user_id != user_id || key.algorithm != algorithm {
                    return Err(host.device("made another key than was asked for"));
                }
                let public = public_key(&key).map_err(|_| host.device("made a public key that is none"))?;
                let key = Self::new(host, user_id, public, Some(intent))?;
                // It goes again if the KMS key is wrong.
                host.check_kms_key(&kms_key)?;
                Ok(key)
            }
            other => Err(host.unexpected(&other)),
        }
    }

    /// The key that a locator names.
    pub(super) fn located(host: &Arc<Host>, locator: &[u8]) -> Result<Self, StoreError> {
        let parts = user_id_of(&mut Input(locator));
        let parts = parts.and_then(|(user_id, spki)| Some((user_id, PublicKey::from_spki(spki).ok()?)));
        let damaged =
            || StoreError::Damaged("where a key is in the enclave is malformed; restore a backup".into());
        let (user_id, public) = parts.ok_or_else(damaged)?;
        Self::new(host, user_id, public, None)
    }

    fn new(
        host: &Arc<Host>,
        user_id: UserId,
        public: PublicKey,
        intent: Option<Intent>,
    ) -> Result<Self, StoreError> {
        let mut locator = locator_of(&user_id);
        locator.extend(public.to_spki()?);
        let unfinished = AtomicBool::new(intent.is_some());
        Ok(Self { host: host.clone(), user_id, public, locator, unfinished, intent: Mutex::new(intent) })
    }

    /// What is sent to be signed. A message for ML-DSA goes as its mu, so that any size is small.
    fn input(&self, signing: Signing<'_>) -> Result<(Form, bool), StoreError> {
        let short = |message: &[u8]| {
            let fits = message.len() <= LONGEST_MESSAGE;
            fits.then(|| Secret::new(message.to_vec())).ok_or(algorithms::Error::InputLength)
        };
        let bytes = |context: &[u8]| Bytes(context.to_vec());
        Ok(match (&self.public, signing) {
            (PublicKey::MlDsa(key), Signing::MlDsa { input, hedging }) => {
                let mu = Secret::new(input.mu(key.tr())?.to_vec());
                (Form::Mu(mu), hedging == ml_dsa::Hedging::Deterministic)
            }
            (PublicKey::Ed25519(_), Signing::Ed25519(input)) => {
                let form = match input {
                    ed25519::Input::Pure(message) => {
                        Form::Message { context: Bytes::default(), message: short(message)? }
                    }
                    ed25519::Input::Context { context, message } => {
                        Form::Ed25519Context { context: bytes(context), message: short(message)? }
                    }
                    ed25519::Input::Prehashed { context, digest } => Form::Ed25519Prehashed {
                        context: bytes(context),
                        digest: Secret::new(digest.to_vec()),
                    },
                };
                (form, false)
            }
            _ => return Err(algorithms::Error::ParameterInvalid.into()),
        })
    }

    /// Records and host agree on this key.
    fn agreed(&self) {
        let intent = self.intent.lock().unwrap_or_else(PoisonError::into_inner).take();
        intent.into_iter().for_each(Intent::done);
    }
}

impl PrivateKey for EnclaveKey {
    fn sign(&self, signing: Signing<'_>) -> Result<Vec<u8>, StoreError> {
        let (input, deterministic) = self.input(signing)?;
        let request = Request::Sign { user_id: self.user_id.clone(), input, deterministic };
        match self.host.ask(&request)? {
            Response::Signature { signature } => {
                let verified = self.public.verify(signing, &signature.0);
                verified.map_err(|_| self.host.device("gave a signature of another key"))?;
                Ok(signature.0)
            }
            // What the enclave would sign for no key: a context that is too long.
            Response::Failed(Failure { class: Class::MalformedRequest, .. }) => {
                Err(algorithms::Error::ParameterInvalid.into())
            }
            other => Err(self.host.unexpected(&other)),
        }
    }

    fn public_key(&self) -> Result<PublicKey, StoreError> {
        Ok(PublicKey::from_spki(&self.public.to_spki()?)?)
    }

    fn ml_dsa_tr(&self) -> Option<&[u8; 64]> {
        match &self.public {
            PublicKey::MlDsa(key) => Some(key.tr()),
            _ => None,
        }
    }

    fn signs_mu_deterministically(&self) -> bool {
        true
    }

    fn place(&self) -> Place {
        Place::Enclave
    }

    fn device_key(&self) -> Option<&dyn DeviceKey> {
        Some(self)
    }

    fn birth(&self) -> Result<Option<Birth>, StoreError> {
        match self.host.ask(&Request::PublicKey { user_id: self.user_id.clone() })? {
            Response::Key { key, kms_key, wrapped_key, birth_attestation } => Ok(Some(Birth {
                attestation: birth_attestation.0,
                record: protocol::key_record(&key, &kms_key, &wrapped_key),
            })),
            other => Err(self.host.unexpected(&other)),
        }
    }

    fn secret_part(&self, _: SecretPart) -> Result<Option<SecretBytes>, StoreError> {
        Ok(None)
    }
}

impl DeviceKey for EnclaveKey {
    fn locator(&self) -> &[u8] {
        &self.locator
    }

    fn is_unfinished(&self) -> bool {
        self.unfinished.load(Ordering::Relaxed)
    }

    /// The enclave knows no names of objects.
    fn keep(&self, _label: &[u8], _id: &[u8]) -> Result<(), StoreError> {
        self.unfinished.store(false, Ordering::Relaxed);
        self.agreed();
        Ok(())
    }

    fn destroy(&self) -> Result<(), StoreError> {
        self.unfinished.store(false, Ordering::Relaxed);
        destroy(&self.host, &self.user_id)?;
        self.agreed();
        Ok(())
    }
}

/// A key that nobody has kept.
impl Drop for EnclaveKey {
    fn drop(&mut self) {
        if self.is_unfinished() {
            // Without a host it stays there until somebody sweeps.
            let gone = self.host.ask_once(&Request::Destroy { user_id: self.user_id.clone() });
            if gone.and_then(|answer| is_gone(&self.host, &answer)).is_ok() {
                self.agreed();
            }
        }
    }
}
