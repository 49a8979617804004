//! Attribute lists: what a store keeps of an object besides its secret.

use std::fmt;

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
pub struct Attributes(Vec<(AttributeType, Value)>);

impl Attributes {
    /// The empty list.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Takes items that are in ascending order of type already.
    pub(crate) fn from_ascending(items: Vec<(AttributeType, Value)>) -> Self {
        debug_assert!(items.is_sorted_by(|left, right| left.0 < right.0));
        Self(items)
    }

    /// The value of one attribute.
    pub fn value(&self, kind: AttributeType) -> Option<&Value> {
        self.0.binary_search_by_key(&kind, |(kind, _)| *kind).ok().map(|at| &self.0[at].1)
    }

    /// Sets one attribute; the value that it replaces is returned.
    pub fn set(&mut self, kind: AttributeType, value: impl Into<Value>) -> Option<Value> {
        let value = value.into();
        match self.0.binary_search_by_key(&kind, |(kind, _)| *kind) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, value)),
            Err(at) => {
                self.0.insert(at, (kind, value));
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
        self.0.binary_search_by_key(&kind, |(kind, _)| *kind).ok().map(|at| self.0.remove(at).1)
    }

    /// Whether the attribute has a value.
    pub fn contains(&self, kind: AttributeType) -> bool {
        self.value(kind).is_some()
    }

    /// A boolean attribute; `false` where it is absent or of another kind.
    pub fn flag(&self, kind: AttributeType) -> bool {
        matches!(self.value(kind), Some(Value::Bool(true)))
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
        self.0.iter().map(|(kind, value)| (*kind, value))
    }

    /// How many attributes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A private object's values are wiped with it.
impl Drop for Attributes {
    fn drop(&mut self) {
        // Wiping takes its time, and certificates are long.
        if !self.flag(cryptoki_sys::CKA_PRIVATE) {
            return;
        }
        for (_, value) in &mut self.0 {
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
        f.debug_list().entries(self.0.iter().map(|(kind, _)| format_args!("{kind:#x}").to_string())).finish()
    }
}
