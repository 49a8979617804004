//! A vendor's library that does not return from a call, as a network HSM's whose link is cut: one thread is in it, and
//! nobody else stays there. Other slots go on, fork(2) returns, the others in the slot get an answer, and when the
//! library returns after all, everything is as if nothing had been.

use std::{thread, time::Duration};

use cryptoki_sys::*;
use trellis_tests::{
    c, isolated,
    isolated::Place,
    objects::{Answer, Template},
    process,
    raw::{Raw, SO_PIN, USER_PIN},
};

use crate::{
    limits::Valve,
    load::{ED25519_KEY, Kind, P256_KEY},
};

/// What the valve holds back.
const INITIALIZE: u64 = 1;
const OPEN_SESSION: u64 = 2;
const LOGIN: u64 = 4;
const GET_TOKEN_INFO: u64 = 8;
/// The slot that has nothing to do with the HSM.
const OTHER: CK_SLOT_ID = 1;

struct Scene {
    valve: Valve,
    p11: Raw,
    /// Of the user, in the HSM's slot; the key there is [`P256_KEY`].
    session: CK_SESSION_HANDLE,
    /// And in the other; [`ED25519_KEY`].
    other: CK_SESSION_HANDLE,
}

impl Scene {
    fn new(place: &Place) -> Self {
        let valve = Valve::new(place);
        let text = std::fs::read_to_string(place.config()).unwrap();
        std::fs::write(place.config(), text + "[[slot]]\npath = 'other'\n").unwrap();
        let p11 = place.load();
        let session = p11.user_session();
        P256_KEY.make(&p11, session);
        assert_eq!(p11.init_token(OTHER, "other"), CKR_OK);
        let other = opened(&p11, OTHER);
        assert_eq!(p11.login(other, CKU_SO, SO_PIN), CKR_OK);
        assert_eq!(p11.init_pin(other, USER_PIN), CKR_OK);
        assert_eq!(c!(p11.C_Logout(other)), CKR_OK);
        assert_eq!(p11.login(other, CKU_USER, USER_PIN), CKR_OK);
        ED25519_KEY.make(&p11, other);
        Self { valve, p11, session, other }
    }

    /// Both logins anew.
    fn begin_anew(&mut self) {
        self.p11.finalize();
        self.p11.initialize();
        self.session = logged_in(&self.p11, 0);
        self.other = logged_in(&self.p11, OTHER);
    }

    /// Holds `functions` back; when one thread is in `stuck`, what the `others` do in threads of their own has to end in the
    /// answers beside it, while the other slot signs, this process forks, and the child begins anew. Then `stuck` goes on.
    fn hold(
        &self,
        functions: u64,
        stuck: impl Fn() -> CK_RV + Sync,
        others: &[(&(dyn Fn() -> CK_RV + Sync), CK_RV)],
    ) {
        self.valve.set("valve_hold", functions);
        thread::scope(|scope| {
            let stuck = scope.spawn(&stuck);
            while self.valve.ask("valve_holding") == 0 {
                assert!(!stuck.is_finished(), "nothing was held back");
                thread::sleep(Duration::from_millis(1));
            }
            let others: Vec<_> = others.iter().map(|(other, seen)| (scope.spawn(other), seen)).collect();
            assert_eq!(sign(&self.p11, self.other, ED25519_KEY), Ok(()));
            self.fork();
            for (number, (other, seen)) in others.into_iter().enumerate() {
                assert_eq!(other.join().unwrap(), *seen, "number {number}");
            }
            assert_eq!(sign(&self.p11, self.other, ED25519_KEY), Ok(()));
            assert_eq!(self.valve.ask("valve_holding"), 1);
            self.valve.set("valve_hold", 0);
            assert_eq!(stuck.join().unwrap(), CKR_OK);
        });
    }

    fn fork(&self) {
        let status = process::in_child(|| {
            self.valve.set("valve_hold", 0);
            self.p11.initialize();
            self.p11.token_info();
            assert_eq!(sign(&self.p11, logged_in(&self.p11, OTHER), ED25519_KEY), Ok(()));
            0
        });
        assert_eq!(status, 0);
    }

    /// The HSM's slot signs, and no session was left behind that nobody has: the HSM opens one only, and that is free.
    fn is_whole(&self) {
        let p11 = &self.p11;
        assert_eq!(sign(p11, self.session, P256_KEY), Ok(()));
        assert_eq!(c!(p11.C_Logout(self.session)), CKR_OK);
        self.valve.set("valve_limit", 1);
        assert_eq!(self.p11.login(self.session, CKU_USER, USER_PIN), CKR_OK);
        assert_eq!(sign(&self.p11, self.session, P256_KEY), Ok(()));
        self.fork();
        assert_eq!(sign(&self.p11, self.session, P256_KEY), Ok(()));
        assert_eq!(self.valve.ask("valve_open"), 1);
    }
}

fn sign(p11: &Raw, session: CK_SESSION_HANDLE, kind: Kind) -> Answer<()> {
    kind.sign(p11, session, kind.keys(p11, session)?)
}

fn opened(p11: &Raw, slot: CK_SLOT_ID) -> CK_SESSION_HANDLE {
    let (rv, session) = p11.try_open(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION);
    assert_eq!(rv, CKR_OK);
    session
}

pub(crate) fn logged_in(p11: &Raw, slot: CK_SLOT_ID) -> CK_SESSION_HANDLE {
    let session = opened(p11, slot);
    assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
    session
}

/// The CK_RV of what may fail.
fn rv(answer: Answer<()>) -> CK_RV {
    answer.err().unwrap_or(CKR_OK)
}

fn token_info(p11: &Raw) -> CK_RV {
    let mut info = CK_TOKEN_INFO::default();
    c!(p11.C_GetTokenInfo(0, &raw mut info))
}

isolated! {
    fn a_login(place) {
        let scene = Scene::new(place);
        let (valve, p11) = (&scene.valve, &scene.p11);
        assert_eq!(c!(p11.C_Logout(scene.session)), CKR_OK);
        let given = valve.ask("valve_logins");
        let log_in = || p11.login(scene.session, CKU_USER, USER_PIN);
        scene.hold(LOGIN, log_in, &[
            (&log_in, CKR_DEVICE_ERROR),
            (&|| p11.login(scene.session, CKU_SO, SO_PIN), CKR_DEVICE_ERROR),
            (&|| token_info(p11), CKR_OK),
            (&|| rv(p11.find(scene.session, &Template::new()).map(drop)), CKR_OK),
        ]);
        // The PIN was given once, by the one who was held back.
        assert_eq!(valve.ask("valve_logins"), given + 1);
        scene.is_whole();
    }

    fn a_login_that_is_made_again(place) {
        let scene = Scene::new(place);
        let (valve, p11) = (&scene.valve, &scene.p11);
        let signs = || rv(sign(p11, scene.session, P256_KEY));
        assert_eq!(valve.ask("valve_forget"), 0);
        let given = valve.ask("valve_logins");
        scene.hold(LOGIN, signs, &[
            (&signs, CKR_DEVICE_REMOVED),
            (&|| token_info(p11), CKR_OK),
        ]);
        assert_eq!(valve.ask("valve_logins"), given + 1);
        scene.is_whole();
    }

    fn a_session_and_the_tokens_name(place) {
        let scene = Scene::new(place);
        let (valve, p11) = (&scene.valve, &scene.p11);
        let signs = || rv(sign(p11, scene.session, P256_KEY));
        assert_eq!(valve.ask("valve_forget"), 0);
        scene.hold(OPEN_SESSION, signs, &[
            (&signs, CKR_DEVICE_REMOVED),
            (&|| token_info(p11), CKR_OK),
        ]);
        let asks = || token_info(p11);
        scene.hold(GET_TOKEN_INFO, asks, &[
            (&asks, CKR_DEVICE_REMOVED),
            (&|| p11.set_pin(scene.session, b"wrong-pin", USER_PIN), CKR_DEVICE_REMOVED),
        ]);
        scene.is_whole();
    }

    fn the_library(place) {
        let mut scene = Scene::new(place);
        scene.p11.finalize();
        scene.p11.initialize();
        scene.other = logged_in(&scene.p11, OTHER);
        let p11 = &scene.p11;
        let asks = || token_info(p11);
        scene.hold(INITIALIZE, asks, &[
            (&asks, CKR_TOKEN_NOT_PRESENT),
            (&|| p11.try_open(0, CKF_SERIAL_SESSION).0, CKR_TOKEN_NOT_PRESENT),
        ]);
        scene.begin_anew();
        scene.is_whole();
    }
}
