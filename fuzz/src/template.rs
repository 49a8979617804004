//! CK_ATTRIBUTE arrays made of choices.

use cryptoki_sys as ck;
use trellis_pkcs11::attribute::ATTRIBUTES;

use crate::Choices;

/// A template with the memory that it points to.
pub struct Template {
    raw: Box<[ck::CK_ATTRIBUTE]>,
    _values: Vec<Box<[u8]>>,
    _nested: Vec<Template>,
}

impl Template {
    /// A template of choices: known and unknown types, values of any length, NULLs, and nested templates to a depth of
    /// three. CKF_ARRAY_ATTRIBUTE makes the module take a value for a template, so only templates are given there.
    pub fn new(choices: &mut Choices<'_>) -> Self {
        Self::nested(choices, 3)
    }

    /// The attributes given.
    pub fn of(attributes: &[(u64, &[u8])]) -> Self {
        let mut values: Vec<Box<[u8]>> = attributes.iter().map(|(_, value)| (*value).into()).collect();
        let raw = attributes.iter().zip(&mut values).map(|((kind, _), value)| ck::CK_ATTRIBUTE {
            type_: *kind,
            pValue: value.as_mut_ptr().cast(),
            ulValueLen: value.len() as ck::CK_ULONG,
        });
        Self { raw: raw.collect(), _values: values, _nested: Vec::new() }
    }

    /// pTemplate. The module writes lengths and values into it.
    pub fn as_mut_ptr(&mut self) -> *mut ck::CK_ATTRIBUTE {
        self.raw.as_mut_ptr()
    }

    /// ulCount.
    pub fn len(&self) -> ck::CK_ULONG {
        self.raw.len() as ck::CK_ULONG
    }

    /// Whether there are no attributes.
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    fn nested(choices: &mut Choices<'_>, depth: u8) -> Self {
        let mut raw = Vec::new();
        let (mut values, mut nested) = (Vec::new(), Vec::new());
        for _ in 0..choices.byte() % 24 {
            let type_ = match choices.byte() {
                u8::MAX => choices.number(),
                index => ATTRIBUTES[usize::from(index) % ATTRIBUTES.len()].kind,
            };
            let is_template = type_ & ck::CKF_ARRAY_ATTRIBUTE != 0 && type_ != ck::CKA_ALLOWED_MECHANISMS;
            let (pointer, len) = match choices.byte() % 5 {
                0 => (std::ptr::null_mut(), choices.number() as usize),
                _ if is_template && depth == 0 => (std::ptr::null_mut(), 0),
                _ if is_template => {
                    let mut inner = Self::nested(choices, depth - 1);
                    let place = (inner.as_mut_ptr().cast(), size_of_val(&*inner.raw));
                    nested.push(inner);
                    place
                }
                1 => owned(&mut values, [choices.byte() % 3].into()),
                2 => owned(&mut values, (choices.number() as ck::CK_ULONG).to_ne_bytes().into()),
                _ => owned(&mut values, choices.block()),
            };
            raw.push(ck::CK_ATTRIBUTE { type_, pValue: pointer, ulValueLen: len as ck::CK_ULONG });
        }
        Self { raw: raw.into(), _values: values, _nested: nested }
    }
}

fn owned(values: &mut Vec<Box<[u8]>>, mut value: Box<[u8]>) -> (ck::CK_VOID_PTR, usize) {
    let place = (value.as_mut_ptr().cast(), value.len());
    values.push(value);
    place
}
