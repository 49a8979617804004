//! Changing attributes: C_SetAttributeValue and the template of C_CopyObject. All or nothing, and never towards less
//! protection.

use cryptoki_sys as ck;
use hsm_backends::{Attributes, Role, Value};

use crate::{
    error::{Error, Result},
    template::Template,
};

use super::{Attribute, Form, ObjectKind, because, canonical, check, given::foreign, notes, row};

/// The attributes of an object after C_SetAttributeValue.
pub fn modified(
    before: &Attributes,
    kind: ObjectKind,
    template: &Template<'_>,
    role: Option<Role>,
) -> Result<Attributes> {
    if !before.flag(ck::CKA_MODIFIABLE) {
        return Err(because(Error::ActionProhibited, format_args!("CKA_MODIFIABLE is false")));
    }
    changed(before, kind, template, role, |row, old, new| {
        let may_change = row.has(notes::N8 | notes::N10 | notes::N11) || empties(row, new);
        if !may_change || (old != Some(new) && is_final(row, old)) {
            return Err(Error::AttributeReadOnly);
        }
        Ok(())
    })
}

/// The attributes of a copy (section 5.7.2): those of the original, changed as the template says.
pub fn copied(
    before: &Attributes,
    kind: ObjectKind,
    template: &Template<'_>,
    role: Option<Role>,
) -> Result<Attributes> {
    if !before.flag(ck::CKA_COPYABLE) {
        return Err(because(Error::ActionProhibited, format_args!("CKA_COPYABLE is false")));
    }
    changed(before, kind, template, role, |row, old, new| {
        if old == Some(new) {
            Ok(())
        } else if row.kind == ck::CKA_PRIVATE && before.flag(ck::CKA_PRIVATE) {
            Err(Error::TemplateInconsistent)
        } else if row.has(notes::COPY)
            || empties(row, new)
            || (row.has(notes::N8 | notes::N10 | notes::N11) && !is_final(row, old))
        {
            Ok(())
        } else {
            Err(Error::AttributeReadOnly)
        }
    })
}

/// Whether this is the one change that some attributes allow: to no value.
fn empties(row: &Attribute, new: &Value) -> bool {
    row.has(notes::EMPTIES) && matches!(new, Value::Bytes(bytes) if bytes.is_empty())
}

/// Whether an attribute has reached the value that it cannot leave.
fn is_final(row: &Attribute, old: Option<&Value>) -> bool {
    match old {
        Some(Value::Bool(true)) => row.has(notes::N11),
        Some(Value::Bool(false)) => row.has(notes::N12),
        _ => false,
    }
}

/// Applies a template. `permitted` judges one row with its value before and after.
fn changed(
    before: &Attributes,
    kind: ObjectKind,
    template: &Template<'_>,
    role: Option<Role>,
    permitted: impl Fn(&Attribute, Option<&Value>, &Value) -> Result<()>,
) -> Result<Attributes> {
    let mut after = before.clone();
    let mut seen = Attributes::new();
    for attribute in template {
        let row = row(attribute.kind, kind).ok_or_else(|| foreign(attribute.kind))?;
        if row.has(notes::N7 | notes::N2) || row.form == Form::Template {
            return Err(because(Error::AttributeReadOnly, format_args!("{} never changes", row.name)));
        }
        let value = canonical(row, &attribute.value)
            .map_err(|error| because(error, format_args!("{} in the template", row.name)))?;
        let old = before.value(row.kind);
        // Of a key it may be named, and must then be the key's own (section 4.10).
        if row.kind == ck::CKA_PUBLIC_KEY_INFO && kind.key_type().is_some() {
            if old == Some(&value) {
                continue;
            }
            return Err(because(Error::AttributeValueInvalid, format_args!("{} is another key's", row.name)));
        }
        permitted(row, old, &value)
            .map_err(|error| because(error, format_args!("{} cannot be changed so", row.name)))?;
        if old != Some(&value) && row.has(notes::N10) && role != Some(Role::SecurityOfficer) {
            let why = format_args!("{} is the security officer's", row.name);
            return Err(because(Error::AttributeReadOnly, why));
        }
        if seen.set(row.kind, value.clone()).is_some_and(|twice| twice != value) {
            let why = format_args!("{} is given twice", row.name);
            return Err(because(Error::TemplateInconsistent, why));
        }
        after.set(row.kind, value);
    }
    check(&after, kind, role)?;
    Ok(after)
}
