//! Templates as the caller gave them, with pointers already checked; meaning comes from [`crate::attribute`].

/// One CK_ATTRIBUTE of the caller's.
#[derive(Debug, Clone)]
pub struct RawAttribute<'a> {
    /// CKA_*.
    pub kind: u64,
    /// Its value.
    pub value: RawValue<'a>,
}

/// The value of a [`RawAttribute`].
#[derive(Clone)]
pub enum RawValue<'a> {
    /// pValue and ulValueLen.
    Bytes(&'a [u8]),
    /// An array attribute (CKF_ARRAY_ATTRIBUTE) other than CKA_ALLOWED_MECHANISMS; one level deep at most.
    Template(Vec<RawAttribute<'a>>),
    /// A NULL pValue with a length other than 0, or a length that cannot be one: CKR_ATTRIBUTE_VALUE_INVALID where
    /// the template is used.
    Malformed,
}

/// Values may be secret.
impl std::fmt::Debug for RawValue<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Template(list) => write!(f, "Template({})", list.len()),
            Self::Malformed => f.write_str("Malformed"),
        }
    }
}

/// A template of the caller's, in the caller's order.
pub type Template<'a> = [RawAttribute<'a>];

/// What C_GetAttributeValue answers for one attribute.
#[derive(Clone)]
pub enum Answer {
    /// The value, in the C representation of this machine.
    Value(zeroize::Zeroizing<Vec<u8>>),
    /// The value of an array attribute: type and C representation of each element.
    Template(Vec<(u64, Vec<u8>)>),
    /// CKR_ATTRIBUTE_SENSITIVE, CK_UNAVAILABLE_INFORMATION.
    Sensitive,
    /// CKR_ATTRIBUTE_TYPE_INVALID, CK_UNAVAILABLE_INFORMATION.
    TypeInvalid,
}
