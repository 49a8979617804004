//! The few C calls that `cryptoki` does not make: the list of interfaces, mechanisms that it has no name for, and
//! Trellis's own vendor interface.
//!
//! This is the only file of the command with unsafe code. Every call goes to a module that the user chose and that
//! is loaded and initialised; what is trusted is that the module keeps to the PKCS#11 ABI.
#![expect(unsafe_code, reason = "C functions of the module are called through their pointers")]

use std::ffi::{CStr, c_char};
use std::path::Path;
use std::ptr;

use cryptoki::object::{Attribute, ObjectHandle};
use cryptoki_sys::*;
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// The name under which Trellis offers what PKCS#11 has no function for.
pub(crate) const VENDOR_INTERFACE: &CStr = c"Vendor Trellis";

/// `T_RestoreToken`: an initialised token may be replaced.
const RESTORE_REPLACE: CK_FLAGS = 1;

/// The library, a second time open: `dlopen` gives the same instance that `cryptoki` holds.
pub(crate) struct Raw(Pkcs11);

/// One entry of C_GetInterfaceList.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) version: String,
}

/// One mechanism of a token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mechanism {
    pub(crate) code: CK_MECHANISM_TYPE,
    pub(crate) info: CK_MECHANISM_INFO,
}

/// Function list of the interface "Vendor Trellis", version 1.1; a newer list begins with it.
#[repr(C)]
#[derive(Clone, Copy)]
struct VendorFunctions {
    version: CK_VERSION,
    backup_token: Option<
        unsafe extern "C" fn(CK_SLOT_ID, *mut CK_UTF8CHAR, CK_ULONG, *mut CK_UTF8CHAR, CK_ULONG) -> CK_RV,
    >,
    restore_token: Option<
        unsafe extern "C" fn(
            CK_SLOT_ID,
            *mut CK_UTF8CHAR,
            CK_ULONG,
            *mut CK_UTF8CHAR,
            CK_ULONG,
            CK_FLAGS,
        ) -> CK_RV,
    >,
    status: Option<unsafe extern "C" fn(CK_SLOT_ID, *mut CK_UTF8CHAR, *mut CK_ULONG) -> CK_RV>,
    reseal_token: Option<unsafe extern "C" fn(CK_SLOT_ID, *mut CK_UTF8CHAR, CK_ULONG) -> CK_RV>,
}

/// What version 1.2 has after them.
type CreateObjects = unsafe extern "C" fn(
    CK_SESSION_HANDLE,
    *mut *mut CK_ATTRIBUTE,
    *mut CK_ULONG,
    CK_ULONG,
    *mut CK_OBJECT_HANDLE,
) -> CK_RV;

/// Trellis's own functions, valid while the library is loaded.
pub(crate) struct Vendor<'a> {
    functions: VendorFunctions,
    create_objects: Option<CreateObjects>,
    _library: &'a Raw,
}

impl Raw {
    pub(crate) fn new(path: &Path) -> Result<Self> {
        // SAFETY: loading runs the library's initialisers; the user asked for this library, and it is loaded already.
        let library = unsafe { Pkcs11::new(path) };
        library.map(Self).map_err(|error| Error::module(format!("the module does not load: {error}")))
    }

    /// What C_GetInterfaceList names; empty for a module older than PKCS#11 3.0.
    pub(crate) fn interfaces(&self) -> Result<Vec<Interface>> {
        let Ok(function) = self.0.C_GetInterfaceList.as_ref() else { return Ok(Vec::new()) };
        let mut count: CK_ULONG = 0;
        // SAFETY: a NULL list with a valid count asks for the number of interfaces.
        check(unsafe { function(ptr::null_mut(), &mut count) }, "C_GetInterfaceList")?;
        let empty =
            CK_INTERFACE { pInterfaceName: ptr::null_mut(), pFunctionList: ptr::null_mut(), flags: 0 };
        let mut list = vec![empty; usize::try_from(count).unwrap_or(0)];
        // SAFETY: the list has room for `count` entries.
        check(unsafe { function(list.as_mut_ptr(), &mut count) }, "C_GetInterfaceList")?;
        list.truncate(usize::try_from(count).unwrap_or(0));
        let usable =
            list.iter().filter(|entry| !entry.pInterfaceName.is_null() && !entry.pFunctionList.is_null());
        Ok(usable
            .map(|entry| {
                // SAFETY: the standard makes the name a NUL-terminated string that lives as long as the library, and
                // lets every function list begin with a CK_VERSION; neither is NULL.
                let (name, version) = unsafe {
                    (
                        CStr::from_ptr(entry.pInterfaceName as *const c_char),
                        *(entry.pFunctionList as *const CK_VERSION),
                    )
                };
                Interface {
                    name: name.to_string_lossy().into_owned(),
                    version: format!("{}.{}", version.major, version.minor),
                }
            })
            .collect())
    }

    /// The codes of every mechanism of the token in `slot`, in the module's order. `cryptoki` leaves out those that it
    /// has no name for, among them CKM_HASH_ML_DSA_SHAKE256.
    pub(crate) fn mechanism_codes(&self, slot: CK_SLOT_ID) -> Result<Vec<CK_MECHANISM_TYPE>> {
        let list = self.functions()?.C_GetMechanismList;
        let list = list.ok_or_else(|| Error::module("the module has no function C_GetMechanismList"))?;
        let mut count: CK_ULONG = 0;
        // SAFETY: a NULL list with a valid count asks for the number of mechanisms.
        check(unsafe { list(slot, ptr::null_mut(), &mut count) }, "C_GetMechanismList")?;
        let mut codes = vec![0; usize::try_from(count).unwrap_or(0)];
        // SAFETY: the list has room for `count` entries.
        check(unsafe { list(slot, codes.as_mut_ptr(), &mut count) }, "C_GetMechanismList")?;
        codes.truncate(usize::try_from(count).unwrap_or(0));
        Ok(codes)
    }

    /// Every mechanism of the token in `slot` with its sizes and uses.
    pub(crate) fn mechanisms(&self, slot: CK_SLOT_ID) -> Result<Vec<Mechanism>> {
        let info = self.functions()?.C_GetMechanismInfo;
        let info = info.ok_or_else(|| Error::module("the module has no function C_GetMechanismInfo"))?;
        let describe = |code| {
            let mut answer = CK_MECHANISM_INFO { ulMinKeySize: 0, ulMaxKeySize: 0, flags: 0 };
            // SAFETY: `answer` is a valid CK_MECHANISM_INFO to write to.
            check(unsafe { info(slot, code, &mut answer) }, "C_GetMechanismInfo")?;
            Ok(Mechanism { code, info: answer })
        };
        self.mechanism_codes(slot)?.into_iter().map(describe).collect()
    }

    /// Ends an operation that C_SignInit began: `cryptoki` ties the two together, and a key that wants a login in
    /// between needs them apart.
    pub(crate) fn sign(&self, session: CK_SESSION_HANDLE, message: &[u8]) -> Result<Vec<u8>> {
        let function = self.functions()?.C_Sign;
        let function = function.ok_or_else(|| Error::module("the module has no function C_Sign"))?;
        let mut length: CK_ULONG = 0;
        let message = (message.as_ptr().cast_mut(), ulong(message));
        // SAFETY: the message is valid for its length and only read; a NULL buffer asks for the length.
        check(unsafe { function(session, message.0, message.1, ptr::null_mut(), &mut length) }, "C_Sign")?;
        let mut signature = vec![0; usize::try_from(length).unwrap_or(0)];
        // SAFETY: as before, and the buffer has `length` bytes.
        let code = unsafe { function(session, message.0, message.1, signature.as_mut_ptr(), &mut length) };
        check(code, "C_Sign")?;
        signature.truncate(usize::try_from(length).unwrap_or(0));
        Ok(signature)
    }

    /// C_WrapKey with a mechanism that has no parameter. `cryptoki` has no name for CKM_AES_KEY_WRAP_KWP, and gives back
    /// the first length that the token tells, not the last.
    pub(crate) fn wrap_key(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: CK_MECHANISM_TYPE,
        wrapping: ObjectHandle,
        key: ObjectHandle,
    ) -> Result<Zeroizing<Vec<u8>>> {
        let function = self.functions()?.C_WrapKey;
        let function = function.ok_or_else(|| Error::unsupported("the module has no function C_WrapKey"))?;
        let mut mechanism = CK_MECHANISM { mechanism, pParameter: ptr::null_mut(), ulParameterLen: 0 };
        let (wrapping, key) = (wrapping.handle(), key.handle());
        let mut length: CK_ULONG = 0;
        // SAFETY: the mechanism is valid for the call; a NULL buffer asks for the length.
        let code = unsafe { function(session, &mut mechanism, wrapping, key, ptr::null_mut(), &mut length) };
        check(code, "C_WrapKey")?;
        let mut wrapped = Zeroizing::new(vec![0; usize::try_from(length).unwrap_or(0)]);
        // SAFETY: as before, and the buffer has `length` bytes.
        let code =
            unsafe { function(session, &mut mechanism, wrapping, key, wrapped.as_mut_ptr(), &mut length) };
        check(code, "C_WrapKey")?;
        wrapped.truncate(usize::try_from(length).unwrap_or(0));
        Ok(wrapped)
    }

    /// Trellis's vendor interface; `None` when the module is somebody else's.
    pub(crate) fn vendor(&self) -> Option<Vendor<'_>> {
        let newest = self.vendor_list(2);
        let list = newest.or_else(|| self.vendor_list(1))?;
        // SAFETY: name and version fix the layout of the list, which begins with that of 1.1; it lives as long as the
        // library. It is read unaligned because the standard's own lists may be.
        let functions = unsafe { list.read_unaligned() };
        // SAFETY: as above; in version 1.2 this function follows.
        let create_objects =
            newest.and_then(|list| unsafe { list.add(1).cast::<Option<CreateObjects>>().read_unaligned() });
        (functions.version.major == 1).then_some(Vendor { functions, create_objects, _library: self })
    }

    /// The function list of version 1.`minor`.
    fn vendor_list(&self, minor: u8) -> Option<*const VendorFunctions> {
        let function = self.0.C_GetInterface.as_ref().ok()?;
        let mut version = CK_VERSION { major: 1, minor };
        let mut interface: *mut CK_INTERFACE = ptr::null_mut();
        // SAFETY: name and version are valid for the call, and `interface` may be written to.
        let code = unsafe {
            function(VENDOR_INTERFACE.as_ptr() as *mut CK_UTF8CHAR, &mut version, &mut interface, 0)
        };
        if code != CKR_OK || interface.is_null() {
            return None;
        }
        // SAFETY: the module answered CKR_OK, so the interface is valid for the library's life.
        let list = unsafe { (*interface).pFunctionList } as *const VendorFunctions;
        (!list.is_null()).then_some(list)
    }

    fn functions(&self) -> Result<CK_FUNCTION_LIST> {
        let function = self.0.C_GetFunctionList.as_ref();
        let function = function.map_err(|_| Error::module("the library has no C_GetFunctionList"))?;
        let mut list: *mut CK_FUNCTION_LIST = ptr::null_mut();
        // SAFETY: `list` may be written to.
        check(unsafe { function(&mut list) }, "C_GetFunctionList")?;
        if list.is_null() {
            return Err(Error::module("the module gave no function list"));
        }
        // SAFETY: the module answered CKR_OK with a list that lives as long as the library.
        Ok(unsafe { list.read_unaligned() })
    }
}

impl Vendor<'_> {
    /// Writes an encrypted copy of the token in `slot` to `path`.
    pub(crate) fn backup(&self, slot: CK_SLOT_ID, path: &Path, passphrase: &[u8]) -> Result<()> {
        let function = self.functions.backup_token.ok_or_else(|| absent("T_BackupToken"))?;
        let path = path.as_os_str().as_encoded_bytes();
        // SAFETY: both pointers are valid for their lengths during the call, and the module only reads them.
        let code = unsafe {
            function(
                slot,
                path.as_ptr().cast_mut(),
                ulong(path),
                passphrase.as_ptr().cast_mut(),
                ulong(passphrase),
            )
        };
        check(code, "T_BackupToken")
    }

    /// Fills the token in `slot` from the backup at `path`.
    pub(crate) fn restore(
        &self,
        slot: CK_SLOT_ID,
        path: &Path,
        passphrase: &[u8],
        replace: bool,
    ) -> Result<()> {
        let function = self.functions.restore_token.ok_or_else(|| absent("T_RestoreToken"))?;
        let path = path.as_os_str().as_encoded_bytes();
        let flags = if replace { RESTORE_REPLACE } else { 0 };
        let (start, secret) = (path.as_ptr().cast_mut(), passphrase.as_ptr().cast_mut());
        // SAFETY: both pointers are valid for their lengths during the call, and the module only reads them.
        check(
            unsafe { function(slot, start, ulong(path), secret, ulong(passphrase), flags) },
            "T_RestoreToken",
        )
    }

    /// Binds the token in `slot` to the present state of the machine.
    pub(crate) fn reseal(&self, slot: CK_SLOT_ID, so_pin: &[u8]) -> Result<()> {
        let function = self.functions.reseal_token.ok_or_else(|| absent("T_ResealToken"))?;
        // SAFETY: the pointer is valid for its length during the call, and the module only reads there.
        check(unsafe { function(slot, so_pin.as_ptr().cast_mut(), ulong(so_pin)) }, "T_ResealToken")
    }

    /// Whether many objects can be made in one call.
    pub(crate) fn creates_many(&self) -> bool {
        self.create_objects.is_some()
    }

    /// Makes an object for each template, or none.
    pub(crate) fn create_objects(
        &self,
        session: CK_SESSION_HANDLE,
        templates: &[&[Attribute]],
    ) -> Result<()> {
        let function = self.create_objects.ok_or_else(|| absent("T_CreateObjects"))?;
        let structs = |template: &&[Attribute]| template.iter().map(Into::into).collect();
        let mut attributes: Vec<Vec<CK_ATTRIBUTE>> = templates.iter().map(structs).collect();
        let mut counts: Vec<_> = attributes.iter().map(|one| one.len() as CK_ULONG).collect();
        let mut pointers: Vec<_> = attributes.iter_mut().map(|one| one.as_mut_ptr()).collect();
        let mut handles: Vec<CK_OBJECT_HANDLE> = vec![0; templates.len()];
        let arrays = (pointers.as_mut_ptr(), counts.as_mut_ptr(), handles.as_mut_ptr());
        // SAFETY: the arrays have as many elements as there are templates, and each template as many attributes as its
        // count says; their values live in `templates`.
        let code = unsafe { function(session, arrays.0, arrays.1, templates.len() as CK_ULONG, arrays.2) };
        check(code, "T_CreateObjects")
    }

    /// The module's own report as JSON: of one slot, or with `None` of the module.
    pub(crate) fn status(&self, slot: Option<CK_SLOT_ID>) -> Result<String> {
        let function = self.functions.status.ok_or_else(|| absent("T_Status"))?;
        let slot = slot.unwrap_or(CK_UNAVAILABLE_INFORMATION);
        let mut length: CK_ULONG = 0;
        // SAFETY: a NULL buffer with a valid length asks for the length.
        check(unsafe { function(slot, ptr::null_mut(), &mut length) }, "T_Status")?;
        // The report may grow between the two calls.
        length += 4096;
        let mut text = vec![0; usize::try_from(length).unwrap_or(0)];
        // SAFETY: the buffer has `length` bytes.
        check(unsafe { function(slot, text.as_mut_ptr(), &mut length) }, "T_Status")?;
        text.truncate(usize::try_from(length).unwrap_or(0));
        String::from_utf8(text).map_err(|_| Error::module("the module's report is not UTF-8"))
    }
}

fn check(code: CK_RV, function: &str) -> Result<()> {
    if code == CKR_OK { Ok(()) } else { Err(Error::from_code(code, function)) }
}

fn ulong(bytes: &[u8]) -> CK_ULONG {
    // usize and CK_ULONG are both the machine's word on every Unix.
    bytes.len() as CK_ULONG
}

fn absent(function: &str) -> Error {
    Error::unsupported(format!("this build of the module has no {function}"))
}
