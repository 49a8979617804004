//! The attribute table: one row per attribute and set of object kinds, with the footnotes that the standard's own
//! tables print beside the attribute. A row here can be held against the standard line by line.

use cryptoki_sys as ck;
use hsm_backends::AttributeType;

use super::{Kinds, ObjectKind};

/// The form of an attribute's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// CK_BBOOL: one byte, 0 or 1.
    Bool,
    /// CK_ULONG.
    Ulong,
    /// Any bytes.
    Bytes,
    /// RFC 2279 string.
    Utf8,
    /// A big-endian number, kept without leading zeros.
    BigInteger,
    /// CK_DATE, or nothing.
    Date,
    /// An array of CK_MECHANISM_TYPE.
    MechanismList,
    /// An array of CK_ATTRIBUTE.
    Template,
}

/// The value of an attribute that neither the template nor the key gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// The object does not have it then.
    Absent,
    /// Not kept, but answered as an empty list; everything is allowed then.
    EmptyList,
    /// No bytes.
    Empty,
    /// CK_TRUE or CK_FALSE.
    Bool(bool),
    /// A number.
    Ulong(u64),
}

/// The common footnotes of the standard's attribute tables (section 4.2), by their numbers; 9 (token-specific default)
/// says nothing that the row does not say.
pub mod notes {
    /// Must be given to C_CreateObject.
    pub const N1: u16 = 1 << 1;
    /// Must not be given to C_CreateObject.
    pub const N2: u16 = 1 << 2;
    /// Must be given to C_GenerateKey or C_GenerateKeyPair.
    pub const N3: u16 = 1 << 3;
    /// Must not be given to C_GenerateKey or C_GenerateKeyPair.
    pub const N4: u16 = 1 << 4;
    /// Must be given to C_UnwrapKey.
    pub const N5: u16 = 1 << 5;
    /// Must not be given to C_UnwrapKey.
    pub const N6: u16 = 1 << 6;
    /// Secret: not revealed while CKA_SENSITIVE is true or CKA_EXTRACTABLE is false.
    pub const N7: u16 = 1 << 7;
    /// May be changed by C_SetAttributeValue and C_CopyObject.
    pub const N8: u16 = 1 << 8;
    /// May be changed by the SO only.
    pub const N10: u16 = 1 << 10;
    /// Cannot be changed once true.
    pub const N11: u16 = 1 << 11;
    /// Cannot be changed once false.
    pub const N12: u16 = 1 << 12;
    /// May be changed by C_CopyObject (section 5.7.2), in either direction.
    pub const COPY: u16 = 1 << 13;
    /// A domain parameter of a key pair: may be given to C_GenerateKeyPair in the private template too if the values
    /// agree, as pkcs11-tool does.
    pub const EITHER: u16 = 1 << 14;
    /// May be emptied by C_SetAttributeValue and C_CopyObject, and is left empty where the template says so.
    pub const EMPTIES: u16 = 1 << 15;
    /// Set by the token and nobody else.
    pub const TOKEN_SETS: u16 = N2 | N4 | N6;
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub struct Attribute {
    /// CKA_*.
    pub kind: AttributeType,
    /// The standard's name.
    pub name: &'static str,
    /// The form of its value.
    pub form: Form,
    /// The objects that have it.
    pub of: Kinds,
    /// Its footnotes.
    pub notes: u16,
    /// Its value where nothing else gives one.
    pub fallback: Fallback,
}

impl Attribute {
    /// Whether the row has one of these footnotes.
    pub fn has(&self, notes: u16) -> bool {
        self.notes & notes != 0
    }
}

/// The row of an attribute for one kind of object.
pub fn row(kind: AttributeType, of: ObjectKind) -> Option<&'static Attribute> {
    rows(kind).iter().find(|row| row.of.contain(of))
}

/// Any row of an attribute, for what all of its rows share: name and form. `None` for an unknown attribute.
pub fn known(kind: AttributeType) -> Option<&'static Attribute> {
    rows(kind).first()
}

/// The rows that apply to one kind of object.
pub fn rows_of(of: ObjectKind) -> impl Iterator<Item = &'static Attribute> {
    ATTRIBUTES.iter().filter(move |row| row.of.contain(of))
}

fn rows(kind: AttributeType) -> &'static [Attribute] {
    let start = ATTRIBUTES.partition_point(|row| row.kind < kind);
    let end = ATTRIBUTES.partition_point(|row| row.kind <= kind);
    &ATTRIBUTES[start..end]
}

macro_rules! attributes {
    ($($kind:ident $form:ident, $of:expr, $notes:expr, $fallback:expr;)*) => {
        /// Every attribute of the module, in ascending order of number.
        pub static ATTRIBUTES: &[Attribute] = &[
            $(Attribute {
                kind: ck::$kind,
                name: stringify!($kind),
                form: Form::$form,
                of: $of,
                notes: $notes,
                fallback: $fallback,
            },)*
        ];
    };
}

use Fallback::{Absent, Empty, EmptyList, Ulong};
use notes::{COPY, EITHER, EMPTIES, N1, N2, N3, N4, N5, N6, N7, N8, N10, N11, N12, TOKEN_SETS};

const TRUE: Fallback = Fallback::Bool(true);
const FALSE: Fallback = Fallback::Bool(false);
const WITH_SECRET: Kinds = Kinds::PRIVATE.and(Kinds::SECRET);
const PAIRS: Kinds = Kinds::PUBLIC.and(Kinds::PRIVATE);

attributes! {
    CKA_CLASS Ulong, Kinds::ALL, N1 | N5, Absent;
    CKA_TOKEN Bool, Kinds::STORAGE, COPY, FALSE;
    CKA_PRIVATE Bool, WITH_SECRET, COPY, TRUE;
    CKA_PRIVATE Bool, Kinds::DATA.and(Kinds::CERTIFICATE).and(Kinds::PUBLIC), COPY, FALSE;
    CKA_LABEL Utf8, Kinds::STORAGE, N8, Empty;
    CKA_UNIQUE_ID Utf8, Kinds::STORAGE, TOKEN_SETS, Absent;
    CKA_APPLICATION Utf8, Kinds::DATA, 0, Empty;
    CKA_VALUE Bytes, Kinds::DATA, 0, Empty;
    CKA_VALUE Bytes, Kinds::CERTIFICATE, N1, Absent;
    CKA_VALUE Bytes, Kinds::PUBLIC_ML_DSA, N1 | N4, Absent;
    CKA_VALUE Bytes, Kinds::PRIVATE_EC.and(Kinds::SECRET), N1 | N4 | N6 | N7, Absent;
    CKA_VALUE Bytes, Kinds::PRIVATE_ML_DSA, N4 | N6 | N7, Absent;
    CKA_OBJECT_ID Bytes, Kinds::DATA, 0, Empty;
    CKA_CERTIFICATE_TYPE Ulong, Kinds::CERTIFICATE, N1, Absent;
    CKA_ISSUER Bytes, Kinds::CERTIFICATE, N8, Empty;
    CKA_SERIAL_NUMBER Bytes, Kinds::CERTIFICATE, N8, Empty;
    CKA_TRUSTED Bool, Kinds::CERTIFICATE.and(Kinds::PUBLIC).and(Kinds::SECRET), N10, FALSE;
    CKA_CERTIFICATE_CATEGORY Ulong, Kinds::CERTIFICATE, 0, Ulong(ck::CK_CERTIFICATE_CATEGORY_UNSPECIFIED);
    CKA_JAVA_MIDP_SECURITY_DOMAIN Ulong, Kinds::CERTIFICATE, 0, Ulong(0);
    CKA_URL Utf8, Kinds::CERTIFICATE, 0, Empty;
    CKA_HASH_OF_SUBJECT_PUBLIC_KEY Bytes, Kinds::CERTIFICATE, 0, Empty;
    CKA_HASH_OF_ISSUER_PUBLIC_KEY Bytes, Kinds::CERTIFICATE, 0, Empty;
    CKA_NAME_HASH_ALGORITHM Ulong, Kinds::CERTIFICATE, 0, Ulong(ck::CKM_SHA_1);
    CKA_CHECK_VALUE Bytes, Kinds::CERTIFICATE.and(Kinds::SECRET), EMPTIES, Absent;
    CKA_KEY_TYPE Ulong, Kinds::KEYS, N1 | N5, Absent;
    CKA_SUBJECT Bytes, Kinds::CERTIFICATE, N1, Absent;
    CKA_SUBJECT Bytes, PAIRS, N8, Empty;
    CKA_ID Bytes, Kinds::CERTIFICATE.and(Kinds::KEYS), N8, Empty;
    CKA_SENSITIVE Bool, WITH_SECRET, N8 | N11, TRUE;
    CKA_ENCRYPT Bool, Kinds::AES, N8, TRUE;
    CKA_ENCRYPT Bool, Kinds::PUBLIC.and(Kinds::GENERIC), N8, FALSE;
    CKA_DECRYPT Bool, Kinds::AES, N8, TRUE;
    CKA_DECRYPT Bool, Kinds::PRIVATE.and(Kinds::GENERIC), N8, FALSE;
    CKA_WRAP Bool, Kinds::PUBLIC.and(Kinds::SECRET), N8, FALSE;
    CKA_UNWRAP Bool, WITH_SECRET, N8, FALSE;
    CKA_SIGN Bool, Kinds::PRIVATE.and(Kinds::GENERIC), N8, TRUE;
    CKA_SIGN Bool, Kinds::AES, N8, FALSE;
    CKA_SIGN_RECOVER Bool, Kinds::PRIVATE, N8, FALSE;
    CKA_VERIFY Bool, Kinds::PUBLIC.and(Kinds::GENERIC), N8, TRUE;
    CKA_VERIFY Bool, Kinds::AES, N8, FALSE;
    CKA_VERIFY_RECOVER Bool, Kinds::PUBLIC, N8, FALSE;
    CKA_DERIVE Bool, Kinds::KEYS, N8, FALSE;
    CKA_START_DATE Date, Kinds::CERTIFICATE, 0, Empty;
    CKA_START_DATE Date, Kinds::KEYS, N8, Empty;
    CKA_END_DATE Date, Kinds::CERTIFICATE, 0, Empty;
    CKA_END_DATE Date, Kinds::KEYS, N8, Empty;
    CKA_MODULUS BigInteger, Kinds::PUBLIC_RSA, N1 | N4, Absent;
    CKA_MODULUS BigInteger, Kinds::PRIVATE_RSA, N1 | N4 | N6, Absent;
    CKA_MODULUS_BITS Ulong, Kinds::PUBLIC_RSA, N2 | N3, Absent;
    CKA_PUBLIC_EXPONENT BigInteger, Kinds::PUBLIC_RSA, N1, Absent;
    CKA_PUBLIC_EXPONENT BigInteger, Kinds::PRIVATE_RSA, N1 | N4 | N6, Absent;
    CKA_PRIVATE_EXPONENT BigInteger, Kinds::PRIVATE_RSA, N1 | N4 | N6 | N7, Absent;
    CKA_PRIME_1 BigInteger, Kinds::PRIVATE_RSA, N1 | N4 | N6 | N7, Absent;
    CKA_PRIME_2 BigInteger, Kinds::PRIVATE_RSA, N1 | N4 | N6 | N7, Absent;
    CKA_EXPONENT_1 BigInteger, Kinds::PRIVATE_RSA, N1 | N4 | N6 | N7, Absent;
    CKA_EXPONENT_2 BigInteger, Kinds::PRIVATE_RSA, N1 | N4 | N6 | N7, Absent;
    CKA_COEFFICIENT BigInteger, Kinds::PRIVATE_RSA, N1 | N4 | N6 | N7, Absent;
    CKA_PUBLIC_KEY_INFO Bytes, Kinds::CERTIFICATE, 0, Empty;
    CKA_PUBLIC_KEY_INFO Bytes, PAIRS, N4 | N6, Absent;
    CKA_VALUE_LEN Ulong, Kinds::SECRET, N2 | N3, Absent;
    CKA_EXTRACTABLE Bool, WITH_SECRET, N8 | N12, FALSE;
    CKA_LOCAL Bool, Kinds::KEYS, TOKEN_SETS, FALSE;
    CKA_NEVER_EXTRACTABLE Bool, WITH_SECRET, TOKEN_SETS, FALSE;
    CKA_ALWAYS_SENSITIVE Bool, WITH_SECRET, TOKEN_SETS, FALSE;
    CKA_KEY_GEN_MECHANISM Ulong, Kinds::KEYS, TOKEN_SETS, Ulong(ck::CK_UNAVAILABLE_INFORMATION);
    CKA_MODIFIABLE Bool, Kinds::STORAGE, COPY, TRUE;
    CKA_COPYABLE Bool, Kinds::STORAGE, N8 | N12, TRUE;
    CKA_DESTROYABLE Bool, Kinds::STORAGE, N8 | N12 | COPY, TRUE;
    CKA_EC_PARAMS Bytes, Kinds::PUBLIC_EC, N1 | N3, Absent;
    CKA_EC_PARAMS Bytes, Kinds::PRIVATE_EC, N1 | N6 | EITHER, Absent;
    CKA_EC_POINT Bytes, Kinds::PUBLIC_EC, N1 | N4, Absent;
    CKA_EC_POINT Bytes, Kinds::PRIVATE_EC, N4 | N6, Absent;
    CKA_ALWAYS_AUTHENTICATE Bool, Kinds::PRIVATE, 0, FALSE;
    CKA_WRAP_WITH_TRUSTED Bool, WITH_SECRET, N8 | N11, FALSE;
    CKA_MECHANISM_TYPE Ulong, Kinds::MECHANISM, TOKEN_SETS, Absent;
    CKA_PROFILE_ID Ulong, Kinds::PROFILE, TOKEN_SETS, Absent;
    CKA_PARAMETER_SET Ulong, Kinds::PUBLIC_ML_DSA, N1 | N3, Absent;
    CKA_PARAMETER_SET Ulong, Kinds::PRIVATE_ML_DSA, N1 | N6 | EITHER, Absent;
    CKA_OBJECT_VALIDATION_FLAGS Ulong, Kinds::KEYS, TOKEN_SETS, Ulong(0);
    CKA_ENCAPSULATE_TEMPLATE Template, Kinds::PUBLIC, 0, EmptyList;
    CKA_DECAPSULATE_TEMPLATE Template, Kinds::PRIVATE, 0, EmptyList;
    CKA_ENCAPSULATE Bool, Kinds::PUBLIC, N8, FALSE;
    CKA_DECAPSULATE Bool, Kinds::PRIVATE, N8, FALSE;
    CKA_SEED Bytes, Kinds::PRIVATE_ML_DSA, N4 | N6 | N7, Absent;
    CKA_WRAP_TEMPLATE Template, Kinds::PUBLIC.and(Kinds::SECRET), 0, EmptyList;
    CKA_UNWRAP_TEMPLATE Template, WITH_SECRET, 0, EmptyList;
    CKA_DERIVE_TEMPLATE Template, WITH_SECRET, 0, EmptyList;
    CKA_ALLOWED_MECHANISMS MechanismList, Kinds::KEYS, 0, EmptyList;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order_and_do_not_overlap() {
        for pair in ATTRIBUTES.windows(2) {
            assert!(pair[0].kind <= pair[1].kind, "{} stands after {}", pair[1].name, pair[0].name);
        }
        for (at, one) in ATTRIBUTES.iter().enumerate() {
            for other in ATTRIBUTES[at + 1..].iter().filter(|other| other.kind == one.kind) {
                assert!(!one.of.meet(other.of), "{}", one.name);
                assert_eq!((one.name, one.form), (other.name, other.form));
            }
        }
    }

    #[test]
    fn footnotes_do_not_contradict_each_other() {
        for row in ATTRIBUTES {
            for (must, must_not) in [(N1, N2), (N3, N4), (N5, N6), (N11, N12), (N8, N10)] {
                assert!(!(row.has(must) && row.has(must_not)), "{}", row.name);
            }
            assert!(!row.has(N7) || !row.has(N8 | COPY), "{}: a secret cannot be changed", row.name);
            assert!(!row.has(N11 | N12) || row.form == Form::Bool, "{}", row.name);
        }
    }
}
