//! Objects (PKCS#11 v3.2 section 5.7).

use crate::{
    Module,
    attribute::search,
    error::{Error, Result},
    handle::{ObjectHandle, SessionHandle},
    object::{Object, batch, change, find, new, read},
    template::{Answer, RawAttribute, Template},
};

impl Module {
    /// C_CreateObject.
    pub fn create_object(&self, session: SessionHandle, template: &Template<'_>) -> Result<ObjectHandle> {
        let session = self.session(session)?;
        let object = new::created(&session, template)?;
        new::add_one(self, &session, object)
    }

    /// T_CreateObjects of the vendor interface: all objects or none, those of the token in one commit. The handles are
    /// in the order of the templates. Which template is refused is told with the reason.
    pub fn create_objects(
        &self,
        session: SessionHandle,
        templates: &[Vec<RawAttribute<'_>>],
    ) -> Result<Vec<ObjectHandle>> {
        let session = self.session(session)?;
        let objects = batch::created(&session, templates)?;
        new::add(self, &session, objects)
    }

    /// C_CopyObject.
    pub fn copy_object(
        &self,
        session: SessionHandle,
        object: ObjectHandle,
        template: &Template<'_>,
    ) -> Result<ObjectHandle> {
        let session = self.session(session)?;
        let copy = change::copy(&session, object, template)?;
        new::add_one(self, &session, copy)
    }

    /// C_DestroyObject.
    pub fn destroy_object(&self, session: SessionHandle, object: ObjectHandle) -> Result<()> {
        change::destroy(&*self.session(session)?, object)
    }

    /// C_GetObjectSize, in bytes.
    pub fn object_size(&self, session: SessionHandle, object: ObjectHandle) -> Result<u64> {
        let session = self.session(session)?;
        Ok(read::size(Object::resolve(&session.slot, object)?.attributes()))
    }

    /// C_GetAttributeValue: one answer for each type asked for, in the same order.
    pub fn attribute_values(
        &self,
        session: SessionHandle,
        object: ObjectHandle,
        kinds: &[u64],
    ) -> Result<Vec<Answer>> {
        let session = self.session(session)?;
        let object = Object::resolve(&session.slot, object)?;
        kinds
            .iter()
            .map(|kind| read::answer(&object, &session.slot, *kind, self.config.ec_point_der))
            .collect()
    }

    /// C_SetAttributeValue: all or nothing.
    pub fn set_attribute_values(
        &self,
        session: SessionHandle,
        object: ObjectHandle,
        template: &Template<'_>,
    ) -> Result<()> {
        change::set(&*self.session(session)?, object, template)
    }

    /// C_FindObjectsInit: takes down what matches now.
    pub fn find_objects_init(&self, session: SessionHandle, template: &Template<'_>) -> Result<()> {
        let session = self.session(session)?;
        if session.operations.lock().find.is_some() {
            return Err(Error::OperationActive);
        }
        let found = match search(template)? {
            Some(wanted) => find::matching(&session.slot, wanted)?,
            None => Vec::new(),
        };
        let mut operations = session.operations.lock();
        if operations.find.is_some() {
            return Err(Error::OperationActive);
        }
        operations.find = Some(found.into_iter());
        Ok(())
    }

    /// C_FindObjects: at most `max` more handles.
    pub fn find_objects(&self, session: SessionHandle, max: usize) -> Result<Vec<ObjectHandle>> {
        let session = self.session(session)?;
        let mut operations = session.operations.lock();
        let found = operations.find.as_mut().ok_or(Error::OperationNotInitialized)?;
        Ok(found.take(max).collect())
    }

    /// C_FindObjectsFinal.
    pub fn find_objects_final(&self, session: SessionHandle) -> Result<()> {
        let session = self.session(session)?;
        let found = session.operations.lock().find.take();
        found.map(drop).ok_or(Error::OperationNotInitialized)
    }
}
