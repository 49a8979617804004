//! `pin-source` of a slot: the user's PIN in a file, for programs that have none to give.
//!
//! To clients it is a protected authentication path (PKCS#11 v3.2 section 5.6.8): the token has
//! CKF_PROTECTED_AUTHENTICATION_PATH, and C_Login without a PIN takes the one in the file. A PIN that is given is judged as
//! always.

use std::{
    fs::File,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use hsm_backends::{Pin, StoreError};
use zeroize::Zeroizing;

use crate::error::Result;

/// The longest PIN with its line ending, and a byte more.
const MOST: u64 = 258;

/// A file with a PIN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinSource(PathBuf);

impl PinSource {
    /// That file.
    pub fn file(path: PathBuf) -> Self {
        Self(path)
    }

    /// The PIN as it is there now; one line ending at the end is dropped. A file that anybody but its owner may read or
    /// write is refused.
    pub(crate) fn read(&self) -> Result<Pin> {
        Ok(read(&self.0)?)
    }
}

fn read(path: &Path) -> std::result::Result<Pin, StoreError> {
    let refuse = |why: &str, remedy: String| {
        StoreError::Permissions(format!("pin-source {}: {why}; {remedy}", path.display()))
    };
    let unreadable = |error: std::io::Error| refuse(&error.to_string(), "let this user read it".into());
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if metadata.mode() & 0o077 != 0 {
        return Err(refuse("others may read or write it", format!("run: chmod 600 {}", path.display())));
    }
    // Room for all of it, so that no copy is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(300));
    file.take(MOST).read_to_end(&mut bytes).map_err(unreadable)?;
    let pin = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    Ok(Pin::presented(pin.strip_suffix(b"\r").unwrap_or(pin)))
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt,
    };

    use super::*;

    #[test]
    fn a_pin_is_the_file_without_its_line_ending() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pin");
        for (text, pin) in [("1234", "1234"), ("1234\n", "1234"), ("1234\r\n", "1234"), ("12 \n\n", "12 \n")]
        {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            assert_eq!(read(&path).unwrap().expose(), pin.as_bytes());
        }
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let told = read(&path).unwrap_err().to_string();
        assert!(told.contains("others may read"), "{told}");
        assert!(read(&folder.path().join("none")).is_err());
    }
}
