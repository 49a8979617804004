//! Where variable-length results go (PKCS#11 v3.2 section 5.2).

/// The caller's buffer, or its question how long the result will be (a NULL pointer).
#[derive(Debug)]
pub struct Output<'a>(Option<&'a mut [u8]>);

/// What became of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It stands in the buffer; this many bytes.
    Bytes(usize),
    /// Nothing was written and the operation goes on: the caller asked for the length, or its buffer is too small.
    /// The boundary answers CKR_OK or CKR_BUFFER_TOO_SMALL with this length.
    Needs(usize),
}

impl<'a> Output<'a> {
    /// The caller asks for the length.
    pub fn length() -> Self {
        Self(None)
    }

    /// The caller gave a buffer.
    pub fn buffer(buffer: &'a mut [u8]) -> Self {
        Self(Some(buffer))
    }

    /// Whether the caller asks for the length only.
    pub fn asks_length(&self) -> bool {
        self.0.is_none()
    }

    /// Whether `len` bytes can be written.
    pub fn fits(&self, len: usize) -> bool {
        self.0.as_ref().is_some_and(|buffer| buffer.len() >= len)
    }

    /// Has `write` fill exactly `len` bytes if they fit.
    pub fn filled<E>(
        self,
        len: usize,
        write: impl FnOnce(&mut [u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<Written, E> {
        match self.0.and_then(|buffer| buffer.get_mut(..len)) {
            Some(out) => write(out).map(|()| Written::Bytes(len)),
            None => Ok(Written::Needs(len)),
        }
    }

    /// Writes `bytes` if they fit.
    pub fn write(self, bytes: &[u8]) -> Written {
        match self.0 {
            Some(buffer) if buffer.len() >= bytes.len() => {
                buffer[..bytes.len()].copy_from_slice(bytes);
                Written::Bytes(bytes.len())
            }
            _ => Written::Needs(bytes.len()),
        }
    }
}
