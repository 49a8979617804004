//! Private keys: made, sealed, opened, used.
//!
//! `sealed_key` = 01 ‖ nonce ‖ AES-256-GCM(data key, seed), bound to whose key it is, its algorithm, its public key and
//! the KMS key. A data key seals once, so a random nonce is safe.

use algorithms::{PrivateKey, PublicKey, SecretBytes, Signing, aes, ed25519, ml_dsa};
use attest::sha256;
use cosigner_protocol::{
    Algorithm, Bytes, KmsKey, UserId,
    message::{Input, Layer, SealedKey},
};

use crate::{data_key::DataKey, fields, refusal::Refusal};

const MAGIC: &[u8; 8] = b"pqs-aad\0";
const VERSION: u8 = 1;
const NONCE: usize = 12;
/// Of ML-DSA and of Ed25519 alike.
const SEED: usize = 32;

/// Makes a key.
pub(crate) fn generate(algorithm: Algorithm) -> Result<PrivateKey, Refusal> {
    let key = match parameter_set(algorithm) {
        Some(set) => PrivateKey::MlDsa(ml_dsa::PrivateKey::generate(set)?),
        None => PrivateKey::Ed25519(ed25519::PrivateKey::generate()?),
    };
    key.pairwise_check()?;
    Ok(key)
}

/// Seals a key that has just been made.
pub(crate) fn seal(
    key: &PrivateKey,
    data_key: &DataKey,
    user_id: UserId,
    algorithm: Algorithm,
    kms_key: KmsKey,
    wrapped_key: Bytes,
) -> Result<SealedKey, Refusal> {
    let public_key = Bytes(public_bytes(&key.public_key()?)?);
    let mut sealed =
        SealedKey { user_id, algorithm, public_key, kms_key, wrapped_key, sealed_key: Bytes(Vec::new()) };
    let nonce = algorithms::random::array::<NONCE>()?;
    let seed = match key {
        PrivateKey::MlDsa(key) => key.seed(),
        PrivateKey::Ed25519(key) => Some(key.seed()),
        _ => None,
    };
    let seed = seed.ok_or_else(|| Refusal::failed(Layer::Enclave, "a new key has no seed"))?;
    let ciphertext = aes::seal(data_key.bytes(), &nonce, &associated_data(&sealed), seed.expose())?;
    sealed.sealed_key = Bytes([&[VERSION][..], &nonce, &ciphertext].concat());
    Ok(sealed)
}

/// Opens a key; it is the one whose public key stands beside it.
pub(crate) fn open(sealed: &SealedKey, data_key: &DataKey) -> Result<PrivateKey, Refusal> {
    let altered =
        || Refusal::refused(Layer::Sealing, "the sealed key was altered, or is not what it is said to be");
    let parts = match sealed.sealed_key.0.split_first() {
        Some((&VERSION, rest)) => rest.split_first_chunk::<NONCE>(),
        _ => None,
    };
    let (nonce, ciphertext) = parts.ok_or_else(altered)?;
    let seed = aes::open(data_key.bytes(), nonce, &associated_data(sealed), ciphertext);
    let seed = seed.ok().filter(|seed| seed.len() == SEED).ok_or_else(altered)?;
    let key = from_seed(sealed.algorithm, &seed)?;
    if public_bytes(&key.public_key()?)? == sealed.public_key.0 { Ok(key) } else { Err(altered()) }
}

/// Signs, and verifies what was signed: a fault in the computation must not leave the enclave.
pub(crate) fn sign(key: &PrivateKey, input: &Input, deterministic: bool) -> Result<Vec<u8>, Refusal> {
    let signing = signing(key, input, deterministic)?;
    let signature = key.sign(signing)?;
    let verified = key.public_key()?.verify(signing, &signature);
    verified.map_err(|_| Refusal::failed(Layer::Enclave, "a new signature does not verify"))?;
    Ok(signature)
}

fn signing<'a>(key: &PrivateKey, input: &'a Input, deterministic: bool) -> Result<Signing<'a>, Refusal> {
    let other = || Refusal::malformed(Layer::Algorithm, "the key's algorithm does not sign that");
    let long = || Refusal::malformed(Layer::Request, "a context has more than 255 bytes");
    let short = || Refusal::malformed(Layer::Request, "a mu or digest has not 64 bytes");
    let fits = |context: &'a Bytes| Some(context.0.as_slice()).filter(|bytes| bytes.len() <= 255);
    let ml_dsa = |input| {
        let hedging = if deterministic { ml_dsa::Hedging::Deterministic } else { ml_dsa::Hedging::Hedged };
        Signing::MlDsa { input, hedging }
    };
    Ok(match (key, input) {
        (PrivateKey::MlDsa(_), Input::Message { context, message }) => {
            let context = fits(context).ok_or_else(long)?;
            ml_dsa(ml_dsa::Input::Message { context, message: message.expose() })
        }
        (PrivateKey::MlDsa(_), Input::Mu(mu)) => {
            ml_dsa(ml_dsa::Input::Mu(mu.expose().try_into().map_err(|_| short())?))
        }
        (PrivateKey::Ed25519(_), Input::Message { context, message }) if context.0.is_empty() => {
            Signing::Ed25519(ed25519::Input::Pure(message.expose()))
        }
        (PrivateKey::Ed25519(_), Input::Ed25519Context { context, message }) => {
            let context = fits(context).ok_or_else(long)?;
            Signing::Ed25519(ed25519::Input::Context { context, message: message.expose() })
        }
        (PrivateKey::Ed25519(_), Input::Ed25519Prehashed { context, digest }) => {
            let context = fits(context).ok_or_else(long)?;
            let digest = digest.expose().try_into().map_err(|_| short())?;
            Signing::Ed25519(ed25519::Input::Prehashed { context, digest })
        }
        _ => return Err(other()),
    })
}

fn parameter_set(algorithm: Algorithm) -> Option<ml_dsa::ParameterSet> {
    match algorithm {
        Algorithm::MlDsa44 => Some(ml_dsa::ParameterSet::MlDsa44),
        Algorithm::MlDsa65 => Some(ml_dsa::ParameterSet::MlDsa65),
        Algorithm::MlDsa87 => Some(ml_dsa::ParameterSet::MlDsa87),
        Algorithm::Ed25519 => None,
    }
}

fn from_seed(algorithm: Algorithm, seed: &SecretBytes) -> Result<PrivateKey, Refusal> {
    Ok(match parameter_set(algorithm) {
        Some(set) => PrivateKey::MlDsa(ml_dsa::PrivateKey::from_seed(set, seed)?),
        None => PrivateKey::Ed25519(ed25519::PrivateKey::from_seed(seed)?),
    })
}

fn public_bytes(key: &PublicKey) -> Result<Vec<u8>, Refusal> {
    match key {
        PublicKey::MlDsa(key) => Ok(key.as_bytes().to_vec()),
        PublicKey::Ed25519(key) => Ok(key.as_bytes().to_vec()),
        _ => Err(Refusal::failed(Layer::Enclave, "no key of this enclave is of that algorithm")),
    }
}

/// "pqs-aad" 00 ‖ 01 ‖ user id ‖ algorithm ‖ SHA-256 of the public key ‖ KMS key.
fn associated_data(key: &SealedKey) -> Vec<u8> {
    let mut out = [&MAGIC[..], &[VERSION]].concat();
    fields::user_id(&mut out, &key.user_id);
    fields::text8(&mut out, key.algorithm.name());
    out.extend(sha256(&key.public_key.0));
    fields::kms_key(&mut out, &key.kms_key);
    out
}
