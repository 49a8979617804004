//! Templates for searches (C_FindObjectsInit): nothing in them is an error that could stop a client from listing a
//! token; what cannot match matches nothing.

use hsm_backends::Attributes;

use crate::{
    error::{Error, Result},
    template::{RawValue, Template},
};

use super::{canonical, known};

/// The attributes to look for, or `None` when nothing can match: an attribute that the module does not know, a value
/// that no object can have, two values for one attribute. A pointer that was NULL is CKR_ATTRIBUTE_VALUE_INVALID.
pub fn search(template: &Template<'_>) -> Result<Option<Attributes>> {
    if template.iter().any(|attribute| matches!(attribute.value, RawValue::Malformed)) {
        return Err(Error::AttributeValueInvalid);
    }
    let mut wanted = Attributes::new();
    for attribute in template {
        let Some(Ok(value)) = known(attribute.kind).map(|row| canonical(row, &attribute.value)) else {
            return Ok(None);
        };
        let before = wanted.set(attribute.kind, value);
        if before.is_some_and(|before| wanted.value(attribute.kind) != Some(&before)) {
            return Ok(None);
        }
    }
    Ok(Some(wanted))
}
