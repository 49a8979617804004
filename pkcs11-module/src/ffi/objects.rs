//! Object management (PKCS#11 v3.2 section 5.7).

use cryptoki_sys as ck;

use super::{
    args::{self, Place},
    attributes,
    guard::exports,
};
use crate::handle::{ObjectHandle, SessionHandle};

exports! {
    fn C_CreateObject(
        session: ck::CK_SESSION_HANDLE,
        template: *mut ck::CK_ATTRIBUTE,
        count: ck::CK_ULONG,
        object: *mut ck::CK_OBJECT_HANDLE,
    ) |module| {
        let (place, template) = (Place::new(object)?, args::template(template, count)?);
        place.set(module.create_object(SessionHandle(session), &template)?.0);
        Ok(())
    }

    fn C_CopyObject(
        session: ck::CK_SESSION_HANDLE,
        object: ck::CK_OBJECT_HANDLE,
        template: *mut ck::CK_ATTRIBUTE,
        count: ck::CK_ULONG,
        copy: *mut ck::CK_OBJECT_HANDLE,
    ) |module| {
        let (place, template) = (Place::new(copy)?, args::template(template, count)?);
        place.set(module.copy_object(SessionHandle(session), ObjectHandle(object), &template)?.0);
        Ok(())
    }

    fn C_DestroyObject(session: ck::CK_SESSION_HANDLE, object: ck::CK_OBJECT_HANDLE) |module| {
        module.destroy_object(SessionHandle(session), ObjectHandle(object))
    }

    fn C_GetObjectSize(
        session: ck::CK_SESSION_HANDLE,
        object: ck::CK_OBJECT_HANDLE,
        size: *mut ck::CK_ULONG,
    ) |module| {
        let place = Place::new(size)?;
        place.set(module.object_size(SessionHandle(session), ObjectHandle(object))?);
        Ok(())
    }

    fn C_GetAttributeValue(
        session: ck::CK_SESSION_HANDLE,
        object: ck::CK_OBJECT_HANDLE,
        template: *mut ck::CK_ATTRIBUTE,
        count: ck::CK_ULONG,
    ) |module| {
        let asked = args::attributes(template, count)?;
        let kinds: Vec<_> = asked.iter().map(|attribute| attribute.type_).collect();
        let answers = module.attribute_values(SessionHandle(session), ObjectHandle(object), &kinds)?;
        attributes::fill(template, &asked, &answers)
    }

    fn C_SetAttributeValue(
        session: ck::CK_SESSION_HANDLE,
        object: ck::CK_OBJECT_HANDLE,
        template: *mut ck::CK_ATTRIBUTE,
        count: ck::CK_ULONG,
    ) |module| {
        let template = args::template(template, count)?;
        module.set_attribute_values(SessionHandle(session), ObjectHandle(object), &template)
    }

    fn C_FindObjectsInit(
        session: ck::CK_SESSION_HANDLE,
        template: *mut ck::CK_ATTRIBUTE,
        count: ck::CK_ULONG,
    ) |module| {
        module.find_objects_init(SessionHandle(session), &args::template(template, count)?)
    }

    fn C_FindObjects(
        session: ck::CK_SESSION_HANDLE,
        objects: *mut ck::CK_OBJECT_HANDLE,
        max: ck::CK_ULONG,
        found: *mut ck::CK_ULONG,
    ) |module| {
        let place = Place::new(found)?;
        let list = args::Elements::new(objects, max)?;
        let handles = module.find_objects(SessionHandle(session), list.room())?;
        place.set(handles.len() as ck::CK_ULONG);
        list.set(handles.into_iter().map(|handle| handle.0));
        Ok(())
    }

    fn C_FindObjectsFinal(session: ck::CK_SESSION_HANDLE) |module| {
        module.find_objects_final(SessionHandle(session))
    }
}
