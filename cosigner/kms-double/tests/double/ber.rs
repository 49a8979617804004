//! Just enough of BER (X.690) to take an envelope apart, written independently of what makes it.

/// An element: its tag, whether its length is indefinite, and what is in it.
#[derive(Debug)]
pub(crate) struct Element {
    pub(crate) tag: u8,
    pub(crate) indefinite: bool,
    pub(crate) bytes: Vec<u8>,
    pub(crate) children: Vec<Element>,
}

impl Element {
    /// Reads one element that fills all the bytes.
    pub(crate) fn whole(bytes: &[u8]) -> Self {
        let (element, rest) = Self::read(bytes);
        assert!(rest.is_empty(), "{} bytes follow", rest.len());
        element
    }

    fn read(bytes: &[u8]) -> (Self, &[u8]) {
        let (tag, constructed) = (bytes[0], bytes[0] & 0x20 != 0);
        if bytes[1] == 0x80 {
            let (mut rest, mut children) = (&bytes[2..], Vec::new());
            while rest[..2] != [0, 0] {
                let (child, after) = Self::read(rest);
                children.push(child);
                rest = after;
            }
            return (Self { tag, indefinite: true, bytes: vec![], children }, &rest[2..]);
        }
        let (length, start) = match bytes[1] {
            short @ 0..=0x7f => (usize::from(short), 2),
            0x81 => (usize::from(bytes[2]), 3),
            0x82 => (usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 4),
            other => panic!("length {other:#x}"),
        };
        let (content, rest) = bytes[start..].split_at(length);
        let mut children = Vec::new();
        let mut left = if constructed { content } else { &[] };
        while !left.is_empty() {
            let (child, after) = Self::read(left);
            children.push(child);
            left = after;
        }
        (Self { tag, indefinite: false, bytes: content.to_vec(), children }, rest)
    }

    /// The child at a path of positions.
    pub(crate) fn at(&self, path: &[usize]) -> &Self {
        path.iter().fold(self, |element, at| &element.children[*at])
    }

    /// One line for each element: tag, and what stands there; bytes that are different each time by their number.
    pub(crate) fn outline(&self) -> String {
        let mut out = String::new();
        self.describe(0, &mut out);
        out
    }

    fn describe(&self, depth: usize, out: &mut String) {
        let what = match (self.indefinite, self.tag) {
            (true, _) => "indefinite".to_owned(),
            (false, tag) if tag & 0x20 != 0 => "definite".to_owned(),
            // INTEGER, OBJECT IDENTIFIER, NULL are always the same.
            (false, 0x02 | 0x05 | 0x06) => self.bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            (false, _) => format!("{} bytes", self.bytes.len()),
        };
        *out += &format!("{:depth$}{:02x} {what}\n", "", self.tag, depth = depth);
        self.children.iter().for_each(|child| child.describe(depth + 1, out));
    }
}
