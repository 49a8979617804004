//! The libraries that do the work, each behind safe functions.

pub(crate) mod aws_lc;
#[expect(unsafe_code, reason = "a call of the C library")]
pub(crate) mod os;
