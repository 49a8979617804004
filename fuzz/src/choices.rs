//! An input read as choices. When it has run out, every choice is 0 and every block empty.

/// What is left of an input.
#[derive(Debug)]
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// All of an input.
    pub fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// Whether the input has run out.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// A number: one that fits a byte, or any.
    pub fn number(&mut self) -> u64 {
        match self.byte() {
            u8::MAX => {
                let bytes = self.take(8);
                let mut number = [0; 8];
                number[..bytes.len()].copy_from_slice(bytes);
                u64::from_le_bytes(number)
            }
            small => small.into(),
        }
    }

    /// A block of its own length, at most what two bytes say.
    pub fn block(&mut self) -> Box<[u8]> {
        let len = usize::from(self.byte()) | usize::from(self.byte()) << 8;
        self.take(len).into()
    }

    /// One of `from`, which is not empty.
    pub fn one_of<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.byte()) % from.len()]
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}
