//! Templates for new objects (PKCS#11 v3.2 section 4.1.1): read against the table, secrets kept apart.

use algorithms::SecretBytes;
use cryptoki_sys as ck;
use hsm_backends::{AttributeType, Attributes, Value};

use crate::{
    error::{Error, Result},
    template::{RawAttribute, RawValue, Template},
};

use super::{
    Attribute, Form, ObjectKind, because, canonical, known, notes, refusal::Named, row, rows_of,
    value::trimmed,
};

/// How an object comes to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// C_CreateObject.
    Create,
    /// C_GenerateKey, C_GenerateKeyPair.
    Generate,
    /// C_UnwrapKey.
    Unwrap,
}

impl Origin {
    fn must(self) -> u16 {
        match self {
            Self::Create => notes::N1,
            Self::Generate => notes::N3,
            Self::Unwrap => notes::N5,
        }
    }

    fn must_not(self) -> u16 {
        match self {
            Self::Create => notes::N2,
            Self::Generate => notes::N4,
            Self::Unwrap => notes::N6,
        }
    }
}

/// What a template gives.
#[derive(Debug, Default)]
pub struct Given {
    /// Everything but the secrets.
    pub attributes: Attributes,
    secrets: Vec<(AttributeType, SecretBytes)>,
}

impl Given {
    /// Reads a template for an object of one kind. The first fault in the caller's order decides:
    /// CKR_ATTRIBUTE_TYPE_INVALID for what the module does not know, CKR_TEMPLATE_INCONSISTENT for what does not
    /// belong to this kind or is given twice with different values, CKR_ATTRIBUTE_READ_ONLY for what the caller may
    /// not set, CKR_ATTRIBUTE_VALUE_INVALID for a value of the wrong form; then CKR_TEMPLATE_INCOMPLETE.
    pub fn parse(template: &Template<'_>, kind: ObjectKind, origin: Origin) -> Result<Self> {
        let given = Self::parse_partial(template, kind, origin)?;
        given.complete(kind, origin)?;
        Ok(given)
    }

    /// As [`Given::parse`], without asking for what is missing.
    pub fn parse_partial(template: &Template<'_>, kind: ObjectKind, origin: Origin) -> Result<Self> {
        let mut given = Self::default();
        for attribute in template {
            let row = row(attribute.kind, kind).ok_or_else(|| foreign(attribute.kind))?;
            if row.has(origin.must_not()) {
                let why = format_args!("{} is not the template's to give", row.name);
                return Err(because(Error::AttributeReadOnly, why));
            }
            given
                .take(row, attribute)
                .map_err(|error| because(error, format_args!("{} in the template", row.name)))?;
        }
        for (kind, value) in [(ck::CKA_CLASS, Some(kind.class())), (ck::CKA_KEY_TYPE, kind.key_type())] {
            if given.attributes.ulong(kind).is_some_and(|named| Some(named) != value) {
                let why = format_args!("{} is not that of the object to be made", Named(kind));
                return Err(because(Error::TemplateInconsistent, why));
            }
        }
        Ok(given)
    }

    /// Checks that everything is given that must be: CKR_TEMPLATE_INCOMPLETE.
    pub fn complete(&self, kind: ObjectKind, origin: Origin) -> Result<()> {
        match rows_of(kind).find(|row| row.has(origin.must()) && !self.has(row.kind)) {
            Some(row) => Err(because(Error::TemplateIncomplete, format_args!("{} is missing", row.name))),
            None => Ok(()),
        }
    }

    fn take(&mut self, row: &Attribute, attribute: &RawAttribute<'_>) -> Result<()> {
        if row.has(notes::N7) {
            let RawValue::Bytes(bytes) = attribute.value else { return Err(Error::AttributeValueInvalid) };
            let bytes = if row.form == Form::BigInteger { trimmed(bytes) } else { bytes };
            match self.secret(row.kind) {
                None => self.secrets.push((row.kind, SecretBytes::new(bytes))),
                Some(before) if algorithms::mac::equal(before.expose(), bytes) => {}
                Some(_) => return Err(Error::TemplateInconsistent),
            }
            return Ok(());
        }
        let value = canonical(row, &attribute.value)?;
        // An empty list of mechanisms or an empty inner template restricts nothing: it is as if it were not there.
        if matches!(&value, Value::Ulongs(list) if list.is_empty())
            || matches!(&value, Value::Template(list) if list.is_empty())
        {
            return Ok(());
        }
        match self.attributes.set(row.kind, value) {
            Some(before) if self.attributes.value(row.kind) != Some(&before) => {
                Err(Error::TemplateInconsistent)
            }
            _ => Ok(()),
        }
    }

    /// A secret attribute.
    pub fn secret(&self, kind: AttributeType) -> Option<&SecretBytes> {
        self.secrets.iter().find(|(named, _)| *named == kind).map(|(_, secret)| secret)
    }

    fn has(&self, kind: AttributeType) -> bool {
        self.attributes.contains(kind) || self.secret(kind).is_some()
    }
}

/// What is wrong with an attribute that has no row for the object's kind.
pub(super) fn foreign(kind: AttributeType) -> Error {
    let error = if known(kind).is_some() { Error::TemplateInconsistent } else { Error::AttributeTypeInvalid };
    because(error, format_args!("this object has no {}", Named(kind)))
}
