//! The few rules of DER (X.690) that key encodings need: definite, shortest lengths, and nothing left over.

use zeroize::Zeroizing;

use crate::Error;

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;

/// Reads elements off the front of a slice; everything malformed is [`Error::KeyInvalid`].
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(der: &'a [u8]) -> Self {
        Self(der)
    }

    /// The contents of the next element, which must have this tag.
    pub(crate) fn element(&mut self, tag: u8) -> Result<&'a [u8], Error> {
        self.optional(tag)?.ok_or(Error::KeyInvalid)
    }

    /// The contents of the next element if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Error> {
        if self.0.first() != Some(&tag) {
            return Ok(None);
        }
        let (&first, mut rest) = self.0[1..].split_first().ok_or(Error::KeyInvalid)?;
        let mut len = usize::from(first);
        if first >= 0x80 {
            let digits;
            (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f)).ok_or(Error::KeyInvalid)?;
            if !(1..=4).contains(&digits.len()) || digits[0] == 0 {
                return Err(Error::KeyInvalid);
            }
            len = digits.iter().fold(0, |len, &digit| len << 8 | usize::from(digit));
            if len < 0x80 {
                return Err(Error::KeyInvalid);
            }
        }
        let contents;
        (contents, self.0) = rest.split_at_checked(len).ok_or(Error::KeyInvalid)?;
        Ok(Some(contents))
    }

    /// A reader of the next element's contents.
    pub(crate) fn inside(&mut self, tag: u8) -> Result<Self, Error> {
        self.element(tag).map(Self)
    }

    /// The next INTEGER, which must not be negative, without leading zeros (so 0 is empty).
    pub(crate) fn unsigned(&mut self) -> Result<&'a [u8], Error> {
        match self.element(INTEGER)? {
            [0] => Ok(&[]),
            [0, rest @ ..] if rest[0] >= 0x80 => Ok(rest),
            number @ [1..=0x7f, ..] => Ok(number),
            _ => Err(Error::KeyInvalid),
        }
    }

    /// The next BIT STRING, which must have whole bytes.
    pub(crate) fn bits(&mut self) -> Result<&'a [u8], Error> {
        whole_bytes(self.element(BIT_STRING)?)
    }

    /// Ends the reading; anything left is an error.
    pub(crate) fn end(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::KeyInvalid) }
    }
}

/// The bytes of a BIT STRING's contents.
pub(crate) fn whole_bytes(contents: &[u8]) -> Result<&[u8], Error> {
    match contents {
        [0, bytes @ ..] => Ok(bytes),
        _ => Err(Error::KeyInvalid),
    }
}

/// An element of `parts` one after the other. Written into one allocation, which is wiped.
pub(crate) fn element(tag: u8, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Zeroizing::new(Vec::with_capacity(len + 6));
    out.push(tag);
    let digits = len.to_be_bytes();
    let digits = &digits[digits.iter().take_while(|&&digit| digit == 0).count()..];
    match u8::try_from(len) {
        Ok(short @ ..0x80) => out.push(short),
        _ => {
            out.push(0x80 | u8::try_from(digits.len()).expect("a length has 8 bytes"));
            out.extend_from_slice(digits);
        }
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// INTEGER of a big-endian number.
pub(crate) fn unsigned(number: &[u8]) -> Zeroizing<Vec<u8>> {
    let number = &number[number.iter().take_while(|&&byte| byte == 0).count()..];
    match number.first() {
        Some(..0x80) => element(INTEGER, &[number]),
        _ => element(INTEGER, &[&[0], number]),
    }
}

/// BIT STRING of whole bytes.
pub(crate) fn bits(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    element(BIT_STRING, &[&[0], bytes])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_in_their_shortest_form() {
        for (len, head) in
            [(0, &[4, 0][..]), (127, &[4, 127]), (128, &[4, 0x81, 128]), (256, &[4, 0x82, 1, 0])]
        {
            let out = element(OCTET_STRING, &[&vec![7; len]]);
            assert_eq!(&out[..head.len()], head);
            assert_eq!(Reader::new(&out).element(OCTET_STRING).unwrap(), vec![7; len]);
        }
    }

    #[test]
    fn other_lengths_are_refused() {
        let malformed: [&[u8]; 8] = [
            &[4],
            &[4, 1],
            &[4, 0x80, 1, 0, 0],
            &[4, 0x81, 1, 9],
            &[4, 0x82, 0, 0x80],
            &[4, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[4, 0x85, 1, 0, 0, 0, 0],
            &[4, 0xff],
        ];
        for der in malformed {
            assert_eq!(Reader::new(der).element(OCTET_STRING), Err(Error::KeyInvalid), "{der:02x?}");
        }
    }

    #[test]
    fn integers_are_shortest_and_not_negative() {
        for (number, der) in
            [(&[][..], &[2, 1, 0][..]), (&[0x7f], &[2, 1, 0x7f]), (&[0x80], &[2, 2, 0, 0x80])]
        {
            assert_eq!(*unsigned(number), der);
            assert_eq!(Reader::new(der).unsigned().unwrap(), number);
        }
        for der in [&[2, 0][..], &[2, 1, 0x80], &[2, 2, 0, 0x7f], &[2, 2, 0, 0]] {
            assert_eq!(Reader::new(der).unsigned(), Err(Error::KeyInvalid), "{der:02x?}");
        }
    }
}
