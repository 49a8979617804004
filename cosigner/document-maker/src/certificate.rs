//! One certificate, with every field that the verifier's rules look at open to be changed.

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    signature::{ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};

use crate::der::{INTEGER, OCTET_STRING, SEQUENCE, SET, TRUE, UTF8_STRING, bits, element, time};

const ECDSA_WITH_SHA384: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];
const BASIC_CONSTRAINTS: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x13];
const KEY_USAGE: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x0f];
/// id-ecPublicKey and secp384r1.
const P384: &[u8] =
    &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];

/// A P-384 key pair.
pub struct Key(EcdsaKeyPair, Vec<u8>);

impl Key {
    /// A new one.
    pub fn generate() -> Self {
        let pair =
            EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).expect("the system has randomness");
        // The engine ties a pair to a form of signature; documents and certificates use different ones.
        let der = AsDer::as_der(&pair.private_key()).expect("a key has an encoding");
        let der: aws_lc_rs::encoding::EcPrivateKeyRfc5915Der<'_> = der;
        Self(pair, der.as_ref().to_vec())
    }

    /// ECPrivateKey (RFC 5915).
    pub(crate) fn to_der(&self) -> &[u8] {
        &self.1
    }

    /// The inverse of [`Key::to_der`]; nothing for what is no key.
    pub(crate) fn from_der(der: &[u8]) -> Option<Self> {
        let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P384_SHA384_FIXED_SIGNING, der).ok()?;
        Some(Self(pair, der.to_vec()))
    }

    /// 04, x, y.
    pub fn point(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    /// r and s side by side, as COSE has it.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(&SystemRandom::new(), message).expect("signing with P-384").as_ref().to_vec()
    }

    /// r and s in DER, as X.509 has it.
    fn sign_der(&self, message: &[u8]) -> Vec<u8> {
        let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P384_SHA384_ASN1_SIGNING, &self.1)
            .expect("it was just encoded");
        pair.sign(&SystemRandom::new(), message).expect("signing with P-384").as_ref().to_vec()
    }
}

impl Clone for Key {
    fn clone(&self) -> Self {
        Self::from_der(&self.1).expect("it was a key")
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

/// What basicConstraints says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaFlag {
    /// The extension is not there.
    Absent,
    /// Not a CA.
    No,
    /// A CA, with pathLenConstraint if there is one.
    Yes(Option<u8>),
}

/// A certificate before it is signed.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The version number as encoded: 2 is version 3; 0 leaves it out.
    pub version: u8,
    /// DER of the signature algorithm inside the signed part; the outer one is always ecdsa-with-SHA384.
    pub algorithm: Vec<u8>,
    /// Common name of the issuer.
    pub issuer: String,
    /// Common name of the subject.
    pub subject: String,
    /// First second of validity since 1970.
    pub not_before: u64,
    /// Last second of validity since 1970.
    pub not_after: u64,
    /// AlgorithmIdentifier's content in SubjectPublicKeyInfo.
    pub key_algorithm: Vec<u8>,
    /// basicConstraints, critical.
    pub ca: CaFlag,
    /// The bits of keyUsage, from digitalSignature (0x80) to cRLSign (0x02); critical.
    pub key_usage: Option<u8>,
    /// More extensions, each a whole Extension in DER.
    pub extensions: Vec<Vec<u8>>,
}

impl Certificate {
    /// A CA of the Nitro profile.
    pub fn ca(issuer: &str, subject: &str, valid: (u64, u64), path_length: Option<u8>) -> Self {
        Self {
            version: 2,
            algorithm: element(SEQUENCE, &[ECDSA_WITH_SHA384]),
            issuer: issuer.into(),
            subject: subject.into(),
            not_before: valid.0,
            not_after: valid.1,
            key_algorithm: P384.to_vec(),
            ca: CaFlag::Yes(path_length),
            key_usage: Some(0x86),
            extensions: Vec::new(),
        }
    }

    /// The certificate of an enclave, whose key signs documents.
    pub fn leaf(issuer: &str, subject: &str, valid: (u64, u64)) -> Self {
        Self { ca: CaFlag::No, key_usage: Some(0xc0), ..Self::ca(issuer, subject, valid, None) }
    }

    /// An extension in DER.
    pub fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
        let critical = if critical { TRUE } else { &[] };
        element(SEQUENCE, &[oid, critical, &element(OCTET_STRING, &[value])])
    }

    /// Signs it with the issuer's key, for the subject's point.
    pub fn sign(&self, issuer: &Key, point: &[u8]) -> Vec<u8> {
        let version = element(0xa0, &[&element(INTEGER, &[&[self.version]])]);
        let version = if self.version == 0 { &[] } else { &version[..] };
        let key = element(SEQUENCE, &[&element(SEQUENCE, &[&self.key_algorithm]), &bits(point)]);
        let tbs = element(
            SEQUENCE,
            &[
                version,
                // The serial number: these certificates are told apart by their bytes.
                &element(INTEGER, &[&[1]]),
                &self.algorithm,
                &name(&self.issuer),
                &element(SEQUENCE, &[&time(self.not_before), &time(self.not_after)]),
                &name(&self.subject),
                &key,
                &self.all_extensions(),
            ],
        );
        let algorithm = element(SEQUENCE, &[ECDSA_WITH_SHA384]);
        element(SEQUENCE, &[&tbs, &algorithm, &bits(&issuer.sign_der(&tbs))])
    }

    fn all_extensions(&self) -> Vec<u8> {
        let constraints = match self.ca {
            CaFlag::Absent => None,
            CaFlag::No => Some(vec![]),
            CaFlag::Yes(None) => Some(TRUE.to_vec()),
            CaFlag::Yes(Some(length)) => Some([TRUE, &element(INTEGER, &[&[length]])].concat()),
        };
        let constraints = constraints
            .map(|content| Self::extension(BASIC_CONSTRAINTS, true, &element(SEQUENCE, &[&content])));
        let usage = self.key_usage.map(|usage| {
            // Named bits: zeros at the end are left out.
            let unused = u8::try_from(usage.trailing_zeros().min(7)).expect("at most 7");
            Self::extension(KEY_USAGE, true, &element(0x03, &[&[unused, usage]]))
        });
        let all =
            [constraints, usage].into_iter().flatten().chain(self.extensions.clone()).collect::<Vec<_>>();
        if all.is_empty() { vec![] } else { element(0xa3, &[&element(SEQUENCE, &[&all.concat()])]) }
    }
}

fn name(common: &str) -> Vec<u8> {
    let attribute = element(SEQUENCE, &[COMMON_NAME, &element(UTF8_STRING, &[common.as_bytes()])]);
    element(SEQUENCE, &[&element(SET, &[&attribute])])
}
