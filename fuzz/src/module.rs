//! The module as a C client sees it, with a token of its own in a temporary directory. All unsafe code of the fuzz
//! targets is here: calls of C functions with memory that outlives the call.

use std::sync::OnceLock;

use cryptoki_sys as ck;
use tempfile::TempDir;
// For its C functions.
use trellis_pkcs11 as _;

use crate::{Parameter, Template};

unsafe extern "C" {
    fn C_GetInterface(
        name: *mut ck::CK_UTF8CHAR,
        version: *mut ck::CK_VERSION,
        interface: *mut *mut ck::CK_INTERFACE,
        flags: ck::CK_FLAGS,
    ) -> ck::CK_RV;
}

/// The module, initialised, with one session of the user's.
pub struct Module {
    list: &'static ck::CK_FUNCTION_LIST_3_2,
    /// The session.
    pub session: ck::CK_SESSION_HANDLE,
    _directory: TempDir,
}

/// One key of each kind, made when the module started.
#[derive(Debug, Clone)]
pub struct Keys(pub Vec<ck::CK_OBJECT_HANDLE>);

/// Calls a function of the list by name: `call!(module, C_Sign(session, ...))`. The arguments are plain values.
#[macro_export]
macro_rules! call {
    ($module:expr, $function:ident($($argument:expr),* $(,)?)) => {{
        let function = $module.list().$function.expect("the list is complete");
        // SAFETY: every pointer is NULL or to memory of the length that goes with it, which outlives the call.
        let answer = unsafe { function($($argument),*) };
        $crate::Module::judge(stringify!($function), answer)
    }};
}

impl Module {
    /// The module, started at the first call.
    pub fn started() -> &'static Self {
        static MODULE: OnceLock<Module> = OnceLock::new();
        MODULE.get_or_init(Self::start)
    }

    /// The function list.
    pub fn list(&self) -> &'static ck::CK_FUNCTION_LIST_3_2 {
        self.list
    }

    /// No input makes the module fail for a reason of its own; a panic is CKR_GENERAL_ERROR.
    pub fn judge(function: &str, answer: ck::CK_RV) -> ck::CK_RV {
        let own =
            [ck::CKR_GENERAL_ERROR, ck::CKR_FUNCTION_FAILED, ck::CKR_DEVICE_ERROR, ck::CKR_DEVICE_MEMORY];
        assert!(!own.contains(&answer), "{function} answered {answer:#x}");
        answer
    }

    /// Session keys of every kind that the mechanisms work with, permitted everything.
    pub fn keys(&self) -> Keys {
        let yes: &[u8] = &[1];
        let no: &[u8] = &[0];
        let ulong = |value: ck::CK_ULONG| value.to_ne_bytes();
        let p256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
        let ed25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
        let (set, bits, len) = (ulong(ck::CKP_ML_DSA_44), ulong(2048), ulong(32));
        let mut keys = Vec::new();
        for (kind, parameter) in [
            (ck::CKM_ML_DSA_KEY_PAIR_GEN, (ck::CKA_PARAMETER_SET, &set[..])),
            (ck::CKM_EC_EDWARDS_KEY_PAIR_GEN, (ck::CKA_EC_PARAMS, ed25519)),
            (ck::CKM_EC_KEY_PAIR_GEN, (ck::CKA_EC_PARAMS, p256)),
            (ck::CKM_RSA_PKCS_KEY_PAIR_GEN, (ck::CKA_MODULUS_BITS, &bits[..])),
        ] {
            let mut public = Template::of(&[(ck::CKA_TOKEN, no), (ck::CKA_VERIFY, yes), parameter]);
            let mut private =
                Template::of(&[(ck::CKA_TOKEN, no), (ck::CKA_SIGN, yes), (ck::CKA_EXTRACTABLE, yes)]);
            let mut pair = [0; 2];
            let [public_key, private_key] = &mut pair;
            let answer = call!(
                self,
                C_GenerateKeyPair(
                    self.session,
                    Parameter::plain(kind).as_mut_ptr(),
                    public.as_mut_ptr(),
                    public.len(),
                    private.as_mut_ptr(),
                    private.len(),
                    public_key,
                    private_key,
                )
            );
            assert_eq!(answer, ck::CKR_OK);
            keys.extend(pair);
        }
        for kind in [ck::CKM_AES_KEY_GEN, ck::CKM_GENERIC_SECRET_KEY_GEN] {
            let usages = [
                ck::CKA_SIGN,
                ck::CKA_VERIFY,
                ck::CKA_ENCRYPT,
                ck::CKA_DECRYPT,
                ck::CKA_WRAP,
                ck::CKA_UNWRAP,
                ck::CKA_EXTRACTABLE,
            ];
            let mut attributes = vec![(ck::CKA_TOKEN, no), (ck::CKA_VALUE_LEN, &len[..])];
            attributes.extend(usages.map(|usage| (usage, yes)));
            let mut template = Template::of(&attributes);
            let mut key = 0;
            let mut mechanism = Parameter::plain(kind);
            let generate = call!(
                self,
                C_GenerateKey(
                    self.session,
                    mechanism.as_mut_ptr(),
                    template.as_mut_ptr(),
                    template.len(),
                    &mut key,
                )
            );
            assert_eq!(generate, ck::CKR_OK);
            keys.push(key);
        }
        Keys(keys)
    }

    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = directory.path().join("trellis.toml");
        std::fs::write(&config, "[[slot]]\npath = 'token'\n").expect("a configuration file");
        // SAFETY: libFuzzer runs its inputs on one thread, and this is before the first.
        unsafe { std::env::set_var("TRELLIS_CONF", &config) };

        let mut interface = std::ptr::null_mut();
        let mut version = ck::CK_VERSION { major: 3, minor: 2 };
        let name = c"PKCS 11".as_ptr().cast_mut().cast();
        // SAFETY: the pointers are to live variables; the answer is a pointer to a static list of that version.
        let list = unsafe {
            assert_eq!(C_GetInterface(name, &mut version, &mut interface, 0), ck::CKR_OK);
            &*(*interface).pFunctionList.cast::<ck::CK_FUNCTION_LIST_3_2>()
        };
        let mut module = Self { list, session: 0, _directory: directory };
        let (pin, label) = (&mut b"1234".to_owned(), &mut [b' '; 32]);
        let (pin_len, slot) = (pin.len() as ck::CK_ULONG, 0);
        let flags = ck::CKF_SERIAL_SESSION | ck::CKF_RW_SESSION;
        let mut session = 0;
        for answer in [
            call!(module, C_Initialize(std::ptr::null_mut())),
            call!(module, C_InitToken(slot, pin.as_mut_ptr(), pin_len, label.as_mut_ptr())),
            call!(module, C_OpenSession(slot, flags, std::ptr::null_mut(), None, &mut session)),
            call!(module, C_Login(session, ck::CKU_SO, pin.as_mut_ptr(), pin_len)),
            call!(module, C_InitPIN(session, pin.as_mut_ptr(), pin_len)),
            call!(module, C_Logout(session)),
            call!(module, C_Login(session, ck::CKU_USER, pin.as_mut_ptr(), pin_len)),
        ] {
            assert_eq!(answer, ck::CKR_OK);
        }
        module.session = session;
        module
    }
}

/// The leak sanitizer does not look for pointers in key memory, which is mapped by hand, and so misses the one to the
/// public matrix of a kept key of crate `ml-dsa`, which that crate has in the ordinary heap.
#[unsafe(no_mangle)]
extern "C" fn __lsan_default_suppressions() -> *const std::ffi::c_char {
    c"leak:algorithms::ml_dsa::deterministic::expand_for_mu".as_ptr()
}
