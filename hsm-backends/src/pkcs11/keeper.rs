//! The token key under a key that never leaves the HSM. docs/formats.md gives the layout of what is kept.
//!
//! The HSM judges the PIN by C_Login. Where somebody in this process is logged in to it already, C_Login judges
//! nothing; then the PIN is compared with what the last judged one left behind, sealed under the token key.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use cryptoki_sys as ck;

use super::{
    claims::names,
    copies,
    device::{Device, Failure, LoggedIn},
    library::urgently,
    native::{self, NativeKey},
    wrap::{self, Wrapped},
};
use crate::{
    Pin, PinState, PrivateKey, Record, RecordId, Role, StoreError,
    encoding::Input,
    error::malformed_token_key,
    sealed::{AtDevice, Cost, Judged, Keeper, Kept, Settled, TokenKey, derive, open, seal},
};

const NONCE_LEN: usize = 12;
const SALT_LEN: usize = 16;
const VERIFIER_KEY: &[u8] = b"trellis pin verifier 1";
const VERIFIER_CONTEXT: &[u8] = b"trellis pin verifier 1";

/// The keeper of a store over an HSM.
#[derive(Debug)]
pub(super) struct HsmKeeper {
    device: Arc<Device>,
    /// How the last login went: for whoever called [`Keeper::judge`] through the store.
    last: Mutex<Option<LoggedIn>>,
    /// Keys in the HSM that are open in this process: whoever may destroy a record destroys its key.
    open: Mutex<HashMap<RecordId, Weak<dyn PrivateKey>>>,
}

/// What is kept for the user, once there is something.
struct Parsed<'a> {
    wrapped: Wrapped<'a>,
    /// `None` after the security officer has set the PIN.
    verifier: Option<Verifier<'a>>,
}

#[derive(Clone, Copy)]
struct Verifier<'a> {
    head: &'a [u8],
    cost: Cost,
    salt: [u8; SALT_LEN],
    sealed: &'a [u8],
}

impl HsmKeeper {
    pub(super) fn new(device: Arc<Device>) -> Self {
        Self { device, last: Mutex::default(), open: Mutex::default() }
    }

    /// A key in the HSM that this process has opened or made.
    pub(super) fn open_key(&self, id: RecordId) -> Option<Arc<dyn PrivateKey>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&id)?.upgrade()
    }

    pub(super) fn remember(&self, id: RecordId, key: &Arc<dyn PrivateKey>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, key| key.strong_count() > 0);
        open.insert(id, Arc::downgrade(key));
    }

    /// How the login of the last [`Keeper::judge`] went, once.
    pub(super) fn last_login(&self) -> Option<LoggedIn> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Makes the key in the HSM where it is missing, puts the token key under it, and leaves a trace of the PIN.
    fn wrap(&self, place: Kept, key: &TokenKey, pin: &Pin) -> Result<Vec<u8>, StoreError> {
        let mut kept = wrap::seal(&self.device, place, key)?;
        let salt = algorithms::random::array::<SALT_LEN>()?;
        let head = kept.len();
        kept.extend(Cost::usual().to_bytes());
        kept.extend(salt);
        let stretched = Cost::usual().stretch(pin, &salt)?;
        let context = [VERIFIER_CONTEXT, &place.token_id, &kept[head..]].concat();
        kept.extend(seal(&derive(key, VERIFIER_KEY, &[])?, &context, stretched.expose())?);
        Ok(kept)
    }

    fn unwrap(&self, place: Kept, wrapped: Wrapped<'_>) -> Result<TokenKey, StoreError> {
        wrapped.open(&self.device, place)?.ok_or_else(|| {
            StoreError::Damaged(format!(
                "{} does not have the key that this token's records are sealed under: the token in the HSM was made anew, or \
                 the records belong to another; restore the HSM's backup, or move the records' directory away",
                self.device.name()
            ))
        })
    }

    /// Whether a PIN is the one that was judged last.
    fn is_known(place: Kept, key: &TokenKey, pin: &Pin, kept: Verifier<'_>) -> Result<bool, StoreError> {
        let context = [VERIFIER_CONTEXT, &place.token_id, kept.head].concat();
        let Some(expected) = open(&derive(key, VERIFIER_KEY, &[])?, &context, kept.sealed)? else {
            return Err(StoreError::Damaged("the trace of the PIN was altered; log in anew".into()));
        };
        let stretched = kept.cost.stretch(pin, &kept.salt)?;
        Ok(algorithms::mac::equal(stretched.expose(), expected.expose()))
    }

    fn judge_user(&self, place: Kept, kept: &[u8], pin: &Pin) -> Result<Option<Judged>, StoreError> {
        let how = match self.device.log_in(pin).map_err(|failure| failure.of(&self.device, "C_Login")) {
            Ok(how) => how,
            Err(StoreError::PinIncorrect) => return Ok(None),
            Err(error) => return Err(error),
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(how);
        let parsed = parse(kept)?;
        let verifier = parsed.as_ref().and_then(|parsed| parsed.verifier);
        let judged = match (how, verifier) {
            (LoggedIn::Judged, _) => true,
            (LoggedIn::Already, Some(_)) => false,
            // Nothing to compare the PIN with, so the HSM has to judge it.
            (LoggedIn::Already, None) => {
                let judged = self.device.judge_again(pin);
                match judged.map_err(|failure| failure.of(&self.device, "C_Login")) {
                    Ok(()) => true,
                    Err(StoreError::PinIncorrect) => return Ok(None),
                    Err(error) => return Err(error),
                }
            }
        };
        let open = || self.open_for_user(place, parsed, pin, judged, how);
        if judged { self.device.with_judged(pin, how, open) } else { open() }
    }

    /// The token key for a user who is logged in to the HSM.
    fn open_for_user(
        &self,
        place: Kept,
        parsed: Option<Parsed<'_>>,
        pin: &Pin,
        judged: bool,
        how: LoggedIn,
    ) -> Result<Option<Judged>, StoreError> {
        let Some(parsed) = parsed else {
            let key = TokenKey::generate()?;
            let anew = Some(self.wrap(place, &key, pin)?);
            return Ok(Some(Judged { key: Some(key), anew }));
        };
        let key = self.unwrap(place, parsed.wrapped)?;
        let known = match parsed.verifier {
            Some(verifier) => Self::is_known(place, &key, pin, verifier)?,
            None => false,
        };
        if known {
            return Ok(Some(Judged { key: Some(key), anew: None }));
        }
        if !judged {
            return Ok(None);
        }
        // One that is not the last one that was judged was set by other means, or the HSM goes by one of before.
        if how == LoggedIn::Judged || self.device.is_login_ours() {
            let failed = |failure: Failure| failure.of(&self.device, "C_Login");
            match self.device.judges_still().map_err(failed)? {
                Some(true) => {}
                Some(false) => return Ok(None),
                None if parsed.verifier.is_none() => {}
                None => return Err(failed(Failure::Foreign)),
            }
        }
        let anew = Some(self.wrap(place, &key, pin)?);
        Ok(Some(Judged { key: Some(key), anew }))
    }

    fn judge_officer(&self, pin: &Pin) -> Result<Option<Judged>, StoreError> {
        let judged = self.device.as_officer(pin, |_, _| Ok(()));
        match judged.map_err(|failure| failure.of(&self.device, "C_Login of the SO")) {
            Ok(()) => Ok(Some(Judged { key: None, anew: None })),
            Err(StoreError::PinIncorrect) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Keeper for HsmKeeper {
    const MODEL: &'static str = "pkcs11";

    /// Of the security officer nothing is kept: the HSM knows the PIN.
    fn keep(&self, place: Kept, key: &TokenKey, pin: &Pin) -> Result<Vec<u8>, StoreError> {
        match place.role {
            Role::SecurityOfficer => Ok(Vec::new()),
            Role::User => urgently(|| self.wrap(place, key, pin)),
        }
    }

    fn judge(&self, place: Kept, kept: &[u8], pin: &Pin) -> Result<Option<Judged>, StoreError> {
        // The store asks from inside its gate.
        urgently(|| match place.role {
            Role::User => self.judge_user(place, kept, pin),
            Role::SecurityOfficer => self.judge_officer(pin),
        })
    }

    fn check(&self, role: Role, kept: &[u8]) -> Result<(), StoreError> {
        match role {
            Role::User => parse(kept).map(drop),
            Role::SecurityOfficer if kept.is_empty() => Ok(()),
            Role::SecurityOfficer => Err(malformed_token_key()),
        }
    }

    fn device_key(&self, record: &Record, locator: &[u8]) -> Result<Arc<dyn PrivateKey>, StoreError> {
        let (label, id) = names(&record.attributes);
        let key = NativeKey::located(&self.device, locator, &label, &id)?;
        let key: Arc<dyn PrivateKey> = Arc::new(key);
        self.remember(record.id, &key);
        Ok(key)
    }

    fn settle(&self, key: &AtDevice, record: Option<(&Record, &[u8])>) -> Result<Settled, StoreError> {
        if copies::record_of(key).is_some() {
            return copies::settle(&self.device, key, record.map(|(record, _)| record));
        }
        let record = record.map(|(record, locator)| (locator, names(&record.attributes)));
        native::settle(&self.device, key, record)
    }

    fn record_of(&self, key: &AtDevice) -> Option<RecordId> {
        copies::record_of(key)
    }

    /// The PIN is the HSM's, which a backup does not take back.
    fn restored(&self, kept: &[u8]) -> Vec<u8> {
        without_verifier(kept)
    }

    fn pin_state(&self, role: Role, _: &[u8]) -> PinState {
        let Ok(token) = self.device.token() else { return PinState::Good };
        let [low, last, locked] = match role {
            Role::User => [ck::CKF_USER_PIN_COUNT_LOW, ck::CKF_USER_PIN_FINAL_TRY, ck::CKF_USER_PIN_LOCKED],
            Role::SecurityOfficer => {
                [ck::CKF_SO_PIN_COUNT_LOW, ck::CKF_SO_PIN_FINAL_TRY, ck::CKF_SO_PIN_LOCKED]
            }
        };
        match token.flags {
            flags if flags & locked != 0 => PinState::Locked,
            flags if flags & last != 0 => PinState::FinalTry,
            flags if flags & low != 0 => PinState::CountLow,
            _ => PinState::Good,
        }
    }
}

/// What is kept, without what tells the PIN: the security officer has set another.
pub(super) fn without_verifier(kept: &[u8]) -> Vec<u8> {
    Wrapped::read(&mut Input(kept)).map(Wrapped::to_bytes).unwrap_or_default()
}

/// `None` where there was no login yet.
fn parse(kept: &[u8]) -> Result<Option<Parsed<'_>>, StoreError> {
    if kept.is_empty() {
        return Ok(None);
    }
    let mut input = Input(kept);
    let mut parse = || -> Option<Parsed<'_>> {
        let wrapped = Wrapped::read(&mut input)?;
        if input.0.is_empty() {
            return Some(Parsed { wrapped, verifier: None });
        }
        let head = input.0.get(..12 + SALT_LEN)?;
        let cost = Cost::from_bytes(input.array().ok()?)?;
        let salt = input.array().ok()?;
        let sealed = input.rest();
        let verifier = Verifier { head, cost, salt, sealed };
        (sealed.len() == NONCE_LEN + 32 + 16).then_some(Parsed { wrapped, verifier: Some(verifier) })
    };
    parse().map(Some).ok_or_else(malformed_token_key)
}

/// A CK_ULONG as it lies in memory.
pub(super) fn number(value: u64) -> Vec<u8> {
    value.to_ne_bytes().to_vec()
}
