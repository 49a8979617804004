//! NULLs, absurd lengths, hostile bytes and misaligned pointers, for every function.

#![expect(unsafe_code, reason = "this is the C side of the C ABI")]

use std::ptr::null_mut;

use cryptoki_sys::*;
use trellis_tests::{c, isolated};

use crate::abuse::{Arguments, NAMES, call_one};

/// What a function answers to NULL pointers beside lengths that are not 0, in an open session.
fn to_null(name: &str, number: u64) -> CK_RV {
    match name {
        // The number is the session's, and no slot has it.
        "C_GetMechanismList" | "C_CloseAllSessions" => CKR_SLOT_ID_INVALID,
        "C_GetFunctionStatus" | "C_CancelFunction" => CKR_FUNCTION_NOT_PARALLEL,
        "C_DigestEncryptUpdate"
        | "C_DecryptDigestUpdate"
        | "C_SignEncryptUpdate"
        | "C_DecryptVerifyUpdate"
        | "C_DeriveKey"
        | "C_EncapsulateKey"
        | "C_DecapsulateKey"
        | "C_MessageEncryptInit"
        | "C_EncryptMessage"
        | "C_EncryptMessageBegin"
        | "C_EncryptMessageNext"
        | "C_MessageEncryptFinal"
        | "C_MessageDecryptInit"
        | "C_DecryptMessage"
        | "C_DecryptMessageBegin"
        | "C_DecryptMessageNext"
        | "C_MessageDecryptFinal"
        | "C_AsyncComplete"
        | "C_AsyncGetID"
        | "C_AsyncJoin" => CKR_FUNCTION_NOT_SUPPORTED,
        // A NULL mechanism ends the operation, and there was none.
        "C_EncryptInit"
        | "C_DecryptInit"
        | "C_DigestInit"
        | "C_SignInit"
        | "C_SignRecoverInit"
        | "C_VerifyInit"
        | "C_VerifyRecoverInit"
        | "C_MessageSignInit"
        | "C_MessageVerifyInit"
        | "C_VerifySignatureInit"
        | "C_SessionCancel"
        | "C_CloseSession" => CKR_OK,
        "C_FindObjectsFinal"
        | "C_DigestKey"
        | "C_MessageSignFinal"
        | "C_MessageVerifyFinal"
        | "C_VerifySignatureFinal" => CKR_OPERATION_NOT_INITIALIZED,
        "C_SignMessageBegin" | "C_VerifyMessageBegin" => CKR_OPERATION_NOT_INITIALIZED,
        "C_DestroyObject" => CKR_OBJECT_HANDLE_INVALID,
        "C_Logout" => CKR_USER_NOT_LOGGED_IN,
        // The number is the type of user, and the PIN is looked at after it.
        "C_Login" | "C_LoginUser" if number > 2 => CKR_USER_TYPE_INVALID,
        _ => CKR_ARGUMENTS_BAD,
    }
}

isolated! {
    fn null_beside_a_length_is_bad_arguments(place) {
        let p11 = place.load();
        p11.initialize();
        p11.make_token();
        let mut wrong = Vec::new();
        for number in [3000, 1 << 63, u64::MAX] {
            for name in NAMES {
                let session = p11.open(CKF_RW_SESSION);
                let arguments = Arguments { first: session, number, pointer: null_mut() };
                // SAFETY: NULL is something that the module must notice.
                let answer = unsafe { call_one(p11.list, name, &arguments) };
                if answer != to_null(name, number) {
                    wrong.push(format!("{name} with {number:#x}: {answer:#x}"));
                }
                if *name != "C_CloseSession" {
                    assert_eq!(c!(p11.C_CloseSession(session)), CKR_OK);
                }
            }
        }
        assert_eq!(wrong, [""; 0]);
    }

    fn an_unknown_session_is_told(place) {
        let p11 = place.load();
        p11.initialize();
        p11.make_token();
        let of_slots = ["C_GetSlotInfo", "C_GetTokenInfo", "C_GetMechanismList", "C_GetMechanismInfo",
            "C_InitToken", "C_OpenSession", "C_CloseAllSessions"];
        let of_neither = ["C_GetInfo", "C_GetFunctionList", "C_GetSlotList", "C_GetInterfaceList", "C_GetInterface"];
        for name in NAMES.iter().filter(|name| !of_neither.contains(name)) {
            let mut zeros = [0_u64; 64];
            let arguments = Arguments { first: 0xdead, number: 0, pointer: zeros.as_mut_ptr().cast() };
            // SAFETY: every pointer is to zeros enough, and every length is 0.
            let rv = unsafe { call_one(p11.list, name, &arguments) };
            let expected = if of_slots.contains(name) { CKR_SLOT_ID_INVALID } else { CKR_SESSION_HANDLE_INVALID };
            assert_eq!(rv, expected, "{name}");
            // It goes before everything else that is wrong (section 5.1.7).
            if !of_slots.contains(name) {
                let arguments = Arguments { first: 0xdead, number: 3000, pointer: null_mut() };
                // SAFETY: NULL is something that the module must notice.
                assert_eq!(unsafe { call_one(p11.list, name, &arguments) }, CKR_SESSION_HANDLE_INVALID, "{name}");
            }
        }
    }

    /// Structs full of ones: lengths that no memory has, pointers to nowhere, unknown mechanisms and attributes.
    fn hostile_bytes_are_refused(place) {
        let p11 = place.load();
        p11.initialize();
        p11.make_token();
        let mut ones = [u64::MAX; 64];
        ones[63] = 0;
        let hostile = Arguments { first: 0, number: u64::MAX, pointer: ones.as_mut_ptr().cast() };
        for name in NAMES {
            let mut copy = ones;
            let session = p11.open(CKF_RW_SESSION);
            let arguments = Arguments { first: session, pointer: copy.as_mut_ptr().cast(), ..hostile };
            // SAFETY: no length says that there is less memory than there is, but that there is absurdly much.
            let rv = unsafe { call_one(p11.list, name, &arguments) };
            let harmless = ["C_GetInfo", "C_GetFunctionList", "C_GetSlotList", "C_GetSessionInfo",
                "C_GetInterfaceList", "C_SessionCancel", "C_CloseSession"];
            assert_eq!(rv == CKR_OK, harmless.contains(name), "{name}: {rv:#x}");
            assert_ne!(rv, CKR_GENERAL_ERROR, "{name}");
            if *name != "C_CloseSession" {
                assert_eq!(c!(p11.C_CloseSession(session)), CKR_OK, "{name}");
            }
        }
    }

    fn misaligned_pointers_are_read_and_written(place) {
        let p11 = place.load();
        p11.initialize();
        p11.make_token();
        let mut memory = [0_u8; 512];
        // SAFETY: within the array.
        let odd = unsafe { memory.as_mut_ptr().add(memory.as_ptr().align_offset(8) + 1) };
        assert_eq!(c!(p11.C_GetInfo(odd.cast())), CKR_OK);
        assert_eq!(c!(p11.C_GetTokenInfo(0, odd.cast())), CKR_OK);
        assert_eq!(c!(p11.C_OpenSession(0, CKF_SERIAL_SESSION, null_mut(), None, odd.cast())), CKR_OK);
        // SAFETY: within the array, and written by the module.
        let session = unsafe { odd.cast::<CK_SESSION_HANDLE>().read_unaligned() };
        assert_eq!(c!(p11.C_GetSessionInfo(session, odd.cast())), CKR_OK);

        // A template whose structs and values are misaligned.
        // SAFETY: within the array.
        unsafe {
            let class = odd.add(256);
            class.cast::<CK_OBJECT_CLASS>().write_unaligned(CKO_PROFILE);
            let attribute = CK_ATTRIBUTE { type_: CKA_CLASS, pValue: class.cast(), ulValueLen: 8 };
            odd.cast::<CK_ATTRIBUTE>().write_unaligned(attribute);
        }
        assert_eq!(c!(p11.C_FindObjectsInit(session, odd.cast(), 1)), CKR_OK);
        // SAFETY: within the array.
        let count = unsafe { odd.add(128) };
        assert_eq!(c!(p11.C_FindObjects(session, odd.cast(), 8, count.cast())), CKR_OK);
        // SAFETY: within the array, and written by the module.
        assert!(unsafe { count.cast::<CK_ULONG>().read_unaligned() } > 0);
    }

    fn the_length_convention(place) {
        let p11 = place.load();
        p11.initialize();
        p11.make_token();
        let session = p11.open(0);
        let digest = |len: &mut CK_ULONG, buffer: *mut u8| {
            c!(p11.C_Digest(session, c"abc".as_ptr().cast_mut().cast(), 3, buffer, std::ptr::from_mut(len)))
        };
        let mut mechanism = CK_MECHANISM { mechanism: CKM_SHA256, ..CK_MECHANISM::default() };
        assert_eq!(c!(p11.C_DigestInit(session, &raw mut mechanism)), CKR_OK);
        let (mut len, mut buffer) = (0, [0_u8; 64]);
        assert_eq!((digest(&mut len, null_mut()), len), (CKR_OK, 32));
        len = 31;
        assert_eq!((digest(&mut len, buffer.as_mut_ptr()), len), (CKR_BUFFER_TOO_SMALL, 32));
        len = 64;
        assert_eq!((digest(&mut len, buffer.as_mut_ptr()), len), (CKR_OK, 32));
        assert_eq!(buffer[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(buffer[32..], [0; 32]);
        assert_eq!(digest(&mut len, buffer.as_mut_ptr()), CKR_OPERATION_NOT_INITIALIZED);
    }

    /// Any error but CKR_BUFFER_TOO_SMALL ends the operation, and so does a bad argument.
    fn a_bad_argument_ends_the_operation(place) {
        let p11 = place.load();
        p11.initialize();
        p11.make_token();
        let session = p11.open(0);
        let mut mechanism = CK_MECHANISM { mechanism: CKM_SHA256, ..CK_MECHANISM::default() };
        assert_eq!(c!(p11.C_DigestInit(session, &raw mut mechanism)), CKR_OK);
        assert_eq!(c!(p11.C_DigestInit(session, &raw mut mechanism)), CKR_OPERATION_ACTIVE);
        assert_eq!(c!(p11.C_DigestUpdate(session, null_mut(), 1)), CKR_ARGUMENTS_BAD);
        assert_eq!(c!(p11.C_DigestInit(session, &raw mut mechanism)), CKR_OK);
        assert_eq!(c!(p11.C_DigestFinal(session, null_mut(), null_mut())), CKR_ARGUMENTS_BAD);
        assert_eq!(c!(p11.C_DigestInit(session, &raw mut mechanism)), CKR_OK);
        // A NULL mechanism ends it without an error.
        assert_eq!(c!(p11.C_DigestInit(session, null_mut())), CKR_OK);
        assert_eq!(c!(p11.C_DigestUpdate(session, null_mut(), 0)), CKR_OPERATION_NOT_INITIALIZED);
    }

    /// Encrypting in place, and with overlapping buffers.
    fn output_may_overlap_input(place) {
        let p11 = place.load();
        p11.initialize();
        p11.make_token();
        let session = p11.open(0);
        let mechanism = CK_MECHANISM { mechanism: CKM_SHA512, ..CK_MECHANISM::default() };
        let digest = |memory: &mut [u8; 96], from: usize, to: usize| {
            let mut mechanism = mechanism;
            assert_eq!(c!(p11.C_DigestInit(session, &raw mut mechanism)), CKR_OK);
            let (start, mut len) = (memory.as_mut_ptr(), 64);
            let (input, output) = (start.wrapping_add(from), start.wrapping_add(to));
            assert_eq!(c!(p11.C_Digest(session, input, 32, output, &raw mut len)), CKR_OK);
            memory[to..to + 64].to_vec()
        };
        let message: [u8; 96] = std::array::from_fn(|index| index as u8);
        let apart = digest(&mut message.clone(), 64, 0);
        for (from, to) in [(0, 0), (0, 16), (16, 0), (32, 0)] {
            let mut memory = [0; 96];
            memory[from..from + 32].copy_from_slice(&message[64..]);
            assert_eq!(digest(&mut memory, from, to), apart, "{from} to {to}");
        }
    }
}
