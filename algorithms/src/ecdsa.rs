//! ECDSA over the NIST prime curves (FIPS 186-5 section 6).

use crate::{Error, SecretBytes, engine::aws_lc::classical::EcKey};

/// A named curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the standard's own")]
pub enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    /// Bytes in a field element or scalar: 32, 48, 66.
    pub fn field_len(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// The DER-encoded object identifier, tag and length included: the value of CKA_EC_PARAMS.
    pub fn oid_der(self) -> &'static [u8] {
        match self {
            Self::P256 => &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
            Self::P384 => &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22],
            Self::P521 => &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23],
        }
    }
}

/// A private key.
#[derive(Debug)]
pub struct PrivateKey {
    key: EcKey,
    public: PublicKey,
}

impl PrivateKey {
    /// A new key.
    pub fn generate(curve: Curve) -> Result<Self, Error> {
        Self::complete(curve, EcKey::generate(curve)?)
    }

    /// The key of a big-endian scalar, leading zeros optional; zero or not below the order is [`Error::KeyInvalid`].
    pub fn from_scalar(curve: Curve, scalar: &SecretBytes) -> Result<Self, Error> {
        let zeros = scalar.expose().iter().take_while(|&&byte| byte == 0).count();
        let significant = &scalar.expose()[zeros..];
        if significant.is_empty() || significant.len() > curve.field_len() {
            return Err(Error::KeyInvalid);
        }
        Self::complete(curve, EcKey::from_scalar(curve, significant)?)
    }

    /// The scalar, [`Curve::field_len`] bytes.
    pub fn scalar(&self) -> Result<SecretBytes, Error> {
        SecretBytes::filled(self.public.curve.field_len(), |out| self.key.scalar(out))
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs a digest (or whatever the caller says is one): r and s, each [`Curve::field_len`] bytes. Bits past
    /// the order's length are dropped as the standard says; nothing at all is [`Error::InputLength`].
    pub fn sign(&self, digest: &[u8]) -> Result<Vec<u8>, Error> {
        if digest.is_empty() {
            return Err(Error::InputLength);
        }
        let mut signature = vec![0; 2 * self.public.curve.field_len()];
        self.key.sign(digest, &mut signature)?;
        Ok(signature)
    }

    fn complete(curve: Curve, key: EcKey) -> Result<Self, Error> {
        let mut point = vec![0; 1 + 2 * curve.field_len()];
        key.point(&mut point)?;
        Ok(Self { key, public: PublicKey::from_bytes(curve, &point)? })
    }
}

/// A public key.
#[derive(Debug)]
pub struct PublicKey {
    curve: Curve,
    key: EcKey,
    point: Box<[u8]>,
}

impl PublicKey {
    /// Decodes an uncompressed or compressed point (SEC 1 section 2.3.4) and checks that it is on the curve.
    pub fn from_bytes(curve: Curve, encoded: &[u8]) -> Result<Self, Error> {
        // The hybrid form (06, 07) says the same thing twice; SEC 1 dropped it.
        if !matches!(encoded.first(), Some(2..=4)) {
            return Err(Error::KeyInvalid);
        }
        let key = EcKey::from_point(curve, encoded)?;
        let mut point = vec![0; 1 + 2 * curve.field_len()];
        key.point(&mut point)?;
        Ok(Self { curve, key, point: point.into() })
    }

    /// The curve.
    pub fn curve(&self) -> Curve {
        self.curve
    }

    /// The uncompressed point: 04, x, y.
    pub fn as_bytes(&self) -> &[u8] {
        &self.point
    }

    /// Verifies r and s over a digest.
    pub fn verify(&self, digest: &[u8], signature: &[u8]) -> Result<(), Error> {
        if digest.is_empty() {
            return Err(Error::InputLength);
        }
        if signature.len() != 2 * self.curve.field_len() {
            return Err(Error::SignatureLength);
        }
        self.key.verify(digest, signature)
    }
}
