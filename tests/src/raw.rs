//! The module as a C program sees it: the function list, called without any checks of ours.

#![expect(unsafe_code, reason = "this is the C side of the C ABI")]

use std::{path::Path, ptr::null_mut};

use cryptoki_sys::*;
use libloading::os::unix::{Library, Symbol};

/// The user's PIN in tests.
pub const USER_PIN: &[u8] = b"user-pin";
/// The SO's PIN in tests.
pub const SO_PIN: &[u8] = b"so-pin-1";

/// A loaded module.
#[derive(Debug)]
pub struct Raw {
    library: Library,
    /// The v3.2 list.
    pub list: &'static CK_FUNCTION_LIST_3_2,
}

/// Calls a function of a [`Raw`] module: `c!(p11.C_CloseSession(session))`.
#[macro_export]
macro_rules! c {
    ($module:ident.$function:ident($($argument:expr),* $(,)?)) => {
        $crate::raw::Call::call($module.list.$function, ($($argument,)*))
    };
}

/// A function of the list, with its arguments.
pub trait Call<Arguments> {
    /// Calls it.
    fn call(self, arguments: Arguments) -> CK_RV;
}

macro_rules! functions {
    ($first:ident $($rest:ident)*) => {
        impl<$first, $($rest),*> Call<($first, $($rest,)*)>
            for Option<unsafe extern "C" fn($first, $($rest),*) -> CK_RV>
        {
            #[expect(non_snake_case, reason = "the arguments are named after their types")]
            fn call(self, ($first, $($rest,)*): ($first, $($rest,)*)) -> CK_RV {
                let function = self.expect("every function is listed");
                // SAFETY: the test passes what a C program could; where that is wrong, the module must notice.
                unsafe { function($first, $($rest),*) }
            }
        }
        functions!($($rest)*);
    };
    () => {};
}

functions!(A B C D E F G H I J);

impl Raw {
    /// Loads a module. It stays loaded after the value is gone, as the library is linked to.
    pub fn load(path: &Path) -> Self {
        // SAFETY: loading runs the library's constructors, which is what the test wants.
        let library = unsafe { Library::open(Some(path), libc::RTLD_NOW | libc::RTLD_LOCAL) }
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut interface = null_mut();
        let mut version = CK_VERSION { major: 3, minor: 2 };
        // SAFETY: the symbol has this type in PKCS#11.
        let find: Symbol<CK_C_GetInterface> =
            unsafe { library.get(b"C_GetInterface\0") }.expect("is exported");
        let find = (*find).expect("an exported symbol is not NULL");
        // SAFETY: the arguments are as PKCS#11 wants them.
        let rv =
            unsafe { find(c"PKCS 11".as_ptr().cast_mut().cast(), &raw mut version, &raw mut interface, 0) };
        assert_eq!(rv, CKR_OK);
        // SAFETY: the interface and its list are statics of a library that stays loaded.
        let list = unsafe { &*(*interface).pFunctionList.cast::<CK_FUNCTION_LIST_3_2>() };
        Self { library, list }
    }

    /// An exported symbol.
    ///
    /// # Safety
    /// The symbol has the type `T`.
    pub unsafe fn symbol<T>(&self, name: &str) -> Option<Symbol<T>> {
        // SAFETY: passed on.
        unsafe { self.library.get(name.as_bytes()) }.ok()
    }

    /// dlclose.
    pub fn unload(self) {
        self.library.close().expect("a loaded library can be closed");
    }

    /// C_Initialize without arguments.
    pub fn initialize(&self) {
        assert_eq!(c!(self.C_Initialize(null_mut())), CKR_OK);
    }

    /// C_Finalize.
    pub fn finalize(&self) {
        assert_eq!(c!(self.C_Finalize(null_mut())), CKR_OK);
    }

    /// C_InitToken on a slot, with [`SO_PIN`].
    pub fn init_token(&self, slot: CK_SLOT_ID, label: &str) -> CK_RV {
        let mut padded = [b' '; 32];
        padded[..label.len()].copy_from_slice(label.as_bytes());
        let pin = SO_PIN.as_ptr().cast_mut();
        c!(self.C_InitToken(slot, pin, SO_PIN.len() as CK_ULONG, padded.as_mut_ptr()))
    }

    /// Makes a token with both PINs in slot 0. No session is left open.
    pub fn make_token(&self) {
        assert_eq!(self.init_token(0, "test token"), CKR_OK);
        let session = self.open(CKF_RW_SESSION);
        assert_eq!(self.login(session, CKU_SO, SO_PIN), CKR_OK);
        assert_eq!(self.init_pin(session, USER_PIN), CKR_OK);
        assert_eq!(c!(self.C_CloseSession(session)), CKR_OK);
    }

    /// C_OpenSession on slot 0.
    pub fn open(&self, flags: CK_FLAGS) -> CK_SESSION_HANDLE {
        let (rv, session) = self.try_open(0, CKF_SERIAL_SESSION | flags);
        assert_eq!(rv, CKR_OK);
        session
    }

    /// C_OpenSession with its answer.
    pub fn try_open(&self, slot: CK_SLOT_ID, flags: CK_FLAGS) -> (CK_RV, CK_SESSION_HANDLE) {
        let mut session = 0;
        let rv = c!(self.C_OpenSession(slot, flags, null_mut(), None, &raw mut session));
        (rv, session)
    }

    /// C_Login.
    pub fn login(&self, session: CK_SESSION_HANDLE, user: CK_USER_TYPE, pin: &[u8]) -> CK_RV {
        c!(self.C_Login(session, user, pin.as_ptr().cast_mut(), pin.len() as CK_ULONG))
    }

    /// C_InitPIN.
    pub fn init_pin(&self, session: CK_SESSION_HANDLE, pin: &[u8]) -> CK_RV {
        c!(self.C_InitPIN(session, pin.as_ptr().cast_mut(), pin.len() as CK_ULONG))
    }

    /// C_SetPIN.
    pub fn set_pin(&self, session: CK_SESSION_HANDLE, old: &[u8], new: &[u8]) -> CK_RV {
        let (old_len, new_len) = (old.len() as CK_ULONG, new.len() as CK_ULONG);
        c!(self.C_SetPIN(session, old.as_ptr().cast_mut(), old_len, new.as_ptr().cast_mut(), new_len))
    }

    /// The state of a session, CKS_*.
    pub fn state(&self, session: CK_SESSION_HANDLE) -> CK_STATE {
        let mut info = CK_SESSION_INFO::default();
        assert_eq!(c!(self.C_GetSessionInfo(session, &raw mut info)), CKR_OK);
        info.state
    }

    /// C_GetTokenInfo of slot 0.
    pub fn token_info(&self) -> CK_TOKEN_INFO {
        let mut info = CK_TOKEN_INFO::default();
        assert_eq!(c!(self.C_GetTokenInfo(0, &raw mut info)), CKR_OK);
        info
    }
}
