//! An authority that is kept in a directory, so that what was attested under its root stays trusted.

use std::{fs, io, path::Path};

use crate::{Authority, Key};

/// The file in the directory: each part after its length in four bytes, the most significant first; the root's DER,
/// then the keys, that of the enclave's certificate last.
const FILE: &str = "authority";

impl Authority {
    /// The authority that a directory keeps, its certificates valid at `moment` (seconds since 1970). Both are made when
    /// they are missing; of several processes that make it at once, all get the same.
    pub fn open(directory: &Path, moment: u64) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let path = directory.join(FILE);
        if !path.exists() {
            let temporary = directory.join(format!("{FILE}.{}", std::process::id()));
            fs::write(&temporary, Self::new(moment).to_bytes())?;
            let linked = fs::hard_link(&temporary, &path);
            fs::remove_file(&temporary)?;
            match linked {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        let bytes = fs::read(&path)?;
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged", path.display()));
        Self::from_bytes(&bytes, moment).ok_or_else(damaged)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let keys = self.keys().map(Key::to_der);
        for part in std::iter::once(self.root()).chain(keys) {
            out.extend(u32::try_from(part.len()).expect("keys are short").to_be_bytes());
            out.extend(part);
        }
        out
    }

    fn from_bytes(mut bytes: &[u8], moment: u64) -> Option<Self> {
        let mut parts = Vec::new();
        while let Some((length, rest)) = bytes.split_first_chunk() {
            let (part, rest) = rest.split_at_checked(u32::from_be_bytes(*length).try_into().ok()?)?;
            parts.push(part);
            bytes = rest;
        }
        let (root, keys) = parts.split_first()?;
        let keys = keys.iter().map(|der| Key::from_der(der)).collect::<Option<Vec<_>>>()?;
        Self::from_keys(keys, root.to_vec(), moment)
    }
}
