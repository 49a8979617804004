//! General purpose functions (PKCS#11 v3.2 section 5.4).

use crate::{Module, error::Result};

/// manufacturerID of the library, its slots and its tokens.
pub const MANUFACTURER: &str = "Trellis";

/// libraryVersion: major and minor version of this crate.
pub const LIBRARY_VERSION: (u8, u8) =
    (number(env!("CARGO_PKG_VERSION_MAJOR")), number(env!("CARGO_PKG_VERSION_MINOR")));

/// CK_INFO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// The version of the standard.
    pub cryptoki_version: (u8, u8),
    /// At most 32 bytes.
    pub description: &'static str,
}

impl Module {
    /// C_GetInfo.
    pub fn info(&self) -> Result<Info> {
        Ok(Info { cryptoki_version: (3, 2), description: "Trellis PKCS#11 v3.2 provider" })
    }

    /// C_Finalize, for those who are still inside a call: wakes who waits for a slot event.
    pub fn finalize(&self) {
        self.finalized.happen();
    }
}

const fn number(digits: &str) -> u8 {
    match u8::from_str_radix(digits, 10) {
        Ok(number) => number,
        Err(_) => panic!("a version number is below 256"),
    }
}
