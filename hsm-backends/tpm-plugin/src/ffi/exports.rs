//! What the store calls.

use std::panic::{AssertUnwindSafe, catch_unwind};

use zeroize::Zeroize;

use crate::{
    operations,
    protocol::{Answer, VERSION},
};

/// The version of what the two sides say to each other.
// SAFETY: no other symbol has this name.
#[unsafe(no_mangle)]
pub extern "C" fn trellis_tpm_version() -> u32 {
    VERSION
}

/// Does one operation of the file `protocol.rs`. The answer's bytes are the caller's, to be given back to
/// [`trellis_tpm_free`].
///
/// # Safety
///
/// `request` has `len` bytes; `response` and `response_len` can be written.
// SAFETY: no other symbol has this name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trellis_tpm_call(
    operation: u32,
    request: *const u8,
    len: usize,
    response: *mut *mut u8,
    response_len: *mut usize,
) -> i32 {
    // SAFETY: the caller's promise.
    let request = unsafe { std::slice::from_raw_parts(request, len) };
    let done = catch_unwind(AssertUnwindSafe(|| operations::perform(operation, request)));
    let (answer, bytes) = done.unwrap_or_else(|_| {
        (Answer::Failed, b"the TPM plug-in has a bug; see standard error".to_vec().into())
    });
    let bytes = Box::leak(bytes.as_slice().to_vec().into_boxed_slice());
    // SAFETY: the caller's promise.
    unsafe {
        *response_len = bytes.len();
        *response = bytes.as_mut_ptr();
    }
    answer as i32
}

/// Wipes and frees an answer.
///
/// # Safety
///
/// The two come from one call of [`trellis_tpm_call`], and come here once.
// SAFETY: no other symbol has this name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trellis_tpm_free(response: *mut u8, len: usize) {
    // SAFETY: the caller's promise: the box that was leaked there.
    let mut bytes = unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(response, len)) };
    bytes.zeroize();
}
