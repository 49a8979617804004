//! What holds for every object whatever it came from: defaults, and combinations of attributes that may not be.

use cryptoki_sys as ck;
use hsm_backends::{Attributes, Role, Value};

use crate::error::{Error, Result};

use super::{Fallback, ObjectKind, SecretType, because, rows_of};

/// Adds what neither the template nor the key gave.
pub fn complete(attributes: &mut Attributes, kind: ObjectKind) {
    if kind == ObjectKind::Secret(SecretType::Aes) {
        // A key that wraps keys does not encrypt data unless it is asked to: C_Decrypt would open what it wrapped.
        let wraps = attributes.flag(ck::CKA_WRAP) || attributes.flag(ck::CKA_UNWRAP);
        attributes.set_default(ck::CKA_ENCRYPT, !wraps);
        attributes.set_default(ck::CKA_DECRYPT, !wraps);
    }
    for row in rows_of(kind) {
        match row.fallback {
            Fallback::Absent | Fallback::EmptyList => {}
            Fallback::Empty => attributes.set_default(row.kind, Value::Bytes(Vec::new())),
            Fallback::Bool(value) => attributes.set_default(row.kind, value),
            Fallback::Ulong(value) => attributes.set_default(row.kind, value),
        }
    }
}

/// Checks the complete attributes of a new or changed object, made by whoever is logged in.
pub fn check(attributes: &Attributes, kind: ObjectKind, role: Option<Role>) -> Result<()> {
    let flag = |kind| attributes.flag(kind);
    let inconsistent = |why: &str| Err(because(Error::TemplateInconsistent, format_args!("{why}")));
    if flag(ck::CKA_PRIVATE) && role != Some(Role::User) {
        let why =
            format_args!("CKA_PRIVATE is true, by the template or by default, and the user is not logged in");
        return Err(because(Error::UserNotLoggedIn, why));
    }
    // The secrets of a token are sealed under the user's PIN, whoever may see the object.
    if kind.has_secret() && flag(ck::CKA_TOKEN) && role != Some(Role::User) {
        let why = format_args!("a private or secret key on the token is the user's to make and to change");
        return Err(because(Error::UserNotLoggedIn, why));
    }
    if flag(ck::CKA_ALWAYS_AUTHENTICATE) && !flag(ck::CKA_PRIVATE) {
        return inconsistent("CKA_ALWAYS_AUTHENTICATE needs CKA_PRIVATE true");
    }

    // CKA_WRAP_WITH_TRUSTED means nothing if a trusted key could open in the clear what it wrapped.
    if kind.has_secret() && flag(ck::CKA_TRUSTED) && flag(ck::CKA_DECRYPT) {
        return inconsistent("CKA_TRUSTED and CKA_DECRYPT exclude each other");
    }
    // A key that both wraps and lets go what it unwraps would launder every extractable key.
    if flag(ck::CKA_WRAP) && unwraps_weaker(attributes) {
        return inconsistent("CKA_WRAP and a CKA_UNWRAP_TEMPLATE that weakens keys exclude each other");
    }
    Ok(())
}

/// Whether keys that this key unwraps may be readable or extractable: its CKA_UNWRAP_TEMPLATE says so expressly.
fn unwraps_weaker(attributes: &Attributes) -> bool {
    let Some(Value::Template(template)) = attributes.value(ck::CKA_UNWRAP_TEMPLATE) else { return false };
    template.value(ck::CKA_SENSITIVE) == Some(&Value::Bool(false)) || template.flag(ck::CKA_EXTRACTABLE)
}
