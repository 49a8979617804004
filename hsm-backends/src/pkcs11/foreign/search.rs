//! What of the HSM's objects a search reads: those that the HSM finds itself, by what every HSM searches by.
//!
//! The HSM's answer is only where to look: what is read is compared with the whole template afterwards. An object has the
//! same id whichever search has found it, so whatever has the same identity is read with it.

use std::collections::BTreeSet;

use cryptoki_sys as ck;

use super::{
    super::{
        device::Session,
        keeper::number,
        native::read_number,
        raw::{Rv, Template},
    },
    object::{Found, match_halves, read},
};
use crate::{Attributes, Value};

/// What the HSM is asked by: every HSM has these, and objects are shown with them as the HSM has them. All are part of an
/// object's identity, unless it is a key whose public half is known.
const ASKED: [u64; 5] = [ck::CKA_CLASS, ck::CKA_KEY_TYPE, ck::CKA_LABEL, ck::CKA_ID, ck::CKA_APPLICATION];

/// Classes that an HSM shows only to those who ask for them (PKCS#11 v3.2 section 4): its own, not ours to show.
const UNLISTED: [u64; 4] = [ck::CKO_HW_FEATURE, ck::CKO_MECHANISM, ck::CKO_PROFILE, ck::CKO_VALIDATION];

/// The part of a template that the HSM is asked by; nothing where ids have to be counted in the whole list.
pub(super) fn asked(template: &Attributes) -> Attributes {
    if template.contains(ck::CKA_UNIQUE_ID) {
        return Attributes::new();
    }
    // An empty name may be none at the HSM.
    let told = |value: &Value| match value {
        Value::Ulong(_) => true,
        Value::Bytes(bytes) => !bytes.is_empty(),
        _ => false,
    };
    let asked = template
        .iter()
        .filter(|(kind, value)| ASKED.contains(kind) && told(value))
        .filter(|(kind, value)| *kind != ck::CKA_CLASS || !UNLISTED.map(Value::Ulong).contains(value));
    asked.map(|(kind, value)| (kind, value.clone())).collect()
}

/// Objects of the token among which all are that have `asked`; without `private`, public ones only.
pub(super) fn list(session: &Session, asked: &Attributes, private: bool) -> Result<Vec<Found>, Rv> {
    let mut found = match some(session, asked, private)? {
        Some(found) => found,
        None => all(session, base(private))?,
    };
    if private {
        session.check_login()?;
    }
    match_halves(&mut found);
    Ok(found)
}

/// The keys of one class and type, their halves not matched.
pub(super) fn keys(session: &Session, class: u64, key_type: u64, private: bool) -> Result<Vec<Found>, Rv> {
    let mut template = base(private);
    template.extend([(ck::CKA_CLASS, number(class)), (ck::CKA_KEY_TYPE, number(key_type))]);
    all(session, template)
}

fn base(private: bool) -> Template {
    let mut template: Template = vec![(ck::CKA_TOKEN, vec![ck::CK_TRUE])];
    if !private {
        template.push((ck::CKA_PRIVATE, vec![ck::CK_FALSE]));
    }
    template
}

/// `None` where the HSM cannot be asked, and everything has to be read.
fn some(session: &Session, asked: &Attributes, private: bool) -> Result<Option<Vec<Found>>, Rv> {
    if asked.is_empty() {
        return Ok(None);
    }
    let mut template = base(private);
    template.extend(asked.iter().map(|(kind, value)| match value {
        Value::Ulong(value) => (kind, number(*value)),
        Value::Bytes(bytes) => (kind, bytes.clone()),
        _ => (kind, Vec::new()),
    }));
    let hits = match session.raw.find(session.handle, &template) {
        // It knows no such attribute, or no such type of key.
        Err(Rv(
            ck::CKR_ATTRIBUTE_TYPE_INVALID
            | ck::CKR_ATTRIBUTE_VALUE_INVALID
            | ck::CKR_TEMPLATE_INCONSISTENT
            | ck::CKR_ARGUMENTS_BAD,
        )) => return Ok(None),
        hits => hits?,
    };
    let mut found = Vec::new();
    let mut types = BTreeSet::new();
    for hit in hits {
        let kinds = [ck::CKA_CLASS, ck::CKA_KEY_TYPE];
        let values = match session.raw.values(session.handle, hit, &kinds) {
            Err(Rv(ck::CKR_OBJECT_HANDLE_INVALID)) => continue,
            values => values?,
        };
        let mut values = values.iter().map(|value| value.as_deref().and_then(read_number));
        match (values.next().flatten(), values.next().flatten()) {
            // A public key may be there under several names, and a private key's is another object.
            (Some(ck::CKO_PUBLIC_KEY | ck::CKO_PRIVATE_KEY), Some(key_type)) => drop(types.insert(key_type)),
            (Some(ck::CKO_PUBLIC_KEY | ck::CKO_PRIVATE_KEY) | None, _) => return Ok(None),
            _ => found.extend(present(read(session, hit))?),
        }
    }
    for key_type in types {
        for class in [ck::CKO_PUBLIC_KEY, ck::CKO_PRIVATE_KEY] {
            found.extend(keys(session, class, key_type, private)?);
        }
    }
    Ok(Some(found))
}

fn all(session: &Session, template: Template) -> Result<Vec<Found>, Rv> {
    let mut found = Vec::new();
    for handle in session.raw.find(session.handle, &template)? {
        found.extend(present(read(session, handle))?);
    }
    Ok(found)
}

/// Nothing where the object is gone since, or is nothing of ours to show.
fn present(read: Result<Option<Found>, Rv>) -> Result<Option<Found>, Rv> {
    match read {
        Err(Rv(ck::CKR_OBJECT_HANDLE_INVALID)) => Ok(None),
        read => read,
    }
}
