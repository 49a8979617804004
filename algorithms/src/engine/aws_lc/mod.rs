//! AWS-LC behind safe functions: all the unsafe code there is around it stands in three of the files below.
//!
//! Handles free what they own, and a failed call leaves AWS-LC's error queue empty for the next.

#[expect(unsafe_code, reason = "calls of the C library")]
pub(crate) mod classical;
pub(crate) mod gate;
#[expect(unsafe_code, reason = "calls of the C library")]
pub(crate) mod modern;
#[expect(unsafe_code, reason = "calls of the C library")]
pub(crate) mod symmetric;

use std::ffi::c_int;

use crate::Error;

/// AWS-LC's 1 for success, anything else for failure.
fn check(answer: c_int, otherwise: Error) -> Result<(), Error> {
    if answer == 1 { Ok(()) } else { Err(failed(otherwise)) }
}

fn failed(error: Error) -> Error {
    symmetric::clear_errors();
    error
}

/// An owned pointer with its destructor. Keys are complete before they are shared, and AWS-LC's signing and verifying
/// functions may run on one key in many threads (it locks or counts what it must).
macro_rules! handle {
    ($name:ident($type:ident), $free:ident) => {
        pub(crate) struct $name(::std::ptr::NonNull<::aws_lc_sys::$type>);

        // SAFETY: see above.
        unsafe impl Send for $name {}
        // SAFETY: see above.
        unsafe impl Sync for $name {}

        impl $name {
            fn take(
                pointer: *mut ::aws_lc_sys::$type,
                otherwise: $crate::Error,
            ) -> Result<Self, $crate::Error> {
                ::std::ptr::NonNull::new(pointer)
                    .map(Self)
                    .ok_or_else(|| $crate::engine::aws_lc::failed(otherwise))
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                let _inside = $crate::engine::aws_lc::gate::enter();
                // SAFETY: owned, and freed once, here.
                unsafe { ::aws_lc_sys::$free(self.0.as_ptr()) };
            }
        }

        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    };
}
use handle;
