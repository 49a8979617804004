//! Opening and closing sessions, and their states.

use std::ptr::null_mut;

use cryptoki_sys::*;
use trellis_tests::{
    c, isolated,
    raw::{Raw, SO_PIN, USER_PIN},
};

fn with_token(p11: &Raw) {
    p11.initialize();
    p11.make_token();
}

isolated! {
    fn flags_of_open_session(place) {
        let p11 = place.load();
        with_token(&p11);
        assert_eq!(p11.try_open(0, 0).0, CKR_SESSION_PARALLEL_NOT_SUPPORTED);
        assert_eq!(p11.try_open(0, CKF_RW_SESSION).0, CKR_SESSION_PARALLEL_NOT_SUPPORTED);
        assert_eq!(p11.try_open(0, CKF_SERIAL_SESSION | CKF_ASYNC_SESSION).0, CKR_SESSION_ASYNC_NOT_SUPPORTED);
        assert_eq!(p11.try_open(1, CKF_SERIAL_SESSION).0, CKR_SLOT_ID_INVALID);
        assert_eq!(c!(p11.C_OpenSession(0, CKF_SERIAL_SESSION, null_mut(), None, null_mut())), CKR_ARGUMENTS_BAD);
        let session = p11.open(0);
        assert_ne!(session, CK_INVALID_HANDLE);
    }

    fn a_notify_function_is_accepted(place) {
        #[expect(unsafe_code, reason = "the type of CK_NOTIFY")]
        unsafe extern "C" fn notify(_: CK_SESSION_HANDLE, _: CK_NOTIFICATION, _: *mut std::ffi::c_void) -> CK_RV {
            CKR_OK
        }
        let p11 = place.load();
        with_token(&p11);
        let (mut session, mut data) = (0, 7_u8);
        let application = (&raw mut data).cast();
        assert_eq!(
            c!(p11.C_OpenSession(0, CKF_SERIAL_SESSION, application, Some(notify), &raw mut session)),
            CKR_OK
        );
    }

    fn states(place) {
        let p11 = place.load();
        with_token(&p11);
        let (ro, rw) = (p11.open(0), p11.open(CKF_RW_SESSION));
        assert_eq!((p11.state(ro), p11.state(rw)), (CKS_RO_PUBLIC_SESSION, CKS_RW_PUBLIC_SESSION));
        assert_eq!(p11.login(ro, CKU_USER, USER_PIN), CKR_OK);
        assert_eq!((p11.state(ro), p11.state(rw)), (CKS_RO_USER_FUNCTIONS, CKS_RW_USER_FUNCTIONS));
        assert_eq!(c!(p11.C_Logout(rw)), CKR_OK);
        assert_eq!((p11.state(ro), p11.state(rw)), (CKS_RO_PUBLIC_SESSION, CKS_RW_PUBLIC_SESSION));
        assert_eq!(c!(p11.C_CloseSession(ro)), CKR_OK);
        assert_eq!(p11.login(rw, CKU_SO, SO_PIN), CKR_OK);
        assert_eq!(p11.state(rw), CKS_RW_SO_FUNCTIONS);
        let mut info = CK_SESSION_INFO::default();
        assert_eq!(c!(p11.C_GetSessionInfo(rw, &raw mut info)), CKR_OK);
        assert_eq!((info.slotID, info.flags, info.ulDeviceError), (0, CKF_SERIAL_SESSION | CKF_RW_SESSION, 0));
    }

    fn the_last_session_logs_out(place) {
        let p11 = place.load();
        with_token(&p11);
        let (first, second) = (p11.open(0), p11.open(0));
        assert_eq!(p11.login(first, CKU_USER, USER_PIN), CKR_OK);
        assert_eq!(c!(p11.C_CloseSession(first)), CKR_OK);
        assert_eq!(c!(p11.C_CloseSession(first)), CKR_SESSION_HANDLE_INVALID);
        assert_eq!(p11.state(second), CKS_RO_USER_FUNCTIONS);
        assert_eq!(c!(p11.C_CloseSession(second)), CKR_OK);
        let third = p11.open(0);
        assert_eq!(p11.state(third), CKS_RO_PUBLIC_SESSION);
        assert_eq!(p11.login(third, CKU_USER, USER_PIN), CKR_OK);
        assert_eq!(c!(p11.C_CloseAllSessions(0)), CKR_OK);
        assert_eq!(c!(p11.C_CloseSession(third)), CKR_SESSION_HANDLE_INVALID);
        let fourth = p11.open(0);
        assert_eq!(p11.state(fourth), CKS_RO_PUBLIC_SESSION);
        assert_eq!(c!(p11.C_CloseAllSessions(3)), CKR_SLOT_ID_INVALID);
    }

    fn session_objects_die_with_their_session(place) {
        let p11 = place.load();
        with_token(&p11);
        let (first, second) = (p11.open(0), p11.open(0));
        let (mut class, mut value) = (CKO_DATA, *b"some data");
        let mut template = [
            CK_ATTRIBUTE { type_: CKA_CLASS, pValue: (&raw mut class).cast(), ulValueLen: 8 },
            CK_ATTRIBUTE { type_: CKA_VALUE, pValue: value.as_mut_ptr().cast(), ulValueLen: 9 },
        ];
        let mut object = 0;
        assert_eq!(c!(p11.C_CreateObject(first, template.as_mut_ptr(), 2, &raw mut object)), CKR_OK);
        let mut size = 0;
        assert_eq!(c!(p11.C_GetObjectSize(second, object, &raw mut size)), CKR_OK);
        assert_eq!(c!(p11.C_CloseSession(first)), CKR_OK);
        assert_eq!(c!(p11.C_GetObjectSize(second, object, &raw mut size)), CKR_OBJECT_HANDLE_INVALID);
    }

    fn cancelling_operations(place) {
        let p11 = place.load();
        with_token(&p11);
        let session = p11.open(0);
        let mut mechanism = CK_MECHANISM { mechanism: CKM_SHA256, ..CK_MECHANISM::default() };
        assert_eq!(c!(p11.C_DigestInit(session, &raw mut mechanism)), CKR_OK);
        assert_eq!(c!(p11.C_FindObjectsInit(session, null_mut(), 0)), CKR_OK);
        assert_eq!(c!(p11.C_SessionCancel(session, CKF_DIGEST)), CKR_OK);
        assert_eq!(c!(p11.C_DigestUpdate(session, null_mut(), 0)), CKR_OPERATION_NOT_INITIALIZED);
        assert_eq!(c!(p11.C_FindObjectsFinal(session)), CKR_OK);
        assert_eq!(c!(p11.C_SessionCancel(session, CKF_DIGEST | CKF_SIGN)), CKR_OK);
    }

    fn random_numbers(place) {
        let p11 = place.load();
        with_token(&p11);
        let session = p11.open(0);
        let (mut first, mut second) = ([0; 32], [0; 32]);
        for bytes in [&mut first, &mut second] {
            assert_eq!(c!(p11.C_GenerateRandom(session, bytes.as_mut_ptr(), 32)), CKR_OK);
        }
        assert_ne!(first, second);
        assert_eq!(c!(p11.C_GenerateRandom(session, null_mut(), 0)), CKR_OK);
        assert_eq!(c!(p11.C_SeedRandom(session, first.as_mut_ptr(), 32)), CKR_OK);
        assert_eq!(c!(p11.C_SeedRandom(session, null_mut(), 0)), CKR_OK);
        assert_eq!(c!(p11.C_SeedRandom(session, null_mut(), 32)), CKR_ARGUMENTS_BAD);
        assert_eq!(c!(p11.C_GenerateRandom(session, second.as_mut_ptr(), 32)), CKR_OK);
        assert_ne!(first, second);
    }

    fn no_validation_is_claimed(place) {
        let p11 = place.load();
        with_token(&p11);
        let (session, mut flags) = (p11.open(0), 1);
        let kind = CK_SESSION_VALIDATION_FLAGS_TYPE::from(CKS_LAST_VALIDATION_OK);
        assert_eq!(c!(p11.C_GetSessionValidationFlags(session, kind, &raw mut flags)), CKR_OK);
        assert_eq!(flags, 0);
        assert_eq!(c!(p11.C_GetSessionValidationFlags(session, 99, &raw mut flags)), CKR_ARGUMENTS_BAD);
    }
}
