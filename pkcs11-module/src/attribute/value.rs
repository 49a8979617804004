//! Values: from the C representation to the form that stores keep, and back.

use cryptoki_sys as ck;
use hsm_backends::{Attributes, Value};
use zeroize::Zeroizing;

use crate::{
    error::{Error, Result},
    object::curves,
    template::{Answer, RawAttribute, RawValue},
};

use super::{Attribute, Form, known, notes};

/// The value of a CK_ULONG; any other length is CKR_ATTRIBUTE_VALUE_INVALID.
pub(super) fn ulong(bytes: &[u8]) -> Result<u64> {
    bytes.try_into().map(u64::from_ne_bytes).map_err(|_| Error::AttributeValueInvalid)
}

/// The value that a caller gave for an attribute. What does not have the attribute's form is
/// CKR_ATTRIBUTE_VALUE_INVALID. Not for secret attributes, which stay in `SecretBytes`.
pub fn canonical(row: &Attribute, value: &RawValue<'_>) -> Result<Value> {
    match (row.form, value) {
        (Form::Template, RawValue::Template(list)) => inner_template(list).map(Value::Template),
        (Form::Template, RawValue::Bytes([])) => Ok(Value::Template(Attributes::new())),
        (Form::Template, _) | (_, RawValue::Template(_) | RawValue::Malformed) => {
            Err(Error::AttributeValueInvalid)
        }
        (_, RawValue::Bytes(bytes)) if row.kind == ck::CKA_EC_PARAMS => Ok(curves::kept_params(bytes).into()),
        (_, RawValue::Bytes(bytes)) if row.kind == ck::CKA_EC_POINT => Ok(curves::kept_point(bytes).into()),
        (form, RawValue::Bytes(bytes)) => from_bytes(form, bytes),
    }
}

fn from_bytes(form: Form, bytes: &[u8]) -> Result<Value> {
    match form {
        Form::Bool => match bytes {
            [0] => Ok(Value::Bool(false)),
            [1] => Ok(Value::Bool(true)),
            _ => Err(Error::AttributeValueInvalid),
        },
        Form::Ulong => ulong(bytes).map(Value::Ulong),
        Form::Bytes => Ok(Value::Bytes(bytes.to_vec())),
        Form::Utf8 if std::str::from_utf8(bytes).is_ok() => Ok(Value::Bytes(bytes.to_vec())),
        Form::BigInteger => Ok(Value::Bytes(trimmed(bytes).to_vec())),
        Form::Date if is_date(bytes) => Ok(Value::Bytes(bytes.to_vec())),
        Form::MechanismList => {
            let (elements, []) = bytes.as_chunks::<8>() else { return Err(Error::AttributeValueInvalid) };
            let mut list: Vec<u64> = elements.iter().map(|element| u64::from_ne_bytes(*element)).collect();
            list.sort_unstable();
            list.dedup();
            Ok(Value::Ulongs(list))
        }
        Form::Utf8 | Form::Date | Form::Template => Err(Error::AttributeValueInvalid),
    }
}

/// A template within a template. It may not hold secrets, itself a template, or two values of one attribute.
fn inner_template(list: &[RawAttribute<'_>]) -> Result<Attributes> {
    let mut attributes = Attributes::new();
    for attribute in list {
        let row = known(attribute.kind).ok_or(Error::AttributeTypeInvalid)?;
        let secret = attribute.kind == ck::CKA_VALUE || row.has(notes::N7);
        if secret || row.form == Form::Template {
            return Err(Error::AttributeValueInvalid);
        }
        let value = canonical(row, &attribute.value)?;
        if attributes.set(attribute.kind, value.clone()).is_some_and(|before| before != value) {
            return Err(Error::TemplateInconsistent);
        }
    }
    Ok(attributes)
}

/// A big-endian number without leading zeros.
pub(crate) fn trimmed(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// Nothing, or YYYYMMDD with a month and a day that exist.
fn is_date(bytes: &[u8]) -> bool {
    let Ok([y1, y2, y3, y4, m1, m2, d1, d2]) = <[u8; 8]>::try_from(bytes) else { return bytes.is_empty() };
    let number = |digits: &[u8]| {
        digits
            .iter()
            .try_fold(0u32, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0')))
    };
    let (Some(year), Some(month), Some(day)) =
        (number(&[y1, y2, y3, y4]), number(&[m1, m2]), number(&[d1, d2]))
    else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

/// A value as C_GetAttributeValue gives it.
pub fn answer(value: &Value) -> Answer {
    match value {
        Value::Template(list) => {
            Answer::Template(list.iter().map(|(kind, value)| (kind, flat(value))).collect())
        }
        value => Answer::Value(Zeroizing::new(flat(value))),
    }
}

/// The C representation of a value. A template has none here: one within a template cannot have been taken in.
fn flat(value: &Value) -> Vec<u8> {
    match value {
        Value::Bool(value) => vec![u8::from(*value)],
        Value::Ulong(value) => value.to_ne_bytes().to_vec(),
        Value::Bytes(bytes) => bytes.clone(),
        Value::Ulongs(list) => list.iter().flat_map(|element| element.to_ne_bytes()).collect(),
        Value::Template(_) => Vec::new(),
    }
}

/// How many bytes the C representation has, with 16 for type and length of each attribute of a template.
pub fn size(value: &Value) -> u64 {
    match value {
        Value::Bool(_) => 1,
        Value::Ulong(_) => 8,
        Value::Bytes(bytes) => bytes.len() as u64,
        Value::Ulongs(list) => 8 * list.len() as u64,
        Value::Template(list) => list.iter().map(|(_, value)| 16 + size(value)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value_of(form: Form, bytes: &[u8]) -> Result<Value> {
        from_bytes(form, bytes)
    }

    #[test]
    fn forms() {
        let ulongs = [7u64, 3, 7].iter().flat_map(|value| value.to_ne_bytes()).collect::<Vec<_>>();
        let good: &[(Form, &[u8], Value)] = &[
            (Form::Bool, &[0], false.into()),
            (Form::Bool, &[1], true.into()),
            (Form::Ulong, &5u64.to_ne_bytes(), 5.into()),
            (Form::Bytes, &[], Value::Bytes(vec![])),
            (Form::Utf8, "ü".as_bytes(), Value::Bytes("ü".into())),
            (Form::BigInteger, &[0, 0, 1, 0], Value::Bytes(vec![1, 0])),
            (Form::Date, b"20240229", Value::Bytes(b"20240229".to_vec())),
            (Form::Date, b"", Value::Bytes(vec![])),
            (Form::MechanismList, &ulongs, Value::Ulongs(vec![3, 7])),
            (Form::MechanismList, &[], Value::Ulongs(vec![])),
        ];
        for (form, bytes, value) in good {
            assert_eq!(value_of(*form, bytes).as_ref(), Ok(value), "{form:?} {bytes:?}");
        }
        let bad: &[(Form, &[u8])] = &[
            (Form::Bool, &[]),
            (Form::Bool, &[2]),
            (Form::Bool, &[1, 0, 0, 0]),
            (Form::Ulong, &[]),
            (Form::Ulong, &[0; 4]),
            (Form::Ulong, &[0; 9]),
            (Form::Utf8, &[0xff]),
            (Form::Date, b"2024022"),
            (Form::Date, b"20230229"),
            (Form::Date, b"20241301"),
            (Form::Date, b"2024 101"),
            (Form::MechanismList, &[0; 12]),
            (Form::Template, &[0; 24]),
        ];
        for (form, bytes) in bad {
            assert_eq!(value_of(*form, bytes), Err(Error::AttributeValueInvalid), "{form:?} {bytes:?}");
        }
    }

    #[test]
    fn templates_within_templates() {
        let row = known(ck::CKA_UNWRAP_TEMPLATE).expect("in the table");
        let element = |kind, value| RawAttribute { kind, value };
        let sensitive = element(ck::CKA_SENSITIVE, RawValue::Bytes(&[1]));
        let good = RawValue::Template(vec![sensitive.clone(), sensitive.clone()]);
        let Ok(Value::Template(list)) = canonical(row, &good) else { panic!("a good template") };
        assert!(list.flag(ck::CKA_SENSITIVE) && list.len() == 1);

        let contrary = element(ck::CKA_SENSITIVE, RawValue::Bytes(&[0]));
        let secret = element(ck::CKA_VALUE, RawValue::Bytes(&[0]));
        let nested = element(ck::CKA_WRAP_TEMPLATE, RawValue::Template(vec![]));
        let unknown = element(0x7777, RawValue::Bytes(&[]));
        for (list, error) in [
            (vec![sensitive, contrary], Error::TemplateInconsistent),
            (vec![secret], Error::AttributeValueInvalid),
            (vec![nested], Error::AttributeValueInvalid),
            (vec![unknown], Error::AttributeTypeInvalid),
        ] {
            assert_eq!(canonical(row, &RawValue::Template(list)), Err(error));
        }
    }
}
