//! X.509 certificates, as far as a token keeps them: taken apart, never judged.

use cryptoki::object::{Attribute, CertificateType, ObjectClass};
use der::asn1::BitStringRef;
use der::{Decode, Reader, SliceReader};

use crate::error::Result;
use crate::public_key::{PublicKey, damaged};

/// An X.509 certificate, taken apart as far as CKO_CERTIFICATE needs.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    pub(crate) der: Vec<u8>,
    serial: Vec<u8>,
    issuer: Vec<u8>,
    subject: Vec<u8>,
    spki: Vec<u8>,
}

impl Certificate {
    pub(crate) fn from_der(der: &[u8]) -> Result<Self> {
        take_apart(der).map_err(|error| damaged("certificate", error))
    }

    pub(crate) fn public_key(&self) -> Result<PublicKey> {
        PublicKey::from_spki(&self.spki)
    }

    /// The attributes of this certificate as an object, without label and CKA_ID.
    pub(crate) fn attributes(&self) -> Vec<Attribute> {
        vec![
            Attribute::Class(ObjectClass::CERTIFICATE),
            Attribute::CertificateType(CertificateType::X_509),
            Attribute::Subject(self.subject.clone()),
            Attribute::Issuer(self.issuer.clone()),
            Attribute::SerialNumber(self.serial.clone()),
            Attribute::Value(self.der.clone()),
        ]
    }
}

fn take_apart(der: &[u8]) -> der::Result<Certificate> {
    let mut reader = SliceReader::new(der)?;
    let certificate = reader.sequence(|outer| {
        let parts = outer.sequence(|tbs| {
            let mut serial = tbs.tlv_bytes()?;
            // [0] EXPLICIT version, absent in version 1.
            if serial.first() == Some(&0xa0) {
                serial = tbs.tlv_bytes()?;
            }
            let _signature = tbs.tlv_bytes()?;
            let issuer = tbs.tlv_bytes()?;
            let _validity = tbs.tlv_bytes()?;
            let subject = tbs.tlv_bytes()?;
            let spki = tbs.tlv_bytes()?;
            while !tbs.is_finished() {
                tbs.tlv_bytes()?;
            }
            Ok::<_, der::Error>([serial, issuer, subject, spki])
        })?;
        let _algorithm = outer.tlv_bytes()?;
        let _signature = BitStringRef::decode(outer)?;
        Ok::<_, der::Error>(parts)
    })?;
    reader.finish()?;
    let [serial, issuer, subject, spki] = certificate.map(<[u8]>::to_vec);
    Ok(Certificate { der: der.to_vec(), serial, issuer, subject, spki })
}
