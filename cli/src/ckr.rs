//! What each CK_RV means to the person at the keyboard: its name, its cause and the remedy.
//!
//! The sentences complete "trellis: " and "try: ". PKCS#11 v3.2, section 5.1.6.

use cryptoki::error::{Rv, RvError};
use cryptoki_sys::*;

use crate::exit::Exit;

/// One return value, explained.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) code: CK_RV,
    pub(crate) name: &'static str,
    pub(crate) exit: Exit,
    pub(crate) cause: &'static str,
    pub(crate) remedy: &'static str,
}

/// The row of an error that `cryptoki` returned; `None` for a vendor's own or an unknown code.
pub(crate) fn row(error: RvError) -> Option<&'static Row> {
    ROWS.iter().find(|row| matches!(Rv::from(row.code), Rv::Error(known) if known == error))
}

/// The row of a raw return value.
pub(crate) fn row_of_code(code: CK_RV) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.code == code)
}

macro_rules! rows {
    ($($code:ident $exit:ident $cause:literal, $remedy:literal;)*) => {
        /// Every return value of the standard but CKR_OK.
        pub(crate) const ROWS: &[Row] = &[$(Row {
            code: $code, name: stringify!($code), exit: Exit::$exit, cause: $cause, remedy: $remedy,
        }),*];
    };
}

rows! {
    CKR_CANCEL Module "the operation was cancelled", "run the command again";
    CKR_HOST_MEMORY Module "this machine has too little memory for the operation", "free memory, or use a smaller input";
    CKR_SLOT_ID_INVALID NotFound "the module has no slot with that number", "see the slots with `trellis token list`";
    CKR_GENERAL_ERROR Module "the module failed and gives no reason", "run `trellis doctor`, and look at the module's log (TRELLIS_LOG=debug for Trellis)";
    CKR_FUNCTION_FAILED Module "the token could not do what was asked and gives no reason", "run the command again; if it fails again, run `trellis doctor`";
    CKR_ARGUMENTS_BAD Module "the module refused an argument", "run `trellis doctor`; the module may not support this operation in this form";
    CKR_NO_EVENT Module "no slot changed", "insert or remove a token first";
    CKR_NEED_TO_CREATE_THREADS Module "the module needs threads of its own", "use another build of the module";
    CKR_CANT_LOCK Module "the module cannot work with the locks of this system", "use another build of the module";
    CKR_ATTRIBUTE_READ_ONLY Unsupported "the token does not allow one of the attributes to be set", "leave out the option that sets it";
    CKR_ATTRIBUTE_SENSITIVE Module "the key is sensitive, so its value may not be read", "use the key inside the token; only keys made with --extractable can be read";
    CKR_ATTRIBUTE_TYPE_INVALID Unsupported "the token does not know one of the attributes", "the module is older than PKCS#11 3.2, or does not have this kind of key: see `trellis mechanisms`";
    CKR_ATTRIBUTE_VALUE_INVALID Module "the token refused the value of an attribute", "check that the key material is whole and that its parts belong together";
    CKR_ACTION_PROHIBITED Module "the object's own policy forbids this (CKA_MODIFIABLE, CKA_COPYABLE or CKA_DESTROYABLE is false)", "use another object; this policy cannot be changed";
    CKR_DATA_INVALID Module "the token refused the data", "check the input; some mechanisms accept only a digest";
    CKR_DATA_LEN_RANGE Module "the data has a length that this mechanism does not accept", "use a mechanism that hashes (--hash), or a smaller input";
    CKR_DEVICE_ERROR Module "the token reports a fault", "run `trellis doctor`: a failed self-test or a damaged store looks like this";
    CKR_DEVICE_MEMORY Module "the token has no room left", "delete objects that are not needed, or free disk space";
    CKR_DEVICE_REMOVED Module "the token was removed", "insert it again and repeat the command";
    CKR_ENCRYPTED_DATA_INVALID Module "the encrypted data is damaged, or was made with another key or passphrase", "check the passphrase and the file";
    CKR_ENCRYPTED_DATA_LEN_RANGE Module "the encrypted data has an impossible length", "check that the file is whole";
    CKR_AEAD_DECRYPT_FAILED Module "the encrypted data is damaged, or was made with another key or passphrase", "check the passphrase and the file";
    CKR_FUNCTION_CANCELED Module "the operation was cancelled", "run the command again";
    CKR_FUNCTION_NOT_PARALLEL Module "the session runs no parallel operation", "run the command again";
    CKR_FUNCTION_NOT_SUPPORTED Unsupported "this module does not have that function", "use a module that has it (--module)";
    CKR_KEY_HANDLE_INVALID NotFound "the key is gone, or may not be used in this session", "list the keys with `trellis key list`; another program may have deleted it";
    CKR_KEY_SIZE_RANGE Unsupported "the token does not support a key of that size", "see the sizes with `trellis mechanisms`";
    CKR_KEY_TYPE_INCONSISTENT Usage "the key is not of the kind that this mechanism needs", "see the key's algorithm with `trellis key show`";
    CKR_KEY_NOT_NEEDED Module "the module was given a key that it does not need", "run the command again";
    CKR_KEY_CHANGED Module "the key is not the one that the operation began with", "run the command again";
    CKR_KEY_NEEDED Module "the module needs the key of the saved operation", "run the command again";
    CKR_KEY_INDIGESTIBLE Module "the key's value may not be hashed", "use another key";
    CKR_KEY_FUNCTION_NOT_PERMITTED Module "the key may not be used for this", "use a key that was made for it; see its uses with `trellis key show`";
    CKR_KEY_NOT_WRAPPABLE Module "the key cannot be wrapped", "use a key made with --extractable";
    CKR_KEY_UNEXTRACTABLE Module "the key may not leave the token", "only keys made with --extractable may";
    CKR_MECHANISM_INVALID Unsupported "the token does not have this mechanism, or not for this key", "see what it has with `trellis mechanisms`";
    CKR_MECHANISM_PARAM_INVALID Unsupported "the token refused the mechanism's parameters", "leave out --context, --hash or --deterministic, or use a module that supports them";
    CKR_OBJECT_HANDLE_INVALID NotFound "the object is gone", "list the objects with `trellis key list`; another program may have deleted it";
    CKR_OPERATION_ACTIVE Module "the session is still busy with another operation", "run the command again";
    CKR_OPERATION_NOT_INITIALIZED Module "the operation was not started, or the module does not do it in parts", "run the command again";
    CKR_PIN_INCORRECT Login "the PIN is wrong", "check the PIN and its source; too many wrong PINs lock the token";
    CKR_PIN_INVALID Login "the PIN has characters that the token does not accept", "choose another PIN";
    CKR_PIN_LEN_RANGE Login "the PIN is too short or too long for this token", "see the limits with `trellis token show`";
    CKR_PIN_EXPIRED Login "the PIN has expired", "set a new one with `trellis token set-pin`";
    CKR_PIN_LOCKED Login "the PIN is locked after too many wrong tries", "for the user PIN: `trellis token reset-pin` with the SO PIN; nobody can reset a locked SO PIN, see `trellis doctor`";
    CKR_SESSION_CLOSED Module "the session was closed meanwhile", "run the command again";
    CKR_SESSION_COUNT Module "the token has no session left", "close other programs that use it";
    CKR_SESSION_HANDLE_INVALID Module "the session is gone", "run the command again";
    CKR_SESSION_PARALLEL_NOT_SUPPORTED Module "the module refused the kind of session", "use another build of the module";
    CKR_SESSION_READ_ONLY Module "the session may only read", "run the command again";
    CKR_SESSION_EXISTS Module "the token is in use", "close other programs that use it, then run the command again";
    CKR_SESSION_READ_ONLY_EXISTS Module "a read-only session is open, so the SO cannot log in", "close other programs that use the token";
    CKR_SESSION_READ_WRITE_SO_EXISTS Module "the SO is logged in, so only read-write sessions may be opened", "log the SO out";
    CKR_SIGNATURE_INVALID Negative "the signature is not valid", "check that the file, the key and the context are those that were signed with";
    CKR_SIGNATURE_LEN_RANGE Negative "the signature has the wrong length for this key", "check that the signature was made with this key's algorithm";
    CKR_TEMPLATE_INCOMPLETE Module "the token needs more attributes for this object", "this module may not support such keys in this form";
    CKR_TEMPLATE_INCONSISTENT Module "the token does not accept these attributes together", "this module may not support such keys in this form";
    CKR_TOKEN_NOT_PRESENT NotFound "there is no token in the slot", "insert it, or choose another with --token";
    CKR_TOKEN_NOT_RECOGNIZED Module "the module does not recognise the token", "use the module of the token's vendor; for Trellis run `trellis doctor`";
    CKR_TOKEN_WRITE_PROTECTED Module "the token may not be written to", "check the permissions of the store and whether its disk is read-only: `trellis doctor`";
    CKR_UNWRAPPING_KEY_HANDLE_INVALID NotFound "the unwrapping key is gone", "list the keys with `trellis key list`";
    CKR_UNWRAPPING_KEY_SIZE_RANGE Unsupported "the unwrapping key has a size that the token does not support", "use another key";
    CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT Usage "the unwrapping key is of the wrong kind", "use another key";
    CKR_USER_ALREADY_LOGGED_IN Login "somebody is logged in already", "run the command again";
    CKR_USER_NOT_LOGGED_IN Login "the token wants a login for this", "give the PIN with --pin-source";
    CKR_USER_PIN_NOT_INITIALIZED Login "the token has no user PIN yet", "set one with `trellis token reset-pin` and the SO PIN";
    CKR_USER_TYPE_INVALID Login "the token does not know this kind of user", "the token may have no separate security officer";
    CKR_USER_ANOTHER_ALREADY_LOGGED_IN Login "the other user (SO or user) is logged in", "run the command again";
    CKR_USER_TOO_MANY_TYPES Login "too many different users are logged in", "close other programs that use the token";
    CKR_WRAPPED_KEY_INVALID Module "the wrapped key is damaged, or was wrapped with another key", "check the file and the key";
    CKR_WRAPPED_KEY_LEN_RANGE Module "the wrapped key has an impossible length", "check that the file is whole";
    CKR_WRAPPING_KEY_HANDLE_INVALID NotFound "the wrapping key is gone", "list the keys with `trellis key list`";
    CKR_WRAPPING_KEY_SIZE_RANGE Unsupported "the wrapping key has a size that the token does not support", "use another key";
    CKR_WRAPPING_KEY_TYPE_INCONSISTENT Usage "the wrapping key is of the wrong kind", "use another key";
    CKR_RANDOM_SEED_NOT_SUPPORTED Unsupported "the token's random generator takes no seed", "leave out the seed";
    CKR_RANDOM_NO_RNG Unsupported "the token has no random generator", "use another token";
    CKR_DOMAIN_PARAMS_INVALID Unsupported "the token does not support this curve or these parameters", "see what it has with `trellis mechanisms`";
    CKR_CURVE_NOT_SUPPORTED Unsupported "the token does not support this curve", "use another algorithm: see `trellis mechanisms`";
    CKR_BUFFER_TOO_SMALL Module "the module gave a wrong length for its answer", "this is a fault of the module; report it to its maker";
    CKR_SAVED_STATE_INVALID Module "the saved state is damaged", "run the command again";
    CKR_INFORMATION_SENSITIVE Module "the information is sensitive and may not be read", "use the object inside the token";
    CKR_STATE_UNSAVEABLE Module "the state of the operation cannot be saved", "run the operation without interruption";
    CKR_CRYPTOKI_NOT_INITIALIZED Module "the module is not initialised", "this is a fault of trellis or of the module; run `trellis doctor`";
    CKR_CRYPTOKI_ALREADY_INITIALIZED Module "the module is initialised already", "this is a fault of trellis or of the module; run `trellis doctor`";
    CKR_MUTEX_BAD Module "a lock of the module is broken", "run the command again";
    CKR_MUTEX_NOT_LOCKED Module "a lock of the module was not held", "run the command again";
    CKR_NEW_PIN_MODE Login "the token wants a new PIN first", "set one with `trellis token set-pin`";
    CKR_NEXT_OTP Login "the token wants the next one-time password", "log in again with it";
    CKR_EXCEEDED_MAX_ITERATIONS Module "the operation did not end within its limit", "run the command again";
    CKR_FIPS_SELF_TEST_FAILED Module "the token's self-test failed", "do not use the token; run `trellis doctor`";
    CKR_LIBRARY_LOAD_FAILED Module "the module could not load a library that it needs", "run `ldd` on the module and install what is missing";
    CKR_PIN_TOO_WEAK Login "the token finds the PIN too weak", "choose a longer PIN";
    CKR_PUBLIC_KEY_INVALID Module "the public key is not valid", "check that the file is whole and of the right algorithm";
    CKR_FUNCTION_REJECTED Module "the request was refused, perhaps on the token itself", "confirm the operation on the token";
    CKR_TOKEN_RESOURCE_EXCEEDED Module "the token has not enough resources for this", "close other programs that use it, then run the command again";
    CKR_OPERATION_CANCEL_FAILED Module "the operation could not be cancelled", "run the command again";
    CKR_KEY_EXHAUSTED Module "the key has made all the signatures that it may", "make a new key";
    CKR_PENDING Module "the operation is not finished yet", "run the command again";
    CKR_SESSION_ASYNC_NOT_SUPPORTED Unsupported "the token has no asynchronous sessions", "run the command again";
    CKR_SEED_RANDOM_REQUIRED Module "the token's random generator must be seeded first", "see the manual of the token";
    CKR_OPERATION_NOT_VALIDATED Module "the operation is outside of the token's validation", "see the policy of the token";
    CKR_TOKEN_NOT_INITIALIZED NotFound "the token is not initialised", "initialise it with `trellis token init`";
    CKR_PARAMETER_SET_NOT_SUPPORTED Unsupported "the token does not support this parameter set", "use another: see `trellis mechanisms`";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_cryptoki_that_has_a_number_finds_its_own_row() {
        for row in ROWS {
            let Rv::Error(error) = Rv::from(row.code) else { panic!("{} is not an error", row.name) };
            assert_eq!(super::row(error).map(|found| found.name), Some(row.name));
        }
    }

    #[test]
    fn sentences_are_fit_to_be_joined() {
        for row in ROWS {
            assert!(row.cause.starts_with(char::is_lowercase), "{}", row.name);
            assert!(!row.cause.ends_with('.') && !row.remedy.ends_with('.'), "{}", row.name);
            assert!(!row.cause.is_empty() && !row.remedy.is_empty(), "{}", row.name);
        }
    }

    #[test]
    fn no_code_appears_twice() {
        let mut codes: Vec<_> = ROWS.iter().map(|row| row.code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), ROWS.len());
    }

    #[test]
    fn a_vendor_code_has_no_row() {
        assert!(row(RvError::VendorDefined(0x8000_0001)).is_none());
    }
}
