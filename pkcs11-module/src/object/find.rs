//! C_FindObjectsInit: everything that is there when the search begins, as handles.

use cryptoki_sys as ck;
use hsm_backends::{Attributes, RecordId};

use crate::{error::Result, handle::ObjectHandle, slot::Slot};

use super::built_in;

/// The handles of all visible objects that match: token objects, oldest first, then session objects. Built-in objects
/// are found only by those who ask for their class.
pub(crate) fn matching(slot: &Slot, mut wanted: Attributes) -> Result<Vec<ObjectHandle>> {
    if matches!(wanted.ulong(ck::CKA_CLASS), Some(ck::CKO_PROFILE | ck::CKO_MECHANISM)) {
        return built_in::matching(slot, &wanted);
    }
    // A record's id is its name, by which the store looks for it, and not among its attributes.
    let records = wanted.clone();
    let id = match wanted.remove(ck::CKA_UNIQUE_ID) {
        Some(value) => match bytes_of(&value).and_then(RecordId::from_unique_id) {
            Some(id) => Some(id),
            None => return Ok(Vec::new()),
        },
        None => None,
    };
    let mut handles = Vec::new();
    if wanted.value(ck::CKA_TOKEN) != Some(&false.into()) {
        let records = slot.visible(|objects| objects.find(&records))?;
        handles.extend(records.into_iter().map(|id| slot.objects.token_object(id)));
    }
    if wanted.value(ck::CKA_TOKEN) != Some(&true.into()) {
        let found = slot.objects.session_objects().into_iter().filter(|(_, object)| {
            id.is_none_or(|id| object.id == id) && object.attributes.read().matches(&wanted)
        });
        handles.extend(found.map(|(handle, _)| handle));
    }
    Ok(handles)
}

fn bytes_of(value: &hsm_backends::Value) -> Option<&[u8]> {
    match value {
        hsm_backends::Value::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}
