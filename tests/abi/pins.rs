//! C_InitToken, C_InitPIN and C_SetPIN; counting and locking.

use cryptoki_sys::*;
use trellis_tests::{
    c, isolated,
    objects::{ED25519, Template, plain},
    raw::{Raw, SO_PIN, USER_PIN},
};

const SO_STATE: CK_FLAGS = CKF_SO_PIN_COUNT_LOW | CKF_SO_PIN_FINAL_TRY | CKF_SO_PIN_LOCKED;
const USER_STATE: CK_FLAGS = CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED;

fn user_state(p11: &Raw) -> CK_FLAGS {
    p11.token_info().flags & USER_STATE
}

isolated! {
    fn initialising_a_token(place) {
        let p11 = place.load();
        p11.initialize();
        let label = &mut [b' '; 32];
        let init = |pin: &[u8], label: &mut [u8; 32]| {
            c!(p11.C_InitToken(0, pin.as_ptr().cast_mut(), pin.len() as CK_ULONG, label.as_mut_ptr()))
        };
        assert_eq!(init(b"123", label), CKR_PIN_LEN_RANGE);
        assert_eq!(init(&[7; 256], label), CKR_PIN_LEN_RANGE);
        assert_eq!(init(SO_PIN, &mut [0xff; 32]), CKR_ARGUMENTS_BAD);
        assert_eq!(p11.token_info().flags & CKF_TOKEN_INITIALIZED, 0);
        assert_eq!(p11.init_token(7, "label"), CKR_SLOT_ID_INVALID);
        label[..7].copy_from_slice("Schlüs".as_bytes());
        assert_eq!(init(SO_PIN, label), CKR_OK);
        assert_eq!(p11.token_info().label, *label);
        // Again: only with the SO's PIN, and without sessions.
        assert_eq!(init(b"not the SO", label), CKR_PIN_INCORRECT);
        let session = p11.open(0);
        assert_eq!(init(SO_PIN, label), CKR_SESSION_EXISTS);
        assert_eq!(c!(p11.C_CloseSession(session)), CKR_OK);
        assert_eq!(p11.init_token(0, "again"), CKR_OK);
        assert!(p11.token_info().label.starts_with(b"again   "));
    }

    fn who_may_set_which_pin(place) {
        let p11 = place.load();
        p11.initialize();
        assert_eq!(p11.init_token(0, "label"), CKR_OK);
        let rw = p11.open(CKF_RW_SESSION);
        assert_eq!(p11.login(rw, CKU_USER, USER_PIN), CKR_USER_PIN_NOT_INITIALIZED);
        assert_eq!(p11.init_pin(rw, USER_PIN), CKR_USER_NOT_LOGGED_IN);
        assert_eq!(p11.login(rw, CKU_SO, SO_PIN), CKR_OK);
        assert_eq!(p11.init_pin(rw, b"123"), CKR_PIN_LEN_RANGE);
        assert_eq!(p11.init_pin(rw, &[1; 255]), CKR_OK);
        // In the SO's session C_SetPIN is about the SO's PIN.
        assert_eq!(p11.set_pin(rw, b"wrong", b"so-pin-2"), CKR_PIN_INCORRECT);
        assert_eq!(p11.set_pin(rw, SO_PIN, b"so-pin-2"), CKR_OK);
        assert_eq!(c!(p11.C_Logout(rw)), CKR_OK);
        assert_eq!(p11.login(rw, CKU_SO, SO_PIN), CKR_PIN_INCORRECT);
        // Without a login it is about the user's.
        assert_eq!(p11.set_pin(rw, &[1; 255], b"abc"), CKR_PIN_LEN_RANGE);
        assert_eq!(p11.set_pin(rw, &[1; 255], b"\0\xff\0\xff"), CKR_OK);
        let ro = p11.open(0);
        assert_eq!(p11.set_pin(ro, b"\0\xff\0\xff", USER_PIN), CKR_SESSION_READ_ONLY);
        assert_eq!(p11.login(ro, CKU_USER, b"\0\xff\0\xff"), CKR_OK);
        assert_eq!(p11.init_pin(rw, USER_PIN), CKR_USER_NOT_LOGGED_IN);
        assert_eq!(p11.set_pin(rw, b"\0\xff\0\xff", USER_PIN), CKR_OK);
        // The login goes on under the new PIN.
        assert_eq!(p11.state(rw), CKS_RW_USER_FUNCTIONS);
        assert_eq!(c!(p11.C_Logout(rw)), CKR_OK);
        assert_eq!(p11.login(ro, CKU_USER, USER_PIN), CKR_OK);
    }

    fn wrong_pins_count_low_final_and_lock(place) {
        place.configure("[[slot]]\npath = 'token'\npin-tries = 3\n");
        let p11 = place.load();
        p11.initialize();
        p11.make_token();
        let session = p11.open(CKF_RW_SESSION);
        assert_eq!(user_state(&p11), 0);
        assert_eq!(p11.login(session, CKU_USER, b"wrong 1"), CKR_PIN_INCORRECT);
        assert_eq!(user_state(&p11), CKF_USER_PIN_COUNT_LOW);
        // A new run counts on.
        p11.finalize();
        p11.initialize();
        let session = p11.open(CKF_RW_SESSION);
        assert_eq!(p11.set_pin(session, b"wrong 2", b"something"), CKR_PIN_INCORRECT);
        assert_eq!(user_state(&p11), CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY);
        assert_eq!(p11.login(session, CKU_USER, b""), CKR_PIN_INCORRECT);
        assert_eq!(user_state(&p11), CKF_USER_PIN_LOCKED);
        assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_PIN_LOCKED);
        assert_eq!(p11.set_pin(session, USER_PIN, b"something"), CKR_PIN_LOCKED);
        // The SO resets.
        assert_eq!(p11.login(session, CKU_SO, SO_PIN), CKR_OK);
        assert_eq!(p11.init_pin(session, USER_PIN), CKR_OK);
        assert_eq!(user_state(&p11), 0);
        assert_eq!(c!(p11.C_Logout(session)), CKR_OK);
        assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
    }

    fn the_officers_pin_counts_and_locks_too(place) {
        place.configure("[[slot]]\npath = 'token'\npin-tries = 3\n");
        let p11 = place.load();
        p11.initialize();
        p11.make_token();
        let session = p11.open(CKF_RW_SESSION);
        let state = || p11.token_info().flags & (SO_STATE | USER_STATE);
        for expected in [
            CKF_SO_PIN_COUNT_LOW,
            CKF_SO_PIN_COUNT_LOW | CKF_SO_PIN_FINAL_TRY,
            CKF_SO_PIN_LOCKED,
        ] {
            assert_eq!(p11.login(session, CKU_SO, b"wrong"), CKR_PIN_INCORRECT);
            assert_eq!(state(), expected);
        }
        assert_eq!(p11.login(session, CKU_SO, SO_PIN), CKR_PIN_LOCKED);
        assert_eq!(c!(p11.C_CloseSession(session)), CKR_OK);
        assert_eq!(p11.init_token(0, "again"), CKR_PIN_LOCKED);
        // The user is as before.
        assert_eq!(p11.login(p11.open(0), CKU_USER, USER_PIN), CKR_OK);
    }

    /// The PIN of a CKA_ALWAYS_AUTHENTICATE key counts as any other; when it is locked, the user is logged out.
    fn a_context_login_that_locks_logs_out(place) {
        place.configure("[[slot]]\npath = 'token'\npin-tries = 2\n");
        let p11 = place.load();
        let session = p11.user_session();
        let public = Template::new().bytes(CKA_EC_PARAMS, ED25519);
        let private = Template::new().flag(CKA_ALWAYS_AUTHENTICATE, true).flag(CKA_SIGN, true);
        let (_, key) = p11.generate_pair(session, plain(CKM_EC_EDWARDS_KEY_PAIR_GEN), &public, &private).unwrap();
        assert_eq!(p11.sign_init(session, plain(CKM_EDDSA), key), Ok(()));
        assert_eq!(p11.login(session, CKU_CONTEXT_SPECIFIC, b"wrong 1"), CKR_PIN_INCORRECT);
        assert_eq!(p11.state(session), CKS_RW_USER_FUNCTIONS);
        assert_eq!(p11.login(session, CKU_CONTEXT_SPECIFIC, b"wrong 2"), CKR_PIN_INCORRECT);
        assert_eq!(user_state(&p11), CKF_USER_PIN_LOCKED);
        assert_eq!(p11.login(session, CKU_CONTEXT_SPECIFIC, USER_PIN), CKR_PIN_LOCKED);
        assert_eq!(p11.state(session), CKS_RW_PUBLIC_SESSION);
        assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_PIN_LOCKED);
    }

    fn a_right_pin_resets_the_count(place) {
        place.configure("[[slot]]\npath = 'token'\npin-tries = 2\n");
        let p11 = place.load();
        p11.initialize();
        p11.make_token();
        let session = p11.open(0);
        for _ in 0..3 {
            assert_eq!(p11.login(session, CKU_USER, b"wrong"), CKR_PIN_INCORRECT);
            assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
            assert_eq!(user_state(&p11), 0);
            assert_eq!(c!(p11.C_Logout(session)), CKR_OK);
        }
    }

    /// C_InitToken by another process ends this one's login.
    fn a_token_initialised_anew_elsewhere(place) {
        let p11 = place.load();
        p11.initialize();
        p11.make_token();
        let session = p11.open(CKF_RW_SESSION);
        assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
        let elsewhere = trellis_tests::process::in_child(|| {
            p11.initialize();
            assert_eq!(p11.init_token(0, "new owner"), CKR_OK);
            p11.finalize();
            0
        });
        assert_eq!(elsewhere, 0);
        let (mut class, mut token, mut object) = (CKO_DATA, CK_TRUE, 0);
        let mut template = [
            CK_ATTRIBUTE { type_: CKA_CLASS, pValue: (&raw mut class).cast(), ulValueLen: 8 },
            CK_ATTRIBUTE { type_: CKA_TOKEN, pValue: (&raw mut token).cast(), ulValueLen: 1 },
        ];
        let rv = c!(p11.C_CreateObject(session, template.as_mut_ptr(), 2, &raw mut object));
        assert_eq!(rv, CKR_DEVICE_REMOVED);
        assert_eq!(p11.state(session), CKS_RW_PUBLIC_SESSION);
        assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_USER_PIN_NOT_INITIALIZED);
    }
}
