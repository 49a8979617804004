//! Another PKCS#11 library, as an application has it that uses it beside the module: version 2.40, called without any
//! checks of ours.

#![expect(unsafe_code, reason = "this is the C side of the C ABI")]

use std::{path::Path, ptr::null_mut};

use cryptoki_sys::*;
use libloading::os::unix::{Library, Symbol};

use crate::{
    objects::{Template, plain},
    raw::USER_PIN,
};

/// A loaded library; it stays loaded.
#[derive(Debug)]
pub struct Vendor(&'static CK_FUNCTION_LIST);

/// Calls a function of the list.
macro_rules! call {
    ($vendor:expr, $function:ident($($argument:expr),*)) => {
        // SAFETY: the arguments are as PKCS#11 wants them.
        unsafe { $vendor.0.$function.expect("every function is listed")($($argument),*) }
    };
}

impl Vendor {
    /// Loads a library. It is not initialised.
    pub fn load(path: &Path) -> Self {
        // SAFETY: loading runs the library's constructors, which is what the test wants.
        let library = unsafe { Library::open(Some(path), libc::RTLD_NOW | libc::RTLD_LOCAL) }
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        // SAFETY: the symbol has this type in PKCS#11.
        let find: Symbol<CK_C_GetFunctionList> =
            unsafe { library.get(b"C_GetFunctionList\0") }.expect("is exported");
        let mut list = null_mut();
        // SAFETY: the argument is a place for a pointer.
        let rv = unsafe { (*find).expect("an exported symbol is not NULL")(&raw mut list) };
        assert_eq!(rv, CKR_OK);
        std::mem::forget(library);
        // SAFETY: the list is a static of a library that stays loaded.
        Self(unsafe { &*list })
    }

    /// C_Initialize for several threads.
    pub fn initialize(&self) -> CK_RV {
        let mut arguments = CK_C_INITIALIZE_ARGS { flags: CKF_OS_LOCKING_OK, ..Default::default() };
        call!(self, C_Initialize((&raw mut arguments).cast()))
    }

    /// C_Finalize.
    pub fn finalize(&self) -> CK_RV {
        call!(self, C_Finalize(null_mut()))
    }

    /// A session with the first token.
    pub fn open(&self) -> CK_SESSION_HANDLE {
        let (mut slots, mut count, mut session) = ([0; 8], 8, 0);
        assert_eq!(call!(self, C_GetSlotList(CK_TRUE, slots.as_mut_ptr(), &raw mut count)), CKR_OK);
        let flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
        let rv = call!(self, C_OpenSession(slots[0], flags, null_mut(), None, &raw mut session));
        assert_eq!(rv, CKR_OK);
        session
    }

    /// C_Login of the user.
    pub fn login(&self, session: CK_SESSION_HANDLE) -> CK_RV {
        call!(self, C_Login(session, CKU_USER, USER_PIN.as_ptr().cast_mut(), USER_PIN.len() as CK_ULONG))
    }

    /// A session with the first token, of the user.
    pub fn logged_in(&self) -> CK_SESSION_HANDLE {
        let session = self.open();
        assert_eq!(self.login(session), CKR_OK);
        session
    }

    /// C_Logout.
    pub fn logout(&self, session: CK_SESSION_HANDLE) -> CK_RV {
        call!(self, C_Logout(session))
    }

    /// C_GenerateKeyPair.
    pub fn generate_pair(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: CK_MECHANISM_TYPE,
        public: &Template,
        private: &Template,
    ) -> CK_RV {
        let (mut mechanism, mut one, mut two) = (plain(mechanism), public.attributes(), private.attributes());
        let (ones, twos) = (one.len() as CK_ULONG, two.len() as CK_ULONG);
        let (ones, twos, mut keys) = ((one.as_mut_ptr(), ones), (two.as_mut_ptr(), twos), (0, 0));
        let keys = (&raw mut keys.0, &raw mut keys.1);
        call!(
            self,
            C_GenerateKeyPair(session, &raw mut mechanism, ones.0, ones.1, twos.0, twos.1, keys.0, keys.1)
        )
    }

    /// CKA_LABEL of every object of a class, sorted.
    pub fn labels(&self, session: CK_SESSION_HANDLE, class: CK_OBJECT_CLASS) -> Vec<String> {
        let template = Template::new().number(CKA_CLASS, class);
        let mut wanted = template.attributes();
        assert_eq!(call!(self, C_FindObjectsInit(session, wanted.as_mut_ptr(), 1)), CKR_OK);
        let mut labels = Vec::new();
        loop {
            let (mut object, mut found) = (0, 0);
            assert_eq!(call!(self, C_FindObjects(session, &raw mut object, 1, &raw mut found)), CKR_OK);
            if found == 0 {
                break;
            }
            let mut label = [0_u8; 256];
            let mut value =
                CK_ATTRIBUTE { type_: CKA_LABEL, pValue: label.as_mut_ptr().cast(), ulValueLen: 256 };
            assert_eq!(call!(self, C_GetAttributeValue(session, object, &raw mut value, 1)), CKR_OK);
            labels.push(String::from_utf8_lossy(&label[..value.ulValueLen as usize]).into_owned());
        }
        assert_eq!(call!(self, C_FindObjectsFinal(session)), CKR_OK);
        labels.sort_unstable();
        labels
    }

    /// C_GenerateRandom.
    pub fn random(&self, session: CK_SESSION_HANDLE) -> CK_RV {
        let mut bytes = [0_u8; 8];
        call!(self, C_GenerateRandom(session, bytes.as_mut_ptr(), 8))
    }
}
