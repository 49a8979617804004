//! The function lists and interfaces. There is one table of functions; the lists of v2.40 and v3.0 are its beginnings.

use std::ffi::CStr;

use cryptoki_sys as ck;

use super::{
    cipher::*, digest::*, general::*, keys::*, message::*, objects::*, random::*, sessions::*, sign::*,
    slots::*, unsupported::*, vendor, verify::*,
};

macro_rules! function_lists {
    (v2_40 { $($v2_40:ident)* } v3_0 { $($v3_0:ident)* } v3_2 { $($v3_2:ident)* }) => {
        /// The list of v2.40, for C_GetFunctionList and clients that want it by name.
        pub(super) static LIST_2_40: ck::CK_FUNCTION_LIST =
            ck::CK_FUNCTION_LIST { version: ck::CK_VERSION { major: 2, minor: 40 }, $($v2_40: Some($v2_40)),* };
        static LIST_3_0: ck::CK_FUNCTION_LIST_3_0 = ck::CK_FUNCTION_LIST_3_0 {
            version: ck::CK_VERSION { major: 3, minor: 0 },
            $($v2_40: Some($v2_40),)*
            $($v3_0: Some($v3_0),)*
        };
        static LIST_3_2: ck::CK_FUNCTION_LIST_3_2 = ck::CK_FUNCTION_LIST_3_2 {
            version: ck::CK_VERSION { major: 3, minor: 2 },
            $($v2_40: Some($v2_40),)*
            $($v3_0: Some($v3_0),)*
            $($v3_2: Some($v3_2),)*
        };
    };
}

function_lists! {
    v2_40 {
        C_Initialize C_Finalize C_GetInfo C_GetFunctionList C_GetSlotList C_GetSlotInfo C_GetTokenInfo
        C_GetMechanismList C_GetMechanismInfo C_InitToken C_InitPIN C_SetPIN C_OpenSession C_CloseSession
        C_CloseAllSessions C_GetSessionInfo C_GetOperationState C_SetOperationState C_Login C_Logout C_CreateObject
        C_CopyObject C_DestroyObject C_GetObjectSize C_GetAttributeValue C_SetAttributeValue C_FindObjectsInit
        C_FindObjects C_FindObjectsFinal C_EncryptInit C_Encrypt C_EncryptUpdate C_EncryptFinal C_DecryptInit
        C_Decrypt C_DecryptUpdate C_DecryptFinal C_DigestInit C_Digest C_DigestUpdate C_DigestKey C_DigestFinal
        C_SignInit C_Sign C_SignUpdate C_SignFinal C_SignRecoverInit C_SignRecover C_VerifyInit C_Verify
        C_VerifyUpdate C_VerifyFinal C_VerifyRecoverInit C_VerifyRecover C_DigestEncryptUpdate
        C_DecryptDigestUpdate C_SignEncryptUpdate C_DecryptVerifyUpdate C_GenerateKey C_GenerateKeyPair C_WrapKey
        C_UnwrapKey C_DeriveKey C_SeedRandom C_GenerateRandom C_GetFunctionStatus C_CancelFunction
        C_WaitForSlotEvent
    }
    v3_0 {
        C_GetInterfaceList C_GetInterface C_LoginUser C_SessionCancel C_MessageEncryptInit C_EncryptMessage
        C_EncryptMessageBegin C_EncryptMessageNext C_MessageEncryptFinal C_MessageDecryptInit C_DecryptMessage
        C_DecryptMessageBegin C_DecryptMessageNext C_MessageDecryptFinal C_MessageSignInit C_SignMessage
        C_SignMessageBegin C_SignMessageNext C_MessageSignFinal C_MessageVerifyInit C_VerifyMessage
        C_VerifyMessageBegin C_VerifyMessageNext C_MessageVerifyFinal
    }
    v3_2 {
        C_EncapsulateKey C_DecapsulateKey C_VerifySignatureInit C_VerifySignature C_VerifySignatureUpdate
        C_VerifySignatureFinal C_GetSessionValidationFlags C_AsyncComplete C_AsyncGetID C_AsyncJoin
        C_WrapKeyAuthenticated C_UnwrapKeyAuthenticated
    }
}

/// Interfaces, newest first: the first that fits a request is the answer.
struct Interfaces([ck::CK_INTERFACE; 5]);

// SAFETY: the pointers are to statics that nobody writes.
unsafe impl Sync for Interfaces {}

static INTERFACES: Interfaces = Interfaces([
    interface(c"PKCS 11", &raw const LIST_3_2),
    interface(c"PKCS 11", &raw const LIST_3_0),
    interface(c"PKCS 11", &raw const LIST_2_40),
    interface(vendor::NAME, &raw const vendor::LIST_1_2),
    interface(vendor::NAME, &raw const vendor::LIST_1_1),
]);

const fn interface<T>(name: &'static CStr, list: *const T) -> ck::CK_INTERFACE {
    ck::CK_INTERFACE {
        pInterfaceName: name.as_ptr().cast_mut().cast(),
        pFunctionList: list.cast_mut().cast(),
        flags: 0,
    }
}

/// All of them.
pub(super) fn all() -> &'static [ck::CK_INTERFACE] {
    &INTERFACES.0
}

/// The interface of a name ("PKCS 11" if there is none), a version (the newest if there is none), and flags. None of
/// ours has CKF_INTERFACE_FORK_SAFE: it would promise a child its parent's login.
pub(super) fn find(
    name: Option<&CStr>,
    version: Option<(u8, u8)>,
    flags: ck::CK_FLAGS,
) -> Option<&'static ck::CK_INTERFACE> {
    let name = name.unwrap_or(c"PKCS 11");
    all().iter().find(|interface| {
        // SAFETY: every name above is a C string, and every list begins with its CK_VERSION.
        let (its_name, its_version) = unsafe {
            let version = interface.pFunctionList.cast::<ck::CK_VERSION>().read();
            (CStr::from_ptr(interface.pInterfaceName.cast()), (version.major, version.minor))
        };
        its_name == name
            && version.is_none_or(|version| version == its_version)
            && interface.flags & flags == flags
    })
}
