//! Every function of the list with arguments of one kind: for tests that hold for all functions.

#![expect(unsafe_code, reason = "this is the C side of the C ABI")]

use std::ffi::c_void;

use cryptoki_sys::*;

/// What arguments are made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arguments {
    /// The first argument, if it is a number: a session or slot.
    pub(crate) first: u64,
    /// All other numbers: lengths, counts, flags, handles.
    pub(crate) number: u64,
    /// Every pointer.
    pub(crate) pointer: *mut c_void,
}

trait Argument {
    fn make(arguments: &Arguments, is_first: bool) -> Self;
}

impl Argument for CK_ULONG {
    fn make(arguments: &Arguments, is_first: bool) -> Self {
        if is_first { arguments.first } else { arguments.number }
    }
}

impl Argument for CK_BBOOL {
    fn make(_: &Arguments, _: bool) -> Self {
        CK_FALSE
    }
}

impl<T> Argument for *mut T {
    fn make(arguments: &Arguments, _: bool) -> Self {
        arguments.pointer.cast()
    }
}

impl Argument for CK_NOTIFY {
    fn make(_: &Arguments, _: bool) -> Self {
        None
    }
}

trait Function {
    unsafe fn call(&self, arguments: &Arguments) -> CK_RV;
}

macro_rules! functions {
    ($first:ident $($rest:ident)*) => {
        impl<$first: Argument, $($rest: Argument),*> Function
            for Option<unsafe extern "C" fn($first, $($rest),*) -> CK_RV>
        {
            unsafe fn call(&self, arguments: &Arguments) -> CK_RV {
                let function = self.expect("every function is listed");
                // SAFETY: passed on.
                unsafe { function($first::make(arguments, true), $($rest::make(arguments, false)),*) }
            }
        }
        functions!($($rest)*);
    };
    () => {};
}

functions!(A B C D E F G H I J);

macro_rules! every {
    ($($name:ident)*) => {
        /// The names of all functions, in the order of the list.
        pub(crate) const NAMES: &[&str] = &[$(stringify!($name)),*];

        /// Calls one function by name.
        ///
        /// # Safety
        /// The arguments are right for it, or wrong in a way that the module must notice.
        pub(crate) unsafe fn call_one(list: &CK_FUNCTION_LIST_3_2, name: &str, arguments: &Arguments) -> CK_RV {
            match name {
                // SAFETY: passed on.
                $(stringify!($name) => unsafe { list.$name.call(arguments) },)*
                _ => panic!("no function {name}"),
            }
        }

        /// Calls every function.
        ///
        /// # Safety
        /// The arguments are right for all of them, or wrong in a way that the module must notice.
        pub(crate) unsafe fn call_all(list: &CK_FUNCTION_LIST_3_2, arguments: &Arguments) -> Vec<(&'static str, CK_RV)> {
            // SAFETY: passed on.
            NAMES.iter().map(|name| (*name, unsafe { call_one(list, name, arguments) })).collect()
        }
    };
}

// C_Initialize, C_Finalize and the blocking C_WaitForSlotEvent have tests of their own.
every! {
    C_GetInfo C_GetFunctionList C_GetSlotList C_GetSlotInfo C_GetTokenInfo C_GetMechanismList C_GetMechanismInfo
    C_InitToken C_InitPIN C_SetPIN C_OpenSession C_CloseSession C_CloseAllSessions C_GetSessionInfo
    C_GetOperationState C_SetOperationState C_Login C_Logout C_CreateObject C_CopyObject C_DestroyObject
    C_GetObjectSize C_GetAttributeValue C_SetAttributeValue C_FindObjectsInit C_FindObjects C_FindObjectsFinal
    C_EncryptInit C_Encrypt C_EncryptUpdate C_EncryptFinal C_DecryptInit C_Decrypt C_DecryptUpdate C_DecryptFinal
    C_DigestInit C_Digest C_DigestUpdate C_DigestKey C_DigestFinal C_SignInit C_Sign C_SignUpdate C_SignFinal
    C_SignRecoverInit C_SignRecover C_VerifyInit C_Verify C_VerifyUpdate C_VerifyFinal C_VerifyRecoverInit
    C_VerifyRecover C_DigestEncryptUpdate C_DecryptDigestUpdate C_SignEncryptUpdate C_DecryptVerifyUpdate
    C_GenerateKey C_GenerateKeyPair C_WrapKey C_UnwrapKey C_DeriveKey C_SeedRandom C_GenerateRandom
    C_GetFunctionStatus C_CancelFunction C_GetInterfaceList C_GetInterface C_LoginUser C_SessionCancel
    C_MessageEncryptInit C_EncryptMessage C_EncryptMessageBegin C_EncryptMessageNext C_MessageEncryptFinal
    C_MessageDecryptInit C_DecryptMessage C_DecryptMessageBegin C_DecryptMessageNext C_MessageDecryptFinal
    C_MessageSignInit C_SignMessage C_SignMessageBegin C_SignMessageNext C_MessageSignFinal C_MessageVerifyInit
    C_VerifyMessage C_VerifyMessageBegin C_VerifyMessageNext C_MessageVerifyFinal C_EncapsulateKey C_DecapsulateKey
    C_VerifySignatureInit C_VerifySignature C_VerifySignatureUpdate C_VerifySignatureFinal
    C_GetSessionValidationFlags C_AsyncComplete C_AsyncGetID C_AsyncJoin C_WrapKeyAuthenticated
    C_UnwrapKeyAuthenticated
}

/// Functions that need no initialised module.
pub(crate) const NEED_NOTHING: [&str; 3] = ["C_GetFunctionList", "C_GetInterfaceList", "C_GetInterface"];

/// Calls every function with NULL pointers and zeros, and asserts that all that need an initialised module say so.
pub(crate) fn assert_not_initialized(list: &CK_FUNCTION_LIST_3_2) {
    let nothing = Arguments { first: 0, number: 0, pointer: std::ptr::null_mut() };
    // SAFETY: NULL is something that the module must notice.
    for (name, rv) in unsafe { call_all(list, &nothing) } {
        let expected =
            if NEED_NOTHING.contains(&name) { CKR_ARGUMENTS_BAD } else { CKR_CRYPTOKI_NOT_INITIALIZED };
        assert_eq!(rv, expected, "{name}");
    }
}
