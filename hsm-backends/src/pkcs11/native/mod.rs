//! Keys that live in the HSM: made there, found again there, and signing there.
//!
//! A key is found by class, type, CKA_LABEL and CKA_ID, and believed only after it has signed something that the
//! public key on record verifies. Where the object has no CKA_ID, the key in the HSM keeps the random one that it was made
//! with. So a key that was renamed in the HSM is still found, and one that was put in its
//! place is not.

mod public;
mod settle;
mod way;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use algorithms::{Algorithm, PublicKey, SecretBytes, Signing, digest::Hash, ed25519, ml_dsa, rsa};
use cryptoki_sys as ck;

use super::{
    device::{Device, Failure, Session},
    keeper::number,
    raw::{Mechanism, Rv, Template},
};
use crate::{DeviceKey, KeySpec, Place, PrivateKey, SecretPart, StoreError, sealed::Intent};
use public::generation;
use way::Way;

pub(super) use public::{key_type, mechanisms, public_of, read_number};
pub(super) use settle::{before, settle};

/// CKA_LABEL of a key pair between its generation and the commit of its objects.
pub(super) const UNFINISHED: &[u8] = b"Trellis: not finished";
/// The first byte of a locator, before the random CKA_ID and the public key.
const LOCATOR_VERSION: u8 = 1;
/// How often something is tried with a key while somebody else logs out again and again.
const TRIES: u32 = 8;
/// Where the public key begins.
const SPKI: usize = 17;

/// A private key in the HSM.
#[derive(Debug)]
pub(super) struct NativeKey {
    device: Arc<Device>,
    public: PublicKey,
    locator: Vec<u8>,
    /// CKA_ALWAYS_AUTHENTICATE at the HSM, which the key's record says as well: each use needs a login of its own.
    guarded: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    label: Vec<u8>,
    id: Vec<u8>,
    /// The handle, and the turn of the device in which it was worth something.
    found: Option<(u64, ck::CK_OBJECT_HANDLE)>,
    /// Not kept yet: it goes when the value does.
    unfinished: bool,
    /// What stands on record for as long as it is not kept, so that it goes also where this process is killed.
    intent: Option<Intent>,
}

impl NativeKey {
    /// Makes a key pair in the HSM under a CKA_ID that is random, and on record by `intent` already.
    pub(super) fn generate(
        device: &Arc<Device>,
        spec: &KeySpec,
        made_id: [u8; 16],
        intent: Intent,
    ) -> Result<Self, StoreError> {
        let (mechanism, mut public, key_type) = generation(spec).ok_or(StoreError::Unsupported)?;
        let id = made_id.to_vec();
        let (yes, no) = (vec![ck::CK_TRUE], vec![ck::CK_FALSE]);
        let common = [
            (ck::CKA_KEY_TYPE, number(key_type)),
            (ck::CKA_TOKEN, yes.clone()),
            (ck::CKA_LABEL, UNFINISHED.to_vec()),
            (ck::CKA_ID, id.clone()),
        ];
        public.extend(common.clone());
        public.extend([
            (ck::CKA_CLASS, number(ck::CKO_PUBLIC_KEY)),
            (ck::CKA_PRIVATE, no.clone()),
            (ck::CKA_VERIFY, yes.clone()),
        ]);
        let mut private: Template = common.into();
        private.extend([
            (ck::CKA_CLASS, number(ck::CKO_PRIVATE_KEY)),
            (ck::CKA_PRIVATE, yes.clone()),
            (ck::CKA_SENSITIVE, yes.clone()),
            (ck::CKA_EXTRACTABLE, no),
            (ck::CKA_SIGN, yes),
        ]);
        let mut begun = false;
        let made = device.call(|session| {
            if std::mem::replace(&mut begun, true) {
                // The device may have made a pair before it went away.
                for left in session.raw.find(session.handle, &vec![(ck::CKA_ID, id.clone())])? {
                    session.raw.destroy(session.handle, left)?;
                }
            }
            let plain = Mechanism::plain(mechanism);
            let (public, private) =
                session.raw.generate_key_pair(session.handle, plain, &public, &private)?;
            let made = public_of(session, public);
            if !matches!(made, Ok(Some(_))) {
                for left in [public, private] {
                    let _ = session.raw.destroy(session.handle, left);
                }
            }
            made
        });
        let made = match made.map_err(|failure| failure.of(device, "C_GenerateKeyPair")) {
            Err(StoreError::Unsupported) => {
                intent.done();
                return Err(StoreError::Unsupported);
            }
            made => made?,
        };
        let public = made
            .ok_or_else(|| StoreError::Device(format!("{} made a public key that is none", device.name())))?;
        let state =
            State { label: UNFINISHED.to_vec(), id, found: None, unfinished: true, intent: Some(intent) };
        let key = Self::new(device, public, made_id, false, state)?;
        // It is looked for by its random CKA_ID, and signs when it is found.
        match key.with_handle(|_, _| Ok(())) {
            Ok(()) => Ok(key),
            Err(Failure::Said(Rv(ck::CKR_KEY_HANDLE_INVALID))) => {
                Err(algorithms::Error::PairwiseCheckFailed.into())
            }
            Err(failure) => Err(failure.of(device, "C_Sign")),
        }
    }

    /// A key that is kept under these names, and has CKA_ALWAYS_AUTHENTICATE where it is `guarded`.
    pub(super) fn kept(
        device: &Arc<Device>,
        public: PublicKey,
        label: &[u8],
        id: &[u8],
        guarded: bool,
    ) -> Result<Self, StoreError> {
        Self::named(device, public, [0; 16], (label, id), guarded)
    }

    fn named(
        device: &Arc<Device>,
        public: PublicKey,
        made_id: [u8; 16],
        (label, id): (&[u8], &[u8]),
        guarded: bool,
    ) -> Result<Self, StoreError> {
        let (label, id) = (label.to_vec(), id.to_vec());
        let state = State { label, id, found: None, unfinished: false, intent: None };
        Self::new(device, public, made_id, guarded, state)
    }

    /// The key that a locator names, kept under these names.
    pub(super) fn located(
        device: &Arc<Device>,
        locator: &[u8],
        label: &[u8],
        id: &[u8],
    ) -> Result<Self, StoreError> {
        let parts = match locator.split_first() {
            Some((&LOCATOR_VERSION, rest)) => rest.split_first_chunk::<16>(),
            _ => None,
        };
        let parts = parts.and_then(|(made_id, spki)| Some((*made_id, PublicKey::from_spki(spki).ok()?)));
        let damaged =
            || StoreError::Damaged("where a key is in the HSM is malformed; restore a backup".into());
        let (made_id, public) = parts.ok_or_else(damaged)?;
        let id = if id.is_empty() { &made_id[..] } else { id };
        Self::named(device, public, made_id, (label, id), false)
    }

    fn new(
        device: &Arc<Device>,
        public: PublicKey,
        made_id: [u8; 16],
        guarded: bool,
        state: State,
    ) -> Result<Self, StoreError> {
        let mut locator = vec![LOCATOR_VERSION];
        locator.extend(made_id);
        locator.extend(public.to_spki()?);
        Ok(Self { device: device.clone(), public, locator, guarded, state: Mutex::new(state) })
    }

    /// Its handle in this session; CKR_KEY_HANDLE_INVALID where the HSM has it no more.
    fn handle(&self, session: &Session) -> Result<ck::CK_OBJECT_HANDLE, Rv> {
        let found = self.state().found;
        if let Some((turn, handle)) = found
            && turn == session.turn
        {
            return Ok(handle);
        }
        let (label, id) = self.names();
        let class = (ck::CKA_CLASS, number(ck::CKO_PRIVATE_KEY));
        let key_type = (ck::CKA_KEY_TYPE, number(key_type(self.public.algorithm())));
        let named: Template = vec![class.clone(), key_type.clone(), (ck::CKA_LABEL, label), (ck::CKA_ID, id)];
        for template in [named, vec![class, key_type]] {
            for handle in session.raw.find(session.handle, &template)? {
                if self.may_be(session, handle)? && self.proves(session, handle)? {
                    self.state().found = Some((session.turn, handle));
                    return Ok(handle);
                }
            }
        }
        Err(Rv(ck::CKR_KEY_HANDLE_INVALID))
    }

    /// Whether an object of the HSM is this key.
    fn proves(&self, session: &Session, handle: ck::CK_OBJECT_HANDLE) -> Result<bool, Rv> {
        let challenge = algorithms::random::array::<32>().map_err(|_| Rv(ck::CKR_GENERAL_ERROR))?;
        let signing = match self.public.algorithm() {
            Algorithm::MlDsa(_) => Signing::MlDsa {
                input: ml_dsa::Input::Message { context: &[], message: &challenge },
                hedging: ml_dsa::Hedging::Hedged,
            },
            Algorithm::Ed25519 => Signing::Ed25519(ed25519::Input::Pure(&challenge)),
            Algorithm::Ecdsa(_) => Signing::Ecdsa { digest: &challenge },
            Algorithm::Rsa => Signing::Rsa(rsa::Padding::Pkcs1 { hash: Hash::Sha256, digest: &challenge }),
        };
        let Some(way) = self.way(signing) else { return Ok(false) };
        match self.sign_at(session, handle, &way) {
            Ok(signature) => Ok(self.public.verify(signing, &signature).is_ok()),
            // Another key: of another size, or not made for signing.
            Err(Rv(
                ck::CKR_KEY_FUNCTION_NOT_PERMITTED
                | ck::CKR_KEY_TYPE_INCONSISTENT
                | ck::CKR_KEY_SIZE_RANGE
                | ck::CKR_BUFFER_TOO_SMALL
                | ck::CKR_DATA_LEN_RANGE
                | ck::CKR_KEY_HANDLE_INVALID
                | ck::CKR_OBJECT_HANDLE_INVALID,
            )) => Ok(false),
            Err(rv) => Err(rv),
        }
    }

    /// A signature, with a login of its own where the key wants one.
    fn sign_at(&self, session: &Session, handle: ck::CK_OBJECT_HANDLE, way: &Way<'_>) -> Result<Vec<u8>, Rv> {
        way.sign(
            session,
            handle,
            || {
                if self.guarded { self.device.log_in_for_one_use(session) } else { Ok(()) }
            },
        )
    }

    /// False for an object that wants a login for each use where this key does not, or the other way round: a PIN is
    /// given only for a key that the application has given it for.
    fn may_be(&self, session: &Session, handle: ck::CK_OBJECT_HANDLE) -> Result<bool, Rv> {
        let flag = session.raw.values(session.handle, handle, &[ck::CKA_ALWAYS_AUTHENTICATE]);
        let flag = match flag {
            Err(Rv(ck::CKR_OBJECT_HANDLE_INVALID)) => return Ok(false),
            flag => flag?.pop().flatten(),
        };
        Ok(flag.is_some_and(|flag| flag.first().is_some_and(|flag| *flag != ck::CK_FALSE)) == self.guarded)
    }

    fn way<'a>(&self, signing: Signing<'a>) -> Option<Way<'a>> {
        Way::new(&self.public, signing)
    }

    /// Runs `f` with the key's handle; again where the handle turns out to be stale.
    fn with_handle<T>(
        &self,
        mut f: impl FnMut(&Session, ck::CK_OBJECT_HANDLE) -> Result<T, Rv>,
    ) -> Result<T, Failure> {
        let mut left = TRIES;
        loop {
            let done = self.device.call(|session| f(session, self.handle(session)?));
            left -= 1;
            match done {
                Err(Failure::Said(rv)) if left > 0 && may_be_stale(rv) => self.state().found = None,
                done => return done,
            }
        }
    }

    fn failed(&self, failure: Failure, doing: &str) -> StoreError {
        match failure {
            Failure::Said(Rv(ck::CKR_KEY_HANDLE_INVALID | ck::CKR_OBJECT_HANDLE_INVALID)) => {
                StoreError::Device(format!("{} does not have this key any more", self.device.name()))
            }
            failure => failure.of(&self.device, doing),
        }
    }

    /// The public half in the HSM that was made with this key: the same names and the same key.
    fn public_halves(
        &self,
        session: &Session,
        names: (&[u8], &[u8]),
    ) -> Result<Vec<ck::CK_OBJECT_HANDLE>, Rv> {
        let template: Template = vec![
            (ck::CKA_CLASS, number(ck::CKO_PUBLIC_KEY)),
            (ck::CKA_KEY_TYPE, number(key_type(self.public.algorithm()))),
            (ck::CKA_LABEL, names.0.to_vec()),
            (ck::CKA_ID, names.1.to_vec()),
        ];
        let mut halves = Vec::new();
        for handle in session.raw.find(session.handle, &template)? {
            let spki = public_of(session, handle)?.and_then(|public| public.to_spki().ok());
            if spki.as_deref() == Some(&self.locator[SPKI..]) {
                halves.push(handle);
            }
        }
        Ok(halves)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn names(&self) -> (Vec<u8>, Vec<u8>) {
        let state = self.state();
        (state.label.clone(), state.id.clone())
    }
}

/// The public key in a locator, where it is known.
pub(super) fn spki(locator: &[u8]) -> Option<&[u8]> {
    locator.get(SPKI..).filter(|spki| !spki.is_empty())
}

impl PrivateKey for NativeKey {
    fn sign(&self, signing: Signing<'_>) -> Result<Vec<u8>, StoreError> {
        let way = self.way(signing).ok_or(StoreError::Unsupported)?;
        let signature = self
            .with_handle(|session, handle| self.sign_at(session, handle, &way))
            .map_err(|failure| self.failed(failure, "C_Sign"))?;
        if way.verified {
            // Some HSMs pass over a parameter that they do not know, and sign something else.
            self.public.verify(signing, &signature).map_err(|_| StoreError::Unsupported)?;
        }
        Ok(signature)
    }

    fn public_key(&self) -> Result<PublicKey, StoreError> {
        Ok(PublicKey::from_spki(&self.locator[SPKI..])?)
    }

    fn ml_dsa_tr(&self) -> Option<&[u8; 64]> {
        None
    }

    fn signs_mu_deterministically(&self) -> bool {
        false
    }

    fn secret_part(&self, _: SecretPart) -> Result<Option<SecretBytes>, StoreError> {
        Ok(None)
    }

    fn place(&self) -> Place {
        Place::Device
    }

    fn device_key(&self) -> Option<&dyn DeviceKey> {
        Some(self)
    }
}

impl DeviceKey for NativeKey {
    fn locator(&self) -> &[u8] {
        &self.locator
    }

    fn is_unfinished(&self) -> bool {
        self.state().unfinished
    }

    fn keep(&self, label: &[u8], id: &[u8]) -> Result<(), StoreError> {
        let id = if id.is_empty() { &self.locator[1..SPKI] } else { id };
        let (old_label, old_id) = self.names();
        if (old_label.as_slice(), old_id.as_slice()) != (label, id) {
            let names: Template = vec![(ck::CKA_LABEL, label.to_vec()), (ck::CKA_ID, id.to_vec())];
            self.with_handle(|session, handle| {
                session.raw.set_values(session.handle, handle, &names)?;
                for half in self.public_halves(session, (&old_label, &old_id))? {
                    session.raw.set_values(session.handle, half, &names)?;
                }
                Ok(())
            })
            .map_err(|failure| self.failed(failure, "C_SetAttributeValue"))?;
        }
        let mut state = self.state();
        (state.label, state.id, state.unfinished) = (label.to_vec(), id.to_vec(), false);
        let intent = state.intent.take();
        drop(state);
        intent.into_iter().for_each(Intent::done);
        Ok(())
    }

    fn destroy(&self) -> Result<(), StoreError> {
        let (label, id) = self.names();
        let gone = self.with_handle(|session, handle| {
            for half in self.public_halves(session, (&label, &id))? {
                session.raw.destroy(session.handle, half)?;
            }
            session.raw.destroy(session.handle, handle)
        });
        self.state().unfinished = false;
        let gone = match gone {
            // A search shows no private key to whoever is not logged in: then it may still be there.
            Err(Failure::Said(Rv(ck::CKR_KEY_HANDLE_INVALID | ck::CKR_OBJECT_HANDLE_INVALID))) => {
                self.device.call(|session| session.is_users())
            }
            gone => gone,
        };
        gone.map_err(|failure| failure.of(&self.device, "C_DestroyObject"))?;
        let intent = self.state().intent.take();
        intent.into_iter().for_each(Intent::done);
        Ok(())
    }

    fn leave_to_sweep(&self) {
        self.state().unfinished = false;
    }
}

/// A pair that nobody has kept.
impl Drop for NativeKey {
    fn drop(&mut self) {
        if self.is_unfinished() {
            // Without a device it stays there, under the name that says what it is, until somebody sweeps.
            let _ = self.destroy();
        }
    }
}

/// What an HSM answers to a handle that is worthless since another thread has logged in again, and to an operation
/// that was cut off by that.
fn may_be_stale(rv: Rv) -> bool {
    matches!(
        rv.0,
        ck::CKR_KEY_HANDLE_INVALID
            | ck::CKR_OBJECT_HANDLE_INVALID
            | ck::CKR_OPERATION_NOT_INITIALIZED
            | ck::CKR_GENERAL_ERROR
            | ck::CKR_FUNCTION_FAILED
    )
}
