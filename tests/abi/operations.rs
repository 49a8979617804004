//! What the `cryptoki` crate does not reach: length queries, context-specific login, the message functions.

use std::ptr::null_mut;

use cryptoki_sys::*;
use trellis_tests::{
    c, isolated,
    raw::{Raw, USER_PIN},
};

/// A session of the user with an Ed25519 key pair, with `always` as CKA_ALWAYS_AUTHENTICATE.
fn with_key(p11: &Raw, mut always: CK_BBOOL) -> (CK_SESSION_HANDLE, CK_OBJECT_HANDLE, CK_OBJECT_HANDLE) {
    p11.initialize();
    p11.make_token();
    let session = p11.open(CKF_RW_SESSION);
    assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
    let mut curve = [0x06_u8, 0x03, 0x2b, 0x65, 0x70];
    let mut public_template =
        [CK_ATTRIBUTE { type_: CKA_EC_PARAMS, pValue: curve.as_mut_ptr().cast(), ulValueLen: 5 }];
    let mut private_template =
        [CK_ATTRIBUTE { type_: CKA_ALWAYS_AUTHENTICATE, pValue: (&raw mut always).cast(), ulValueLen: 1 }];
    let mut mechanism = CK_MECHANISM { mechanism: CKM_EC_EDWARDS_KEY_PAIR_GEN, ..CK_MECHANISM::default() };
    let (mut public, mut private) = (0, 0);
    let rv = c!(p11.C_GenerateKeyPair(
        session,
        &raw mut mechanism,
        public_template.as_mut_ptr(),
        1,
        private_template.as_mut_ptr(),
        1,
        &raw mut public,
        &raw mut private,
    ));
    assert_eq!(rv, CKR_OK);
    (session, public, private)
}

fn eddsa() -> CK_MECHANISM {
    CK_MECHANISM { mechanism: CKM_EDDSA, ..CK_MECHANISM::default() }
}

fn begin(p11: &Raw, session: CK_SESSION_HANDLE, key: CK_OBJECT_HANDLE) -> CK_RV {
    c!(p11.C_SignInit(session, std::ptr::from_mut(&mut eddsa()), key))
}

const MESSAGE: &[u8] = b"message";

fn sign(p11: &Raw, session: CK_SESSION_HANDLE, buffer: &mut [u8]) -> (CK_RV, CK_ULONG) {
    let mut len = buffer.len() as CK_ULONG;
    let out = if buffer.is_empty() { null_mut() } else { buffer.as_mut_ptr() };
    let rv =
        c!(p11.C_Sign(session, MESSAGE.as_ptr().cast_mut(), MESSAGE.len() as CK_ULONG, out, &raw mut len));
    (rv, len)
}

isolated! {
    /// No mechanism of ours recovers what was signed.
    fn recovering_is_no_mechanisms_business(place) {
        let p11 = place.load();
        let (session, public, private) = with_key(&p11, CK_FALSE);
        let mut mechanism = eddsa();
        let (mut out, mut len) = ([0; 64], 64);
        assert_eq!(c!(p11.C_SignRecoverInit(session, &raw mut mechanism, private)), CKR_MECHANISM_INVALID);
        assert_eq!(c!(p11.C_VerifyRecoverInit(session, &raw mut mechanism, public)), CKR_MECHANISM_INVALID);
        let message = MESSAGE.as_ptr().cast_mut();
        let rv = c!(p11.C_SignRecover(session, message, 7, out.as_mut_ptr(), &raw mut len));
        assert_eq!(rv, CKR_OPERATION_NOT_INITIALIZED);
        let rv = c!(p11.C_VerifyRecover(session, message, 7, out.as_mut_ptr(), &raw mut len));
        assert_eq!(rv, CKR_OPERATION_NOT_INITIALIZED);
    }

    /// C_SessionCancel ends the signing or verifying of messages, each by its own flag alone.
    fn message_operations_are_cancelled(place) {
        let p11 = place.load();
        let (session, public, private) = with_key(&p11, CK_FALSE);
        let mut mechanism = eddsa();
        assert_eq!(c!(p11.C_MessageSignInit(session, &raw mut mechanism, private)), CKR_OK);
        assert_eq!(c!(p11.C_MessageVerifyInit(session, &raw mut mechanism, public)), CKR_OK);
        assert_eq!(c!(p11.C_SessionCancel(session, CKF_SIGN | CKF_VERIFY)), CKR_OK);
        assert_eq!(c!(p11.C_MessageSignInit(session, &raw mut mechanism, private)), CKR_OPERATION_ACTIVE);
        assert_eq!(c!(p11.C_SessionCancel(session, CKF_MESSAGE_SIGN)), CKR_OK);
        assert_eq!(c!(p11.C_MessageSignFinal(session)), CKR_OPERATION_NOT_INITIALIZED);
        assert_eq!(c!(p11.C_MessageVerifyInit(session, &raw mut mechanism, public)), CKR_OPERATION_ACTIVE);
        assert_eq!(c!(p11.C_SessionCancel(session, CKF_MESSAGE_VERIFY)), CKR_OK);
        assert_eq!(c!(p11.C_MessageVerifyFinal(session)), CKR_OPERATION_NOT_INITIALIZED);
    }

    fn length_query_small_buffer_signature(place) {
        let p11 = place.load();
        let (session, _, private) = with_key(&p11, CK_FALSE);
        let mut signature = [0; 64];
        assert_eq!(sign(&p11, session, &mut signature).0, CKR_OPERATION_NOT_INITIALIZED);
        assert_eq!(begin(&p11, session, private), CKR_OK);
        assert_eq!(sign(&p11, session, &mut []), (CKR_OK, 64));
        assert_eq!(sign(&p11, session, &mut [0; 63]), (CKR_BUFFER_TOO_SMALL, 64));
        assert_eq!(sign(&p11, session, &mut signature), (CKR_OK, 64));
        assert_ne!(signature, [0; 64]);
        assert_eq!(sign(&p11, session, &mut signature).0, CKR_OPERATION_NOT_INITIALIZED);
        // Signing in place.
        let mut memory = [0; 64];
        memory[..MESSAGE.len()].copy_from_slice(MESSAGE);
        let mut len = 64;
        assert_eq!(begin(&p11, session, private), CKR_OK);
        let pointer = memory.as_mut_ptr();
        assert_eq!(c!(p11.C_Sign(session, pointer, MESSAGE.len() as CK_ULONG, pointer, &raw mut len)), CKR_OK);
        assert_eq!(memory, signature);
    }

    fn keys_that_want_the_pin_for_each_use(place) {
        let p11 = place.load();
        let (session, _, private) = with_key(&p11, CK_TRUE);
        let mut signature = [0; 64];
        let context = CKU_CONTEXT_SPECIFIC;
        assert_eq!(p11.login(session, context, USER_PIN), CKR_OPERATION_NOT_INITIALIZED);
        for _ in 0..2 {
            assert_eq!(begin(&p11, session, private), CKR_OK);
            assert_eq!(p11.login(session, context, b"wrong PIN"), CKR_PIN_INCORRECT);
            assert_eq!(p11.login(session, context, USER_PIN), CKR_OK);
            assert_eq!(sign(&p11, session, &mut signature).0, CKR_OK);
        }
        assert_eq!(begin(&p11, session, private), CKR_OK);
        assert_eq!(sign(&p11, session, &mut signature).0, CKR_USER_NOT_LOGGED_IN);
        // Wrong PINs count here as everywhere.
        assert_ne!(begin(&p11, session, private), CKR_OPERATION_ACTIVE);
    }

    fn logout_ends_what_a_private_key_does(place) {
        let p11 = place.load();
        let (session, _, private) = with_key(&p11, CK_FALSE);
        assert_eq!(begin(&p11, session, private), CKR_OK);
        assert_eq!(c!(p11.C_Logout(session)), CKR_OK);
        assert_eq!(sign(&p11, session, &mut [0; 64]).0, CKR_OPERATION_NOT_INITIALIZED);
        assert_eq!(begin(&p11, session, private), CKR_KEY_HANDLE_INVALID);
    }

    fn messages(place) {
        let p11 = place.load();
        let (session, public, private) = with_key(&p11, CK_FALSE);
        let (data, len) = (MESSAGE.as_ptr().cast_mut(), MESSAGE.len() as CK_ULONG);
        let (mut signature, mut signature_len) = ([0; 64], 64);
        let out = signature.as_mut_ptr();
        assert_eq!(c!(p11.C_MessageSignInit(session, std::ptr::from_mut(&mut eddsa()), private)), CKR_OK);
        assert_eq!(
            c!(p11.C_SignMessage(session, null_mut(), 0, data, len, null_mut(), &raw mut signature_len)),
            CKR_OK
        );
        assert_eq!(signature_len, 64);
        for _ in 0..2 {
            assert_eq!(c!(p11.C_SignMessage(session, null_mut(), 0, data, len, out, &raw mut signature_len)), CKR_OK);
        }
        let one_part = signature;
        assert_eq!(c!(p11.C_SignMessageBegin(session, null_mut(), 0)), CKR_OK);
        assert_eq!(c!(p11.C_SignMessageNext(session, null_mut(), 0, data, 3, null_mut(), null_mut())), CKR_OK);
        let rest = data.wrapping_add(3);
        assert_eq!(
            c!(p11.C_SignMessageNext(session, null_mut(), 0, rest, len - 3, out, &raw mut signature_len)),
            CKR_OK
        );
        assert_eq!(signature, one_part);
        assert_eq!(c!(p11.C_MessageSignFinal(session)), CKR_OK);
        assert_eq!(c!(p11.C_MessageSignFinal(session)), CKR_OPERATION_NOT_INITIALIZED);

        assert_eq!(c!(p11.C_MessageVerifyInit(session, std::ptr::from_mut(&mut eddsa()), public)), CKR_OK);
        assert_eq!(c!(p11.C_VerifyMessage(session, null_mut(), 0, data, len, out, 64)), CKR_OK);
        assert_eq!(c!(p11.C_VerifyMessage(session, null_mut(), 0, data, 3, out, 64)), CKR_SIGNATURE_INVALID);
        assert_eq!(c!(p11.C_VerifyMessageBegin(session, null_mut(), 0)), CKR_OK);
        assert_eq!(c!(p11.C_VerifyMessageNext(session, null_mut(), 0, data, 3, null_mut(), 0)), CKR_OK);
        assert_eq!(c!(p11.C_VerifyMessageNext(session, null_mut(), 0, rest, len - 3, out, 64)), CKR_OK);
        assert_eq!(c!(p11.C_MessageVerifyFinal(session)), CKR_OK);
    }

    /// The process goes on: the next message is signed, and nothing of the one that failed is in it.
    fn a_bad_argument_ends_the_message(place) {
        let p11 = place.load();
        let (session, public, private) = with_key(&p11, CK_FALSE);
        let (data, len) = (MESSAGE.as_ptr().cast_mut(), MESSAGE.len() as CK_ULONG);
        let (mut signature, mut signature_len) = ([0; 64], 64);
        let out = signature.as_mut_ptr();
        let absurd = CK_ULONG::MAX;
        assert_eq!(c!(p11.C_MessageSignInit(session, std::ptr::from_mut(&mut eddsa()), private)), CKR_OK);
        let next = |part, part_len, out, len: *mut CK_ULONG| {
            c!(p11.C_SignMessageNext(session, null_mut(), 0, part, part_len, out, len))
        };
        let mut absurd_len = absurd;
        for (part, part_len, out, len) in [
            (null_mut(), 1, null_mut(), null_mut()),
            (data, absurd, null_mut(), null_mut()),
            (data, len, out, &raw mut absurd_len),
        ] {
            assert_eq!(c!(p11.C_SignMessageBegin(session, null_mut(), 0)), CKR_OK);
            assert_eq!(next(data, 3, null_mut(), null_mut()), CKR_OK);
            assert_eq!(next(part, part_len, out, len), CKR_ARGUMENTS_BAD);
            assert_eq!(next(data, 3, null_mut(), null_mut()), CKR_OPERATION_NOT_INITIALIZED);
        }
        assert_eq!(c!(p11.C_SignMessageBegin(session, null_mut(), 0)), CKR_OK);
        assert_eq!(next(data, len, out, &raw mut signature_len), CKR_OK);
        assert_eq!(c!(p11.C_MessageSignFinal(session)), CKR_OK);

        assert_eq!(c!(p11.C_MessageVerifyInit(session, std::ptr::from_mut(&mut eddsa()), public)), CKR_OK);
        let next = |part, part_len, signature, len| {
            c!(p11.C_VerifyMessageNext(session, null_mut(), 0, part, part_len, signature, len))
        };
        for (part, part_len, signature, len) in [(null_mut(), 1, null_mut(), 0), (data, len, out, absurd)] {
            assert_eq!(c!(p11.C_VerifyMessageBegin(session, null_mut(), 0)), CKR_OK);
            assert_eq!(next(data, 3, null_mut(), 0), CKR_OK);
            assert_eq!(next(part, part_len, signature, len), CKR_ARGUMENTS_BAD);
            assert_eq!(next(data, 3, null_mut(), 0), CKR_OPERATION_NOT_INITIALIZED);
        }
        assert_eq!(c!(p11.C_VerifyMessageBegin(session, null_mut(), 0)), CKR_OK);
        assert_eq!(next(data, len, out, 64), CKR_OK);
        assert_eq!(c!(p11.C_MessageVerifyFinal(session)), CKR_OK);
    }

    /// One CK_ATTRIBUTE of each fate in one C_GetAttributeValue: what can be answered is.
    fn attributes_are_answered_one_by_one(place) {
        let p11 = place.load();
        let (session, _, private) = with_key(&p11, CK_FALSE);
        let (mut class, mut label, mut value) = (0_u64, [0_u8; 4], [0_u8; 64]);
        let attribute = |type_, pointer: *mut u8, len| CK_ATTRIBUTE { type_, pValue: pointer.cast(), ulValueLen: len };
        let mut template = [
            attribute(CKA_CLASS, (&raw mut class).cast(), 8),
            attribute(CKA_VALUE, value.as_mut_ptr(), 64),
            attribute(CKA_MODULUS, value.as_mut_ptr(), 64),
            attribute(CKA_LABEL, label.as_mut_ptr(), 4),
            attribute(CKA_PUBLIC_KEY_INFO, null_mut(), 0),
            attribute(CKA_PUBLIC_KEY_INFO, value.as_mut_ptr(), 10),
        ];
        let rv = c!(p11.C_GetAttributeValue(session, private, template.as_mut_ptr(), 6));
        assert_eq!(rv, CKR_ATTRIBUTE_SENSITIVE);
        let lengths = template.map(|attribute| attribute.ulValueLen);
        let none = CK_UNAVAILABLE_INFORMATION;
        assert_eq!((class, lengths), (CKO_PRIVATE_KEY, [8, none, none, 0, 44, none]));
        assert_eq!(value, [0; 64]);
    }
}
