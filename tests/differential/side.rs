//! One of the two modules, with its own handles for what both have.

#![expect(unsafe_code, reason = "this is the C side of the C ABI")]

use std::{path::Path, ptr::null_mut};

use cryptoki_sys::*;
use libloading::os::unix::{Library, Symbol};
use trellis_tests::{
    c,
    raw::{SO_PIN, USER_PIN},
};

/// A handle that was never given out.
pub(crate) const NO_HANDLE: CK_ULONG = 0xdead_beef;

/// A module with a token.
#[derive(Debug)]
pub(crate) struct Side {
    /// The 2.40 list, which both have.
    pub(crate) list: &'static CK_FUNCTION_LIST,
    pub(crate) slot: CK_SLOT_ID,
    /// By the number of the session in the sequence, closed ones too.
    pub(crate) sessions: Vec<CK_SESSION_HANDLE>,
    /// By the number of the object in the sequence, destroyed ones too.
    pub(crate) objects: Vec<CK_OBJECT_HANDLE>,
    /// Signatures and ciphertexts.
    pub(crate) outputs: Vec<Vec<u8>>,
    _library: Library,
}

impl Side {
    /// Loads a module and makes a token in its first slot.
    pub(crate) fn new(path: &Path) -> Self {
        // SAFETY: loading runs the library's constructors, which is what the test wants.
        let library = unsafe { Library::open(Some(path), libc::RTLD_NOW | libc::RTLD_LOCAL) }
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        // SAFETY: the symbol has this type in PKCS#11.
        let get: Symbol<CK_C_GetFunctionList> = unsafe { library.get(b"C_GetFunctionList\0") }.unwrap();
        let mut list = null_mut();
        // SAFETY: the argument is a place for a pointer.
        assert_eq!(unsafe { get.unwrap()(&raw mut list) }, CKR_OK);
        // SAFETY: the list is a static of a library that stays loaded as long as this value.
        let list = unsafe { &*list };
        let (sessions, objects, outputs) = (Vec::new(), Vec::new(), Vec::new());
        let mut side = Self { list, slot: 0, sessions, objects, outputs, _library: library };
        side.make_token();
        side
    }

    fn make_token(&mut self) {
        let mut label = [b' '; 32];
        label[..4].copy_from_slice(b"both");
        assert_eq!(c!(self.C_Initialize(null_mut())), CKR_OK);
        self.slot = self.first_slot();
        let (so_pin, so_len) = (SO_PIN.as_ptr().cast_mut(), SO_PIN.len() as CK_ULONG);
        assert_eq!(c!(self.C_InitToken(self.slot, so_pin, so_len, label.as_mut_ptr())), CKR_OK);
        // SoftHSM renumbers its slots when it starts again.
        assert_eq!(c!(self.C_Finalize(null_mut())), CKR_OK);
        assert_eq!(c!(self.C_Initialize(null_mut())), CKR_OK);
        self.slot = self.first_slot();
        let session = self.open(CKF_SERIAL_SESSION | CKF_RW_SESSION).1;
        assert_eq!(c!(self.C_Login(session, CKU_SO, so_pin, so_len)), CKR_OK);
        let (pin, len) = (USER_PIN.as_ptr().cast_mut(), USER_PIN.len() as CK_ULONG);
        assert_eq!(c!(self.C_InitPIN(session, pin, len)), CKR_OK);
        assert_eq!(c!(self.C_CloseAllSessions(self.slot)), CKR_OK);
    }

    fn first_slot(&self) -> CK_SLOT_ID {
        let (mut slots, mut count) = ([0; 8], 8);
        assert_eq!(c!(self.C_GetSlotList(CK_TRUE, slots.as_mut_ptr(), &raw mut count)), CKR_OK);
        slots[0]
    }

    /// Nothing on the token, and one session, number 0, of the user, which no sequence closes.
    pub(crate) fn reset(&mut self) {
        assert_eq!(c!(self.C_CloseAllSessions(self.slot)), CKR_OK);
        let session = self.open(CKF_SERIAL_SESSION | CKF_RW_SESSION).1;
        let (pin, len) = (USER_PIN.as_ptr().cast_mut(), USER_PIN.len() as CK_ULONG);
        assert_eq!(c!(self.C_Login(session, CKU_USER, pin, len)), CKR_OK);
        assert_eq!(c!(self.C_FindObjectsInit(session, null_mut(), 0)), CKR_OK);
        let (mut found, mut count) = ([0; 1000], 0);
        assert_eq!(c!(self.C_FindObjects(session, found.as_mut_ptr(), 1000, &raw mut count)), CKR_OK);
        assert_eq!(c!(self.C_FindObjectsFinal(session)), CKR_OK);
        for object in &found[..count as usize] {
            assert_eq!(c!(self.C_DestroyObject(session, *object)), CKR_OK);
        }
        (self.sessions, self.objects, self.outputs) = (vec![session], Vec::new(), Vec::new());
    }

    /// C_OpenSession.
    pub(crate) fn open(&self, flags: CK_FLAGS) -> (CK_RV, CK_SESSION_HANDLE) {
        let mut session = NO_HANDLE;
        let rv = c!(self.C_OpenSession(self.slot, flags, null_mut(), None, &raw mut session));
        (rv, session)
    }

    /// Destroys all objects with a label, in a session of its own, and says how many there were.
    pub(crate) fn destroy_labelled(&self, label: &[u8]) -> usize {
        let session = self.open(CKF_SERIAL_SESSION | CKF_RW_SESSION).1;
        let value = label.as_ptr().cast_mut().cast();
        let mut attribute =
            CK_ATTRIBUTE { type_: CKA_LABEL, pValue: value, ulValueLen: label.len() as CK_ULONG };
        assert_eq!(c!(self.C_FindObjectsInit(session, &raw mut attribute, 1)), CKR_OK);
        let (mut found, mut count) = ([0; 8], 0);
        assert_eq!(c!(self.C_FindObjects(session, found.as_mut_ptr(), 8, &raw mut count)), CKR_OK);
        assert_eq!(c!(self.C_FindObjectsFinal(session)), CKR_OK);
        for object in &found[..count as usize] {
            assert_eq!(c!(self.C_DestroyObject(session, *object)), CKR_OK);
        }
        assert_eq!(c!(self.C_CloseSession(session)), CKR_OK);
        count as usize
    }

    /// CKA_LABEL, up to 32 bytes of it.
    pub(crate) fn label(&self, object: CK_OBJECT_HANDLE) -> Vec<u8> {
        let mut label = vec![0_u8; 32];
        let mut attribute =
            CK_ATTRIBUTE { type_: CKA_LABEL, pValue: label.as_mut_ptr().cast(), ulValueLen: 32 };
        assert_eq!(c!(self.C_GetAttributeValue(self.session(0), object, &raw mut attribute, 1)), CKR_OK);
        label.truncate(attribute.ulValueLen as usize);
        label
    }

    /// The handle of a session by its number.
    pub(crate) fn session(&self, number: usize) -> CK_SESSION_HANDLE {
        self.sessions.get(number).copied().unwrap_or(NO_HANDLE)
    }

    /// The handle of an object by its number.
    pub(crate) fn object(&self, number: usize) -> CK_OBJECT_HANDLE {
        self.objects.get(number).copied().unwrap_or(NO_HANDLE)
    }
}
