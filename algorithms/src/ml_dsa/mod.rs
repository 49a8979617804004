//! ML-DSA and HashML-DSA (FIPS 204).

pub(crate) mod deterministic;
mod engine;

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use self::deterministic::Deterministic;
pub use self::engine::{AwsLc, AwsLcKey, Engine};
use crate::{Error, SecretBytes, digest::Hash, keccak::Sponge, random};

/// Bytes in a seed xi.
pub const SEED_LEN: usize = 32;

/// The three parameter sets of FIPS 204 section 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the standard's own")]
pub enum ParameterSet {
    MlDsa44,
    MlDsa65,
    MlDsa87,
}

struct Row {
    public_key_len: usize,
    private_key_len: usize,
    signature_len: usize,
}

/// FIPS 204 table 2.
#[rustfmt::skip]
const SIZES: [Row; 3] = [
    Row { public_key_len: 1312, private_key_len: 2560, signature_len: 2420 },
    Row { public_key_len: 1952, private_key_len: 4032, signature_len: 3309 },
    Row { public_key_len: 2592, private_key_len: 4896, signature_len: 4627 },
];

impl ParameterSet {
    /// All of them, weakest first.
    pub const ALL: [Self; 3] = [Self::MlDsa44, Self::MlDsa65, Self::MlDsa87];

    /// The CKP_ML_DSA_* value of PKCS#11 v3.2: 1, 2, 3.
    pub fn ckp(self) -> u64 {
        self as u64 + 1
    }

    /// The inverse of [`ParameterSet::ckp`].
    pub fn from_ckp(ckp: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|set| set.ckp() == ckp)
    }

    /// Bytes in an encoded public key: 1312, 1952, 2592.
    pub fn public_key_len(self) -> usize {
        SIZES[self as usize].public_key_len
    }

    /// Bytes in an expanded private key: 2560, 4032, 4896.
    pub fn private_key_len(self) -> usize {
        SIZES[self as usize].private_key_len
    }

    /// Bytes in a signature: 2420, 3309, 4627.
    pub fn signature_len(self) -> usize {
        SIZES[self as usize].signature_len
    }
}

/// Where the 32 bytes of `rnd` come from (FIPS 204 section 3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hedging {
    /// Fresh randomness for every signature.
    Hedged,
    /// All zero: the same message gives the same signature.
    Deterministic,
}

/// What is signed. `context` is 0 to 255 bytes, otherwise [`Error::ParameterInvalid`].
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// Pure ML-DSA over a whole message.
    Message {
        /// The context string.
        context: &'a [u8],
        /// The message.
        message: &'a [u8],
    },
    /// HashML-DSA over a digest of `hash`'s output length ([`Error::InputLength`] otherwise). SHA-1 is
    /// [`Error::ParameterInvalid`]: it is weaker than any parameter set (section 5.4).
    Hash {
        /// The context string.
        context: &'a [u8],
        /// The pre-hash function.
        hash: Hash,
        /// PH(M).
        digest: &'a [u8],
    },
    /// The message representative itself, from [`Mu`].
    Mu(&'a [u8; 64]),
}

/// The message representative mu of FIPS 204 Algorithm 7 line 6, computed over a message of any size in 200 bytes.
#[derive(Clone)]
pub struct Mu {
    hash: Sponge,
}

impl Mu {
    /// Starts pure ML-DSA: tr, 0, |context|, context.
    pub fn pure(tr: &[u8; 64], context: &[u8]) -> Result<Self, Error> {
        Self::start(tr, 0, context)
    }

    /// Starts HashML-DSA: tr, 1, |context|, context, the hash's identifier. What follows is the digest.
    fn prehashed(tr: &[u8; 64], context: &[u8], hash: Hash) -> Result<Self, Error> {
        let mut mu = Self::start(tr, 1, context)?;
        mu.update(hash.oid_der());
        Ok(mu)
    }

    /// Takes in more of the message.
    pub fn update(&mut self, message: &[u8]) {
        self.hash.update(message);
    }

    /// mu.
    pub fn finish(self) -> Result<[u8; 64], Error> {
        let mut mu = [0; 64];
        self.hash.finish(&mut mu);
        Ok(mu)
    }

    fn start(tr: &[u8; 64], domain: u8, context: &[u8]) -> Result<Self, Error> {
        let context_len = u8::try_from(context.len()).map_err(|_| Error::ParameterInvalid)?;
        let mut hash = Sponge::shake(256);
        hash.update(tr);
        hash.update(&[domain, context_len]);
        hash.update(context);
        Ok(Self { hash })
    }
}

impl fmt::Debug for Mu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mu")
    }
}

impl Input<'_> {
    /// Checks lengths and computes mu, from tr of the public key.
    pub fn mu(&self, tr: &[u8; 64]) -> Result<[u8; 64], Error> {
        match *self {
            Self::Message { context, message } => {
                let mut mu = Mu::pure(tr, context)?;
                mu.update(message);
                mu.finish()
            }
            Self::Hash { context, hash, digest } => {
                let mut mu = Mu::prehashed(tr, context, hash)?;
                if hash == Hash::Sha1 {
                    return Err(Error::ParameterInvalid);
                }
                if digest.len() != hash.output_len() {
                    return Err(Error::InputLength);
                }
                mu.update(digest);
                mu.finish()
            }
            Self::Mu(mu) => Ok(*mu),
        }
    }
}

/// A private key, expanded and ready to sign.
#[derive(Debug)]
pub struct PrivateKey {
    prepared: <AwsLc as Engine>::PreparedKey,
    seed: Option<SecretBytes>,
    public: PublicKey,
    deterministic: Deterministic,
}

impl PrivateKey {
    /// A new key from a fresh seed (Algorithm 1).
    pub fn generate(set: ParameterSet) -> Result<Self, Error> {
        Self::from_seed(set, &random::secret(SEED_LEN)?)
    }

    /// The key of a 32-byte seed xi (Algorithm 6).
    pub fn from_seed(set: ParameterSet, seed: &SecretBytes) -> Result<Self, Error> {
        if seed.len() != SEED_LEN {
            return Err(Error::KeyInvalid);
        }
        Self::of(set, AwsLc::prepare(set, seed)?, Some(seed.clone()))
    }

    /// A key whose seed is not known. Every part is checked against the others: t0 and tr are recomputed from rho,
    /// s1 and s2, and a key that disagrees with itself is [`Error::KeyInvalid`]. K cannot be checked: it is
    /// independent of the rest, and only makes signatures unpredictable.
    pub fn from_expanded(set: ParameterSet, expanded: &SecretBytes) -> Result<Self, Error> {
        if expanded.len() != set.private_key_len() {
            return Err(Error::KeyInvalid);
        }
        Self::of(set, AwsLcKey::from_expanded(set, expanded)?, None)
    }

    /// A key given both ways; [`Error::KeyInvalid`] where the expanded key is not the seed's, K included.
    pub fn from_both(set: ParameterSet, seed: &SecretBytes, expanded: &SecretBytes) -> Result<Self, Error> {
        let key = Self::from_seed(set, seed)?;
        if key.expanded()? == *expanded { Ok(key) } else { Err(Error::KeyInvalid) }
    }

    /// The parameter set.
    pub fn parameter_set(&self) -> ParameterSet {
        self.public.set
    }

    /// The seed, where it is known.
    pub fn seed(&self) -> Option<&SecretBytes> {
        self.seed.as_ref()
    }

    /// The expanded private key (skEncode, Algorithm 24).
    pub fn expanded(&self) -> Result<SecretBytes, Error> {
        self.prepared.expanded(self.parameter_set())
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs. Hedged signatures are AWS-LC's. Deterministic ones are fips204's from a message or digest, and need
    /// the seed when the input is mu ([`Error::ParameterInvalid`] without it).
    pub fn sign(&self, input: Input<'_>, hedging: Hedging) -> Result<Vec<u8>, Error> {
        let mut signature = vec![0; self.parameter_set().signature_len()];
        self.sign_into(input, hedging, &mut signature)?;
        Ok(signature)
    }

    /// [`PrivateKey::sign`] into a buffer as long as a signature ([`Error::SignatureLength`] otherwise).
    #[inline(never)]
    pub fn sign_into(&self, input: Input<'_>, hedging: Hedging, out: &mut [u8]) -> Result<(), Error> {
        let set = self.parameter_set();
        if out.len() != set.signature_len() {
            return Err(Error::SignatureLength);
        }
        let mu = input.mu(self.public.tr())?;
        let signature = match (hedging, input) {
            (Hedging::Hedged, _) => return AwsLc::sign_mu(set, &self.prepared, &mu, hedging, out),
            (Hedging::Deterministic, Input::Mu(mu)) => {
                self.deterministic.sign_mu(set, self.seed().ok_or(Error::ParameterInvalid)?, mu)?
            }
            (Hedging::Deterministic, input) => self.deterministic.sign(set, || self.expanded(), input)?,
        };
        out.copy_from_slice(&signature);
        Ok(())
    }

    fn of(set: ParameterSet, prepared: AwsLcKey, seed: Option<SecretBytes>) -> Result<Self, Error> {
        let public = PublicKey::unprepared(set, prepared.public(set)?);
        Ok(Self { prepared, seed, public, deterministic: Deterministic::default() })
    }
}

/// A public key, ready to verify. Clones share it.
#[derive(Debug, Clone)]
pub struct PublicKey {
    set: ParameterSet,
    encoded: Arc<[u8]>,
    /// Computed at the first use: a key that is only stored needs none.
    tr: OnceLock<[u8; 64]>,
    /// Made at the first use: the public half of a private key seldom verifies.
    prepared: Arc<OnceLock<<AwsLc as Engine>::PreparedPublic>>,
}

impl PublicKey {
    /// Decodes pkEncode's bytes (Algorithm 22); a wrong length is [`Error::KeyInvalid`].
    pub fn from_bytes(set: ParameterSet, bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() != set.public_key_len() {
            return Err(Error::KeyInvalid);
        }
        let key = Self::unprepared(set, bytes.to_vec());
        key.prepared()?;
        Ok(key)
    }

    /// Takes pkEncode's bytes, of the right length.
    fn unprepared(set: ParameterSet, encoded: Vec<u8>) -> Self {
        Self { set, encoded: encoded.into(), tr: OnceLock::new(), prepared: Arc::default() }
    }

    fn prepared(&self) -> Result<&AwsLcKey, Error> {
        if let Some(prepared) = self.prepared.get() {
            return Ok(prepared);
        }
        let prepared = AwsLc::prepare_public(self.set, &self.encoded)?;
        Ok(self.prepared.get_or_init(|| prepared))
    }

    /// The parameter set.
    pub fn parameter_set(&self) -> ParameterSet {
        self.set
    }

    /// The encoded key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.encoded
    }

    /// tr, the 64-byte hash of the public key.
    pub fn tr(&self) -> &[u8; 64] {
        self.tr.get_or_init(|| {
            let mut tr = [0; 64];
            let mut hash = Sponge::shake(256);
            hash.update(&self.encoded);
            hash.finish(&mut tr);
            tr
        })
    }

    /// Verifies (Algorithms 3 and 5).
    pub fn verify(&self, input: Input<'_>, signature: &[u8]) -> Result<(), Error> {
        let mu = input.mu(self.tr())?;
        if signature.len() != self.set.signature_len() {
            return Err(Error::SignatureLength);
        }
        AwsLc::verify_mu(self.set, self.prepared()?, &mu, signature)
    }

    /// Verifies a message or digest with the other engine.
    pub(crate) fn verify_independently(&self, input: Input<'_>, signature: &[u8]) -> Result<(), Error> {
        deterministic::verify(self.set, &self.encoded, input, signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C2SP CCTV, ML-DSA/accumulated: seeds are drawn from SHAKE128 of nothing; each public key, and the deterministic
    /// signature of nothing, goes into another SHAKE128.
    #[test]
    fn accumulated_keys_and_signatures() {
        let answers = [
            "d51148e1f9f4fa1a723a6cf42e25f2a99eb5c1b378b3d2dbbd561b1203beeae4",
            "8358a1843220194417cadbc2651295cd8fc65125b5a5c1a239a16dc8b57ca199",
            "8c3ad714777622b8f21ce31bb35f71394f23bc0fcf3c78ace5d608990f3b061b",
        ];
        let mut seeds = [0; 100 * SEED_LEN];
        Sponge::shake(128).finish(&mut seeds);
        for (set, answer) in ParameterSet::ALL.into_iter().zip(answers) {
            let mut accumulated = Sponge::shake(128);
            for seed in seeds.chunks(SEED_LEN) {
                let key = PrivateKey::from_seed(set, &SecretBytes::new(seed)).unwrap();
                let input = Input::Message { context: &[], message: &[] };
                accumulated.update(key.public_key().as_bytes());
                let signature = key.sign(input, Hedging::Deterministic).unwrap();
                accumulated.update(&signature);
                key.public_key().verify(input, &signature).unwrap();
            }
            let mut out = [0; 32];
            accumulated.finish(&mut out);
            assert_eq!(out.map(|byte| format!("{byte:02x}")).concat(), answer, "{set:?}");
        }
    }
}
