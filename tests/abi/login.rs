//! C_Login, C_LoginUser and C_Logout.

use std::{os::unix::fs::PermissionsExt, ptr::null_mut, thread};

use cryptoki_sys::*;
use trellis_tests::{
    c, isolated,
    objects::{Template, plain},
    raw::{Raw, SO_PIN, USER_PIN},
};

fn with_token(p11: &Raw) {
    p11.initialize();
    p11.make_token();
}

/// Whether private objects can be made now, which only the user can.
fn makes_private_object(p11: &Raw, session: CK_SESSION_HANDLE) -> Result<CK_OBJECT_HANDLE, CK_RV> {
    let (mut class, mut private) = (CKO_DATA, CK_TRUE);
    let mut template = [
        CK_ATTRIBUTE { type_: CKA_CLASS, pValue: (&raw mut class).cast(), ulValueLen: 8 },
        CK_ATTRIBUTE { type_: CKA_PRIVATE, pValue: (&raw mut private).cast(), ulValueLen: 1 },
    ];
    let mut object = 0;
    match c!(p11.C_CreateObject(session, template.as_mut_ptr(), 2, &raw mut object)) {
        CKR_OK => Ok(object),
        rv => Err(rv),
    }
}

isolated! {
    fn once_and_by_one(place) {
        let p11 = place.load();
        with_token(&p11);
        let (session, other) = (p11.open(CKF_RW_SESSION), p11.open(CKF_RW_SESSION));
        assert_eq!(c!(p11.C_Logout(session)), CKR_USER_NOT_LOGGED_IN);
        assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
        assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_USER_ALREADY_LOGGED_IN);
        assert_eq!(p11.login(other, CKU_USER, b"wrong"), CKR_USER_ALREADY_LOGGED_IN);
        assert_eq!(p11.login(session, CKU_SO, SO_PIN), CKR_USER_ANOTHER_ALREADY_LOGGED_IN);
        assert_eq!(c!(p11.C_Logout(other)), CKR_OK);
        assert_eq!(p11.login(session, CKU_SO, SO_PIN), CKR_OK);
        assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_USER_ANOTHER_ALREADY_LOGGED_IN);
    }

    fn users_and_pins_that_are_none(place) {
        let p11 = place.load();
        with_token(&p11);
        let session = p11.open(0);
        assert_eq!(p11.login(session, 3, USER_PIN), CKR_USER_TYPE_INVALID);
        assert_eq!(p11.login(session, u64::MAX, USER_PIN), CKR_USER_TYPE_INVALID);
        assert_eq!(p11.login(session, CKU_CONTEXT_SPECIFIC, USER_PIN), CKR_OPERATION_NOT_INITIALIZED);
        // NULL asks for a PIN pad. There is none, and no try is spent.
        for _ in 0..20 {
            assert_eq!(c!(p11.C_Login(session, CKU_USER, null_mut(), 0)), CKR_ARGUMENTS_BAD);
        }
        assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
    }

    fn a_pin_source_is_a_protected_authentication_path(place) {
        let file = place.directory().join("pin");
        place.configure(&format!("[[slot]]\npath = 'token'\npin-source = 'file:{}'\n", file.display()));
        let p11 = place.load();
        with_token(&p11);
        let mut info = CK_TOKEN_INFO::default();
        assert_eq!(c!(p11.C_GetTokenInfo(0, &raw mut info)), CKR_OK);
        assert_ne!(info.flags & CKF_PROTECTED_AUTHENTICATION_PATH, 0);
        let session = p11.open(CKF_RW_SESSION);
        let without = |user| c!(p11.C_Login(session, user, null_mut(), 0));
        let write = |pin: &[u8], mode| {
            std::fs::write(&file, [pin, b"\n"].concat()).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        // No file, and one that others may read: no try is spent.
        assert_eq!(without(CKU_USER), CKR_DEVICE_ERROR);
        write(USER_PIN, 0o644);
        for _ in 0..20 {
            assert_eq!(without(CKU_USER), CKR_DEVICE_ERROR);
        }
        assert!(place.log().contains("others may read"), "{}", place.log());
        write(b"another", 0o600);
        assert_eq!(without(CKU_USER), CKR_PIN_INCORRECT);
        write(USER_PIN, 0o600);
        assert_eq!(without(CKU_SO), CKR_ARGUMENTS_BAD);
        assert_eq!(without(CKU_USER), CKR_OK);
        assert!(makes_private_object(&p11, session).is_ok());
        // Whoever has a PIN gives it.
        assert_eq!(c!(p11.C_Logout(session)), CKR_OK);
        assert_eq!(p11.login(session, CKU_USER, b"wrong"), CKR_PIN_INCORRECT);
        assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
    }

    fn the_so_has_no_read_only_sessions(place) {
        let p11 = place.load();
        with_token(&p11);
        let (ro, rw) = (p11.open(0), p11.open(CKF_RW_SESSION));
        assert_eq!(p11.login(rw, CKU_SO, SO_PIN), CKR_SESSION_READ_ONLY_EXISTS);
        assert_eq!(p11.login(ro, CKU_SO, SO_PIN), CKR_SESSION_READ_ONLY_EXISTS);
        assert_eq!(c!(p11.C_CloseSession(ro)), CKR_OK);
        assert_eq!(p11.login(rw, CKU_SO, SO_PIN), CKR_OK);
        assert_eq!(p11.try_open(0, CKF_SERIAL_SESSION).0, CKR_SESSION_READ_WRITE_SO_EXISTS);
        assert_eq!(p11.try_open(0, CKF_SERIAL_SESSION | CKF_RW_SESSION).0, CKR_OK);
    }

    fn user_names_are_empty(place) {
        let p11 = place.load();
        with_token(&p11);
        let session = p11.open(0);
        let login = |name: *const u8, len| {
            let (pin, pin_len) = (USER_PIN.as_ptr().cast_mut(), USER_PIN.len() as CK_ULONG);
            c!(p11.C_LoginUser(session, CKU_USER, pin, pin_len, name.cast_mut(), len))
        };
        assert_eq!(login(b"ada".as_ptr(), 3), CKR_ARGUMENTS_BAD);
        assert_eq!(p11.state(session), CKS_RO_PUBLIC_SESSION);
        assert_eq!(login(null_mut(), 0), CKR_OK);
        assert_eq!(p11.state(session), CKS_RO_USER_FUNCTIONS);
    }

    fn logout_takes_private_objects_away(place) {
        let p11 = place.load();
        with_token(&p11);
        let session = p11.open(0);
        assert_eq!(makes_private_object(&p11, session), Err(CKR_USER_NOT_LOGGED_IN));
        assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
        let object = makes_private_object(&p11, session).unwrap();
        let mut size = 0;
        assert_eq!(c!(p11.C_GetObjectSize(session, object, &raw mut size)), CKR_OK);
        assert_eq!(c!(p11.C_Logout(session)), CKR_OK);
        assert_eq!(c!(p11.C_GetObjectSize(session, object, &raw mut size)), CKR_OBJECT_HANDLE_INVALID);
        assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
        assert_eq!(c!(p11.C_GetObjectSize(session, object, &raw mut size)), CKR_OBJECT_HANDLE_INVALID);
    }

    /// A secret key whose CKA_PRIVATE is false: everybody sees it, and only the user uses it.
    fn a_public_secret_key_is_the_users_to_use(place) {
        let p11 = place.load();
        let session = p11.user_session();
        let template = Template::new()
            .flag(CKA_TOKEN, true)
            .flag(CKA_PRIVATE, false)
            .flag(CKA_ENCRYPT, true)
            .number(CKA_VALUE_LEN, 32);
        p11.generate(session, plain(CKM_AES_KEY_GEN), &template).unwrap();
        let is_aes = Template::new().number(CKA_KEY_TYPE, CKK_AES);
        let encrypts = |session| {
            let key = p11.find(session, &is_aes).unwrap()[0];
            let mut iv = [0_u8; 16];
            let mut mechanism = CK_MECHANISM {
                mechanism: CKM_AES_CBC,
                pParameter: iv.as_mut_ptr().cast(),
                ulParameterLen: 16,
            };
            c!(p11.C_EncryptInit(session, &raw mut mechanism, key))
        };
        assert_eq!(encrypts(session), CKR_OK);
        assert_eq!(c!(p11.C_Logout(session)), CKR_OK);
        assert_eq!(encrypts(session), CKR_USER_NOT_LOGGED_IN);
        let elsewhere = trellis_tests::process::in_child(|| {
            p11.initialize();
            assert_eq!(encrypts(p11.open(0)), CKR_USER_NOT_LOGGED_IN);
            0
        });
        assert_eq!(elsewhere, 0);
    }

    /// Many threads log in at once: one of them does.
    fn one_of_many_threads_logs_in(place) {
        let p11 = place.load();
        with_token(&p11);
        let session = p11.open(0);
        let mut answers: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| p11.login(session, CKU_USER, USER_PIN))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        answers.sort_unstable();
        let already = CKR_USER_ALREADY_LOGGED_IN;
        assert_eq!(answers, [CKR_OK, already, already, already]);
    }
}
