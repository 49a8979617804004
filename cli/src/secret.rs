//! Bytes that must not outlive their use: PINs, passphrases and private-key files.

use std::fmt;
use std::io::Read;

use cryptoki::types::AuthPin;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::exit::Exit;

/// A secret; erased when dropped, and never printed.
pub(crate) struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads to the end, at most `limit` bytes; `None` when there are more. The buffer never moves, so that no
    /// copy stays behind.
    pub(crate) fn read(mut from: impl Read, limit: usize) -> std::io::Result<Option<Self>> {
        let mut bytes = Zeroizing::new(vec![0; limit + 1]);
        let mut filled = 0;
        while filled < bytes.len() {
            match from.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok((filled <= limit).then_some(Self(bytes)))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Drops one line ending at the end, which editors and `echo` leave there.
    pub(crate) fn without_newline(mut self) -> Self {
        if self.0.last() == Some(&b'\n') {
            self.0.pop();
            if self.0.last() == Some(&b'\r') {
                self.0.pop();
            }
        }
        self
    }

    /// The secret as a PIN, which PKCS#11 defines as UTF-8.
    pub(crate) fn pin(&self) -> Result<AuthPin> {
        let text = std::str::from_utf8(&self.0).map_err(|_| {
            Error::login("the PIN is not UTF-8 text").remedy("use a PIN of letters, digits and punctuation")
        })?;
        Ok(AuthPin::from(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Fills the buffer with random bytes of the operating system.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<()> {
    match rustix::rand::getrandom(&mut *bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(filled) if filled == bytes.len() => Ok(()),
        Ok(_) | Err(_) => {
            Err(Error::new(Exit::Io, "the system gives no random bytes").remedy("run `trellis doctor`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_ending_is_dropped_and_no_more() {
        for (read, kept) in [("1234\n", "1234"), ("1234\r\n", "1234"), ("1234\n\n", "1234\n"), ("12 ", "12 ")]
        {
            let secret = Secret::new(read.into()).without_newline();
            assert_eq!(secret.bytes(), kept.as_bytes(), "{read:?}");
        }
    }

    #[test]
    fn too_much_is_refused_and_the_limit_itself_is_not() {
        assert_eq!(Secret::read(&b"12345"[..], 5).unwrap().unwrap().len(), 5);
        assert!(Secret::read(&b"123456"[..], 5).unwrap().is_none());
    }

    #[test]
    fn debug_prints_nothing() {
        assert_eq!(format!("{:?}", Secret::new(b"hunter2".to_vec())), "Secret");
    }
}
