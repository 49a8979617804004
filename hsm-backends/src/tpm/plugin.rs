//! The plug-in that has libtss2, loaded with dlopen(3) when a TPM is first needed: the only unsafe code of this folder.
//!
//! The contract that every unsafe block here cites. The library is one that lies beside this module or that the
//! configuration names, and it is trusted as the process's own code is. Its three functions are those of
//! `tpm-plugin/src/ffi`: `trellis_tpm_call` reads `len` bytes of its request and keeps no pointer to them; it gives bytes
//! that are the caller's until `trellis_tpm_free` has them back with their length. It is never unloaded: what
//! libtss2 and its libcrypto leave behind for exit(3) would be gone.
#![expect(unsafe_code, reason = "C functions of the plug-in are called through their pointers")]

use std::{
    path::{Path, PathBuf},
    ptr::null_mut,
    sync::OnceLock,
};

use zeroize::Zeroizing;

use super::protocol::{Answer, Operation, VERSION};
use crate::StoreError;

type Version = unsafe extern "C" fn() -> u32;
type Call = unsafe extern "C" fn(u32, *const u8, usize, *mut *mut u8, *mut usize) -> i32;
type Free = unsafe extern "C" fn(*mut u8, usize);

/// The file beside the module.
const FILE: &str = "libtrellis_tpm.so";

/// The plug-in, once it was needed.
#[derive(Debug)]
pub(super) struct Plugin {
    named: Option<PathBuf>,
    loaded: OnceLock<Functions>,
}

#[derive(Debug, Clone, Copy)]
struct Functions {
    call: Call,
    free: Free,
}

impl Plugin {
    /// `named` is the configuration's; without it the plug-in lies beside this very code.
    pub(super) fn new(named: Option<PathBuf>) -> Self {
        Self { named, loaded: OnceLock::new() }
    }

    fn functions(&self) -> Result<Functions, StoreError> {
        if let Some(loaded) = self.loaded.get() {
            return Ok(*loaded);
        }
        let path = match &self.named {
            Some(named) => named.clone(),
            None => beside_this_code()
                .ok_or_else(|| missing(Path::new(FILE), "this module's place is not known"))?,
        };
        let loaded = load(&path)?;
        Ok(*self.loaded.get_or_init(|| loaded))
    }

    /// One operation: its answer, and its bytes or a text.
    pub(super) fn call(
        &self,
        operation: Operation,
        request: &[u8],
    ) -> Result<(Answer, Zeroizing<Vec<u8>>), StoreError> {
        let functions = self.functions()?;
        let (mut bytes, mut len) = (null_mut(), 0);
        // SAFETY: see the head.
        let answer = unsafe {
            (functions.call)(operation as u32, request.as_ptr(), request.len(), &raw mut bytes, &raw mut len)
        };
        // SAFETY: see the head; an empty answer has a pointer as well.
        let copy = Zeroizing::new(unsafe { std::slice::from_raw_parts(bytes, len) }.to_vec());
        // SAFETY: see the head; the bytes are not used afterwards.
        unsafe { (functions.free)(bytes, len) };
        let answer = Answer::ALL.into_iter().find(|known| *known as i32 == answer);
        answer
            .map(|answer| (answer, copy))
            .ok_or_else(|| StoreError::Device("the TPM plug-in gave no answer".into()))
    }
}

fn missing(path: &Path, why: &str) -> StoreError {
    StoreError::Device(format!(
        "the TPM plug-in {} cannot be loaded: {why}; install libtss2-esys and put {FILE} beside the module, or name it in \
         plug-in",
        path.display()
    ))
}

fn load(path: &Path) -> Result<Functions, StoreError> {
    let failed = |error: libloading::Error| missing(path, &error.to_string());
    // SAFETY: see the head.
    let library = unsafe { libloading::Library::new(path) }.map_err(failed)?;
    // SAFETY: see the head; the types are those of the functions.
    let (version, call, free) = unsafe {
        let version = library.get::<Version>(b"trellis_tpm_version\0").map_err(failed)?;
        let call = library.get::<Call>(b"trellis_tpm_call\0").map_err(failed)?;
        let free = library.get::<Free>(b"trellis_tpm_free\0").map_err(failed)?;
        (*version, *call, *free)
    };
    // SAFETY: see the head.
    let found = unsafe { version() };
    std::mem::forget(library);
    if found == VERSION {
        Ok(Functions { call, free })
    } else {
        Err(missing(path, &format!("it is of another version ({found}, not {VERSION})")))
    }
}

/// The plug-in's place: the folder of the shared library or program that this code is in, or the one above (Cargo puts
/// the programs of tests into `deps`).
fn beside_this_code() -> Option<PathBuf> {
    let here = (load as *const ()).addr();
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let range = range.map(|(from, to)| (usize::from_str_radix(from, 16), usize::from_str_radix(to, 16)));
        matches!(range, Some((Ok(from), Ok(to))) if (from..to).contains(&here))
    })?;
    let folder = Path::new(line.get(line.find('/')?..)?).parent()?;
    let places = [Some(folder), folder.parent().filter(|_| folder.ends_with("deps"))];
    let found = places.into_iter().flatten().map(|folder| folder.join(FILE)).find(|path| path.exists());
    Some(found.unwrap_or_else(|| folder.join(FILE)))
}
