//! Keys as the module uses them: opened, and able to work, but silent about themselves.

use std::{fmt::Debug, sync::Arc};

use algorithms::{
    Algorithm, PrivateKey as Software, PublicKey, SecretBytes, Signing, ecdsa, ed25519, ml_dsa, rsa,
};

use cryptoki_sys as ck;

use crate::{AttributeType, Attributes, StoreError, Value};

/// How many bytes a generated secret key may have.
const SECRET_KEY_LEN: std::ops::RangeInclusive<usize> = 1..=4096;

/// What to generate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySpec {
    /// A key pair of an algorithm whose parameters are all in [`Algorithm`].
    Pair(Algorithm),
    /// An RSA key pair.
    Rsa {
        /// 2048 to 4096.
        modulus_bits: u32,
        /// Big-endian.
        public_exponent: Vec<u8>,
    },
    /// Random secret bytes: an AES or generic secret key.
    Secret {
        /// Bytes.
        len: usize,
    },
}

/// A part of a private key that PKCS#11 shows as an attribute where policy allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretPart {
    /// CKA_VALUE: the expanded ML-DSA key, the Ed25519 seed, the EC scalar.
    Value,
    /// CKA_SEED of ML-DSA; absent when the key was imported without it.
    Seed,
    /// CKA_PRIVATE_EXPONENT.
    PrivateExponent,
    /// CKA_PRIME_1, CKA_PRIME_2, CKA_EXPONENT_1, CKA_EXPONENT_2, CKA_COEFFICIENT: 0 to 4.
    Crt(usize),
    /// PrivateKeyInfo in DER, for C_WrapKey.
    Pkcs8,
}

/// A private key that can sign. It may sit in this process, in an HSM or in an enclave.
pub trait PrivateKey: Debug + Send + Sync {
    /// Signs; no lock is held meanwhile.
    fn sign(&self, signing: Signing<'_>) -> Result<Vec<u8>, StoreError>;

    /// [`PrivateKey::sign`] into a buffer exactly as long as the signature. What stands there after a failure means
    /// nothing.
    fn sign_into(&self, signing: Signing<'_>, out: &mut [u8]) -> Result<(), StoreError> {
        let signature = self.sign(signing)?;
        if signature.len() != out.len() {
            let (came, expected) = (signature.len(), out.len());
            return Err(StoreError::Device(format!("a signature has {came} bytes instead of {expected}")));
        }
        out.copy_from_slice(&signature);
        Ok(())
    }

    /// The public half.
    fn public_key(&self) -> Result<PublicKey, StoreError>;

    /// tr of an ML-DSA key whose message representative may be computed outside the key; `None` for other keys and
    /// for devices that take whole messages only.
    fn ml_dsa_tr(&self) -> Option<&[u8; 64]>;

    /// Whether deterministic ML-DSA signing of mu works (the seed is known).
    fn signs_mu_deterministically(&self) -> bool;

    /// Where its bytes are while it is open.
    fn place(&self) -> Place {
        Place::Process
    }

    /// The key as its device has it; `None` for one whose bytes are in this process.
    fn device_key(&self) -> Option<&dyn DeviceKey> {
        None
    }

    /// What is known of its birth; `None` for a key that was not born in an enclave.
    fn birth(&self) -> Result<Option<Birth>, StoreError> {
        Ok(None)
    }

    /// One of its secret parts, or `None` where the key has no such part or does not leave its device. Whether the
    /// caller may see it is the module's decision.
    fn secret_part(&self, part: SecretPart) -> Result<Option<SecretBytes>, StoreError>;
}

/// Where a key works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In this process's memory, while somebody is logged in; sealed in its store otherwise.
    Process,
    /// In a device that it does not leave.
    Device,
    /// In an enclave that it does not leave.
    Enclave,
}

/// What a Nitro enclave attested of a key when it made it, and what the document is to be compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Birth {
    /// The attestation document, a COSE_Sign1.
    pub attestation: Vec<u8>,
    /// What the document is to be compared with, in JSON: the record that `trellis attest verify` takes.
    pub record: String,
}

/// Under what a store seals keys that are records of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedBy {
    /// The user's PIN, alone.
    Pin,
    /// A key that does not leave an HSM.
    Hsm,
    /// A TPM, for whoever has the PIN.
    Tpm,
    /// An enclave, for whoever has the PIN.
    Enclave,
}

/// A key that does not leave its device. A store keeps its locator, sealed, where it would keep the key.
pub trait DeviceKey {
    /// What the store needs to find the key again.
    fn locator(&self) -> &[u8];

    /// Whether [`DeviceKey::keep`] has not been called: the key goes with the value.
    fn is_unfinished(&self) -> bool;

    /// Keeps the key in the device, under the names that its object has in the store.
    fn keep(&self, label: &[u8], id: &[u8]) -> Result<(), StoreError>;

    /// Destroys the key in the device; nothing where it is gone already.
    fn destroy(&self) -> Result<(), StoreError>;

    /// Lets the value go without the key: whoever sweeps next finds out whether a record names it.
    fn leave_to_sweep(&self) {}
}

/// Whether an object of these attributes needs a key that may leave its device, or that whoever is not logged in may
/// destroy: a key in a device can do neither.
pub(crate) fn may_leave(attributes: &Attributes) -> bool {
    let no = |kind: &AttributeType| attributes.value(*kind) == Some(&Value::Bool(false));
    attributes.flag(ck::CKA_EXTRACTABLE) || [ck::CKA_SENSITIVE, ck::CKA_PRIVATE].iter().any(no)
}

/// A secret key: the bytes of an AES key or a generic secret.
#[derive(Debug)]
pub struct SecretKey(SecretBytes);

impl SecretKey {
    /// Takes the bytes.
    pub fn new(bytes: SecretBytes) -> Self {
        Self(bytes)
    }

    /// The bytes, for the primitives of `algorithms`.
    pub fn bytes(&self) -> &SecretBytes {
        &self.0
    }
}

/// A secret that is not in any store yet: generated, imported or unwrapped. Cloning shares it.
#[derive(Debug, Clone)]
pub enum NewSecret {
    /// A private key.
    Private(Arc<dyn PrivateKey>),
    /// A secret key.
    Secret(Arc<SecretKey>),
}

impl NewSecret {
    /// Generates in this process; key pairs pass their pairwise check first.
    pub fn generate(spec: &KeySpec) -> Result<Self, StoreError> {
        let key = match spec {
            KeySpec::Secret { len } => {
                if !SECRET_KEY_LEN.contains(len) {
                    return Err(algorithms::Error::KeySizeRange.into());
                }
                return Ok(Self::Secret(Arc::new(SecretKey::new(algorithms::random::secret(*len)?))));
            }
            KeySpec::Pair(Algorithm::MlDsa(set)) => Software::MlDsa(ml_dsa::PrivateKey::generate(*set)?),
            KeySpec::Pair(Algorithm::Ed25519) => Software::Ed25519(ed25519::PrivateKey::generate()?),
            KeySpec::Pair(Algorithm::Ecdsa(curve)) => Software::Ecdsa(ecdsa::PrivateKey::generate(*curve)?),
            KeySpec::Pair(Algorithm::Rsa) => return Err(algorithms::Error::KeySizeRange.into()),
            KeySpec::Rsa { modulus_bits, public_exponent } => {
                Software::Rsa(rsa::PrivateKey::generate(*modulus_bits, public_exponent)?)
            }
        };
        key.pairwise_check()?;
        Ok(Self::import(key))
    }

    /// Takes an imported private key.
    pub fn import(key: algorithms::PrivateKey) -> Self {
        Self::Private(Arc::new(SoftwareKey(key)))
    }

    /// The same in as little memory as it takes, for a secret that waits among thousands to be stored: a private key is
    /// encoded again, and opened for each use.
    pub fn packed(self) -> Result<Self, StoreError> {
        let Self::Private(key) = &self else { return Ok(self) };
        if key.device_key().is_some() {
            return Ok(self);
        }
        Ok(match key.secret_part(SecretPart::Pkcs8)? {
            Some(pkcs8) => Self::Private(Arc::new(PackedKey(pkcs8))),
            None => self,
        })
    }
}

/// A private key as PKCS#8, whose bytes are in this process.
#[derive(Debug)]
struct PackedKey(SecretBytes);

impl PackedKey {
    fn open(&self) -> Result<SoftwareKey, StoreError> {
        Ok(SoftwareKey(Software::from_pkcs8(&self.0)?))
    }
}

impl PrivateKey for PackedKey {
    fn sign(&self, signing: Signing<'_>) -> Result<Vec<u8>, StoreError> {
        self.open()?.sign(signing)
    }

    fn public_key(&self) -> Result<PublicKey, StoreError> {
        self.open()?.public_key()
    }

    /// It takes whole messages only.
    fn ml_dsa_tr(&self) -> Option<&[u8; 64]> {
        None
    }

    fn signs_mu_deterministically(&self) -> bool {
        false
    }

    fn secret_part(&self, part: SecretPart) -> Result<Option<SecretBytes>, StoreError> {
        match part {
            SecretPart::Pkcs8 => Ok(Some(self.0.clone())),
            part => self.open()?.secret_part(part),
        }
    }
}

/// A private key whose bytes are in this process.
#[derive(Debug)]
pub(crate) struct SoftwareKey(pub(crate) Software);

impl PrivateKey for SoftwareKey {
    fn sign(&self, signing: Signing<'_>) -> Result<Vec<u8>, StoreError> {
        Ok(self.0.sign(signing)?)
    }

    fn sign_into(&self, signing: Signing<'_>, out: &mut [u8]) -> Result<(), StoreError> {
        Ok(self.0.sign_into(signing, out)?)
    }

    fn public_key(&self) -> Result<PublicKey, StoreError> {
        Ok(self.0.public_key()?)
    }

    fn ml_dsa_tr(&self) -> Option<&[u8; 64]> {
        match &self.0 {
            Software::MlDsa(key) => Some(key.public_key().tr()),
            _ => None,
        }
    }

    fn signs_mu_deterministically(&self) -> bool {
        matches!(&self.0, Software::MlDsa(key) if key.seed().is_some())
    }

    fn secret_part(&self, part: SecretPart) -> Result<Option<SecretBytes>, StoreError> {
        Ok(match (part, &self.0) {
            (SecretPart::Pkcs8, key) => Some(key.to_pkcs8()?),
            (SecretPart::Value, Software::MlDsa(key)) => Some(key.expanded()?),
            (SecretPart::Value, Software::Ed25519(key)) => Some(key.seed().clone()),
            (SecretPart::Value, Software::Ecdsa(key)) => Some(key.scalar()?),
            (SecretPart::Seed, Software::MlDsa(key)) => key.seed().cloned(),
            (SecretPart::PrivateExponent, Software::Rsa(key)) => Some(key.components()?.private_exponent),
            (SecretPart::Crt(which), Software::Rsa(key)) => key.components()?.crt.get(which).cloned(),
            _ => None,
        })
    }
}
