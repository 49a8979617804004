//! What Trellis does not do, all in one place. Each function still tells an uninitialised process, a child of fork(2)
//! and an unknown session from one that is not supported.

use std::ffi::c_void;

use cryptoki_sys as ck;

use super::guard::exports;
use crate::error::Error;

macro_rules! refuse {
    ($($error:ident { $(fn $name:ident($($argument:ident: $type:ty),* $(,)?);)* })*) => {
        exports! {$($(
            fn $name(session: ck::CK_SESSION_HANDLE, $($argument: $type),*) |module| {
                let _ = (module, $($argument,)*);
                Err(Error::$error)
            }
        )*)*}
    };
}

refuse! {
    // Parallel function management, which has been gone from the standard since v2.0.
    FunctionNotParallel {
        fn C_GetFunctionStatus();
        fn C_CancelFunction();
    }
    FunctionNotSupported {
        // Dual-function operations.
        fn C_DigestEncryptUpdate(a: *mut u8, b: ck::CK_ULONG, c: *mut u8, d: *mut ck::CK_ULONG);
        fn C_DecryptDigestUpdate(a: *mut u8, b: ck::CK_ULONG, c: *mut u8, d: *mut ck::CK_ULONG);
        fn C_SignEncryptUpdate(a: *mut u8, b: ck::CK_ULONG, c: *mut u8, d: *mut ck::CK_ULONG);
        fn C_DecryptVerifyUpdate(a: *mut u8, b: ck::CK_ULONG, c: *mut u8, d: *mut ck::CK_ULONG);
        // Key derivation and encapsulation.
        fn C_DeriveKey(
            a: *mut ck::CK_MECHANISM,
            b: ck::CK_OBJECT_HANDLE,
            c: *mut ck::CK_ATTRIBUTE,
            d: ck::CK_ULONG,
            e: *mut ck::CK_OBJECT_HANDLE,
        );
        fn C_EncapsulateKey(
            a: *mut ck::CK_MECHANISM,
            b: ck::CK_OBJECT_HANDLE,
            c: *mut ck::CK_ATTRIBUTE,
            d: ck::CK_ULONG,
            e: *mut u8,
            f: *mut ck::CK_ULONG,
            g: *mut ck::CK_OBJECT_HANDLE,
        );
        fn C_DecapsulateKey(
            a: *mut ck::CK_MECHANISM,
            b: ck::CK_OBJECT_HANDLE,
            c: *mut ck::CK_ATTRIBUTE,
            d: ck::CK_ULONG,
            e: *mut u8,
            f: ck::CK_ULONG,
            g: *mut ck::CK_OBJECT_HANDLE,
        );
        // Message-based encryption and decryption.
        fn C_MessageEncryptInit(a: *mut ck::CK_MECHANISM, b: ck::CK_OBJECT_HANDLE);
        fn C_EncryptMessage(
            a: *mut c_void,
            b: ck::CK_ULONG,
            c: *mut u8,
            d: ck::CK_ULONG,
            e: *mut u8,
            f: ck::CK_ULONG,
            g: *mut u8,
            h: *mut ck::CK_ULONG,
        );
        fn C_EncryptMessageBegin(a: *mut c_void, b: ck::CK_ULONG, c: *mut u8, d: ck::CK_ULONG);
        fn C_EncryptMessageNext(
            a: *mut c_void,
            b: ck::CK_ULONG,
            c: *mut u8,
            d: ck::CK_ULONG,
            e: *mut u8,
            f: *mut ck::CK_ULONG,
            g: ck::CK_FLAGS,
        );
        fn C_MessageEncryptFinal();
        fn C_MessageDecryptInit(a: *mut ck::CK_MECHANISM, b: ck::CK_OBJECT_HANDLE);
        fn C_DecryptMessage(
            a: *mut c_void,
            b: ck::CK_ULONG,
            c: *mut u8,
            d: ck::CK_ULONG,
            e: *mut u8,
            f: ck::CK_ULONG,
            g: *mut u8,
            h: *mut ck::CK_ULONG,
        );
        fn C_DecryptMessageBegin(a: *mut c_void, b: ck::CK_ULONG, c: *mut u8, d: ck::CK_ULONG);
        fn C_DecryptMessageNext(
            a: *mut c_void,
            b: ck::CK_ULONG,
            c: *mut u8,
            d: ck::CK_ULONG,
            e: *mut u8,
            f: *mut ck::CK_ULONG,
            g: ck::CK_FLAGS,
        );
        fn C_MessageDecryptFinal();
        // Asynchronous operations.
        fn C_AsyncComplete(a: *mut ck::CK_UTF8CHAR, b: *mut ck::CK_ASYNC_DATA);
        fn C_AsyncGetID(a: *mut ck::CK_UTF8CHAR, b: *mut ck::CK_ULONG);
        fn C_AsyncJoin(a: *mut ck::CK_UTF8CHAR, b: ck::CK_ULONG, c: *mut u8, d: ck::CK_ULONG);
    }
}
