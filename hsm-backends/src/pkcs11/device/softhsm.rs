//! What is known of SoftHSM, and of no other HSM: it keeps its token in a file that each process reads for itself and
//! writes in place, at every C_Login.
//!
//! Who reads while another process writes finds less: no serial number, no flags, no PIN. Most of that is read again at the
//! next call. The PINs are not: they are what they were when the library was initialised, until it is finalised. So a
//! process may say that there is no user PIN, or that the right one is wrong, or take the one of before. It never locks a
//! PIN, and may be asked again.

use cryptoki_sys as ck;

use super::{
    super::raw::{Raw, Rv, TokenInfo},
    Device, Failed, Failure, PAUSES, Session,
    failure::Lost,
};
use crate::{Pin, Role};

/// How the manufacturer of its tokens begins.
pub(super) const SOFTHSM: &str = "SoftHSM";
/// Tries of what may meet the file half written each time that the library begins anew.
pub(super) const TRIES_OF_SOFTHSM: u32 = 10;
/// Tries of what is read again at each call.
const READS: u32 = 40;

/// Asks again for what is answered while another process writes the token's file. Not for what takes a PIN: another
/// HSM may have judged it.
pub(super) fn patiently<T>(mut f: impl FnMut() -> Result<T, Rv>) -> Result<T, Rv> {
    let passing = |rv: &Rv| matches!(rv.0, ck::CKR_GENERAL_ERROR | ck::CKR_FUNCTION_FAILED);
    for _ in 1..READS {
        match f() {
            Err(rv) if passing(&rv) => std::thread::sleep(PAUSES.0),
            done => return done,
        }
    }
    f()
}

/// C_GetTokenInfo, with the serial number and the label.
pub(super) fn token_info(raw: Raw, slot: ck::CK_SLOT_ID) -> Result<TokenInfo, Rv> {
    patiently(|| {
        let token = raw.token_info(slot)?;
        let initialized = token.flags & ck::CKF_TOKEN_INITIALIZED != 0;
        let torn = initialized && token.serial.is_empty() && token.manufacturer.starts_with(SOFTHSM);
        if torn { Err(Rv(ck::CKR_GENERAL_ERROR)) } else { Ok(token) }
    })
}

/// C_Login. An answer that may hide a judgement ends it: the PIN is not given again, and a login that was made all the
/// same does not stay. Of SoftHSM it is known that it has judged nothing when it answers CKR_GENERAL_ERROR.
pub(super) fn give(
    raw: Raw,
    session: ck::CK_SESSION_HANDLE,
    user: u64,
    pin: &Pin,
    softhsm: bool,
) -> Result<(), Rv> {
    let public = |state| matches!(state, ck::CKS_RO_PUBLIC_SESSION | ck::CKS_RW_PUBLIC_SESSION);
    let nobody = raw.session_state(session).is_ok_and(public);
    let mut outcome = raw.login(session, user, pin.expose());
    for _ in 1..READS {
        if !softhsm || outcome != Err(Rv(ck::CKR_GENERAL_ERROR)) {
            break;
        }
        std::thread::sleep(PAUSES.0);
        outcome = raw.login(session, user, pin.expose());
    }
    if let Err(rv) = outcome
        && nobody
        && (rv.lost().is_some() || rv.may_be_lost())
    {
        let _ = raw.logout(session);
    }
    outcome
}

impl Device {
    /// Whether C_Login was answered by a SoftHSM that judges nothing before it begins anew: it goes on saying that it cannot,
    /// or knows no user PIN although the file has one.
    pub(super) fn is_stuck(&self, raw: Raw, rv: Rv) -> bool {
        let (softhsm, slot) = {
            let state = self.state();
            (state.softhsm, state.slot)
        };
        softhsm
            && match rv.0 {
                ck::CKR_GENERAL_ERROR => true,
                ck::CKR_USER_PIN_NOT_INITIALIZED => slot.is_some_and(|slot| {
                    let flags = token_info(raw, slot).map_or(0, |token| token.flags);
                    flags & ck::CKF_USER_PIN_INITIALIZED != 0
                }),
                _ => false,
            }
    }

    /// Runs what gives a PIN of `role`, and again with a library that has begun anew where SoftHSM has not judged it, or has
    /// refused the security officer's by what it remembers. A user's wrong PIN is too common for that: whoever else uses the
    /// library in this process loses his sessions.
    pub(super) fn judged<T>(
        &self,
        role: Role,
        mut judge: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut refused = role == Role::User;
        for _ in 0..TRIES_OF_SOFTHSM {
            let outcome = judge();
            let Err(Failure::Said(rv)) = outcome else { return outcome };
            if !self.state().softhsm {
                return outcome;
            }
            let by_memory = || rv.0 == ck::CKR_PIN_INCORRECT && self.library.is_ours();
            let stuck = || self.at_slot(|raw, _| Ok(self.is_stuck(raw, rv))).unwrap_or(false);
            if by_memory() && !std::mem::replace(&mut refused, true) {
                self.begin_anew()?;
            } else if !stuck() {
                return outcome;
            } else if self.library.is_ours() {
                self.begin_anew()?;
            } else {
                break;
            }
        }
        // It has judged nothing, and no try is to count.
        Err(Rv(ck::CKR_DEVICE_ERROR).into())
    }

    /// Whether the PIN of a login of ours is still right, by what the device says now. `None` of a SoftHSM that the
    /// application has initialised: it cannot be asked. Call with the turn of [`Device::logins`].
    pub(in crate::pkcs11) fn judges_still(&self) -> Result<Option<bool>, Failure> {
        if !self.state().softhsm {
            return Ok(Some(true));
        }
        if !self.library.is_ours() {
            return Ok(None);
        }
        self.begin_anew()?;
        match self.call(Session::check_login) {
            Ok(()) => Ok(Some(true)),
            Err(Failure::LoggedOut) => Ok(Some(false)),
            Err(failure) => Err(failure),
        }
    }

    fn begin_anew(&self) -> Result<(), Failure> {
        let state = self.state();
        let failure = Failure::Said(Rv(ck::CKR_GENERAL_ERROR));
        let failed = Failed { epoch: state.epoch, generation: state.sessions.generation(), failure };
        drop(state);
        self.alone(|| {
            self.repair(Lost::Library, &failed);
            Ok(())
        })
    }
}
