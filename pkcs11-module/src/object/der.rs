//! As much DER as attributes need: walking over elements, and OCTET STRINGs.

/// Tags of ASN.1.
pub(crate) mod tag {
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const PRINTABLE_STRING: u8 = 0x13;
    pub(crate) const UTF8_STRING: u8 = 0x0c;
    pub(crate) const SEQUENCE: u8 = 0x30;
    /// `[0]` EXPLICIT: the version of a certificate.
    pub(crate) const CONTEXT_0: u8 = 0xa0;
}

/// One element of DER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    /// Its tag.
    pub(crate) tag: u8,
    /// What is inside.
    pub(crate) content: &'a [u8],
    /// Tag, length and content.
    pub(crate) whole: &'a [u8],
}

/// The first element of `input` and what follows it. Lengths must be definite and minimal.
pub(crate) fn element(input: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&[tag, first], after) = input.split_first_chunk::<2>()?;
    let (len, after) = match first {
        0..=0x7f => (usize::from(first), after),
        0x81..=0x84 => {
            let (bytes, after) = after.split_at_checked(usize::from(first & 0x7f))?;
            let len = bytes.iter().fold(0, |len, byte| (len << 8) | usize::from(*byte));
            let minimal = len > 0x7f && bytes[0] != 0;
            (minimal.then_some(len)?, after)
        }
        _ => return None,
    };
    let (content, rest) = after.split_at_checked(len)?;
    Some((Element { tag, content, whole: &input[..input.len() - rest.len()] }, rest))
}

/// The content of `input` if it is exactly one element of this tag.
pub(crate) fn only(tag: u8, input: &[u8]) -> Option<&[u8]> {
    match element(input)? {
        (found, []) if found.tag == tag => Some(found.content),
        _ => None,
    }
}

/// An OCTET STRING.
pub(crate) fn octet_string(content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let mut der = vec![tag::OCTET_STRING];
    match u8::try_from(len) {
        Ok(short @ 0..=0x7f) => der.push(short),
        Ok(byte) => der.extend([0x81, byte]),
        Err(_) => {
            let bytes = len.to_be_bytes();
            let start = bytes.iter().take_while(|byte| **byte == 0).count();
            der.push(0x80 | u8::try_from(bytes.len() - start).expect("at most 8"));
            der.extend(&bytes[start..]);
        }
    }
    der.extend(content);
    der
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements() {
        let (found, rest) = element(&[0x04, 2, 7, 8, 9]).unwrap();
        assert_eq!(
            (found.tag, found.content, found.whole, rest),
            (4, &[7, 8][..], &[4, 2, 7, 8][..], &[9][..])
        );
        for bad in
            [&[][..], &[4], &[4, 1], &[4, 0x80], &[4, 0x81, 5, 1, 2, 3, 4, 5], &[4, 0x82, 0, 200], &[4, 0x85]]
        {
            assert_eq!(element(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn octet_strings_of_all_sizes() {
        for len in [0, 1, 127, 128, 255, 256, 70_000] {
            let content = vec![7; len];
            assert_eq!(only(tag::OCTET_STRING, &octet_string(&content)), Some(&content[..]), "{len}");
        }
    }
}
