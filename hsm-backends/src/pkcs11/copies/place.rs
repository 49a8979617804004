//! Where the HSM has the copy of a record: what an intent holds of it, so that it is found by whoever comes next.

use std::collections::HashSet;

use algorithms::digest::Hash;
use cryptoki_sys as ck;

use super::{
    super::{
        device::Session,
        keeper::number,
        raw::{Rv, Template},
    },
    identity::{is_copied, marked, marked_id, marker},
};
use crate::{Attributes, RecordId, sealed::AtDevice};

/// The first byte of a locator that is a copy's and no key's.
const LOCATOR_VERSION: u8 = 2;
/// Version, kind, the record's id and the value's digest.
const LOCATOR_LEN: usize = 1 + 1 + 16 + 32;
/// Beside the kind, of a copy that is to be made.
const TO_COME: u8 = 0x80;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Certificate = 0,
    /// With the CKA_OBJECT_ID that names its record.
    MarkedData = 1,
    /// With a CKA_OBJECT_ID of the application's.
    Data = 2,
}

/// A copy as it was before its record changed, or as it is to be.
#[derive(Debug)]
pub(super) struct Place {
    record: RecordId,
    kind: Kind,
    to_come: bool,
    label: Vec<u8>,
    /// CKA_ID of a certificate, CKA_APPLICATION of data.
    name: Vec<u8>,
    /// SHA-256 of CKA_VALUE; of data with a CKA_OBJECT_ID of its own, of both.
    digest: [u8; 32],
}

impl Place {
    /// `None` for what the HSM has no copies of.
    pub(super) fn of(record: RecordId, attributes: &Attributes) -> Option<Self> {
        if !is_copied(attributes) {
            return None;
        }
        let attributes = marked(record, attributes);
        let kind = match attributes.ulong(ck::CKA_CLASS)? {
            ck::CKO_CERTIFICATE => Kind::Certificate,
            _ if marked_id(&attributes) == Some(record) => Kind::MarkedData,
            _ => Kind::Data,
        };
        let bytes = |kind| attributes.bytes(kind).unwrap_or_default().to_vec();
        let name = bytes(if kind == Kind::Certificate { ck::CKA_ID } else { ck::CKA_APPLICATION });
        let digest = kind.digest_of(&attributes)?;
        Some(Self { record, kind, to_come: false, label: bytes(ck::CKA_LABEL), name, digest })
    }

    pub(super) fn to_come(record: RecordId, attributes: &Attributes) -> Option<Self> {
        Some(Self { to_come: true, ..Self::of(record, attributes)? })
    }

    pub(super) fn record(&self) -> RecordId {
        self.record
    }

    pub(super) fn is_to_come(&self) -> bool {
        self.to_come
    }

    pub(super) fn is_marked(&self) -> bool {
        self.kind == Kind::MarkedData
    }

    pub(super) fn has_value(&self, attributes: &Attributes) -> bool {
        self.kind.digest_of(attributes) == Some(self.digest)
    }

    pub(super) fn to_device(&self) -> AtDevice {
        let kind = self.kind as u8 | if self.to_come { TO_COME } else { 0 };
        let locator = [&[LOCATOR_VERSION, kind], &self.record.0[..], &self.digest].concat();
        AtDevice { locator, label: self.label.clone(), id: self.name.clone() }
    }

    /// `None` for a key.
    pub(super) fn from_device(key: &AtDevice) -> Option<Self> {
        let locator: &[u8; LOCATOR_LEN] = key.locator.as_slice().try_into().ok()?;
        let [LOCATOR_VERSION, tag, rest @ ..] = locator else { return None };
        let kinds = [Kind::Certificate, Kind::MarkedData, Kind::Data];
        let kind = kinds.into_iter().find(|kind| *kind as u8 == tag & !TO_COME)?;
        let (record, digest) = rest.split_first_chunk::<16>()?;
        Some(Self {
            record: RecordId(*record),
            kind,
            to_come: tag & TO_COME != 0,
            label: key.label.clone(),
            name: key.id.clone(),
            digest: digest.try_into().ok()?,
        })
    }

    pub(super) fn find(&self, session: &Session) -> Result<Vec<ck::CK_OBJECT_HANDLE>, Rv> {
        let (class, name) = match self.kind {
            Kind::Certificate => (ck::CKO_CERTIFICATE, ck::CKA_ID),
            Kind::MarkedData | Kind::Data => (ck::CKO_DATA, ck::CKA_APPLICATION),
        };
        let mut template: Template = vec![(ck::CKA_CLASS, number(class))];
        if self.is_marked() {
            template.push((ck::CKA_OBJECT_ID, marker(self.record)));
            return session.raw.find(session.handle, &template);
        }
        template.extend([(ck::CKA_LABEL, self.label.clone()), (name, self.name.clone())]);
        let mut found = Vec::new();
        for object in session.raw.find(session.handle, &template)? {
            let kinds = [ck::CKA_VALUE, ck::CKA_OBJECT_ID];
            let mut values = match session.raw.values(session.handle, object, &kinds) {
                Err(Rv(ck::CKR_OBJECT_HANDLE_INVALID)) => continue,
                values => values?.into_iter(),
            };
            let (value, own) = (values.next().flatten(), values.next().flatten());
            let digest = self.kind.digest(&value.unwrap_or_default(), &own.unwrap_or_default());
            if digest == Some(self.digest) {
                found.push(object);
            }
        }
        Ok(found)
    }
}

/// The record that an intent is about, where it is about a copy.
pub(in crate::pkcs11) fn record_of(key: &AtDevice) -> Option<RecordId> {
    Place::from_device(key).map(|place| place.record)
}

/// Copies that have not followed their records yet: none of them is an object of the HSM's own.
#[derive(Debug, Default)]
pub(in crate::pkcs11) struct Unsettled {
    marked: HashSet<RecordId>,
    /// Certificates and other data, by their digests.
    others: HashSet<(bool, [u8; 32])>,
}

impl Unsettled {
    /// Passes over what is no copy.
    pub(in crate::pkcs11) fn add(&mut self, key: &AtDevice) {
        match Place::from_device(key) {
            Some(place) if place.is_marked() => drop(self.marked.insert(place.record)),
            Some(place) => drop(self.others.insert((place.kind == Kind::Certificate, place.digest))),
            None => {}
        }
    }

    pub(in crate::pkcs11) fn has(&self, attributes: &Attributes) -> bool {
        if marked_id(attributes).is_some_and(|record| self.marked.contains(&record)) {
            return true;
        }
        let certificate = attributes.ulong(ck::CKA_CLASS) == Some(ck::CKO_CERTIFICATE);
        let kind = if certificate { Kind::Certificate } else { Kind::Data };
        let pending = |digest| self.others.contains(&(certificate, digest));
        !self.others.is_empty() && is_copied(attributes) && kind.digest_of(attributes).is_some_and(pending)
    }
}

impl Kind {
    fn digest_of(self, attributes: &Attributes) -> Option<[u8; 32]> {
        let bytes = |kind| attributes.bytes(kind).unwrap_or_default();
        self.digest(bytes(ck::CKA_VALUE), bytes(ck::CKA_OBJECT_ID))
    }

    fn digest(self, value: &[u8], object_id: &[u8]) -> Option<[u8; 32]> {
        let digest = match self {
            Self::Certificate | Self::MarkedData => Hash::Sha256.digest(value),
            Self::Data => {
                Hash::Sha256.digest(&[&(object_id.len() as u64).to_be_bytes(), object_id, value].concat())
            }
        };
        digest.ok()?.try_into().ok()
    }
}
