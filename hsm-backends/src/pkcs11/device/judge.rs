//! A PIN that the device is to judge although somebody in this process is logged in to it, and C_Login judges nothing.

use algorithms::ecdsa::Curve;
use cryptoki_sys as ck;

use super::{
    super::{
        keeper::number,
        raw::{Mechanism, Rv, Template},
    },
    Device, Failure, Session,
    softhsm::give,
};
use crate::{Pin, Role};

/// The longest signature of P-256.
const SIGNATURE_LEN: usize = 64;

impl Device {
    /// A login of ours steps aside meanwhile; beside an application's own, the PIN is given for one use of a key. Call
    /// with the turn of [`Device::logins`], after [`Device::log_in`].
    pub(in crate::pkcs11) fn judge_again(&self, pin: &Pin) -> Result<(), Failure> {
        self.call(Session::check_login)?;
        if self.is_login_ours() {
            return self.judged(Role::User, || self.judge_aside(pin));
        }
        let judged = self.call_once(|session| judge_beside(session, pin))?;
        Ok(judged.ok_or(Failure::Foreign)??)
    }

    /// Whether it was we who logged in.
    pub(in crate::pkcs11) fn is_login_ours(&self) -> bool {
        self.state().login.as_ref().is_some_and(|login| login.ours)
    }

    fn judge_aside(&self, pin: &Pin) -> Result<(), Failure> {
        self.call(Session::check_login)?;
        self.alone(|| {
            self.with_session(|raw, session| {
                self.step_aside(raw, session);
                let softhsm = self.state().softhsm;
                let judged = give(raw, session, ck::CKU_USER, pin, softhsm);
                if judged.is_ok() {
                    let mut state = self.state();
                    state.logged_in = true;
                    if let Some(login) = &mut state.login {
                        login.pin = pin.clone();
                    }
                } else {
                    let _ = self.log_in_where_due(raw, session);
                }
                judged
            })
        })
    }
}

/// C_Login with CKU_CONTEXT_SPECIFIC for a key with CKA_ALWAYS_AUTHENTICATE (PKCS#11 v3.2 section 5.6.8), which is made in the
/// session for this alone. `None` where the device has no such keys, or signs with them without a PIN.
fn judge_beside(session: &Session, pin: &Pin) -> Result<Option<Result<(), Rv>>, Rv> {
    let (yes, no) = (vec![ck::CK_TRUE], vec![ck::CK_FALSE]);
    let public: Template = vec![
        (ck::CKA_TOKEN, no.clone()),
        (ck::CKA_VERIFY, yes.clone()),
        (ck::CKA_EC_PARAMS, Curve::P256.oid_der().to_vec()),
    ];
    let private: Template = vec![
        (ck::CKA_CLASS, number(ck::CKO_PRIVATE_KEY)),
        (ck::CKA_KEY_TYPE, number(ck::CKK_EC)),
        (ck::CKA_TOKEN, no),
        (ck::CKA_PRIVATE, yes.clone()),
        (ck::CKA_SENSITIVE, yes.clone()),
        (ck::CKA_SIGN, yes.clone()),
        (ck::CKA_ALWAYS_AUTHENTICATE, yes),
    ];
    let generate = Mechanism::plain(ck::CKM_EC_KEY_PAIR_GEN);
    let (public, private) = match session.raw.generate_key_pair(session.handle, generate, &public, &private) {
        Err(rv) if rv.did_nothing() => return Err(rv),
        Err(_) => return Ok(None),
        Ok(pair) => pair,
    };
    let sign = |between: &mut dyn FnMut()| {
        let what: (&[u8], usize) = (&[7; 32], SIGNATURE_LEN);
        session.raw.sign(session.handle, Mechanism::plain(ck::CKM_ECDSA), private, what, || {
            between();
            Ok(())
        })
    };
    let judged = if sign(&mut || ()) == Err(Rv(ck::CKR_USER_NOT_LOGGED_IN)) {
        let mut answer = Ok(());
        let user = ck::CKU_CONTEXT_SPECIFIC;
        // A signature that is refused ends what was begun.
        let signed = sign(&mut || answer = give(session.raw, session.handle, user, pin, false));
        match answer {
            Ok(()) => signed.ok().map(|_| Ok(())),
            Err(rv) => rv.refuses_pin().then_some(Err(rv)),
        }
    } else {
        None
    };
    for object in [public, private] {
        let _ = session.raw.destroy(session.handle, object);
    }
    Ok(judged)
}
