//! Why a document is refused: one variant for each reason, with its cause in words and what to do about it.

use std::fmt;

use crate::{LONGEST_DOCUMENT, Pcr};

/// Why a document is refused. [`fmt::Display`] gives the cause on one line, [`Error::remedy`] what to do.
///
/// Certificates are counted from the root, which is 0.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Empty, or longer than [`LONGEST_DOCUMENT`].
    DocumentLength(usize),
    /// Not one COSE_Sign1 (RFC 9052 section 4.2), bare or with tag 18, or with something after it.
    Envelope,
    /// A COSE_Sign1 in another encoding than the shortest: parts of it that are not signed were changed.
    EnvelopeEncoding,
    /// The protected header is not exactly `{alg: ES384}`.
    EnvelopeAlgorithm,
    /// The unprotected header, which nobody signs, is not empty.
    EnvelopeUnprotected,
    /// The payload is not in the document.
    PayloadDetached,
    /// A COSE signature that is not 96 bytes long.
    SignatureLength(usize),
    /// The payload is not one CBOR map with text for keys.
    Payload,
    /// A field that must be there is not.
    FieldMissing(Field),
    /// A field, known or not, stands there twice: the beginning of its name.
    FieldRepeated(String),
    /// A field of another type or size than the specification of the NSM gives it.
    FieldInvalid(Field),
    /// The chain has no certificate before the last, or too many.
    ChainLength(usize),
    /// The chain starts with another root than the pinned one.
    Root {
        /// SHA-256 of the DER of the root in the document.
        found: [u8; 32],
        /// The pinned one.
        wanted: [u8; 32],
    },
    /// Not an X.509 certificate in DER.
    CertificateForm(usize),
    /// Not version 3, which alone has the extensions that the rules need.
    CertificateVersion(usize),
    /// Not signed with ecdsa-with-SHA384, or the two places that say so differ.
    CertificateAlgorithm(usize),
    /// The key of a certificate is not a point on P-384.
    CertificateKey(usize),
    /// The issuer of a certificate is not the subject of the one before it.
    CertificateIssuer(usize),
    /// The signature of a certificate is not by the key of the one before it.
    CertificateSignature(usize),
    /// The document is older than a certificate.
    CertificateNotYetValid(usize),
    /// The document is younger than a certificate.
    CertificateExpired(usize),
    /// A certificate that signs another is no CA (RFC 5280 section 4.2.1.9).
    NotCa(usize),
    /// The last certificate, whose key signs documents, is a CA.
    LeafIsCa,
    /// More CAs follow than pathLenConstraint allows (RFC 5280 section 4.2.1.9).
    PathLength(usize),
    /// keyUsage lacks keyCertSign in a CA or digitalSignature in the last certificate, or is not there.
    KeyUsage(usize),
    /// An extension stands there twice, or is malformed.
    ExtensionForm(usize),
    /// An extension that is critical and not known here.
    ExtensionCritical(usize),
    /// The COSE signature is not by the key of the last certificate.
    Signature,
    /// PCR0, PCR1 or PCR2 is zero: the enclave ran in debug mode, where its parent reads its console.
    DebugMode,
    /// The policy names a register that the document does not have.
    PcrMissing(u8),
    /// A register that the policy compares is zero, which any enclave can have.
    PcrZero(u8),
    /// A register has another value than the policy names.
    PcrMismatch {
        /// Which.
        index: u8,
        /// In the document.
        found: Pcr,
        /// In the policy.
        wanted: Pcr,
    },
    /// A nonce is expected and the document has none.
    NonceMissing,
    /// The nonce is another than the expected one.
    NonceMismatch,
    /// Older than the policy allows: its age and the limit in milliseconds.
    TooOld(u64, u64),
    /// Made later than the caller's now, and than clocks may differ: by so many milliseconds.
    FromTheFuture(u64),
    /// A birth attestation without `user_data`.
    UserDataMissing,
    /// `user_data` is not in the layout that was asked for.
    UserDataForm,
    /// `user_data` is in a later version of the layout.
    UserDataVersion(u8),
    /// The attestation is of another public key.
    OtherPublicKey,
    /// The attestation is of another wrapped data key.
    OtherWrappedKey,
    /// The attestation is of another user's key.
    OtherUser,
    /// The attestation names another KMS key.
    OtherKmsKey,
    /// The attestation names another algorithm.
    OtherAlgorithm,
    /// The enclave's time and the NSM's differ by more than five minutes.
    OtherTime {
        /// What the enclave put into `user_data`, in milliseconds since 1970.
        claimed: u64,
        /// When the NSM made the document, in milliseconds since 1970.
        document: u64,
    },
}

/// A field of the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the specification of the NSM")]
pub enum Field {
    ModuleId,
    Digest,
    Timestamp,
    Pcrs,
    Certificate,
    CaBundle,
    PublicKey,
    UserData,
    Nonce,
}

impl Field {
    /// Its key in the map.
    pub fn name(self) -> &'static str {
        match self {
            Self::ModuleId => "module_id",
            Self::Digest => "digest",
            Self::Timestamp => "timestamp",
            Self::Pcrs => "pcrs",
            Self::Certificate => "certificate",
            Self::CaBundle => "cabundle",
            Self::PublicKey => "public_key",
            Self::UserData => "user_data",
            Self::Nonce => "nonce",
        }
    }
}

impl Error {
    /// What to do about it, as an instruction on one line.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::DocumentLength(_) | Self::Envelope | Self::PayloadDetached => {
                "hand in the whole document as the NSM returned it, and nothing else"
            }
            Self::EnvelopeEncoding
            | Self::EnvelopeUnprotected
            | Self::SignatureLength(_)
            | Self::Signature
            | Self::CertificateSignature(_) => {
                "do not trust it: it was changed after it was signed; get the document again from where it was made"
            }
            Self::EnvelopeAlgorithm
            | Self::Payload
            | Self::FieldMissing(_)
            | Self::FieldRepeated(_)
            | Self::FieldInvalid(_) => {
                "do not trust it: no NSM makes such a document; ask who handed it in where it is from"
            }
            Self::Root { .. } => {
                "if this document is of an emulated enclave and you mean to trust that, name its root; else do not trust it"
            }
            Self::ChainLength(_)
            | Self::CertificateForm(_)
            | Self::CertificateVersion(_)
            | Self::CertificateAlgorithm(_)
            | Self::CertificateKey(_)
            | Self::CertificateIssuer(_)
            | Self::NotCa(_)
            | Self::LeafIsCa
            | Self::PathLength(_)
            | Self::KeyUsage(_)
            | Self::ExtensionForm(_)
            | Self::ExtensionCritical(_) => {
                "do not trust it: its chain is not one of the Nitro PKI as this version knows it; try the newest version"
            }
            Self::CertificateNotYetValid(_) | Self::CertificateExpired(_) => {
                "do not trust it: a document is made while all its certificates are valid; make a new one"
            }
            Self::DebugMode => "start the enclave without --debug-mode, or allow debug documents for a test",
            Self::PcrMissing(_) => "name registers 0 to 15 only",
            Self::PcrZero(8) => {
                "sign the enclave image (nitro-cli build-enclave --signing-certificate), or allow debug documents for a test"
            }
            Self::PcrZero(_) => "compare a register that the enclave measures something into",
            Self::PcrMismatch { .. } => {
                "compare the image with the one you built (nitro-cli describe-eif): another program is running, or the manifest is of another version"
            }
            Self::NonceMissing | Self::NonceMismatch => {
                "ask the enclave again with your nonce: this answer is to another question"
            }
            Self::TooOld(..) => "ask the enclave for a new document",
            Self::FromTheFuture(_) => "set the clock of this machine",
            Self::UserDataMissing | Self::UserDataForm => {
                "hand in the document that came with the new key, and name the layout it was made with"
            }
            Self::UserDataVersion(_) => "use a version of this verifier that knows the layout",
            Self::OtherPublicKey
            | Self::OtherWrappedKey
            | Self::OtherUser
            | Self::OtherKmsKey
            | Self::OtherAlgorithm => {
                "compare the record of the key with the document: they are not of the same key"
            }
            Self::OtherTime { .. } => "set the clock of the enclave, and make a new key",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |at: &usize| {
            if *at == 0 {
                "the root certificate".to_owned()
            } else {
                format!("certificate {at} below the root")
            }
        };
        match self {
            Self::DocumentLength(0) => f.write_str("the document is empty"),
            Self::DocumentLength(length) => {
                write!(f, "the document has {length} bytes, more than the {LONGEST_DOCUMENT} of any real one")
            }
            Self::Envelope => f.write_str("the document is not a COSE_Sign1"),
            Self::EnvelopeEncoding => f.write_str("the COSE_Sign1 is not in its shortest encoding"),
            Self::EnvelopeAlgorithm => {
                f.write_str("the protected header does not say ES384 and nothing else")
            }
            Self::EnvelopeUnprotected => f.write_str("the unprotected header is not empty"),
            Self::PayloadDetached => f.write_str("the payload is not in the document"),
            Self::SignatureLength(length) => write!(f, "the signature has {length} bytes instead of 96"),
            Self::Payload => f.write_str("the payload is not one CBOR map with text for keys"),
            Self::FieldMissing(field) => write!(f, "the payload has no {}", field.name()),
            Self::FieldRepeated(name) => write!(f, "the payload has {name:?} twice"),
            Self::FieldInvalid(field) => write!(f, "{} is not of the specified type and size", field.name()),
            Self::ChainLength(count) => write!(f, "the CA bundle has {count} certificates"),
            Self::Root { found, wanted } => {
                f.write_str("the chain starts with the root of SHA-256 ")?;
                hex(f, found)?;
                f.write_str(" and not with the pinned one, ")?;
                hex(f, wanted)
            }
            Self::CertificateForm(n) => write!(f, "{} is not X.509 in DER", at(n)),
            Self::CertificateVersion(n) => write!(f, "{} is not of version 3", at(n)),
            Self::CertificateAlgorithm(n) => write!(f, "{} is not signed with ecdsa-with-SHA384", at(n)),
            Self::CertificateKey(n) => write!(f, "{} has no key on P-384", at(n)),
            Self::CertificateIssuer(n) => {
                write!(f, "{} names another issuer than the certificate before it", at(n))
            }
            Self::CertificateSignature(n) => {
                write!(f, "{} is not signed by the certificate before it", at(n))
            }
            Self::CertificateNotYetValid(n) => {
                write!(f, "{} was not valid yet when the document was made", at(n))
            }
            Self::CertificateExpired(n) => write!(f, "{} had expired when the document was made", at(n)),
            Self::NotCa(n) => write!(f, "{} signs another and is no CA", at(n)),
            Self::LeafIsCa => f.write_str("the certificate that signs the document is a CA"),
            Self::PathLength(n) => write!(f, "{} has more CAs below it than it allows", at(n)),
            Self::KeyUsage(n) => write!(f, "{} may not be used for what it signs", at(n)),
            Self::ExtensionForm(n) => write!(f, "{} has an extension twice or malformed", at(n)),
            Self::ExtensionCritical(n) => {
                write!(f, "{} has a critical extension that is not known here", at(n))
            }
            Self::Signature => f.write_str("the signature of the document does not verify"),
            Self::DebugMode => {
                f.write_str("the document is of an enclave in debug mode, which measures nothing")
            }
            Self::PcrMissing(index) => write!(f, "the document has no PCR{index}"),
            Self::PcrZero(index) => write!(f, "PCR{index} is zero: nothing was measured into it"),
            Self::PcrMismatch { index, found, wanted } => write!(f, "PCR{index} is {found} and not {wanted}"),
            Self::NonceMissing => f.write_str("the document has no nonce"),
            Self::NonceMismatch => f.write_str("the document has another nonce"),
            Self::TooOld(age, limit) => {
                write!(f, "the document is {} seconds old, and {} are allowed", age / 1000, limit / 1000)
            }
            Self::FromTheFuture(ahead) => write!(f, "the document will be made in {} seconds", ahead / 1000),
            Self::UserDataMissing => f.write_str("the document has no user_data"),
            Self::UserDataForm => f.write_str("user_data is not in the layout of a birth attestation"),
            Self::UserDataVersion(version) => write!(f, "user_data is in version {version} of its layout"),
            Self::OtherPublicKey => f.write_str("the attestation is of another public key"),
            Self::OtherWrappedKey => f.write_str("the attestation is of another wrapped data key"),
            Self::OtherUser => f.write_str("the attestation is for another user id"),
            Self::OtherKmsKey => f.write_str("the attestation names another KMS key"),
            Self::OtherAlgorithm => f.write_str("the attestation names another algorithm"),
            Self::OtherTime { claimed, document } => write!(
                f,
                "the enclave says {claimed} and the NSM {document} (milliseconds since 1970), more than five minutes apart"
            ),
        }
    }
}

impl std::error::Error for Error {}

/// Bytes in lowercase hexadecimal.
pub(crate) fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}
