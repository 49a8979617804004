//! Where SoftHSM 2.6.1 and this module answer differently, and what PKCS#11 v3.2 says about it.

use cryptoki_sys::*;

use crate::action::{Action, Kind};

/// One known difference.
pub(crate) struct Difference {
    /// The calls it is about, with the generator's name for what is odd about them.
    pub(crate) of: fn(&Action, &str) -> bool,
    /// Our answer and SoftHSM's.
    pub(crate) answers: &'static [(CK_RV, CK_RV)],
    /// What the standard says, with the section.
    pub(crate) why: &'static str,
}

/// The table. A row that no sequence needs any more fails the test.
pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        of: |action, _| is_key_init(action),
        answers: &[(CKR_KEY_HANDLE_INVALID, CKR_OBJECT_HANDLE_INVALID)],
        why: "5.1.6, 5.13.1: what is no key's handle is CKR_KEY_HANDLE_INVALID; the Init functions have no \
              CKR_OBJECT_HANDLE_INVALID",
    },
    Difference {
        of: |action, _| matches!(action, Action::Init { .. }),
        answers: &[
            (CKR_MECHANISM_INVALID, CKR_OBJECT_HANDLE_INVALID),
            (CKR_MECHANISM_INVALID, CKR_KEY_FUNCTION_NOT_PERMITTED),
            (CKR_MECHANISM_PARAM_INVALID, CKR_OBJECT_HANDLE_INVALID),
            (CKR_MECHANISM_PARAM_INVALID, CKR_MECHANISM_INVALID),
            (CKR_MECHANISM_PARAM_INVALID, CKR_KEY_FUNCTION_NOT_PERMITTED),
            (CKR_MECHANISM_PARAM_INVALID, CKR_KEY_TYPE_INCONSISTENT),
            (CKR_MECHANISM_INVALID, CKR_OPERATION_ACTIVE),
            (CKR_MECHANISM_PARAM_INVALID, CKR_OPERATION_ACTIVE),
            (CKR_KEY_HANDLE_INVALID, CKR_OPERATION_ACTIVE),
            (CKR_KEY_TYPE_INCONSISTENT, CKR_OPERATION_ACTIVE),
            (CKR_KEY_FUNCTION_NOT_PERMITTED, CKR_OPERATION_ACTIVE),
            (CKR_KEY_HANDLE_INVALID, CKR_KEY_FUNCTION_NOT_PERMITTED),
            (CKR_KEY_TYPE_INCONSISTENT, CKR_KEY_FUNCTION_NOT_PERMITTED),
        ],
        why: "5.1.7: of several faults of one call, any may be told; this module looks at the mechanism, its \
              parameter, the key and the session in this order, SoftHSM the other way round",
    },
    Difference {
        of: |action, _| matches!(action, Action::Create { .. } | Action::Copy { .. }),
        answers: &[
            (CKR_ATTRIBUTE_VALUE_INVALID, CKR_SESSION_READ_ONLY),
            (CKR_ATTRIBUTE_VALUE_INVALID, CKR_USER_NOT_LOGGED_IN),
            (CKR_ATTRIBUTE_TYPE_INVALID, CKR_SESSION_READ_ONLY),
            (CKR_ATTRIBUTE_TYPE_INVALID, CKR_USER_NOT_LOGGED_IN),
            (CKR_ATTRIBUTE_READ_ONLY, CKR_SESSION_READ_ONLY),
            (CKR_ATTRIBUTE_READ_ONLY, CKR_USER_NOT_LOGGED_IN),
            (CKR_TEMPLATE_INCONSISTENT, CKR_SESSION_READ_ONLY),
            (CKR_TEMPLATE_INCONSISTENT, CKR_USER_NOT_LOGGED_IN),
            (CKR_TEMPLATE_INCOMPLETE, CKR_SESSION_READ_ONLY),
            (CKR_TEMPLATE_INCOMPLETE, CKR_USER_NOT_LOGGED_IN),
            (CKR_TEMPLATE_INCONSISTENT, CKR_ATTRIBUTE_READ_ONLY),
            (CKR_USER_NOT_LOGGED_IN, CKR_SESSION_READ_ONLY),
        ],
        why: "5.1.7: of several faults any may be told; this module reads the template before it asks who may",
    },
    Difference {
        of: |action, _| matches!(action, Action::Login { .. }),
        answers: &[(CKR_USER_ANOTHER_ALREADY_LOGGED_IN, CKR_SESSION_READ_ONLY_EXISTS)],
        why: "5.1.7: of several faults any may be told: the user is logged in, and a read-only session is open",
    },
    Difference {
        of: |action, _| matches!(action, Action::Init { .. }),
        answers: &[(CKR_KEY_TYPE_INCONSISTENT, CKR_OK)],
        why: "5.1.6: a key of another type than the mechanism's is CKR_KEY_TYPE_INCONSISTENT; SoftHSM looks at the \
              type of RSA-PSS and AES keys when it is too late, or never",
    },
    Difference {
        of: |action, _| {
            matches!(action, Action::Init { mechanism, .. } if mechanism.kind == CKM_SHA512_HMAC
            || mechanism.kind == CKM_SHA256_HMAC)
        },
        answers: &[(CKR_OK, CKR_KEY_SIZE_RANGE)],
        why: "6.20: HMAC takes generic secrets of any length; SoftHSM wants at least the hash's",
    },
    Difference {
        of: |_, case| case == "a secret on the token that is not private",
        answers: &[(CKR_USER_NOT_LOGGED_IN, CKR_OK)],
        why: "4.4: CKA_PRIVATE says who sees an object; its secret is sealed under the PIN all the same, and making it \
              needs a login (docs/decisions/0004). SoftHSM keeps it in the clear",
    },
    Difference {
        of: |_, case| case == "an attribute twice",
        answers: &[(CKR_TEMPLATE_INCONSISTENT, CKR_OK)],
        why: "4.1.1: values that contradict each other are CKR_TEMPLATE_INCONSISTENT",
    },
    Difference {
        of: |action, _| matches!(action, Action::Logout { .. }),
        answers: &[(CKR_USER_NOT_LOGGED_IN, CKR_OK)],
        why: "5.6.9: C_Logout without a login is CKR_USER_NOT_LOGGED_IN",
    },
    Difference {
        of: |action, _| {
            matches!(action, Action::Whole { kind: Kind::Digest | Kind::Encrypt | Kind::Decrypt, .. })
        },
        answers: &[
            (CKR_OPERATION_NOT_INITIALIZED, CKR_OK),
            (CKR_OPERATION_NOT_INITIALIZED, CKR_BUFFER_TOO_SMALL),
            (CKR_OPERATION_NOT_INITIALIZED, CKR_DATA_LEN_RANGE),
            (CKR_OPERATION_NOT_INITIALIZED, CKR_ENCRYPTED_DATA_LEN_RANGE),
            (CKR_OPERATION_NOT_INITIALIZED, CKR_GENERAL_ERROR),
        ],
        why: "5.8.2, 5.10.2, 5.12.2: C_Encrypt, C_Decrypt and C_Digest do not end a multi-part operation",
    },
    Difference {
        of: |action, _| matches!(action, Action::Set { .. } | Action::Create { .. } | Action::Copy { .. }),
        answers: &[(CKR_TEMPLATE_INCONSISTENT, CKR_ATTRIBUTE_TYPE_INVALID)],
        why: "4.1.1, 4.1.2: an attribute that the standard describes is valid; that this object has none is an \
              inconsistency of the template",
    },
    Difference {
        of: |action, _| matches!(action, Action::Copy { .. } | Action::Set { .. }),
        answers: &[(CKR_OK, CKR_ATTRIBUTE_READ_ONLY)],
        why: "4.4, footnotes 11 and 12: what has become read-only cannot be changed; to give it the value that it has \
              already is no change",
    },
    Difference {
        of: |action, _| matches!(action, Action::Whole { .. } | Action::Final { .. } | Action::Update { .. }),
        answers: &[
            (CKR_ENCRYPTED_DATA_INVALID, CKR_GENERAL_ERROR),
            (CKR_ENCRYPTED_DATA_LEN_RANGE, CKR_GENERAL_ERROR),
            (CKR_AEAD_DECRYPT_FAILED, CKR_GENERAL_ERROR),
            (CKR_DATA_LEN_RANGE, CKR_GENERAL_ERROR),
        ],
        why: "5.1.6: there is a code for this; CKR_GENERAL_ERROR means that nothing can be said about the library",
    },
    Difference {
        of: |_, case| case == "PSS without a parameter",
        answers: &[(CKR_MECHANISM_PARAM_INVALID, CKR_ARGUMENTS_BAD)],
        why: "5.1.6: a wrong parameter of a mechanism is CKR_MECHANISM_PARAM_INVALID",
    },
    Difference {
        of: |action, _| matches!(action, Action::DigestKey { .. }),
        answers: &[(CKR_KEY_HANDLE_INVALID, CKR_OK), (CKR_KEY_INDIGESTIBLE, CKR_OK)],
        why: "5.12.4: C_DigestKey digests secret keys; SoftHSM takes the CKA_VALUE of any object",
    },
    Difference {
        of: |_, case| case == "an AES key of 15 bytes",
        answers: &[(CKR_ATTRIBUTE_VALUE_INVALID, CKR_OK), (CKR_TEMPLATE_INCONSISTENT, CKR_OK)],
        why: "6.13.2: AES keys have 16, 24 or 32 bytes",
    },
    Difference {
        of: |action, _| matches!(action, Action::Verify { .. }),
        answers: &[(CKR_SIGNATURE_INVALID, CKR_SIGNATURE_LEN_RANGE)],
        why: "6.3.1: a verifier takes ECDSA signatures whose halves are shorter than the order",
    },
    Difference {
        of: |action, _| matches!(action, Action::Verify { .. }),
        answers: &[(CKR_DATA_LEN_RANGE, CKR_SIGNATURE_INVALID)],
        why: "6.1.6: CKM_RSA_PKCS takes at most k - 11 bytes of data",
    },
];

fn is_key_init(action: &Action) -> bool {
    matches!(action, Action::Init { kind: Kind::Sign | Kind::Verify | Kind::Encrypt | Kind::Decrypt, .. })
}
