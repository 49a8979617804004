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
