//! C_CopyObject, C_SetAttributeValue and C_DestroyObject.

use std::sync::Arc;

use cryptoki_sys as ck;
use hsm_backends::{Change, NewSecret, StoreError};

use crate::{
    attribute::{ObjectKind, because, copied, modified},
    error::{Error, Result},
    handle::ObjectHandle,
    session::Session,
    template::Template,
};

use super::{Object, Source, new::NewObject};

/// How often a change starts again because another one came first. Each time somebody made progress.
const ATTEMPTS: usize = 32;

/// C_CopyObject. The copy of a key shares the opened key, so that a session copy costs no cryptography and no write.
pub(crate) fn copy(session: &Session, handle: ObjectHandle, template: &Template<'_>) -> Result<NewObject> {
    let slot = &session.slot;
    let object = Object::resolve(slot, handle)?;
    let kind = storable(&object)?;
    let attributes = copied(object.attributes(), kind, template, slot.role())?;
    if attributes.flag(ck::CKA_TOKEN) && !session.read_write {
        return Err(Error::SessionReadOnly);
    }
    let secret = match kind {
        ObjectKind::Private(_) => Some(NewSecret::Private(object.private_key(slot)?)),
        ObjectKind::Secret(_) => Some(NewSecret::Secret(object.secret_key(slot)?)),
        _ => None,
    };
    Ok(NewObject { attributes, secret })
}

/// C_SetAttributeValue.
pub(crate) fn set(session: &Session, handle: ObjectHandle, template: &Template<'_>) -> Result<()> {
    let slot = &session.slot;
    let role = slot.role();
    for _ in 0..ATTEMPTS {
        let object = Object::resolve(slot, handle)?;
        let kind = storable(&object)?;
        writable(session, &object)?;
        match &object.source {
            Source::Token(record) => {
                let attributes = modified(&record.attributes, kind, template, role)?;
                let update = Change::Update { id: record.id, version: record.version, attributes };
                match slot.visible(|objects| objects.commit(vec![update])) {
                    Err(StoreError::Changed) => {}
                    done => return Ok(done?),
                }
            }
            Source::Session(object, _) => {
                let mut now = object.attributes.write();
                *now = Arc::new(modified(&now, kind, template, role)?);
                return Ok(());
            }
            Source::BuiltIn(_) => return Err(Error::ActionProhibited),
        }
    }
    Err(Error::FunctionFailed)
}

/// C_DestroyObject.
pub(crate) fn destroy(session: &Session, handle: ObjectHandle) -> Result<()> {
    let slot = &session.slot;
    let object = Object::resolve(slot, handle)?;
    storable(&object)?;
    writable(session, &object)?;
    if !object.attributes().flag(ck::CKA_DESTROYABLE) {
        return Err(because(Error::ActionProhibited, format_args!("CKA_DESTROYABLE is false")));
    }
    if let Source::Token(record) = &object.source {
        slot.visible(|objects| objects.commit(vec![Change::Destroy { id: record.id }]))?;
        slot.objects.remove(handle);
        return Ok(());
    }
    // Another thread may have been first.
    if slot.objects.remove(handle) { Ok(()) } else { Err(Error::ObjectHandleInvalid) }
}

/// What the object is; a built-in one can be read and nothing else.
fn storable(object: &Object) -> Result<ObjectKind> {
    match ObjectKind::of(object.attributes()) {
        Some(ObjectKind::Profile | ObjectKind::Mechanism) | None => Err(Error::ActionProhibited),
        Some(kind) => Ok(kind),
    }
}

fn writable(session: &Session, object: &Object) -> Result<()> {
    if object.attributes().flag(ck::CKA_TOKEN) && !session.read_write {
        return Err(Error::SessionReadOnly);
    }
    Ok(())
}
