//! How something is signed at the HSM: the mechanism, its parameter and the data.

use std::borrow::Cow;

use algorithms::{PublicKey, Signing, digest::Hash, ed25519, ml_dsa, rsa};
use cryptoki_sys as ck;

use super::super::{
    device::Session,
    raw::{Mechanism, Parameter, Rv},
};

/// How something is signed at the HSM.
pub(super) struct Way<'a> {
    mechanism: Mechanism<'a>,
    data: Cow<'a, [u8]>,
    most: usize,
    /// Whether the signature is to be verified: the parameter is one that HSMs pass over.
    pub(super) verified: bool,
}

impl<'a> Way<'a> {
    /// `None` where no mechanism of the standard signs that.
    pub(super) fn new(public: &PublicKey, signing: Signing<'a>) -> Option<Self> {
        let whole = |kind, parameter, data: &'a [u8], most| Self {
            mechanism: Mechanism { kind, parameter },
            data: Cow::Borrowed(data),
            most,
            verified: !matches!(parameter, Parameter::None),
        };
        Some(match (public, signing) {
            (PublicKey::Ed25519(_), Signing::Ed25519(input)) => match input {
                ed25519::Input::Pure(message) => whole(ck::CKM_EDDSA, Parameter::None, message, 64),
                ed25519::Input::Context { context, message } => {
                    whole(ck::CKM_EDDSA, Parameter::Eddsa { prehashed: false, context }, message, 64)
                }
                // The HSM hashes the message itself, and here is only its digest.
                ed25519::Input::Prehashed { .. } => return None,
            },
            (PublicKey::Ecdsa(key), Signing::Ecdsa { digest }) => {
                let len = key.curve().field_len();
                let digest = digest.get(..len).unwrap_or(digest);
                whole(ck::CKM_ECDSA, Parameter::None, digest, 2 * len)
            }
            (PublicKey::Rsa(key), Signing::Rsa(padding)) => {
                let most = key.modulus().len();
                match padding {
                    rsa::Padding::Pkcs1Raw(data) => whole(ck::CKM_RSA_PKCS, Parameter::None, data, most),
                    rsa::Padding::Pkcs1 { hash, digest } => Self {
                        data: Cow::Owned(digest_info(hash, digest)?),
                        ..whole(ck::CKM_RSA_PKCS, Parameter::None, &[], most)
                    },
                    rsa::Padding::Pss { hash, mgf, salt_len, digest } => {
                        let parameter =
                            Parameter::Pss { hash: numbers(hash)?.0, mgf: numbers(mgf)?.1, salt_len };
                        Self { verified: false, ..whole(ck::CKM_RSA_PKCS_PSS, parameter, digest, most) }
                    }
                }
            }
            (PublicKey::MlDsa(key), Signing::MlDsa { input, hedging }) => {
                let hedge = match hedging {
                    ml_dsa::Hedging::Hedged => ck::CKH_HEDGE_PREFERRED,
                    ml_dsa::Hedging::Deterministic => ck::CKH_DETERMINISTIC_REQUIRED,
                };
                let most = key.parameter_set().signature_len();
                match input {
                    ml_dsa::Input::Message { context, message } => {
                        whole(ck::CKM_ML_DSA, Parameter::MlDsa { hedge, context }, message, most)
                    }
                    ml_dsa::Input::Hash { context, hash, digest } => {
                        let hash = numbers(hash)?.0;
                        whole(
                            ck::CKM_HASH_ML_DSA,
                            Parameter::HashMlDsa { hedge, context, hash },
                            digest,
                            most,
                        )
                    }
                    ml_dsa::Input::Mu(_) => return None,
                }
            }
            _ => return None,
        })
    }

    /// `between` runs when the signature is begun.
    pub(super) fn sign(
        &self,
        session: &Session,
        handle: ck::CK_OBJECT_HANDLE,
        between: impl FnOnce() -> Result<(), Rv>,
    ) -> Result<Vec<u8>, Rv> {
        session.raw.sign(session.handle, self.mechanism, handle, (&self.data, self.most), between)
    }
}

/// DigestInfo in DER (RFC 8017 section 9.2).
fn digest_info(hash: Hash, digest: &[u8]) -> Option<Vec<u8>> {
    let oid = hash.oid_der();
    let algorithm_len = u8::try_from(oid.len() + 2).ok()?;
    let digest_len = u8::try_from(digest.len()).ok().filter(|len| *len < 0x80)?;
    let whole = algorithm_len.checked_add(digest_len)?.checked_add(4).filter(|len| *len < 0x80)?;
    Some([&[0x30, whole, 0x30, algorithm_len], oid, &[0x05, 0x00, 0x04, digest_len], digest].concat())
}

/// CKM_* and CKG_MGF1_* of a hash.
fn numbers(hash: Hash) -> Option<(u64, u64)> {
    Some(match hash {
        Hash::Sha1 => (ck::CKM_SHA_1, ck::CKG_MGF1_SHA1),
        Hash::Sha224 => (ck::CKM_SHA224, ck::CKG_MGF1_SHA224),
        Hash::Sha256 => (ck::CKM_SHA256, ck::CKG_MGF1_SHA256),
        Hash::Sha384 => (ck::CKM_SHA384, ck::CKG_MGF1_SHA384),
        Hash::Sha512 => (ck::CKM_SHA512, ck::CKG_MGF1_SHA512),
        Hash::Sha3_224 => (ck::CKM_SHA3_224, ck::CKG_MGF1_SHA3_224),
        Hash::Sha3_256 => (ck::CKM_SHA3_256, ck::CKG_MGF1_SHA3_256),
        Hash::Sha3_384 => (ck::CKM_SHA3_384, ck::CKG_MGF1_SHA3_384),
        Hash::Sha3_512 => (ck::CKM_SHA3_512, ck::CKG_MGF1_SHA3_512),
        Hash::Shake128 | Hash::Shake256 => return None,
    })
}
