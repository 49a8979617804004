//! Objects that nobody made: CKO_PROFILE (PKCS#11 v3.2 section 4.14) and CKO_MECHANISM (section 4.13). They are found
//! only when their class is asked for, since clients that list a token expect keys, certificates and data.

use std::sync::Arc;

use cryptoki_sys as ck;
use hsm_backends::{Attributes, Value};

use crate::{error::Result, handle::ObjectHandle, slot::Slot};

use super::ObjectTable;

/// The profiles that hold for every token of this module. CKP_PUBLIC_CERTIFICATES_TOKEN does so as long as no private
/// certificate is to be seen; see [`matching`].
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

/// The built-in objects that match.
pub(super) fn matching(slot: &Slot, wanted: &Attributes) -> Result<Vec<ObjectHandle>> {
    let mut found = slot.objects.built_in();
    found.retain(|(_, attributes)| attributes.matches(wanted));
    let public_certificates = Some(ck::CKP_PUBLIC_CERTIFICATES_TOKEN);
    if found.iter().any(|(_, attributes)| attributes.ulong(ck::CKA_PROFILE_ID) == public_certificates)
        && has_private_certificates(slot)?
    {
        found.retain(|(_, attributes)| attributes.ulong(ck::CKA_PROFILE_ID) != public_certificates);
    }
    Ok(found.into_iter().map(|(handle, _)| handle).collect())
}

fn has_private_certificates(slot: &Slot) -> Result<bool> {
    let template = [(ck::CKA_CLASS, Value::Ulong(ck::CKO_CERTIFICATE)), (ck::CKA_PRIVATE, Value::Bool(true))];
    let found = slot.visible(|objects| objects.find(&template.into_iter().collect()))?;
    Ok(!found.is_empty())
}
