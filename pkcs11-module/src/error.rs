//! Every answer but CKR_OK, and the one place where the errors of stores and primitives become one.

use cryptoki_sys as ck;
use hsm_backends::StoreError;

use crate::{log, reason};

macro_rules! errors {
    ($($variant:ident = $code:ident,)*) => {
        /// One variant per CKR_* of PKCS#11 v3.2 section 5.1.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the names are the standard's own")]
        pub enum Error {
            $($variant,)*
        }

        impl Error {
            /// The code that crosses the C boundary.
            pub fn rv(self) -> ck::CK_RV {
                match self {
                    $(Self::$variant => ck::$code,)*
                }
            }

            /// The standard's name, for the log.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($code),)*
                }
            }
        }
    };
}

errors! {
    Cancel = CKR_CANCEL,
    HostMemory = CKR_HOST_MEMORY,
    SlotIdInvalid = CKR_SLOT_ID_INVALID,
    GeneralError = CKR_GENERAL_ERROR,
    FunctionFailed = CKR_FUNCTION_FAILED,
    ArgumentsBad = CKR_ARGUMENTS_BAD,
    NoEvent = CKR_NO_EVENT,
    NeedToCreateThreads = CKR_NEED_TO_CREATE_THREADS,
    CantLock = CKR_CANT_LOCK,
    AttributeReadOnly = CKR_ATTRIBUTE_READ_ONLY,
    AttributeSensitive = CKR_ATTRIBUTE_SENSITIVE,
    AttributeTypeInvalid = CKR_ATTRIBUTE_TYPE_INVALID,
    AttributeValueInvalid = CKR_ATTRIBUTE_VALUE_INVALID,
    ActionProhibited = CKR_ACTION_PROHIBITED,
    DataInvalid = CKR_DATA_INVALID,
    DataLenRange = CKR_DATA_LEN_RANGE,
    DeviceError = CKR_DEVICE_ERROR,
    DeviceMemory = CKR_DEVICE_MEMORY,
    DeviceRemoved = CKR_DEVICE_REMOVED,
    EncryptedDataInvalid = CKR_ENCRYPTED_DATA_INVALID,
    EncryptedDataLenRange = CKR_ENCRYPTED_DATA_LEN_RANGE,
    AeadDecryptFailed = CKR_AEAD_DECRYPT_FAILED,
    FunctionCanceled = CKR_FUNCTION_CANCELED,
    FunctionNotParallel = CKR_FUNCTION_NOT_PARALLEL,
    FunctionNotSupported = CKR_FUNCTION_NOT_SUPPORTED,
    KeyHandleInvalid = CKR_KEY_HANDLE_INVALID,
    KeySizeRange = CKR_KEY_SIZE_RANGE,
    KeyTypeInconsistent = CKR_KEY_TYPE_INCONSISTENT,
    KeyNotNeeded = CKR_KEY_NOT_NEEDED,
    KeyChanged = CKR_KEY_CHANGED,
    KeyNeeded = CKR_KEY_NEEDED,
    KeyIndigestible = CKR_KEY_INDIGESTIBLE,
    KeyFunctionNotPermitted = CKR_KEY_FUNCTION_NOT_PERMITTED,
    KeyNotWrappable = CKR_KEY_NOT_WRAPPABLE,
    KeyUnextractable = CKR_KEY_UNEXTRACTABLE,
    MechanismInvalid = CKR_MECHANISM_INVALID,
    MechanismParamInvalid = CKR_MECHANISM_PARAM_INVALID,
    ObjectHandleInvalid = CKR_OBJECT_HANDLE_INVALID,
    OperationActive = CKR_OPERATION_ACTIVE,
    OperationNotInitialized = CKR_OPERATION_NOT_INITIALIZED,
    PinIncorrect = CKR_PIN_INCORRECT,
    PinInvalid = CKR_PIN_INVALID,
    PinLenRange = CKR_PIN_LEN_RANGE,
    PinExpired = CKR_PIN_EXPIRED,
    PinLocked = CKR_PIN_LOCKED,
    SessionClosed = CKR_SESSION_CLOSED,
    SessionCount = CKR_SESSION_COUNT,
    SessionHandleInvalid = CKR_SESSION_HANDLE_INVALID,
    SessionParallelNotSupported = CKR_SESSION_PARALLEL_NOT_SUPPORTED,
    SessionReadOnly = CKR_SESSION_READ_ONLY,
    SessionExists = CKR_SESSION_EXISTS,
    SessionReadOnlyExists = CKR_SESSION_READ_ONLY_EXISTS,
    SessionReadWriteSoExists = CKR_SESSION_READ_WRITE_SO_EXISTS,
    SignatureInvalid = CKR_SIGNATURE_INVALID,
    SignatureLenRange = CKR_SIGNATURE_LEN_RANGE,
    TemplateIncomplete = CKR_TEMPLATE_INCOMPLETE,
    TemplateInconsistent = CKR_TEMPLATE_INCONSISTENT,
    TokenNotPresent = CKR_TOKEN_NOT_PRESENT,
    TokenNotRecognized = CKR_TOKEN_NOT_RECOGNIZED,
    TokenWriteProtected = CKR_TOKEN_WRITE_PROTECTED,
    UnwrappingKeyHandleInvalid = CKR_UNWRAPPING_KEY_HANDLE_INVALID,
    UnwrappingKeySizeRange = CKR_UNWRAPPING_KEY_SIZE_RANGE,
    UnwrappingKeyTypeInconsistent = CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT,
    UserAlreadyLoggedIn = CKR_USER_ALREADY_LOGGED_IN,
    UserNotLoggedIn = CKR_USER_NOT_LOGGED_IN,
    UserPinNotInitialized = CKR_USER_PIN_NOT_INITIALIZED,
    UserTypeInvalid = CKR_USER_TYPE_INVALID,
    UserAnotherAlreadyLoggedIn = CKR_USER_ANOTHER_ALREADY_LOGGED_IN,
    UserTooManyTypes = CKR_USER_TOO_MANY_TYPES,
    WrappedKeyInvalid = CKR_WRAPPED_KEY_INVALID,
    WrappedKeyLenRange = CKR_WRAPPED_KEY_LEN_RANGE,
    WrappingKeyHandleInvalid = CKR_WRAPPING_KEY_HANDLE_INVALID,
    WrappingKeySizeRange = CKR_WRAPPING_KEY_SIZE_RANGE,
    WrappingKeyTypeInconsistent = CKR_WRAPPING_KEY_TYPE_INCONSISTENT,
    RandomSeedNotSupported = CKR_RANDOM_SEED_NOT_SUPPORTED,
    RandomNoRng = CKR_RANDOM_NO_RNG,
    DomainParamsInvalid = CKR_DOMAIN_PARAMS_INVALID,
    CurveNotSupported = CKR_CURVE_NOT_SUPPORTED,
    BufferTooSmall = CKR_BUFFER_TOO_SMALL,
    SavedStateInvalid = CKR_SAVED_STATE_INVALID,
    InformationSensitive = CKR_INFORMATION_SENSITIVE,
    StateUnsaveable = CKR_STATE_UNSAVEABLE,
    CryptokiNotInitialized = CKR_CRYPTOKI_NOT_INITIALIZED,
    CryptokiAlreadyInitialized = CKR_CRYPTOKI_ALREADY_INITIALIZED,
    MutexBad = CKR_MUTEX_BAD,
    MutexNotLocked = CKR_MUTEX_NOT_LOCKED,
    NewPinMode = CKR_NEW_PIN_MODE,
    NextOtp = CKR_NEXT_OTP,
    ExceededMaxIterations = CKR_EXCEEDED_MAX_ITERATIONS,
    FipsSelfTestFailed = CKR_FIPS_SELF_TEST_FAILED,
    LibraryLoadFailed = CKR_LIBRARY_LOAD_FAILED,
    PinTooWeak = CKR_PIN_TOO_WEAK,
    PublicKeyInvalid = CKR_PUBLIC_KEY_INVALID,
    FunctionRejected = CKR_FUNCTION_REJECTED,
    TokenResourceExceeded = CKR_TOKEN_RESOURCE_EXCEEDED,
    OperationCancelFailed = CKR_OPERATION_CANCEL_FAILED,
    KeyExhausted = CKR_KEY_EXHAUSTED,
    Pending = CKR_PENDING,
    SessionAsyncNotSupported = CKR_SESSION_ASYNC_NOT_SUPPORTED,
    SeedRandomRequired = CKR_SEED_RANDOM_REQUIRED,
    OperationNotValidated = CKR_OPERATION_NOT_VALIDATED,
    TokenNotInitialized = CKR_TOKEN_NOT_INITIALIZED,
    ParameterSetNotSupported = CKR_PARAMETER_SET_NOT_SUPPORTED,
}

/// The answer of a function.
pub type Result<T> = std::result::Result<T, Error>;

/// What a store's refusal means to the caller. A code cannot say what is wrong with a directory or a disk, so the log
/// and T_Status do, here, where every such refusal passes.
impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        use StoreError as S;
        reason::store(&error);
        match &error {
            S::ReadOnly
            | S::Full
            | S::NewerFormat
            | S::Damaged(_)
            | S::Permissions(_)
            | S::Absent(_)
            | S::Removed(_)
            | S::Device(_)
            | S::Backup(_) => log::error(format_args!("{error}")),
            S::Busy | S::Changed | S::TokenReplaced | S::PinLocked => log::warn(format_args!("{error}")),
            _ => {}
        }
        match error {
            StoreError::PinIncorrect => Self::PinIncorrect,
            StoreError::PinLocked => Self::PinLocked,
            StoreError::PinLength => Self::PinLenRange,
            StoreError::UserPinNotInitialized => Self::UserPinNotInitialized,
            StoreError::TokenNotInitialized => Self::TokenNotInitialized,
            StoreError::TokenReplaced | StoreError::Removed(_) => Self::DeviceRemoved,
            StoreError::Absent(_) => Self::TokenNotPresent,
            StoreError::NotFound => Self::ObjectHandleInvalid,
            StoreError::Changed | StoreError::Busy => Self::FunctionFailed,
            StoreError::ReadOnly => Self::TokenWriteProtected,
            StoreError::Full => Self::DeviceMemory,
            StoreError::NewerFormat => Self::TokenNotRecognized,
            StoreError::Unsupported => Self::FunctionNotSupported,
            StoreError::Algorithm(error) => error.into(),
            StoreError::Damaged(_)
            | StoreError::Permissions(_)
            | StoreError::Device(_)
            | StoreError::Backup(_) => Self::DeviceError,
            _ => Self::GeneralError,
        }
    }
}

/// What a primitive's refusal means where the caller of the primitive has nothing more exact to say.
impl From<algorithms::Error> for Error {
    fn from(error: algorithms::Error) -> Self {
        use algorithms::Error as E;
        match error {
            E::KeyInvalid => Self::AttributeValueInvalid,
            E::KeySizeRange => Self::KeySizeRange,
            E::SignatureLength => Self::SignatureLenRange,
            E::SignatureInvalid => Self::SignatureInvalid,
            E::InputLength => Self::DataLenRange,
            E::InputInvalid => Self::DataInvalid,
            E::TagMismatch => Self::AeadDecryptFailed,
            E::ParameterInvalid => Self::MechanismParamInvalid,
            _ => Self::DeviceError,
        }
    }
}
