//! The envelope: COSE_Sign1 (RFC 9052 section 4.2) with ES384 (RFC 9053 section 2.1).
//!
//! Only the protected header and the payload are signed. So that nobody can hide anything in the rest, that must be in
//! its shortest encoding, and the unprotected header empty. What is left is the twin that every ECDSA signature has
//! (r and n - s): a document cannot be recognised by its hash.

use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use coset::{
    CborSerializable, CoseSign1, HeaderBuilder, TaggedCborSerializable,
    iana::{Algorithm, CborTag},
};

use crate::{Error, LONGEST_DOCUMENT};

/// r and s of P-384, side by side.
const SIGNATURE: usize = 96;

/// The first byte of a document with tag 18.
const TAGGED: u8 = 0xc0 | CborTag::CoseSign1 as u8;

pub(crate) struct Envelope {
    sign1: CoseSign1,
}

impl Envelope {
    /// Decodes; nothing is verified yet.
    pub(crate) fn decode(document: &[u8]) -> Result<Self, Error> {
        if document.is_empty() || document.len() > LONGEST_DOCUMENT {
            return Err(Error::DocumentLength(document.len()));
        }
        let tagged = document[0] == TAGGED;
        let sign1 =
            if tagged { CoseSign1::from_tagged_slice(document) } else { CoseSign1::from_slice(document) };
        let sign1 = sign1.map_err(|_| Error::Envelope)?;
        let again = if tagged { sign1.clone().to_tagged_vec() } else { sign1.clone().to_vec() };
        if again.map_err(|_| Error::Envelope)? != document {
            return Err(Error::EnvelopeEncoding);
        }
        if sign1.protected.header != HeaderBuilder::new().algorithm(Algorithm::ES384).build() {
            return Err(Error::EnvelopeAlgorithm);
        }
        if !sign1.unprotected.is_empty() {
            return Err(Error::EnvelopeUnprotected);
        }
        if sign1.payload.is_none() {
            return Err(Error::PayloadDetached);
        }
        if sign1.signature.len() != SIGNATURE {
            return Err(Error::SignatureLength(sign1.signature.len()));
        }
        Ok(Self { sign1 })
    }

    pub(crate) fn payload(&self) -> &[u8] {
        self.sign1.payload.as_deref().unwrap_or_default()
    }

    /// Verifies the signature over Sig_structure (RFC 9052 section 4.4) with an uncompressed point on P-384.
    pub(crate) fn verify(&self, point: &[u8]) -> Result<(), Error> {
        let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point);
        key.verify(&self.sign1.tbs_data(&[]), &self.sign1.signature).map_err(|_| Error::Signature)
    }
}
