//! What the caller demands of a document, and what a document that passed says.

use std::collections::BTreeMap;

use crate::{Error, Pcr, chain, payload::Payload, sign1::Envelope};

/// SHA-256 of the DER of `AWS Nitro Enclaves Root G1`, which Amazon publishes with the certificate.
pub const AWS_ROOT_G1: [u8; 32] = [
    0x64, 0x1a, 0x03, 0x21, 0xa3, 0xe2, 0x44, 0xef, 0xe4, 0x56, 0x46, 0x31, 0x95, 0xd6, 0x06, 0x31, 0x7e,
    0xd7, 0xcd, 0xcc, 0x3c, 0x17, 0x56, 0xe0, 0x98, 0x93, 0xf3, 0xc6, 0x8f, 0x79, 0xbb, 0x5b,
];

/// Registers that are zero in debug mode, and only there: the image, its kernel and its programs.
const MEASURED: [u8; 3] = [0, 1, 2];

/// What the caller demands. There is no default: who verifies decides about every point.
#[derive(Debug, Clone)]
pub struct Policy<'a> {
    /// SHA-256 of the DER of the only root that is trusted; [`AWS_ROOT_G1`] for real enclaves.
    pub root: [u8; 32],
    /// The registers that are compared. PCR0 is the image, 1 the kernel, 2 the programs, 8 who signed the image. With
    /// none, the document may be of any program.
    pub pcrs: &'a BTreeMap<u8, Pcr>,
    /// Whether a document may be of an enclave in debug mode, and compared registers may be zero. For tests.
    pub allow_debug: bool,
    /// The nonce that the document must repeat.
    pub nonce: Option<&'a [u8]>,
    /// How old the document may be. Certificates are always judged by the document's own time.
    pub freshness: Option<Freshness>,
}

/// How old a document may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// The caller's time, in milliseconds since 1970.
    pub now: u64,
    /// The age that is still allowed, in milliseconds.
    pub oldest: u64,
    /// How far the document's clock may be ahead of the caller's, in milliseconds.
    pub ahead: u64,
}

/// What a verified document says. It can only be had from [`Policy::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    root: [u8; 32],
    module_id: String,
    timestamp: u64,
    pcrs: BTreeMap<u8, Pcr>,
    public_key: Option<Vec<u8>>,
    user_data: Option<Vec<u8>>,
    nonce: Option<Vec<u8>>,
}

impl Policy<'_> {
    /// Verifies a document: the bytes of a COSE_Sign1, bare or with tag 18. Every error is a refusal.
    pub fn verify(&self, document: &[u8]) -> Result<Attestation, Error> {
        let envelope = Envelope::decode(document)?;
        let payload = Payload::decode(envelope.payload())?;
        let key = chain::verify(&payload.ca_bundle, &payload.certificate, self.root, payload.timestamp)?;
        envelope.verify(&key)?;
        let attestation = Attestation {
            root: self.root,
            module_id: payload.module_id,
            timestamp: payload.timestamp,
            pcrs: payload.pcrs,
            public_key: payload.public_key,
            user_data: payload.user_data,
            nonce: payload.nonce,
        };
        self.check(&attestation)?;
        Ok(attestation)
    }

    fn check(&self, attestation: &Attestation) -> Result<(), Error> {
        for index in MEASURED {
            let pcr = attestation.pcr(index).ok_or(Error::PcrMissing(index))?;
            if pcr.is_zero() && !self.allow_debug {
                return Err(Error::DebugMode);
            }
        }
        for (&index, &wanted) in self.pcrs {
            let found = attestation.pcr(index).ok_or(Error::PcrMissing(index))?;
            if found != wanted {
                return Err(Error::PcrMismatch { index, found, wanted });
            }
            if found.is_zero() && !self.allow_debug {
                return Err(Error::PcrZero(index));
            }
        }
        match (self.nonce, attestation.nonce()) {
            (Some(_), None) => return Err(Error::NonceMissing),
            (Some(wanted), Some(found)) if wanted != found => return Err(Error::NonceMismatch),
            _ => {}
        }
        self.freshness.map_or(Ok(()), |freshness| freshness.check(attestation.timestamp))
    }
}

impl Freshness {
    fn check(&self, made: u64) -> Result<(), Error> {
        let (age, ahead) = (self.now.saturating_sub(made), made.saturating_sub(self.now));
        if age > self.oldest {
            return Err(Error::TooOld(age, self.oldest));
        }
        if ahead > self.ahead { Err(Error::FromTheFuture(ahead)) } else { Ok(()) }
    }
}

impl Attestation {
    /// SHA-256 of the DER of the root that the document was verified with.
    pub fn root(&self) -> [u8; 32] {
        self.root
    }

    /// The enclave: instance id and enclave id.
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// When the NSM made the document, in milliseconds since 1970.
    pub fn timestamp(&self) -> u64 {
        self.timestamp
    }

    /// A register, where the document has it.
    pub fn pcr(&self, index: u8) -> Option<Pcr> {
        self.pcrs.get(&index).copied()
    }

    /// All registers by index.
    pub fn pcrs(&self) -> &BTreeMap<u8, Pcr> {
        &self.pcrs
    }

    /// The key that the enclave wants to be written to, in the enclave's own form (for KMS: SubjectPublicKeyInfo).
    pub fn public_key(&self) -> Option<&[u8]> {
        self.public_key.as_deref()
    }

    /// What the enclave wanted to be signed.
    pub fn user_data(&self) -> Option<&[u8]> {
        self.user_data.as_deref()
    }

    /// The caller's challenge.
    pub fn nonce(&self) -> Option<&[u8]> {
        self.nonce.as_deref()
    }
}
