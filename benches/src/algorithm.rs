//! What is signed with: mechanisms and templates.

use cryptoki::{
    mechanism::{
        Mechanism, MechanismType,
        dsa::{HedgeType, SignAdditionalContext},
        eddsa::{EddsaParams, EddsaSignatureScheme},
    },
    object::{Attribute, MlDsaParameterSetType, ObjectHandle},
    session::Session,
};

use crate::measure::Result;

/// The algorithms that are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    MlDsa44,
    MlDsa65,
    MlDsa87,
    /// HashML-DSA with ML-DSA-65 and SHA-512, which the module computes.
    HashMlDsa65,
    Ed25519,
    /// ECDSA over a digest of 32 bytes.
    P256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rsa2048,
}

impl Algorithm {
    pub(crate) const ML_DSA: [Self; 3] = [Self::MlDsa44, Self::MlDsa65, Self::MlDsa87];

    /// For the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::MlDsa44 => "ML-DSA-44",
            Self::MlDsa65 => "ML-DSA-65",
            Self::MlDsa87 => "ML-DSA-87",
            Self::HashMlDsa65 => "HashML-DSA-65 with SHA-512",
            Self::Ed25519 => "Ed25519",
            Self::P256 => "ECDSA P-256",
            Self::Rsa2048 => "RSA-2048",
        }
    }

    /// The mechanism; `hedge` matters to ML-DSA only.
    pub(crate) fn mechanism(self, hedge: HedgeType) -> Mechanism<'static> {
        match self {
            Self::Ed25519 => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure)),
            Self::P256 => Mechanism::Ecdsa,
            Self::Rsa2048 => Mechanism::Sha256RsaPkcs,
            Self::HashMlDsa65 => Mechanism::HashMlDsaSha512(SignAdditionalContext::new(hedge, None)),
            Self::MlDsa44 | Self::MlDsa65 | Self::MlDsa87 => {
                Mechanism::MlDsa(SignAdditionalContext::new(hedge, None))
            }
        }
    }

    /// The usual mechanism: hedged.
    pub(crate) fn usual(self) -> Mechanism<'static> {
        self.mechanism(HedgeType::Preferred)
    }

    /// What a module must have.
    pub(crate) fn needs(self) -> MechanismType {
        match self {
            Self::Ed25519 => MechanismType::EDDSA,
            Self::P256 => MechanismType::ECDSA,
            Self::Rsa2048 => MechanismType::SHA256_RSA_PKCS,
            Self::HashMlDsa65 => MechanismType::HASH_ML_DSA_SHA512,
            Self::MlDsa44 | Self::MlDsa65 | Self::MlDsa87 => MechanismType::ML_DSA,
        }
    }

    fn key_generation(self) -> (Mechanism<'static>, Vec<Attribute>) {
        let ml_dsa = |set: MlDsaParameterSetType| {
            (Mechanism::MlDsaKeyPairGen, vec![Attribute::ParameterSet(set.into())])
        };
        match self {
            Self::MlDsa44 => ml_dsa(MlDsaParameterSetType::ML_DSA_44),
            Self::MlDsa65 | Self::HashMlDsa65 => ml_dsa(MlDsaParameterSetType::ML_DSA_65),
            Self::MlDsa87 => ml_dsa(MlDsaParameterSetType::ML_DSA_87),
            Self::Ed25519 => {
                let ed25519 = vec![0x06, 0x03, 0x2b, 0x65, 0x70];
                (Mechanism::EccEdwardsKeyPairGen, vec![Attribute::EcParams(ed25519)])
            }
            Self::P256 => {
                let p256 = vec![0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
                (Mechanism::EccKeyPairGen, vec![Attribute::EcParams(p256)])
            }
            Self::Rsa2048 => {
                let (bits, exponent) = (Attribute::ModulusBits(2048.into()), vec![1, 0, 1]);
                (Mechanism::RsaPkcsKeyPairGen, vec![bits, Attribute::PublicExponent(exponent)])
            }
        }
    }

    /// A key pair with the usual attributes, the public key first; on the token or in the session.
    pub(crate) fn key_pair(
        self,
        session: &Session,
        token: bool,
        label: &str,
    ) -> Result<(ObjectHandle, ObjectHandle)> {
        let (mechanism, parameters) = self.key_generation();
        let label = Attribute::Label(label.into());
        let mut public = vec![Attribute::Token(token), Attribute::Verify(true), label.clone()];
        public.extend(parameters);
        let private = [Attribute::Token(token), Attribute::Private(true), Attribute::Sign(true), label];
        Ok(session.generate_key_pair(&mechanism, &public, &private)?)
    }
}
