//! A TPM that does not answer, or is not there, is the matter of its own slot alone.

use std::{
    sync::{Arc, Condvar, Mutex},
    thread,
};

use cryptoki_sys::*;
use trellis_tests::{
    c, isolated,
    isolated::Place,
    objects::{ED25519, Template, plain},
    raw::{Raw, SO_PIN, USER_PIN},
};

use crate::{relay::Relay, swtpm::Swtpm};

/// The slot over the TPM; slot 0 is embedded.
const SEALED: CK_SLOT_ID = 2;

/// What keeps commands from the TPM while it is shut.
#[derive(Debug, Default)]
struct Valve {
    /// Whether it is shut, and how many commands wait.
    state: Mutex<(bool, u32)>,
    changed: Condvar,
}

impl Valve {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        self.changed.notify_all();
        let mut state = self.changed.wait_while(state, |(shut, _)| *shut).unwrap();
        state.1 -= 1;
    }

    fn shut(&self, shut: bool) {
        self.state.lock().unwrap().0 = shut;
        self.changed.notify_all();
    }

    fn wait_for_a_command(&self) {
        drop(self.changed.wait_while(self.state.lock().unwrap(), |(_, waiting)| *waiting == 0).unwrap());
    }
}

/// A token in each of the two slots.
fn made(place: &Place, tcti: &str) -> Raw {
    let plug_in = test_stand::build(&["build", "-p", "trellis-tpm-plugin"]).join("libtrellis_tpm.so");
    let text = format!(
        "[[slot]]\npath = 'embedded'\n[[slot]]\nid = {SEALED}\npath = 'sealed'\nbackend = 'tpm'\ntcti = '{tcti}'\nplug-in = '{}'\n",
        plug_in.display()
    );
    std::fs::write(place.config(), text).unwrap();
    let p11 = place.load();
    p11.initialize();
    p11.make_token();
    assert_eq!(p11.init_token(SEALED, "sealed"), CKR_OK);
    let officer = session(&p11, SEALED);
    assert_eq!(p11.login(officer, CKU_SO, SO_PIN), CKR_OK);
    assert_eq!(p11.init_pin(officer, USER_PIN), CKR_OK);
    p11.finalize();
    p11
}

fn session(p11: &Raw, slot: CK_SLOT_ID) -> CK_SESSION_HANDLE {
    let (rv, session) = p11.try_open(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION);
    assert_eq!(rv, CKR_OK);
    session
}

/// A key pair in slot 0, and the user logged in there.
fn signer(p11: &Raw) -> impl Fn() {
    let session = session(p11, 0);
    assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
    let public = Template::new().bytes(CKA_EC_PARAMS, ED25519).flag(CKA_VERIFY, true);
    let private = Template::new().flag(CKA_SIGN, true);
    let pair = p11.generate_pair(session, plain(CKM_EC_EDWARDS_KEY_PAIR_GEN), &public, &private);
    let (public, private) = pair.unwrap();
    move || {
        let signature = p11.sign(session, plain(CKM_EDDSA), private, b"message").unwrap();
        assert_eq!(p11.verify(session, plain(CKM_EDDSA), public, b"message", &signature), Ok(()));
    }
}

/// What anybody may ask of both slots.
fn look(p11: &Raw) {
    let (mut slots, mut count) = ([0; 8], 8);
    assert_eq!(c!(p11.C_GetSlotList(CK_TRUE, slots.as_mut_ptr(), &raw mut count)), CKR_OK);
    assert_eq!(&slots[..2], [0, SEALED]);
    for (slot, label) in [(0, "test token"), (SEALED, "sealed")] {
        let mut info = CK_TOKEN_INFO::default();
        assert_eq!(c!(p11.C_GetTokenInfo(slot, &raw mut info)), CKR_OK);
        assert_eq!(info.label, *format!("{label:32}").as_bytes());
        assert_eq!(info.flags & CKF_TOKEN_INITIALIZED, CKF_TOKEN_INITIALIZED);
    }
}

isolated! {
    /// By order and not by the clock: all of it ends before the TPM gets its first command.
    fn others_go_on_while_a_login_hangs(place) {
        let tpm = Swtpm::start(&place.directory().join("tpm"));
        let valve = Arc::new(Valve::default());
        let passes = valve.clone();
        let relay = Relay::start(tpm.port(), move |_, _| {
            passes.pass();
            true
        });
        let p11 = made(place, &relay.tcti());
        valve.shut(true);
        p11.initialize();
        let sign = signer(&p11);
        let sealed = session(&p11, SEALED);
        thread::scope(|scope| {
            let login = scope.spawn(|| p11.login(sealed, CKU_USER, USER_PIN));
            valve.wait_for_a_command();
            sign();
            look(&p11);
            assert_eq!(p11.state(sealed), CKS_RW_PUBLIC_SESSION);
            sign();
            assert!(!login.is_finished(), "it ended without the TPM: {:#x}", login.join().unwrap());
            valve.shut(false);
            assert_eq!(login.join().unwrap(), CKR_OK);
        });
        assert_eq!(p11.state(sealed), CKS_RW_USER_FUNCTIONS);
        p11.finalize();
    }

    fn others_go_on_without_the_tpm(place) {
        let mut tpm = Swtpm::start(&place.directory().join("tpm"));
        let p11 = made(place, &tpm.tcti());
        tpm.end();
        p11.initialize();
        let sign = signer(&p11);
        let sealed = session(&p11, SEALED);
        look(&p11);
        assert_eq!(p11.login(sealed, CKU_USER, USER_PIN), CKR_TOKEN_NOT_PRESENT);
        sign();
        tpm.go_on();
        assert_eq!(p11.login(sealed, CKU_USER, USER_PIN), CKR_OK);
        p11.finalize();
    }
}
