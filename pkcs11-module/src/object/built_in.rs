//! Objects that nobody made: CKO_PROFILE (PKCS#11 v3.2 section 4.14) and CKO_MECHANISM (section 4.13). They are found
//! only when their class is asked for, since clients that list a token expect keys, certificates and data.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use cryptoki_sys as ck;
use hsm_backends::{Attributes, Record, StoreError, Value};

use crate::{error::Result, handle::ObjectHandle, slot::Slot};

use super::ObjectTable;

/// The profiles that hold for every token of this module, CKP_PUBLIC_CERTIFICATES_TOKEN as long as
/// [`certificates_are_public`].
const PROFILES: &[u64] = &[
    ck::CKP_BASELINE_PROVIDER,
    ck::CKP_EXTENDED_PROVIDER,
    ck::CKP_AUTHENTICATION_TOKEN,
    ck::CKP_PUBLIC_CERTIFICATES_TOKEN,
];

/// Gives a new slot its built-in objects: the profiles, and one object for each of the mechanisms that may be used.
pub fn install(table: &ObjectTable, mechanisms: impl IntoIterator<Item = u64>) {
    let add = |class: u64, kind, value: u64| {
        let attributes = [(ck::CKA_CLASS, Value::Ulong(class)), (kind, Value::Ulong(value))];
        table.add_built_in(Arc::new(attributes.into_iter().collect()));
    };
    for profile in PROFILES {
        add(ck::CKO_PROFILE, ck::CKA_PROFILE_ID, *profile);
    }
    for mechanism in mechanisms {
        add(ck::CKO_MECHANISM, ck::CKA_MECHANISM_TYPE, mechanism);
    }
}

/// The built-in objects that match. They count as public token objects, which is how NSS asks for profiles.
pub(super) fn matching(slot: &Slot, wanted: &Attributes) -> Result<Vec<ObjectHandle>> {
    let mut wanted = wanted.clone();
    for (kind, holds) in [(ck::CKA_TOKEN, true), (ck::CKA_PRIVATE, false)] {
        if wanted.value(kind) == Some(&Value::Bool(holds)) {
            wanted.remove(kind);
        }
    }
    let mut found = slot.objects.built_in();
    found.retain(|(_, attributes)| attributes.matches(&wanted));
    let is_promise = |attributes: &Attributes| {
        attributes.ulong(ck::CKA_PROFILE_ID) == Some(ck::CKP_PUBLIC_CERTIFICATES_TOKEN)
    };
    if found.iter().any(|(_, attributes)| is_promise(attributes)) && !certificates_are_public(slot)? {
        found.retain(|(_, attributes)| !is_promise(attributes));
    }
    Ok(found.into_iter().map(|(handle, _)| handle).collect())
}

/// The object location requirements of the profile "public certificates token", as far as they can be seen now: every
/// certificate is public, has the CKA_ID of its private key if that is here, and its public key can then be found by
/// that CKA_ID without a login.
fn certificates_are_public(slot: &Slot) -> Result<bool> {
    let (mut certificates, mut private_keys, mut public_keys) = (Vec::new(), HashMap::new(), HashSet::new());
    let info = |record: &Record| record.attributes.bytes(ck::CKA_PUBLIC_KEY_INFO).map(<[u8]>::to_vec);
    let id = |record: &Record| record.attributes.bytes(ck::CKA_ID).map(<[u8]>::to_vec);
    for record in of_class(slot, ck::CKO_CERTIFICATE)? {
        if record.attributes.flag(ck::CKA_PRIVATE) {
            return Ok(false);
        }
        certificates.push(record);
    }
    if certificates.is_empty() {
        return Ok(true);
    }
    for record in of_class(slot, ck::CKO_PRIVATE_KEY)? {
        private_keys.insert(info(&record), id(&record));
    }
    for record in of_class(slot, ck::CKO_PUBLIC_KEY)? {
        if !record.attributes.flag(ck::CKA_PRIVATE) {
            public_keys.insert((info(&record), id(&record)));
        }
    }
    Ok(certificates.iter().all(|certificate| {
        let (info, id) = (info(certificate), id(certificate));
        private_keys.get(&info).is_none_or(|of_key| *of_key == id && public_keys.contains(&(info, id)))
    }))
}

fn of_class(slot: &Slot, class: u64) -> Result<Vec<Arc<Record>>> {
    let template = [(ck::CKA_CLASS, Value::Ulong(class))].into_iter().collect();
    slot.visible(|objects| {
        let ids = objects.find(&template)?.into_iter();
        // One that another process destroys meanwhile is no longer to be looked at.
        let records = ids.map(|id| match objects.read(id) {
            Err(StoreError::NotFound) => Ok(None),
            read => read.map(Some),
        });
        Ok(records.collect::<std::result::Result<Vec<_>, StoreError>>()?.into_iter().flatten().collect())
    })
}
