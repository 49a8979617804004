//! From what the user wants signed to what the token is asked to do.

use cryptoki::mechanism::dsa::{HedgeType, SignAdditionalContext};
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::types::Ulong;
use cryptoki_sys::CK_MECHANISM_TYPE;

use crate::algorithm::{Algorithm, Hash};
use crate::error::{Error, Result};

/// Longest context of FIPS 204 and RFC 8032 in bytes.
const LONGEST_CONTEXT: usize = 255;

/// The choices that change what is signed, other than the message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scheme {
    pub(crate) context: Option<Vec<u8>>,
    pub(crate) hash: Option<Hash>,
    pub(crate) deterministic: bool,
    pub(crate) pss: bool,
}

/// What a token can do, as far as plans depend on it.
#[derive(Debug, Clone)]
pub(crate) struct Abilities {
    pub(crate) mechanisms: Vec<CK_MECHANISM_TYPE>,
    /// Whether CKM_EDDSA heeds its parameters. They came with PKCS#11 3.0, and an older module may ignore them: the
    /// signature would then not be bound to the context that the user asked for.
    pub(crate) eddsa_parameters: bool,
}

/// What to ask of the token.
#[derive(Debug)]
pub(crate) enum Plan<'a> {
    /// One mechanism takes the message, in parts if need be.
    Message(Mechanism<'a>),
    /// One mechanism takes the message as a whole: Ed25519 reads it twice, so a token would have to hold the parts.
    Whole(Mechanism<'a>),
    /// The token hashes first and then signs the digest, because it has no mechanism that does both.
    Digest(Mechanism<'a>, Mechanism<'a>),
}

impl Scheme {
    /// How a key of this algorithm signs on a token with these abilities.
    pub(crate) fn plan(&self, algorithm: Algorithm, abilities: &Abilities) -> Result<Plan<'_>> {
        self.check(algorithm)?;
        let offered = &abilities.mechanisms;
        let has_parameters = self.context.is_some() || self.hash.is_some();
        if algorithm == Algorithm::Ed25519 && has_parameters && !abilities.eddsa_parameters {
            return Err(Error::unsupported(
                "the module is older than PKCS#11 3.0 and knows only plain Ed25519",
            )
            .remedy("leave out --context and --hash, or use another module"));
        }
        let plan = match algorithm {
            Algorithm::MlDsa(_) => Plan::Message(self.ml_dsa()),
            Algorithm::Ed25519 if self.hash.is_none() => Plan::Whole(self.ed25519()),
            Algorithm::Ed25519 => Plan::Message(self.ed25519()),
            Algorithm::Ecdsa(curve) => return ecdsa(self.hash.unwrap_or(curve.hash), offered),
            Algorithm::Rsa(_) => Plan::Message(self.rsa()?),
            Algorithm::Aes(_) => return Err(Error::usage("an AES key makes no signatures")),
        };
        match plan {
            Plan::Message(mechanism) => available(mechanism, offered).map(Plan::Message),
            Plan::Whole(mechanism) => available(mechanism, offered).map(Plan::Whole),
            Plan::Digest(..) => Ok(plan),
        }
    }

    /// Refuses what the algorithm has no room for, before the token answers with less.
    fn check(&self, algorithm: Algorithm) -> Result<()> {
        let takes_context = matches!(algorithm, Algorithm::MlDsa(_) | Algorithm::Ed25519);
        match &self.context {
            Some(_) if !takes_context => {
                return Err(Error::usage(format!("{algorithm} has no context"))
                    .remedy("leave out --context, or use an ML-DSA or Ed25519 key"));
            }
            Some(context) if context.len() > LONGEST_CONTEXT => {
                return Err(Error::usage(format!("the context has {} bytes", context.len()))
                    .remedy(format!("at most {LONGEST_CONTEXT}")));
            }
            _ => {}
        }
        if self.deterministic && matches!(algorithm, Algorithm::Ecdsa(_)) {
            return Err(Error::unsupported("PKCS#11 has no deterministic ECDSA")
                .remedy("leave out --deterministic, or use an ML-DSA or Ed25519 key"));
        }
        if self.pss && !matches!(algorithm, Algorithm::Rsa(_)) {
            return Err(Error::usage(format!("--pss is for RSA keys, and this is {algorithm}")));
        }
        if self.pss && self.deterministic {
            return Err(
                Error::usage("PSS signatures are random").remedy("leave out --pss or --deterministic")
            );
        }
        let hashes: &[Hash] = match algorithm {
            Algorithm::MlDsa(_) => return Ok(()),
            Algorithm::Ed25519 => &[Hash::Sha512],
            _ => &[Hash::Sha256, Hash::Sha384, Hash::Sha512],
        };
        match self.hash.filter(|hash| !hashes.contains(hash)) {
            None => Ok(()),
            Some(hash) => {
                let names: Vec<_> = hashes.iter().map(Hash::to_string).collect();
                Err(Error::usage(format!("{algorithm} does not sign with --hash {hash}"))
                    .remedy(format!("--hash {}", names.join(", "))))
            }
        }
    }

    fn ml_dsa(&self) -> Mechanism<'_> {
        let hedge = if self.deterministic { HedgeType::DeterministicRequired } else { HedgeType::Preferred };
        let context = SignAdditionalContext::new(hedge, self.context.as_deref());
        match self.hash {
            None => Mechanism::MlDsa(context),
            Some(Hash::Sha224) => Mechanism::HashMlDsaSha224(context),
            Some(Hash::Sha256) => Mechanism::HashMlDsaSha256(context),
            Some(Hash::Sha384) => Mechanism::HashMlDsaSha384(context),
            Some(Hash::Sha512) => Mechanism::HashMlDsaSha512(context),
            Some(Hash::Sha3_224) => Mechanism::HashMlDsaSha3_224(context),
            Some(Hash::Sha3_256) => Mechanism::HashMlDsaSha3_256(context),
            Some(Hash::Sha3_384) => Mechanism::HashMlDsaSha3_384(context),
            Some(Hash::Sha3_512) => Mechanism::HashMlDsaSha3_512(context),
            Some(Hash::Shake128) => Mechanism::HashMlDsaShake128(context),
            Some(Hash::Shake256) => Mechanism::HashMlDsaShake256(context),
        }
    }

    /// Ed25519, Ed25519ctx or Ed25519ph, as RFC 8032 section 5.1 divides them.
    fn ed25519(&self) -> Mechanism<'_> {
        let scheme = match (&self.context, self.hash) {
            (None, None) => EddsaSignatureScheme::Ed25519,
            (Some(context), None) => EddsaSignatureScheme::Ed25519ctx(context),
            (context, Some(_)) => EddsaSignatureScheme::Ed25519ph(context.as_deref().unwrap_or(&[])),
        };
        Mechanism::Eddsa(EddsaParams::new(scheme))
    }

    fn rsa(&self) -> Result<Mechanism<'static>> {
        let pss = |hash_alg, mgf, length| PkcsPssParams { hash_alg, mgf, s_len: Ulong::new(length) };
        Ok(match (self.hash.unwrap_or(Hash::Sha256), self.pss) {
            (Hash::Sha256, false) => Mechanism::Sha256RsaPkcs,
            (Hash::Sha384, false) => Mechanism::Sha384RsaPkcs,
            (Hash::Sha512, false) => Mechanism::Sha512RsaPkcs,
            (Hash::Sha256, true) => {
                Mechanism::Sha256RsaPkcsPss(pss(MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, 32))
            }
            (Hash::Sha384, true) => {
                Mechanism::Sha384RsaPkcsPss(pss(MechanismType::SHA384, PkcsMgfType::MGF1_SHA384, 48))
            }
            (Hash::Sha512, true) => {
                Mechanism::Sha512RsaPkcsPss(pss(MechanismType::SHA512, PkcsMgfType::MGF1_SHA512, 64))
            }
            (hash, _) => return Err(Error::usage(format!("RSA does not sign with --hash {hash}"))),
        })
    }
}

/// ECDSA over a hash: with one mechanism where the token has it (SoftHSM 2.6 has only the bare CKM_ECDSA).
fn ecdsa(hash: Hash, offered: &[CK_MECHANISM_TYPE]) -> Result<Plan<'static>> {
    let (whole, digest) = match hash {
        Hash::Sha256 => (Mechanism::EcdsaSha256, Mechanism::Sha256),
        Hash::Sha384 => (Mechanism::EcdsaSha384, Mechanism::Sha384),
        Hash::Sha512 => (Mechanism::EcdsaSha512, Mechanism::Sha512),
        other => return Err(Error::usage(format!("ECDSA does not sign with --hash {other}"))),
    };
    match available(whole, offered) {
        Ok(whole) => Ok(Plan::Message(whole)),
        Err(_) => Ok(Plan::Digest(available(digest, offered)?, available(Mechanism::Ecdsa, offered)?)),
    }
}

fn available<'a>(mechanism: Mechanism<'a>, offered: &[CK_MECHANISM_TYPE]) -> Result<Mechanism<'a>> {
    let kind = mechanism.mechanism_type();
    if offered.contains(&CK_MECHANISM_TYPE::from(kind)) {
        return Ok(mechanism);
    }
    Err(Error::unsupported(format!("the token does not have {kind}"))
        .remedy("see what it has with `trellis mechanisms`; another key or --hash may do"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::{CURVES, ML_DSA};
    use crate::exit::Exit;

    const ALL: [MechanismType; 9] = [
        MechanismType::ML_DSA,
        MechanismType::HASH_ML_DSA_SHA512,
        MechanismType::EDDSA,
        MechanismType::ECDSA,
        MechanismType::ECDSA_SHA256,
        MechanismType::SHA384,
        MechanismType::SHA256_RSA_PKCS,
        MechanismType::SHA512_RSA_PKCS_PSS,
        MechanismType::SHA256,
    ];

    fn planned(scheme: &Scheme, algorithm: Algorithm) -> Result<Vec<MechanismType>> {
        let abilities =
            Abilities { mechanisms: ALL.map(CK_MECHANISM_TYPE::from).to_vec(), eddsa_parameters: true };
        Ok(match scheme.plan(algorithm, &abilities)? {
            Plan::Message(mechanism) | Plan::Whole(mechanism) => vec![mechanism.mechanism_type()],
            Plan::Digest(digest, mechanism) => vec![digest.mechanism_type(), mechanism.mechanism_type()],
        })
    }

    #[test]
    fn plans_by_table() {
        let plain = Scheme::default;
        let hash = |hash| Scheme { hash: Some(hash), ..plain() };
        let pss = Scheme { pss: true, ..hash(Hash::Sha512) };
        let cases: [(Scheme, Algorithm, &[MechanismType]); 7] = [
            (plain(), Algorithm::MlDsa(&ML_DSA[1]), &[MechanismType::ML_DSA]),
            (hash(Hash::Sha512), Algorithm::MlDsa(&ML_DSA[0]), &[MechanismType::HASH_ML_DSA_SHA512]),
            (hash(Hash::Sha512), Algorithm::Ed25519, &[MechanismType::EDDSA]),
            (plain(), Algorithm::Ecdsa(&CURVES[0]), &[MechanismType::ECDSA_SHA256]),
            (plain(), Algorithm::Ecdsa(&CURVES[1]), &[MechanismType::SHA384, MechanismType::ECDSA]),
            (plain(), Algorithm::Rsa(2048), &[MechanismType::SHA256_RSA_PKCS]),
            (pss, Algorithm::Rsa(2048), &[MechanismType::SHA512_RSA_PKCS_PSS]),
        ];
        for (scheme, algorithm, mechanisms) in cases {
            assert_eq!(planned(&scheme, algorithm).unwrap(), mechanisms, "{algorithm} {scheme:?}");
        }
    }

    #[test]
    fn an_old_module_is_not_trusted_with_eddsa_parameters() {
        let abilities =
            Abilities { mechanisms: ALL.map(CK_MECHANISM_TYPE::from).to_vec(), eddsa_parameters: false };
        let context = Scheme { context: Some(b"c".to_vec()), ..Scheme::default() };
        assert_eq!(context.plan(Algorithm::Ed25519, &abilities).unwrap_err().exit, Exit::Unsupported);
        assert!(context.plan(Algorithm::MlDsa(&ML_DSA[1]), &abilities).is_ok());
        assert!(Scheme::default().plan(Algorithm::Ed25519, &abilities).is_ok());
    }

    #[test]
    fn refusals_by_table() {
        let plain = Scheme::default;
        let context = |length| Scheme { context: Some(vec![0; length]), ..plain() };
        let cases = [
            (context(1), Algorithm::Rsa(2048), Exit::Usage),
            (context(256), Algorithm::MlDsa(&ML_DSA[1]), Exit::Usage),
            (Scheme { deterministic: true, ..plain() }, Algorithm::Ecdsa(&CURVES[0]), Exit::Unsupported),
            (Scheme { pss: true, ..plain() }, Algorithm::Ed25519, Exit::Usage),
            (Scheme { pss: true, deterministic: true, ..plain() }, Algorithm::Rsa(2048), Exit::Usage),
            (Scheme { hash: Some(Hash::Sha256), ..plain() }, Algorithm::Ed25519, Exit::Usage),
            (Scheme { hash: Some(Hash::Sha3_256), ..plain() }, Algorithm::Rsa(2048), Exit::Usage),
            (
                Scheme { hash: Some(Hash::Sha3_256), ..plain() },
                Algorithm::MlDsa(&ML_DSA[1]),
                Exit::Unsupported,
            ),
            (plain(), Algorithm::Aes(256), Exit::Usage),
        ];
        for (scheme, algorithm, exit) in cases {
            assert_eq!(planned(&scheme, algorithm).unwrap_err().exit, exit, "{algorithm} {scheme:?}");
        }
        assert!(planned(&context(255), Algorithm::MlDsa(&ML_DSA[1])).is_ok());
    }
}
