//! Randomness from the operating system.

use std::{fs::OpenOptions, io::Write, os::unix::fs::FileTypeExt};

use crate::{Error, SecretBytes, engine::os};

/// Fills `out` from the operating system's generator (getrandom(2)).
pub fn fill(out: &mut [u8]) -> Result<(), Error> {
    os::random(out)
}

/// Stirs `seed` into the operating system's generator, which every process draws from. It is not counted as
/// randomness, so a bad seed makes nothing worse. [`Error::EngineFailed`] where the system offers no way.
pub fn stir(seed: &[u8]) -> Result<(), Error> {
    let stir = || {
        let mut device = OpenOptions::new().write(true).open("/dev/urandom")?;
        if !device.metadata()?.file_type().is_char_device() {
            return Err(std::io::ErrorKind::Unsupported.into());
        }
        device.write_all(seed)
    };
    stir().map_err(|_: std::io::Error| Error::EngineFailed)
}

/// `len` fresh secret bytes.
pub fn secret(len: usize) -> Result<SecretBytes, Error> {
    SecretBytes::filled(len, fill)
}

/// `N` fresh public bytes: a nonce, an identifier, a salt.
pub fn array<const N: usize>() -> Result<[u8; N], Error> {
    let mut out = [0; N];
    fill(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_taken() {
        assert_eq!(stir(&[]), Ok(()));
        assert_eq!(stir(&[7; 5000]), Ok(()));
    }

    #[test]
    fn two_draws_differ() {
        assert_ne!(array::<32>(), array::<32>());
        // More than one call of the system gives (256 bytes without interruption, 32 MiB at most).
        let mut long = vec![0; 100_000];
        fill(&mut long).unwrap();
        assert!(long.chunks(1000).all(|chunk| chunk.iter().any(|&byte| byte != 0)));
    }
}
