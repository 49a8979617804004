//! Attribute lists as bytes: what is sealed, stored and backed up. docs/formats.md gives the layout.
//!
//! One list has exactly one encoding, and [`Attributes::decode`] refuses every other, so it is safe on hostile bytes.

use zeroize::Zeroizing;

use crate::{AttributeType, Attributes, Value};

/// The first byte of every encoding.
const VERSION: u8 = 1;
/// Templates inside templates: as deep as this, counting the outermost list.
const MAX_DEPTH: usize = 4;
/// The longest encoding, so that a length fits everywhere and hostile input cannot exhaust memory.
pub const MAX_LEN: usize = 16 << 20;

const BOOL: u8 = 1;
const ULONG: u8 = 2;
const BYTES: u8 = 3;
const ULONGS: u8 = 4;
const TEMPLATE: u8 = 5;

/// Why bytes are not an attribute list, or a list has no encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(
    /// What is wrong, for a message.
    pub &'static str,
);

impl Attributes {
    /// The list as bytes. It may hold private values, so it is wiped when dropped. Lists longer than [`MAX_LEN`] or
    /// deeper than four templates, and numbers that are not in ascending order, have no encoding.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, Malformed> {
        let len = 1 + list_len(self, MAX_DEPTH)?;
        if len > MAX_LEN {
            return Err(Malformed("the attributes are too long"));
        }
        // The exact capacity: a growing vector would leave copies behind.
        let mut out = Zeroizing::new(Vec::with_capacity(len));
        out.push(VERSION);
        put_list(self, &mut out);
        debug_assert_eq!(out.len(), len);
        Ok(out)
    }

    /// The inverse of [`Attributes::encode`]; any other bytes are refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > MAX_LEN {
            return Err(Malformed("the attributes are too long"));
        }
        let mut input = Input(bytes);
        if input.byte()? != VERSION {
            return Err(Malformed("unknown encoding of attributes"));
        }
        let list = take_list(&mut input, MAX_DEPTH)?;
        input.end()?;
        Ok(list)
    }
}

fn list_len(list: &Attributes, depth: usize) -> Result<usize, Malformed> {
    let depth = depth.checked_sub(1).ok_or(Malformed("templates are nested too deeply"))?;
    list.iter().try_fold(2_usize, |sum, (_, value)| {
        let len = match value {
            Value::Bool(_) => 1,
            Value::Ulong(_) => 8,
            Value::Bytes(bytes) => bytes.len(),
            Value::Ulongs(values) if !values.is_sorted_by(|left, right| left < right) => {
                return Err(Malformed("a list of numbers is not ascending"));
            }
            Value::Ulongs(values) => 8 * values.len(),
            Value::Template(list) => list_len(list, depth)?,
        };
        if len > MAX_LEN || list.len() > usize::from(u16::MAX) {
            return Err(Malformed("the attributes are too long"));
        }
        Ok(sum + 13 + len)
    })
}

/// Lengths were checked by `list_len`.
fn put_list(list: &Attributes, out: &mut Vec<u8>) {
    out.extend(u16::try_from(list.len()).unwrap_or(u16::MAX).to_be_bytes());
    for (kind, value) in list.iter() {
        out.extend(kind.to_be_bytes());
        let at = out.len();
        out.extend([0; 5]);
        out[at] = match value {
            Value::Bool(value) => {
                out.push(u8::from(*value));
                BOOL
            }
            Value::Ulong(value) => {
                out.extend(value.to_be_bytes());
                ULONG
            }
            Value::Bytes(bytes) => {
                out.extend(bytes);
                BYTES
            }
            Value::Ulongs(values) => {
                values.iter().for_each(|value| out.extend(value.to_be_bytes()));
                ULONGS
            }
            Value::Template(list) => {
                put_list(list, out);
                TEMPLATE
            }
        };
        let len = u32::try_from(out.len() - at - 5).unwrap_or(u32::MAX);
        out[at + 1..at + 5].copy_from_slice(&len.to_be_bytes());
    }
}

fn take_list(input: &mut Input<'_>, depth: usize) -> Result<Attributes, Malformed> {
    let depth = depth.checked_sub(1).ok_or(Malformed("templates are nested too deeply"))?;
    let count = u16::from_be_bytes(input.array()?);
    let mut items = Vec::with_capacity(usize::from(count).min(input.0.len() / 13));
    let mut last: Option<AttributeType> = None;
    for _ in 0..count {
        let kind = u64::from_be_bytes(input.array()?);
        if last.is_some_and(|last| last >= kind) {
            return Err(Malformed("attribute types are not in ascending order"));
        }
        last = Some(kind);
        let tag = input.byte()?;
        let len = u32::from_be_bytes(input.array()?);
        let mut value = Input(input.take(usize::try_from(len).unwrap_or(usize::MAX))?);
        items.push((kind, take_value(tag, &mut value, depth)?));
        value.end()?;
    }
    Ok(Attributes::from_ascending(items))
}

fn take_value(tag: u8, input: &mut Input<'_>, depth: usize) -> Result<Value, Malformed> {
    Ok(match tag {
        BOOL => Value::Bool(match input.byte()? {
            0 => false,
            1 => true,
            _ => return Err(Malformed("a boolean is neither 0 nor 1")),
        }),
        ULONG => Value::Ulong(u64::from_be_bytes(input.array()?)),
        BYTES => Value::Bytes(input.rest().to_vec()),
        ULONGS => {
            let (values, rest) = input.rest().as_chunks::<8>();
            let values: Vec<u64> = values.iter().map(|value| u64::from_be_bytes(*value)).collect();
            if !rest.is_empty() || !values.is_sorted_by(|left, right| left < right) {
                return Err(Malformed("a list of numbers is cut short or not ascending"));
            }
            Value::Ulongs(values)
        }
        TEMPLATE => Value::Template(take_list(input, depth)?),
        _ => return Err(Malformed("unknown kind of attribute value")),
    })
}

/// Bytes being read from the front. Everything hostile is read through it.
#[derive(Debug)]
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.0.split_at_checked(len).ok_or(Malformed("cut short"))?;
        self.0 = tail;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, tail) = self.0.split_first_chunk().ok_or(Malformed("cut short"))?;
        self.0 = tail;
        Ok(*head)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed("bytes are left over")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SplitMix64: the same lists in every run.
    struct Choices(u64);

    impl Choices {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            mixed ^ (mixed >> 31)
        }

        fn below(&mut self, bound: usize) -> usize {
            usize::try_from(self.next() % bound as u64).unwrap()
        }

        /// Numbers of every size, the borders more often.
        fn number(&mut self) -> u64 {
            match self.below(4) {
                0 => [0, 1, u64::from(u32::MAX), u64::MAX][self.below(4)],
                _ => self.next() >> self.below(64),
            }
        }

        fn bytes(&mut self, most: usize) -> Vec<u8> {
            (0..self.below(most + 1)).map(|_| self.next().to_le_bytes()[0]).collect()
        }

        fn list(&mut self, depth: usize) -> Attributes {
            let most = [0, 1, 2, 9][self.below(4)];
            (0..most).map(|_| (self.number(), self.value(depth))).collect()
        }

        fn value(&mut self, depth: usize) -> Value {
            match self.below(if depth > 1 { 5 } else { 4 }) {
                0 => Value::Bool(self.below(2) == 0),
                1 => Value::Ulong(self.number()),
                2 => Value::Bytes(self.bytes(300)),
                3 => {
                    let mut numbers: Vec<u64> = (0..self.below(9)).map(|_| self.number()).collect();
                    numbers.sort_unstable();
                    numbers.dedup();
                    Value::Ulongs(numbers)
                }
                _ => Value::Template(self.list(depth - 1)),
            }
        }
    }

    /// What is accepted has this one encoding.
    fn check(bytes: &[u8]) -> bool {
        match Attributes::decode(bytes) {
            Ok(list) => {
                assert_eq!(*list.encode().unwrap(), bytes);
                true
            }
            Err(Malformed(_)) => false,
        }
    }

    #[test]
    fn every_list_comes_back() {
        let mut choices = Choices(1);
        for _ in 0..3000 {
            let list = choices.list(MAX_DEPTH);
            let bytes = list.encode().unwrap();
            assert_eq!(Attributes::decode(&bytes).unwrap(), list);
            assert!(check(&bytes));
            for cut in 0..bytes.len() {
                assert!(!check(&bytes[..cut]), "a list that was cut short was accepted");
            }
        }
    }

    #[test]
    fn whatever_is_accepted_is_canonical() {
        let mut choices = Choices(2);
        let mut accepted = 0;
        for _ in 0..20_000 {
            let mut bytes = choices.list(MAX_DEPTH).encode().unwrap().to_vec();
            for _ in 0..=choices.below(3) {
                let at = choices.below(bytes.len());
                match choices.below(4) {
                    0 => bytes[at] ^= 1 << choices.below(8),
                    1 => bytes[at] = [0, 1, 5, 0xFF][choices.below(4)],
                    2 => bytes.insert(at, choices.next().to_le_bytes()[0]),
                    _ => drop(bytes.drain(at..(at + 1 + choices.below(9)).min(bytes.len()))),
                }
                if bytes.is_empty() {
                    break;
                }
            }
            accepted += usize::from(check(&bytes));
        }
        assert!(accepted > 1000, "{accepted}: the changes were too coarse to test anything");
    }

    #[test]
    fn any_bytes_are_read_without_panic() {
        let mut choices = Choices(3);
        for _ in 0..20_000 {
            let mut bytes = choices.bytes(80);
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            check(&bytes);
        }
        // Counts and lengths beyond what is there.
        for bytes in [
            &[1, 0xFF, 0xFF][..],
            &[1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, BYTES, 0xFF, 0xFF, 0xFF, 0xFF],
            &[2, 0, 0],
            &[],
        ] {
            assert!(!check(bytes));
        }
    }

    #[test]
    fn what_has_no_encoding() {
        let one = |value: Value| -> Attributes { [(1, value)].into_iter().collect() };
        for values in [vec![2, 1], vec![1, 1]] {
            one(Value::Ulongs(values)).encode().unwrap_err();
        }
        let nested = |depth: usize| (1..depth).fold(Attributes::new(), |list, _| one(Value::Template(list)));
        assert!(check(&nested(MAX_DEPTH).encode().unwrap()));
        nested(MAX_DEPTH + 1).encode().unwrap_err();
        // One byte of version, two of count, thirteen of head.
        let longest = MAX_LEN - 16;
        let encoded = one(Value::Bytes(vec![0; longest])).encode().unwrap();
        assert_eq!(encoded.len(), MAX_LEN);
        assert!(check(&encoded));
        one(Value::Bytes(vec![0; longest + 1])).encode().unwrap_err();
        let too_many: Attributes = (0..=u64::from(u16::MAX)).map(|kind| (kind, Value::Bool(true))).collect();
        too_many.encode().unwrap_err();
        let mut just_enough = too_many;
        just_enough.remove(0);
        assert!(check(&just_enough.encode().unwrap()));
    }

    /// The example in docs/formats.md.
    #[test]
    fn the_documented_example() {
        let list: Attributes =
            [(3, Value::Bytes(b"key".to_vec())), (0, Value::Ulong(2)), (2, Value::Bool(true))]
                .into_iter()
                .collect();
        let expected = concat!(
            "01",
            "0003", //
            "0000000000000000",
            "02",
            "00000008",
            "0000000000000002", //
            "0000000000000002",
            "01",
            "00000001",
            "01", //
            "0000000000000003",
            "03",
            "00000003",
            "6b6579",
        );
        let hex: String = list.encode().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }
}
