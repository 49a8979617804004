//! A signature mechanism with its parameters checked against the key: what is signed, and how the message becomes it.

use algorithms::{
    Signing,
    digest::{Digest, Hash},
    ecdsa::Curve,
    ed25519,
    ml_dsa::{self, Hedging, Mu, ParameterSet},
    rsa::Padding,
};
use cryptoki_sys as ck;
use hsm_backends::Attributes;

use super::{key_use::KeyUse, stream::Stream};
use crate::{
    error::{Error, Result},
    mechanism::{Mechanism, Parameters, Scheme, hash_of},
};

/// A signature mechanism, ready for messages.
#[derive(Debug)]
pub(super) struct Plan {
    form: Form,
    /// The hash that is run over the message first.
    prehash: Option<Hash>,
    single_part: bool,
    signature_len: usize,
}

#[derive(Debug)]
enum Form {
    MlDsa { context: Vec<u8>, hedging: Hedging },
    HashMlDsa { context: Vec<u8>, hedging: Hedging, hash: Hash },
    Ed25519,
    Ed25519Context(Vec<u8>),
    Ed25519Prehashed(Vec<u8>),
    Ecdsa,
    RsaPkcsRaw,
    RsaPkcs(Hash),
    RsaPss { hash: Hash, mgf: Hash, salt_len: usize },
}

/// What came of a message that was taken in part by part.
pub(super) enum Input {
    Bytes(Vec<u8>),
    Mu([u8; 64]),
}

/// CKM_ECDSA takes digests of at most 1024 bits (PKCS#11 v3.2 section 6.3).
const ECDSA_INPUT_LIMIT: usize = 128;

impl Plan {
    /// Checks the parameters of a signature mechanism (CKR_MECHANISM_PARAM_INVALID) against the key's attributes
    /// (CKR_KEY_SIZE_RANGE).
    pub(super) fn new(
        row: &Mechanism,
        parameters: Parameters,
        key_use: KeyUse,
        key: &Attributes,
    ) -> Result<Self> {
        let (form, prehash) = match (row.scheme, parameters) {
            (Scheme::MlDsa, parameters) => {
                let (context, hedging) = sign_context(parameters)?;
                (Form::MlDsa { context, hedging }, None)
            }
            (Scheme::HashMlDsa(Some(hash)), parameters) => {
                let (context, hedging) = sign_context(parameters)?;
                (Form::HashMlDsa { context, hedging, hash }, Some(hash))
            }
            (Scheme::HashMlDsa(None), Parameters::HashSignContext { hedging, context, hash }) => {
                let hash = hash_of(hash)
                    .filter(|hash| *hash != Hash::Sha1 && context.len() <= 255)
                    .ok_or(Error::MechanismParamInvalid)?;
                (Form::HashMlDsa { context, hedging, hash }, None)
            }
            (Scheme::Eddsa, parameters) => eddsa(parameters)?,
            (Scheme::Ecdsa(prehash), Parameters::None) => (Form::Ecdsa, prehash),
            (Scheme::RsaPkcs(None), Parameters::None) => (Form::RsaPkcsRaw, None),
            (Scheme::RsaPkcs(Some(hash)), Parameters::None) => (Form::RsaPkcs(hash), Some(hash)),
            (Scheme::RsaPss(prehash), Parameters::Pss { hash, mgf, salt_len }) => {
                let hash = hash_of(hash).ok_or(Error::MechanismParamInvalid)?;
                let disagree = prehash.is_some_and(|prehash| prehash != hash);
                if disagree || (key_use == KeyUse::Sign && hash == Hash::Sha1) {
                    return Err(Error::MechanismParamInvalid);
                }
                let mgf = mgf_hash(mgf).ok_or(Error::MechanismParamInvalid)?;
                (Form::RsaPss { hash, mgf, salt_len }, prehash)
            }
            _ => return Err(Error::MechanismParamInvalid),
        };
        let signature_len = signature_len(row, &form, key)?;
        Ok(Self { form, prehash, single_part: row.scheme.is_single_part(), signature_len })
    }

    /// How many bytes a signature has.
    pub(super) fn signature_len(&self) -> usize {
        self.signature_len
    }

    /// Takes a whole message; `sign` gets what the key works on.
    pub(super) fn whole<T>(&self, message: &[u8], sign: impl FnOnce(Signing<'_>) -> Result<T>) -> Result<T> {
        match self.prehash {
            Some(hash) => sign(self.signing(&hash.digest(message)?)?),
            None => sign(self.signing(message)?),
        }
    }

    /// Takes what [`Plan::stream`] gathered.
    pub(super) fn gathered<T>(
        &self,
        input: &Input,
        sign: impl FnOnce(Signing<'_>) -> Result<T>,
    ) -> Result<T> {
        match input {
            Input::Bytes(bytes) => sign(self.signing(bytes)?),
            Input::Mu(mu) => sign(self.signing_mu(mu)?),
        }
    }

    /// Begins to take in a message part by part. `tr` is that of an ML-DSA key which takes mu;
    /// `deterministic_mu` says whether it does so without fresh randomness too. A mechanism that is single-part:
    /// CKR_OPERATION_NOT_INITIALIZED, as no multi-part operation has been.
    pub(super) fn stream(&self, tr: Option<&[u8; 64]>, deterministic_mu: bool) -> Result<Stream> {
        if self.single_part {
            return Err(Error::OperationNotInitialized);
        }
        if let Some(hash) = self.prehash {
            return Ok(Stream::Digest(Digest::new(hash)?));
        }
        match (&self.form, tr) {
            (Form::MlDsa { context, hedging }, Some(tr))
                if *hedging == Hedging::Hedged || deterministic_mu =>
            {
                Ok(Stream::Mu(Mu::pure(tr, context)?))
            }
            _ => Ok(Stream::Whole(Vec::new())),
        }
    }

    /// A signature as the primitive takes it: ECDSA's may come with r and s shorter than the order's length
    /// (PKCS#11 v3.2 section 6.3.1). A length that no signature has is CKR_SIGNATURE_LEN_RANGE.
    pub(super) fn full_length<'a>(&self, signature: &'a [u8]) -> Result<std::borrow::Cow<'a, [u8]>> {
        if signature.len() == self.signature_len {
            return Ok(signature.into());
        }
        let shorter = signature.len() < self.signature_len
            && !signature.is_empty()
            && signature.len().is_multiple_of(2);
        if !(matches!(self.form, Form::Ecdsa) && shorter) {
            return Err(Error::SignatureLenRange);
        }
        let (r, s) = signature.split_at(signature.len() / 2);
        let half = self.signature_len / 2;
        let mut full = vec![0; self.signature_len];
        full[half - r.len()..half].copy_from_slice(r);
        full[2 * half - s.len()..].copy_from_slice(s);
        Ok(full.into())
    }

    fn signing<'a>(&'a self, input: &'a [u8]) -> Result<Signing<'a>> {
        Ok(match &self.form {
            Form::MlDsa { context, hedging } => Signing::MlDsa {
                input: ml_dsa::Input::Message { context, message: input },
                hedging: *hedging,
            },
            Form::HashMlDsa { context, hedging, hash } => Signing::MlDsa {
                input: ml_dsa::Input::Hash { context, hash: *hash, digest: input },
                hedging: *hedging,
            },
            Form::Ed25519 => Signing::Ed25519(ed25519::Input::Pure(input)),
            Form::Ed25519Context(context) => {
                Signing::Ed25519(ed25519::Input::Context { context, message: input })
            }
            Form::Ed25519Prehashed(context) => {
                let digest = input.try_into().map_err(|_| Error::DataLenRange)?;
                Signing::Ed25519(ed25519::Input::Prehashed { context, digest })
            }
            Form::Ecdsa if input.len() > ECDSA_INPUT_LIMIT => return Err(Error::DataLenRange),
            Form::Ecdsa => Signing::Ecdsa { digest: input },
            Form::RsaPkcsRaw => Signing::Rsa(Padding::Pkcs1Raw(input)),
            Form::RsaPkcs(hash) => Signing::Rsa(Padding::Pkcs1 { hash: *hash, digest: input }),
            Form::RsaPss { hash, mgf, salt_len } => {
                Signing::Rsa(Padding::Pss { hash: *hash, mgf: *mgf, salt_len: *salt_len, digest: input })
            }
        })
    }

    fn signing_mu<'a>(&self, mu: &'a [u8; 64]) -> Result<Signing<'a>> {
        match self.form {
            Form::MlDsa { hedging, .. } => Ok(Signing::MlDsa { input: ml_dsa::Input::Mu(mu), hedging }),
            _ => Err(Error::GeneralError),
        }
    }
}

fn sign_context(parameters: Parameters) -> Result<(Vec<u8>, Hedging)> {
    match parameters {
        Parameters::None => Ok((Vec::new(), Hedging::Hedged)),
        Parameters::SignContext { hedging, context } if context.len() <= 255 => Ok((context, hedging)),
        _ => Err(Error::MechanismParamInvalid),
    }
}

/// Without parameters it is Ed25519, with phFlag Ed25519ph, otherwise Ed25519ctx, whose context should not be empty (RFC
/// 8032 section 5.1): who says so probably means one of the others, and is refused.
fn eddsa(parameters: Parameters) -> Result<(Form, Option<Hash>)> {
    match parameters {
        Parameters::None => Ok((Form::Ed25519, None)),
        Parameters::Eddsa { prehash, context } => {
            let context = context.unwrap_or_default();
            match (prehash, context.len()) {
                (true, 0..=255) => Ok((Form::Ed25519Prehashed(context), Some(Hash::Sha512))),
                (false, 1..=255) => Ok((Form::Ed25519Context(context), None)),
                _ => Err(Error::MechanismParamInvalid),
            }
        }
        _ => Err(Error::MechanismParamInvalid),
    }
}

/// CK_RSA_PKCS_MGF_TYPE.
fn mgf_hash(mgf: u64) -> Option<Hash> {
    Some(match mgf {
        ck::CKG_MGF1_SHA1 => Hash::Sha1,
        ck::CKG_MGF1_SHA224 => Hash::Sha224,
        ck::CKG_MGF1_SHA256 => Hash::Sha256,
        ck::CKG_MGF1_SHA384 => Hash::Sha384,
        ck::CKG_MGF1_SHA512 => Hash::Sha512,
        ck::CKG_MGF1_SHA3_224 => Hash::Sha3_224,
        ck::CKG_MGF1_SHA3_256 => Hash::Sha3_256,
        ck::CKG_MGF1_SHA3_384 => Hash::Sha3_384,
        ck::CKG_MGF1_SHA3_512 => Hash::Sha3_512,
        _ => return None,
    })
}

fn signature_len(row: &Mechanism, form: &Form, key: &Attributes) -> Result<usize> {
    match form {
        Form::MlDsa { .. } | Form::HashMlDsa { .. } => key
            .ulong(ck::CKA_PARAMETER_SET)
            .and_then(ParameterSet::from_ckp)
            .map(ParameterSet::signature_len)
            .ok_or(Error::KeySizeRange),
        Form::Ed25519 | Form::Ed25519Context(_) | Form::Ed25519Prehashed(_) => Ok(64),
        Form::Ecdsa => {
            let parameters = key.bytes(ck::CKA_EC_PARAMS).ok_or(Error::KeySizeRange)?;
            let curve = Curve::ALL.into_iter().find(|curve| curve.oid_der() == parameters);
            Ok(2 * curve.ok_or(Error::KeySizeRange)?.field_len())
        }
        Form::RsaPkcsRaw | Form::RsaPkcs(_) | Form::RsaPss { .. } => {
            let bits = modulus_bits(key);
            if !(row.key_size.0..=row.key_size.1).contains(&(bits as u64)) {
                return Err(Error::KeySizeRange);
            }
            if let Form::RsaPss { hash, salt_len, .. } = form {
                // RFC 8017 section 9.1.1: the encoded message has one bit less than the modulus.
                let room = (bits - 1).div_ceil(8).saturating_sub(2 + hash.output_len());
                if *salt_len > room {
                    return Err(Error::MechanismParamInvalid);
                }
            }
            Ok(bits.div_ceil(8))
        }
    }
}

fn modulus_bits(key: &Attributes) -> usize {
    let modulus = key.bytes(ck::CKA_MODULUS).unwrap_or_default();
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    modulus.get(zeros).map_or(0, |top| (modulus.len() - zeros) * 8 - top.leading_zeros() as usize)
}
