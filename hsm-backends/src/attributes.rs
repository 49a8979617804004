//! Attribute lists: what a store keeps of an object besides its secret.

use std::fmt;

use cryptoki_sys as ck;
use zeroize::Zeroize;

/// A CKA_* number.
pub type AttributeType = u64;

/// One attribute's value, in a form that does not depend on the machine. Dates are [`Value::Bytes`] of 8 or 0 ASCII
/// digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// CK_BBOOL.
    Bool(bool),
    /// CK_ULONG and everything made of it.
    Ulong(u64),
    /// Byte strings, UTF-8 strings, big integers, dates.
    Bytes(Vec<u8>),
    /// CKA_ALLOWED_MECHANISMS, in ascending order and without repetition.
    Ulongs(Vec<u64>),
    /// CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE, CKA_DERIVE_TEMPLATE.
    Template(Attributes),
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Ulong(value)
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(value.to_vec())
    }
}

/// A list of attributes, each type at most once, in ascending order of type.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    list: Vec<(AttributeType, Value)>,
    /// What the list says of the attributes that every use of a key asks for: one bit each, see [`bit`].
    set: u16,
}

/// The bit of an attribute that is asked for at every use of a key: whether it is CK_TRUE, or for
/// CKA_ALLOWED_MECHANISMS whether it names any. 0 for all others.
#[inline]
const fn bit(kind: AttributeType) -> u16 {
    match kind {
        ck::CKA_TOKEN => 1,
        ck::CKA_PRIVATE => 1 << 1,
        ck::CKA_SIGN => 1 << 2,
        ck::CKA_VERIFY => 1 << 3,
        ck::CKA_ENCRYPT => 1 << 4,
        ck::CKA_DECRYPT => 1 << 5,
        ck::CKA_WRAP => 1 << 6,
        ck::CKA_UNWRAP => 1 << 7,
        ck::CKA_ALWAYS_AUTHENTICATE => 1 << 8,
        ck::CKA_ALLOWED_MECHANISMS => 1 << 9,
        _ => 0,
    }
}

/// The bit of an attribute with this value.
fn bit_of(kind: AttributeType, value: &Value) -> u16 {
    let set = match value {
        Value::Bool(value) => *value && kind != ck::CKA_ALLOWED_MECHANISMS,
        Value::Ulongs(list) => !list.is_empty() && kind == ck::CKA_ALLOWED_MECHANISMS,
        _ => false,
    };
    if set { bit(kind) } else { 0 }
}

impl Attributes {
    /// The empty list.
    pub const fn new() -> Self {
        Self { list: Vec::new(), set: 0 }
    }

    /// Takes items that are in ascending order of type already.
    pub(crate) fn from_ascending(list: Vec<(AttributeType, Value)>) -> Self {
        debug_assert!(list.is_sorted_by(|left, right| left.0 < right.0));
        let set = list.iter().fold(0, |set, (kind, value)| set | bit_of(*kind, value));
        Self { list, set }
    }

    /// The value of one attribute.
    #[inline]
    pub fn value(&self, kind: AttributeType) -> Option<&Value> {
        match self.list.first() {
            // CKA_CLASS, which all objects have, is the lowest.
            Some((first, value)) if *first == kind => Some(value),
            _ => self.position(kind).ok().map(|at| &self.list[at].1),
        }
    }

    fn position(&self, kind: AttributeType) -> Result<usize, usize> {
        self.list.binary_search_by_key(&kind, |(kind, _)| *kind)
    }

    /// Sets one attribute; the value that it replaces is returned.
    pub fn set(&mut self, kind: AttributeType, value: impl Into<Value>) -> Option<Value> {
        let value = value.into();
        self.set = (self.set & !bit(kind)) | bit_of(kind, &value);
        match self.position(kind) {
            Ok(at) => Some(std::mem::replace(&mut self.list[at].1, value)),
            Err(at) => {
                self.list.insert(at, (kind, value));
                None
            }
        }
    }

    /// Sets one attribute where it has no value yet.
    pub fn set_default(&mut self, kind: AttributeType, value: impl Into<Value>) {
        if !self.contains(kind) {
            self.set(kind, value);
        }
    }

    /// Removes one attribute.
    pub fn remove(&mut self, kind: AttributeType) -> Option<Value> {
        self.set &= !bit(kind);
        self.position(kind).ok().map(|at| self.list.remove(at).1)
    }

    /// Whether the attribute has a value.
    pub fn contains(&self, kind: AttributeType) -> bool {
        self.value(kind).is_some()
    }

    /// A boolean attribute; `false` where it is absent or of another kind.
    #[inline]
    pub fn flag(&self, kind: AttributeType) -> bool {
        match bit(kind) {
            0 => matches!(self.value(kind), Some(Value::Bool(true))),
            bit => self.set & bit != 0,
        }
    }

    /// Whether CKA_ALLOWED_MECHANISMS leaves a mechanism to a key; an empty list, or none, leaves all.
    #[inline]
    pub fn allows(&self, mechanism: u64) -> bool {
        if self.set & bit(ck::CKA_ALLOWED_MECHANISMS) == 0 {
            return true;
        }
        match self.value(ck::CKA_ALLOWED_MECHANISMS) {
            Some(Value::Ulongs(allowed)) => allowed.binary_search(&mechanism).is_ok(),
            _ => true,
        }
    }

    /// A number.
    pub fn ulong(&self, kind: AttributeType) -> Option<u64> {
        match self.value(kind) {
            Some(Value::Ulong(value)) => Some(*value),
            _ => None,
        }
    }

    /// A byte string.
    pub fn bytes(&self, kind: AttributeType) -> Option<&[u8]> {
        match self.value(kind) {
            Some(Value::Bytes(value)) => Some(value),
            _ => None,
        }
    }

    /// Whether every attribute of `template` is here with the same value: what C_FindObjects asks. The empty
    /// template matches everything.
    pub fn matches(&self, template: &Attributes) -> bool {
        template.iter().all(|(kind, value)| self.value(kind) == Some(value))
    }

    /// The attributes in ascending order of type.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (AttributeType, &Value)> {
        self.list.iter().map(|(kind, value)| (*kind, value))
    }

    /// How many attributes there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// A private object's values are wiped with it.
impl Drop for Attributes {
    fn drop(&mut self) {
        // Wiping takes its time, and certificates are long.
        if !self.flag(ck::CKA_PRIVATE) {
            return;
        }
        for (_, value) in &mut self.list {
            if let Value::Bytes(bytes) = value {
                bytes.zeroize();
            }
        }
    }
}

impl FromIterator<(AttributeType, Value)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (AttributeType, Value)>>(items: I) -> Self {
        let mut list = Self::new();
        for (kind, value) in items {
            list.set(kind, value);
        }
        list
    }
}

/// Types only: values may be private (labels, data).
impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.list.iter().map(|(kind, _)| format_args!("{kind:#x}").to_string()))
            .finish()
    }
}
