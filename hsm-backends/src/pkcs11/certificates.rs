//! Certificates are in the HSM as well as on record, where keys may be: whoever uses the HSM's own tools finds them
//! beside their keys. The record is what counts. An HSM that takes no certificate, or no more, changes nothing.

use cryptoki_sys as ck;

use super::{
    device::{Device, Session},
    keeper::number,
    raw::{Rv, Template},
};
use crate::{Attributes, Change, Objects};

/// What an X.509 certificate has in the HSM, besides class, type and CKA_TOKEN. The first is needed.
const BYTES: [u64; 6] =
    [ck::CKA_VALUE, ck::CKA_SUBJECT, ck::CKA_LABEL, ck::CKA_ID, ck::CKA_ISSUER, ck::CKA_SERIAL_NUMBER];
/// By what it is found again.
const NAMES: [u64; 3] = [ck::CKA_VALUE, ck::CKA_LABEL, ck::CKA_ID];

/// What follows in the HSM from changes of records.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    created: Vec<Attributes>,
    /// From what, to what.
    renamed: Vec<(Attributes, Attributes)>,
    destroyed: Vec<Attributes>,
}

impl Certificates {
    /// Call before the changes are made. Without `create` none is put into the HSM.
    pub(super) fn of(changes: &[Change], sealed: &dyn Objects, create: bool) -> Self {
        let mut all = Self::default();
        let before = |id| sealed.read(id).ok().map(|record| record.attributes.clone()).filter(is_certificate);
        for change in changes {
            match change {
                Change::Create { attributes, secret: None, .. } if create && is_certificate(attributes) => {
                    all.created.push(attributes.clone());
                }
                Change::Create { .. } => {}
                Change::Update { id, attributes, .. } => {
                    all.renamed.extend(before(*id).map(|before| (before, attributes.clone())));
                }
                Change::Destroy { id } => all.destroyed.extend(before(*id)),
            }
        }
        all
    }

    /// Call after the changes have been made.
    pub(super) fn follow(&self, device: &Device) {
        // What the HSM refuses it does without.
        for attributes in &self.created {
            let _ = device.call(|session| create(session, attributes));
        }
        for (before, after) in &self.renamed {
            let names: Template = names(after).split_off(1);
            let _ = device.call(|session| {
                let found = find(session, before)?;
                found
                    .into_iter()
                    .try_for_each(|object| session.raw.set_values(session.handle, object, &names))
            });
        }
        for attributes in &self.destroyed {
            let _ = device.call(|session| {
                let found = find(session, attributes)?;
                found.into_iter().try_for_each(|object| session.raw.destroy(session.handle, object))
            });
        }
    }
}

/// Whether an object is an X.509 certificate with a value.
pub(super) fn is_certificate(attributes: &Attributes) -> bool {
    attributes.ulong(ck::CKA_CLASS) == Some(ck::CKO_CERTIFICATE)
        && attributes.ulong(ck::CKA_CERTIFICATE_TYPE) == Some(ck::CKC_X_509)
        && attributes.bytes(ck::CKA_VALUE).is_some_and(|value| !value.is_empty())
}

fn create(session: &Session, attributes: &Attributes) -> Result<(), Rv> {
    if !find(session, attributes)?.is_empty() {
        // The HSM had it, or took it before it went away.
        return Ok(());
    }
    let mut template: Template = vec![
        (ck::CKA_CLASS, number(ck::CKO_CERTIFICATE)),
        (ck::CKA_CERTIFICATE_TYPE, number(ck::CKC_X_509)),
        (ck::CKA_TOKEN, vec![ck::CK_TRUE]),
        (ck::CKA_PRIVATE, vec![u8::from(attributes.flag(ck::CKA_PRIVATE))]),
    ];
    template.extend(BYTES.iter().filter_map(|kind| Some((*kind, attributes.bytes(*kind)?.to_vec()))));
    session.raw.create(session.handle, &template).map(drop)
}

/// Value, label and id, as the HSM has them.
fn names(attributes: &Attributes) -> Template {
    NAMES.iter().map(|kind| (*kind, attributes.bytes(*kind).unwrap_or_default().to_vec())).collect()
}

fn find(session: &Session, attributes: &Attributes) -> Result<Vec<ck::CK_OBJECT_HANDLE>, Rv> {
    let mut template = vec![(ck::CKA_CLASS, number(ck::CKO_CERTIFICATE))];
    template.extend(names(attributes));
    session.raw.find(session.handle, &template)
}
