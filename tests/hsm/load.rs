//! Threads that sign for as long as a test lasts, with every kind of key that a store over an HSM has. No signature may
//! fail, and each is verified.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::Duration,
};

use cryptoki_sys::*;
use trellis_tests::{
    c,
    objects::{Answer, ED25519, P256, Template, plain},
    raw::Raw,
    vendor::Vendor,
};

const MESSAGE: &[u8; 32] = b"a message or a digest, 32 bytes!";

/// A kind of key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    name: &'static str,
    generate: CK_MECHANISM_TYPE,
    sign: CK_MECHANISM_TYPE,
}

pub(crate) const ML_DSA_65: Kind =
    Kind { name: "ML-DSA-65", generate: CKM_ML_DSA_KEY_PAIR_GEN, sign: CKM_ML_DSA };
pub(crate) const ED25519_KEY: Kind =
    Kind { name: "Ed25519", generate: CKM_EC_EDWARDS_KEY_PAIR_GEN, sign: CKM_EDDSA };
pub(crate) const P256_KEY: Kind = Kind { name: "P-256", generate: CKM_EC_KEY_PAIR_GEN, sign: CKM_ECDSA };

impl Kind {
    pub(crate) fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    fn parameters(self) -> Template {
        let template = Template::new();
        match self.generate {
            CKM_ML_DSA_KEY_PAIR_GEN => template.number(CKA_PARAMETER_SET, CKP_ML_DSA_65),
            CKM_EC_EDWARDS_KEY_PAIR_GEN => template.bytes(CKA_EC_PARAMS, ED25519),
            _ => template.bytes(CKA_EC_PARAMS, P256),
        }
    }

    /// Makes a pair on the token.
    pub(crate) fn make(self, p11: &Raw, session: CK_SESSION_HANDLE) {
        let (public, private) = self.templates();
        p11.generate_pair(session, plain(self.generate), &public, &private).unwrap();
    }

    /// Makes a pair with CKA_ALWAYS_AUTHENTICATE in the HSM itself.
    pub(crate) fn make_guarded(self, hsm: &Vendor, session: CK_SESSION_HANDLE) {
        let (public, private) = self.templates();
        let private = private.flag(CKA_ALWAYS_AUTHENTICATE, true);
        assert_eq!(hsm.generate_pair(session, self.generate, &public, &private), CKR_OK);
    }

    fn templates(self) -> (Template, Template) {
        let public = self.parameters().flag(CKA_TOKEN, true).flag(CKA_VERIFY, true).label(self.name);
        let private = Template::new()
            .flag(CKA_TOKEN, true)
            .flag(CKA_PRIVATE, true)
            .flag(CKA_SIGN, true)
            .label(self.name);
        (public, private)
    }

    fn find(self, p11: &Raw, session: CK_SESSION_HANDLE, class: CK_OBJECT_CLASS) -> Answer<CK_OBJECT_HANDLE> {
        let found = p11.find(session, &Template::new().number(CKA_CLASS, class).label(self.name))?;
        assert_eq!(found.len(), 1, "{} keys {}", found.len(), self.name);
        Ok(found[0])
    }

    /// C_SignInit, what comes between, and C_Sign, then verifies.
    pub(crate) fn sign_after(
        self,
        p11: &Raw,
        session: CK_SESSION_HANDLE,
        (public, private): (CK_OBJECT_HANDLE, CK_OBJECT_HANDLE),
        between: impl FnOnce(),
    ) -> Answer<()> {
        p11.sign_init(session, plain(self.sign), private)?;
        between();
        let signature = p11.sign_begun(session, MESSAGE)?;
        p11.verify(session, plain(self.sign), public, MESSAGE, &signature)
    }

    /// Signs and verifies.
    pub(crate) fn sign(
        self,
        p11: &Raw,
        session: CK_SESSION_HANDLE,
        (public, private): (CK_OBJECT_HANDLE, CK_OBJECT_HANDLE),
    ) -> Answer<()> {
        let signature = p11.sign(session, plain(self.sign), private, MESSAGE)?;
        let verified = p11.verify(session, plain(self.sign), public, MESSAGE, &signature);
        assert_eq!(verified, Ok(()), "a signature of {} is wrong", self.name);
        Ok(())
    }

    pub(crate) fn keys(
        self,
        p11: &Raw,
        session: CK_SESSION_HANDLE,
    ) -> Answer<(CK_OBJECT_HANDLE, CK_OBJECT_HANDLE)> {
        Ok((self.find(p11, session, CKO_PUBLIC_KEY)?, self.find(p11, session, CKO_PRIVATE_KEY)?))
    }

    /// What a server does for a request: a session, the key, a signature, and a look at the token.
    fn whole_request(self, p11: &Raw) -> Answer<()> {
        let (rv, session) = p11.try_open(0, CKF_SERIAL_SESSION);
        if rv != CKR_OK {
            return Err(rv);
        }
        self.sign(p11, session, self.keys(p11, session)?)?;
        match c!(p11.C_CloseSession(session)) {
            CKR_OK => Ok(()),
            rv => Err(rv),
        }
    }
}

/// The user being logged in, runs `threads` threads for each kind (half of them keep their session and key, the others make whole
/// requests), and `disturb` meanwhile. `disturb` is given a function that waits until every thread has signed again.
pub(crate) fn sign_while(p11: &Raw, kinds: &[Kind], threads: usize, disturb: impl FnOnce(&dyn Fn())) {
    let done = AtomicBool::new(false);
    let counts: Vec<(Kind, AtomicU32)> =
        kinds.iter().flat_map(|kind| (0..threads).map(|_| (*kind, AtomicU32::new(0)))).collect();
    thread::scope(|scope| {
        let workers: Vec<_> = counts
            .iter()
            .enumerate()
            .map(|(number, (kind, signed))| {
                let done = &done;
                scope.spawn(move || {
                    let session = p11.open(CKF_RW_SESSION);
                    let keys = kind.keys(p11, session)?;
                    while !done.load(Ordering::Relaxed) {
                        if number % 2 == 0 {
                            kind.sign(p11, session, keys)?;
                        } else {
                            kind.whole_request(p11)?;
                        }
                        signed.fetch_add(1, Ordering::Relaxed);
                    }
                    Answer::Ok(())
                })
            })
            .collect();
        let all_have_signed = || {
            let before: Vec<u32> = counts.iter().map(|(_, signed)| signed.load(Ordering::Relaxed)).collect();
            while counts.iter().zip(&before).any(|((_, signed), before)| {
                // What began before may end now.
                signed.load(Ordering::Relaxed) < before + 3
            }) {
                if workers.iter().any(thread::ScopedJoinHandle::is_finished) {
                    break;
                }
                thread::sleep(Duration::from_millis(1));
            }
        };
        all_have_signed();
        disturb(&all_have_signed);
        done.store(true, Ordering::Relaxed);
        for (worker, (kind, signed)) in workers.into_iter().zip(&counts) {
            let ended = worker.join().unwrap();
            assert_eq!(ended, Ok(()), "{}, after {} signatures", kind.name, signed.load(Ordering::Relaxed));
        }
    });
}
