//! The proof that the copy is the key: each token does something with its own that the other one checks.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use cryptoki::mechanism::elliptic_curve::{EcKdf, Ecdh1DeriveParams};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::types::Ulong;
use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::travel::Travel;
use crate::algorithm::{Algorithm, Hash};
use crate::commands::import::create_public;
use crate::error::{Error, Result, While};
use crate::files::Input;
use crate::object;
use crate::operation::{self, Key};
use crate::public_key::PublicKey;
use crate::scheme::{Abilities, Scheme};
use crate::secret::fill_random;
use crate::token::OpenToken;

/// Length of a challenge, and of a shared secret, in bytes.
const CHALLENGE: usize = 32;

/// What a token can do.
#[derive(Debug, Clone)]
pub(super) struct Can {
    abilities: Abilities,
    flags: Vec<(CK_MECHANISM_TYPE, CK_FLAGS)>,
}

impl Can {
    pub(super) fn of(open: &OpenToken) -> Result<Self> {
        let mechanisms = open.module.raw()?.mechanisms(open.token.slot.id())?;
        let flags = mechanisms.iter().map(|mechanism| (mechanism.code, mechanism.info.flags)).collect();
        Ok(Self { abilities: open.abilities()?, flags })
    }

    /// What is left of it for a key.
    pub(super) fn with(&self, key: &Travel) -> Self {
        let mut left = self.clone();
        left.abilities.mechanisms = key.allowed(&self.abilities.mechanisms);
        // No key is used to hash.
        let hashes = [CKM_SHA256, CKM_SHA384, CKM_SHA512];
        left.abilities.mechanisms.extend(hashes.iter().filter(|hash| self.does(**hash, CKF_DIGEST)));
        left.flags.retain(|(code, _)| left.abilities.mechanisms.contains(code));
        left
    }

    pub(super) fn does(&self, mechanism: CK_MECHANISM_TYPE, what: CK_FLAGS) -> bool {
        self.flags.iter().any(|(code, flags)| *code == mechanism && flags & what == what)
    }
}

/// How a pair is proven: by what it is for.
#[derive(Debug)]
pub(super) enum Way {
    /// A scheme, and what each token may use for it.
    Sign { algorithm: Algorithm, scheme: Scheme, from: Abilities, to: Abilities },
    /// RSA decrypts what was encrypted with OAEP, or else PKCS#1 v1.5.
    Decrypt { oaep: bool },
    /// ECDH with the key's own public half.
    Agree,
}

impl Way {
    /// The way that both tokens have for the key.
    pub(super) fn choose(key: &Travel, algorithm: Algorithm, from: &Can, to: &Can) -> Result<Self> {
        let (from, to) = (from.with(key), to.with(key));
        let both = |mechanism, what| from.does(mechanism, what) && to.does(mechanism, what);
        if key.is(&Attribute::Sign(true)) {
            let plan = |scheme: &Scheme, can: &Can| scheme.plan(algorithm, &can.abilities).map(drop);
            let schemes = schemes(algorithm);
            let common =
                schemes.iter().find(|scheme| plan(scheme, &from).is_ok() && plan(scheme, &to).is_ok());
            return match common {
                Some(scheme) => Ok(Self::Sign {
                    algorithm,
                    scheme: scheme.clone(),
                    from: from.abilities,
                    to: to.abilities,
                }),
                None => Err(Error::unsupported(format!(
                    "source and target have no common mechanism with which an {algorithm} key may sign"
                ))),
            };
        }
        if matches!(algorithm, Algorithm::Rsa(_)) && key.is(&Attribute::Decrypt(true)) {
            let mechanism = [CKM_RSA_PKCS_OAEP, CKM_RSA_PKCS].into_iter();
            let mechanism = { mechanism }.find(|mechanism| both(*mechanism, CKF_ENCRYPT | CKF_DECRYPT));
            let mechanism = mechanism.ok_or_else(|| {
                Error::unsupported("the key is for decryption only, and the target does not decrypt with RSA")
            })?;
            return Ok(Self::Decrypt { oaep: mechanism == CKM_RSA_PKCS_OAEP });
        }
        if matches!(algorithm, Algorithm::Ecdsa(_)) && key.is(&Attribute::Derive(true)) {
            return match both(CKM_ECDH1_DERIVE, CKF_DERIVE) {
                true => Ok(Self::Agree),
                false => Err(Error::unsupported(
                    "the key is for key agreement only, and the target has no ECDH (CKM_ECDH1_DERIVE)",
                )),
            };
        }
        Err(Error::unsupported("the key may neither sign nor decrypt nor derive: nothing can prove a copy"))
    }

    /// The word for it in reports.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Sign { .. } => "signature",
            Self::Decrypt { .. } => "decryption",
            Self::Agree => "agreement",
        }
    }
}

/// What the key may do, and does in the source, and the target has no mechanism for.
pub(super) fn lost_uses(key: &Travel, algorithm: Algorithm, from: &Can, to: &Can) -> Vec<String> {
    let decrypts =
        |can: &Can| can.does(CKM_RSA_PKCS_OAEP, CKF_DECRYPT) || can.does(CKM_RSA_PKCS, CKF_DECRYPT);
    let agrees = |can: &Can| can.does(CKM_ECDH1_DERIVE, CKF_DERIVE);
    let (is_rsa, is_ec) = (matches!(algorithm, Algorithm::Rsa(_)), matches!(algorithm, Algorithm::Ecdsa(_)));
    let mut lost = Vec::new();
    if is_rsa && key.is(&Attribute::Decrypt(true)) && decrypts(from) && !decrypts(to) {
        lost.push("the target does not decrypt with RSA, as the source does with this key".to_owned());
    }
    if is_ec && key.is(&Attribute::Derive(true)) && agrees(from) && !agrees(to) {
        lost.push("the target has no key agreement (ECDH), as the source has with this key".to_owned());
    }
    lost
}

/// One half of a comparison: a private key and, where the token has it, the public key object that stands beside it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub(super) private: Key,
    pub(super) public: Option<ObjectHandle>,
}

/// A challenge, and what a token signed of it.
#[derive(Debug)]
pub(super) struct Signed {
    challenge: Vec<u8>,
    signature: Vec<u8>,
}

/// Lets the source sign a challenge; `None` for a key that does not sign.
pub(super) fn before(from: &mut OpenToken, key: Key, way: &Way) -> Result<Option<Signed>> {
    let Way::Sign { algorithm, scheme, from: abilities, .. } = way else { return Ok(None) };
    let challenge = challenge()?;
    let plan = scheme.plan(*algorithm, abilities)?;
    let signature = operation::sign(from, plan, key, &mut Input::of(&challenge)).while_doing("the source")?;
    Ok(Some(Signed { challenge, signature }))
}

/// Holds two private keys to be one. `public` is the public half that both must have.
pub(super) fn pair(
    from: (&mut OpenToken, Pair),
    to: (&mut OpenToken, Pair),
    public: &PublicKey,
    way: &Way,
    before: Option<Signed>,
) -> Result<()> {
    let ((from, source), (to, copy)) = (from, to);
    match (way, before) {
        (Way::Sign { .. }, Some(before)) => {
            let signature = answer_with(to, copy, public, way, &before)?;
            accept_with(from, source.public, public, way, &signature)?;
        }
        (Way::Decrypt { oaep }, _) => {
            let mechanism = rsa_encryption(*oaep);
            let asked = challenge()?;
            for open in [&*from, &*to] {
                let template = [Attribute::Token(false), Attribute::Encrypt(true), Attribute::Verify(false)];
                let key = create_public(open.session(), public, &template)?;
                let encrypted = open.session().encrypt(&mechanism, key, &asked)?;
                for (open, key) in [(&*from, source.private), (&*to, copy.private)] {
                    let decrypted = decrypt(open, key, &mechanism, &encrypted)?;
                    verify_slices_are_equal(&decrypted, &asked)
                        .map_err(|_| other_key("it does not decrypt what the source decrypts"))?;
                }
            }
        }
        (Way::Agree, _) => {
            let peer = public.raw().ok_or_else(|| other_key("it has no point"))?;
            let ours = agree(from, source.private.handle, peer)?;
            let theirs = agree(to, copy.private.handle, peer)?;
            verify_slices_are_equal(&ours, &theirs)
                .map_err(|_| other_key("they agree on different secrets"))?;
        }
        (Way::Sign { .. }, None) => return Err(not_signed()),
    }
    Ok(())
}

/// The target verifies what the source has signed, and signs a challenge itself.
pub(super) fn answer(
    to: &mut OpenToken,
    key: Key,
    public: &PublicKey,
    way: &Way,
    before: &Signed,
) -> Result<Signed> {
    answer_with(to, Pair { private: key, public: None }, public, way, before)
}

/// The source verifies what the target has signed.
pub(super) fn accept(from: &mut OpenToken, public: &PublicKey, way: &Way, answer: &Signed) -> Result<()> {
    accept_with(from, None, public, way, answer)
}

fn answer_with(
    to: &mut OpenToken,
    copy: Pair,
    public: &PublicKey,
    way: &Way,
    before: &Signed,
) -> Result<Signed> {
    let Way::Sign { algorithm, scheme, to: abilities, .. } = way else { return Err(not_signed()) };
    let plan = scheme.plan(*algorithm, abilities)?;
    let key = verifying(to, copy.public, public)?;
    if !operation::verify(to, plan, key, &mut Input::of(&before.challenge), &before.signature)? {
        return Err(other_key("the public key in the target does not verify what the source signed"));
    }
    let challenge = challenge()?;
    let plan = scheme.plan(*algorithm, abilities)?;
    let signature = operation::sign(to, plan, copy.private, &mut Input::of(&challenge));
    Ok(Signed { challenge, signature: signature.while_doing("the target")? })
}

fn accept_with(
    from: &mut OpenToken,
    own: Option<ObjectHandle>,
    public: &PublicKey,
    way: &Way,
    answer: &Signed,
) -> Result<()> {
    let Way::Sign { algorithm, scheme, from: abilities, .. } = way else { return Err(not_signed()) };
    let plan = scheme.plan(*algorithm, abilities)?;
    let key = verifying(from, own, public)?;
    match operation::verify(from, plan, key, &mut Input::of(&answer.challenge), &answer.signature)? {
        true => Ok(()),
        false => Err(other_key("the public key in the source does not verify what the target signed")),
    }
}

fn other_key(why: &str) -> Error {
    Error::module(format!("the copy is not the key: {why}"))
}

fn not_signed() -> Error {
    Error::module("the source has not signed")
}

/// A public key to verify with: the token's own where it may, or one for this session.
fn verifying(open: &OpenToken, own: Option<ObjectHandle>, key: &PublicKey) -> Result<ObjectHandle> {
    if let Some(own) = own {
        let may = object::attributes(open.session(), own, &[AttributeType::Verify])?;
        if may == [Attribute::Verify(true)] {
            return Ok(own);
        }
    }
    create_public(open.session(), key, &[Attribute::Token(false)]).while_doing("checking the signature")
}

/// What may be signed, the usual first: a key may be limited to others.
fn schemes(algorithm: Algorithm) -> Vec<Scheme> {
    let plain = Scheme::default;
    let hashes = [Hash::Sha256, Hash::Sha384, Hash::Sha512];
    let mut schemes = vec![plain()];
    match algorithm {
        Algorithm::Rsa(_) => {
            for pss in [false, true] {
                schemes.extend(hashes.map(|hash| Scheme { hash: Some(hash), pss, ..plain() }));
            }
        }
        Algorithm::Ecdsa(_) | Algorithm::MlDsa(_) => {
            schemes.extend(hashes.map(|hash| Scheme { hash: Some(hash), ..plain() }));
        }
        Algorithm::Ed25519 | Algorithm::Aes(_) => {}
    }
    schemes
}

pub(super) fn challenge() -> Result<Vec<u8>> {
    let mut challenge = vec![0; CHALLENGE];
    fill_random(&mut challenge)?;
    Ok(challenge)
}

fn rsa_encryption(oaep: bool) -> Mechanism<'static> {
    if !oaep {
        return Mechanism::RsaPkcs;
    }
    let source = PkcsOaepSource::empty();
    Mechanism::RsaPkcsOaep(PkcsOaepParams::new(MechanismType::SHA1, PkcsMgfType::MGF1_SHA1, source))
}

fn decrypt(open: &OpenToken, key: Key, mechanism: &Mechanism, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    if key.always_authenticate {
        return Err(Error::unsupported(
            "the key wants the PIN at every decryption, for which this command has no proof",
        ));
    }
    Ok(Zeroizing::new(open.session().decrypt(mechanism, key.handle, bytes)?))
}

fn agree(open: &OpenToken, key: ObjectHandle, peer: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let mechanism = Mechanism::Ecdh1Derive(Ecdh1DeriveParams::new(EcKdf::null(), peer));
    let length = Ulong::new(CHALLENGE as CK_ULONG);
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::GENERIC_SECRET),
        Attribute::Token(false),
        Attribute::Sensitive(false),
        Attribute::Extractable(true),
        Attribute::ValueLen(length),
    ];
    let derived = open.session().derive_key(&mechanism, key, &template)?;
    match object::attributes(open.session(), derived, &[AttributeType::Value])?.pop() {
        Some(Attribute::Value(value)) => Ok(Zeroizing::new(value)),
        _ => Err(Error::module("the token does not show a secret that is not sensitive")),
    }
}
