//! Keys of any algorithm, and their standard encodings.

use crate::{Algorithm, Error, SecretBytes, digest::Hash, ecdsa, ed25519, ml_dsa, pkcs8, rsa, spki};

/// What a signature is made over, one variant per scheme.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "each variant is the scheme of the module that its field comes from")]
pub enum Signing<'a> {
    MlDsa { input: ml_dsa::Input<'a>, hedging: ml_dsa::Hedging },
    Ed25519(ed25519::Input<'a>),
    Ecdsa { digest: &'a [u8] },
    Rsa(rsa::Padding<'a>),
}

/// A private key of any algorithm.
#[derive(Debug)]
#[expect(missing_docs, reason = "each variant is the key of its module")]
pub enum PrivateKey {
    MlDsa(ml_dsa::PrivateKey),
    Ed25519(ed25519::PrivateKey),
    Ecdsa(ecdsa::PrivateKey),
    Rsa(rsa::PrivateKey),
}

impl PrivateKey {
    /// Which algorithm the key is for.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::MlDsa(key) => Algorithm::MlDsa(key.parameter_set()),
            Self::Ed25519(_) => Algorithm::Ed25519,
            Self::Ecdsa(key) => Algorithm::Ecdsa(key.public_key().curve()),
            Self::Rsa(_) => Algorithm::Rsa,
        }
    }

    /// The public half, as an owned key of any algorithm.
    pub fn public_key(&self) -> Result<PublicKey, Error> {
        Ok(match self {
            Self::MlDsa(key) => PublicKey::MlDsa(key.public_key().clone()),
            Self::Ed25519(key) => PublicKey::Ed25519(key.public_key().clone()),
            Self::Ecdsa(key) => {
                let public = key.public_key();
                PublicKey::Ecdsa(ecdsa::PublicKey::from_bytes(public.curve(), public.as_bytes())?)
            }
            Self::Rsa(key) => {
                let public = key.public_key();
                PublicKey::Rsa(rsa::PublicKey::from_components(public.modulus(), public.public_exponent())?)
            }
        })
    }

    /// Signs; a scheme of another algorithm is [`Error::ParameterInvalid`].
    pub fn sign(&self, signing: Signing<'_>) -> Result<Vec<u8>, Error> {
        match (self, signing) {
            (Self::MlDsa(key), Signing::MlDsa { input, hedging }) => key.sign(input, hedging),
            (Self::Ed25519(key), Signing::Ed25519(input)) => key.sign(input),
            (Self::Ecdsa(key), Signing::Ecdsa { digest }) => key.sign(digest),
            (Self::Rsa(key), Signing::Rsa(padding)) => key.sign(padding),
            _ => Err(Error::ParameterInvalid),
        }
    }

    /// [`PrivateKey::sign`] into a buffer exactly as long as the signature ([`Error::SignatureLength`] otherwise). What
    /// stands there after a failure means nothing.
    pub fn sign_into(&self, signing: Signing<'_>, out: &mut [u8]) -> Result<(), Error> {
        match (self, signing) {
            (Self::MlDsa(key), Signing::MlDsa { input, hedging }) => key.sign_into(input, hedging, out),
            (Self::Ed25519(key), Signing::Ed25519(input)) => key.sign_into(input, out),
            _ => {
                let signature = self.sign(signing)?;
                if signature.len() != out.len() {
                    return Err(Error::SignatureLength);
                }
                out.copy_from_slice(&signature);
                Ok(())
            }
        }
    }

    /// PrivateKeyInfo / OneAsymmetricKey in DER (RFC 5958) as RFC 9881 (seed where known, else expandedKey), 8410,
    /// 5915 and 8017 give it.
    pub fn to_pkcs8(&self) -> Result<SecretBytes, Error> {
        pkcs8::encode(self)
    }

    /// Parses and checks PrivateKeyInfo in DER. For ML-DSA all three forms of RFC 9881 are taken, and `both` is
    /// refused where the seed and the expanded key disagree.
    pub fn from_pkcs8(der: &SecretBytes) -> Result<Self, Error> {
        pkcs8::decode(der)
    }

    /// Signs and verifies one message: the pairwise check that ends every key generation
    /// ([`Error::PairwiseCheckFailed`]).
    pub fn pairwise_check(&self) -> Result<(), Error> {
        self.signs_for(&self.public_key()?)
    }

    fn signs_for(&self, public: &PublicKey) -> Result<(), Error> {
        const MESSAGE: &[u8; 32] = b"the pairwise consistency message";
        let signing = match self {
            Self::MlDsa(_) => Signing::MlDsa {
                input: ml_dsa::Input::Message { context: &[], message: MESSAGE },
                hedging: ml_dsa::Hedging::Hedged,
            },
            Self::Ed25519(_) => Signing::Ed25519(ed25519::Input::Pure(MESSAGE)),
            Self::Ecdsa(_) => Signing::Ecdsa { digest: MESSAGE },
            Self::Rsa(_) => Signing::Rsa(rsa::Padding::Pkcs1 { hash: Hash::Sha256, digest: MESSAGE }),
        };
        let verified = self.sign(signing).and_then(|signature| public.verify(signing, &signature));
        verified.map_err(|_| Error::PairwiseCheckFailed)
    }
}

/// A public key of any algorithm.
#[derive(Debug)]
#[expect(missing_docs, reason = "each variant is the key of its module")]
pub enum PublicKey {
    MlDsa(ml_dsa::PublicKey),
    Ed25519(ed25519::PublicKey),
    Ecdsa(ecdsa::PublicKey),
    Rsa(rsa::PublicKey),
}

impl PublicKey {
    /// Which algorithm the key is for.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::MlDsa(key) => Algorithm::MlDsa(key.parameter_set()),
            Self::Ed25519(_) => Algorithm::Ed25519,
            Self::Ecdsa(key) => Algorithm::Ecdsa(key.curve()),
            Self::Rsa(_) => Algorithm::Rsa,
        }
    }

    /// Verifies; a scheme of another algorithm is [`Error::ParameterInvalid`].
    pub fn verify(&self, signing: Signing<'_>, signature: &[u8]) -> Result<(), Error> {
        match (self, signing) {
            (Self::MlDsa(key), Signing::MlDsa { input, .. }) => key.verify(input, signature),
            (Self::Ed25519(key), Signing::Ed25519(input)) => key.verify(input, signature),
            (Self::Ecdsa(key), Signing::Ecdsa { digest }) => key.verify(digest, signature),
            (Self::Rsa(key), Signing::Rsa(padding)) => key.verify(padding, signature),
            _ => Err(Error::ParameterInvalid),
        }
    }

    /// SubjectPublicKeyInfo in DER (RFC 9881, 8410, 5480, 3279): the value of CKA_PUBLIC_KEY_INFO.
    pub fn to_spki(&self) -> Result<Vec<u8>, Error> {
        Ok(spki::encode(self))
    }

    /// Parses SubjectPublicKeyInfo.
    pub fn from_spki(der: &[u8]) -> Result<Self, Error> {
        spki::decode(der)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pairwise_check_tells_two_halves_that_do_not_belong_together() {
        let generate: [fn() -> PrivateKey; 4] = [
            || PrivateKey::MlDsa(ml_dsa::PrivateKey::generate(ml_dsa::ParameterSet::MlDsa44).unwrap()),
            || PrivateKey::Ed25519(ed25519::PrivateKey::generate().unwrap()),
            || PrivateKey::Ecdsa(ecdsa::PrivateKey::generate(ecdsa::Curve::P256).unwrap()),
            || PrivateKey::Rsa(rsa::PrivateKey::generate(2048, &[1, 0, 1]).unwrap()),
        ];
        for generate in generate {
            let (one, other) = (generate(), generate());
            assert_eq!(one.pairwise_check(), Ok(()));
            let halves = one.signs_for(&other.public_key().unwrap());
            assert_eq!(halves, Err(Error::PairwiseCheckFailed), "{:?}", one.algorithm());
        }
    }
}
