//! Ed25519, Ed25519ctx and Ed25519ph (RFC 8032), with strict verification.
//!
//! A signature (R, S) verifies under a public key A only if
//! - A and R are canonical encodings of curve points (RFC 8032 section 5.1.3: y below p, and no sign bit where x = 0);
//! - neither A nor R is one of the eight points of small order;
//! - S is below the group order L (section 5.1.7 step 1);
//! - `S*B - k*A` encodes to the very bytes of R, with k hashed over R, A and message as given: the equation without the
//!   cofactor, which section 5.1.7 allows.
//!
//! So no signature can be altered and stay valid, and none is valid for two messages. Of the cases in "Taming the many
//! EdDSAs" (Chalkias, Garillot, Nikolaenko 2020), only case 3 verifies: A and R of mixed order that satisfy the
//! equation.

use crate::{
    Error, SecretBytes,
    engine::aws_lc::{
        classical::{Field, Number},
        modern::ed25519 as engine,
    },
    random,
};

/// What is signed (RFC 8032 section 5.1). `context` is at most 255 bytes, and not empty for Ed25519ctx.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// Ed25519.
    Pure(&'a [u8]),
    /// Ed25519ctx.
    Context {
        /// The context, 1 to 255 bytes.
        context: &'a [u8],
        /// The message.
        message: &'a [u8],
    },
    /// Ed25519ph over the SHA-512 digest of the message.
    Prehashed {
        /// The context, 0 to 255 bytes.
        context: &'a [u8],
        /// SHA-512 of the message.
        digest: &'a [u8; 64],
    },
}

/// A private key.
#[derive(Debug)]
pub struct PrivateKey {
    seed: SecretBytes,
    /// The seed and the public key, as the engine wants them.
    expanded: SecretBytes,
    public: PublicKey,
}

impl PrivateKey {
    /// A new key from fresh randomness.
    pub fn generate() -> Result<Self, Error> {
        Self::from_seed(&random::secret(32)?)
    }

    /// The key of a 32-byte seed ([`Error::KeyInvalid`] for another length).
    pub fn from_seed(seed: &SecretBytes) -> Result<Self, Error> {
        let bytes: &[u8; 32] = seed.expose().try_into().map_err(|_| Error::KeyInvalid)?;
        let mut public = [0; 32];
        let expanded = SecretBytes::filled(64, |out| {
            public = engine::expand(bytes, out.try_into().map_err(|_| Error::EngineFailed)?);
            Ok(())
        })?;
        Ok(Self { seed: seed.clone(), expanded, public: PublicKey { encoded: public } })
    }

    /// The seed.
    pub fn seed(&self) -> &SecretBytes {
        &self.seed
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs: 64 bytes.
    pub fn sign(&self, input: Input<'_>) -> Result<Vec<u8>, Error> {
        let mut signature = vec![0; 64];
        self.sign_into(input, &mut signature)?;
        Ok(signature)
    }

    /// [`PrivateKey::sign`] into a buffer of 64 bytes ([`Error::SignatureLength`] otherwise).
    #[inline(never)]
    pub fn sign_into(&self, input: Input<'_>, out: &mut [u8]) -> Result<(), Error> {
        input.check()?;
        let private = self.expanded.expose().try_into().expect("made with 64 bytes");
        let signature = out.try_into().map_err(|_| Error::SignatureLength)?;
        match input {
            Input::Pure(message) => engine::sign(private, message, signature),
            Input::Context { context, message } => engine::sign_ctx(private, context, message, signature),
            Input::Prehashed { context, digest } => engine::sign_ph(private, context, digest, signature),
        }
    }
}

/// A public key: 32 bytes that decode to a point in the canonical form and not of small order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    encoded: [u8; 32],
}

impl PublicKey {
    /// Checks and takes 32 bytes; a non-canonical encoding or a point of small order is [`Error::KeyInvalid`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let encoded = bytes.try_into().map_err(|_| Error::KeyInvalid)?;
        if is_canonical_and_of_large_order(&encoded) && is_on_curve(&encoded)? {
            Ok(Self { encoded })
        } else {
            Err(Error::KeyInvalid)
        }
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.encoded
    }

    /// Verifies strictly: S below the group order, R canonical and not of small order.
    pub fn verify(&self, input: Input<'_>, signature: &[u8]) -> Result<(), Error> {
        input.check()?;
        let signature: &[u8; 64] = signature.try_into().map_err(|_| Error::SignatureLength)?;
        let r = signature.first_chunk().expect("half of 64 bytes");
        if !is_canonical_and_of_large_order(r) {
            return Err(Error::SignatureInvalid);
        }
        match input {
            Input::Pure(message) => engine::verify(&self.encoded, message, signature),
            Input::Context { context, message } => {
                engine::verify_ctx(&self.encoded, context, message, signature)
            }
            Input::Prehashed { context, digest } => {
                engine::verify_ph(&self.encoded, context, digest, signature)
            }
        }
    }
}

impl Input<'_> {
    fn check(&self) -> Result<(), Error> {
        let allowed = match self {
            Self::Pure(_) => true,
            Self::Context { context, .. } => (1..=255).contains(&context.len()),
            Self::Prehashed { context, .. } => context.len() <= 255,
        };
        allowed.then_some(()).ok_or(Error::ParameterInvalid)
    }
}

/// p = 2^255 - 19, little-endian.
const P: [u8; 32] = {
    let mut p = [0xff; 32];
    p[0] = 0xed;
    p[31] = 0x7f;
    p
};

/// d = -121665/121666 of the curve equation, big-endian.
const D: [u8; 32] = [
    0x52, 0x03, 0x6c, 0xee, 0x2b, 0x6f, 0xfe, 0x73, 0x8c, 0xc7, 0x40, 0x79, 0x77, 0x79, 0xe8, 0x98, 0x00,
    0x70, 0x0a, 0x4d, 0x41, 0x41, 0xd8, 0xab, 0x75, 0xeb, 0x4d, 0xca, 0x13, 0x59, 0x78, 0xa3,
];

/// The y coordinates of the points of order 1, 2, 4, 8 and 8, little-endian; with either sign of x they are the eight
/// points of small order, and the two encodings of x = 0 that have a sign bit.
const SMALL_ORDER_Y: [[u8; 32]; 5] = [
    {
        let mut one = [0; 32];
        one[0] = 1;
        one
    },
    {
        let mut minus_one = P;
        minus_one[0] -= 1;
        minus_one
    },
    [0; 32],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
];

fn without_sign(encoded: &[u8; 32]) -> [u8; 32] {
    let mut y = *encoded;
    y[31] &= 0x7f;
    y
}

fn is_canonical_and_of_large_order(encoded: &[u8; 32]) -> bool {
    let y = without_sign(encoded);
    y.iter().rev().lt(P.iter().rev()) && !SMALL_ORDER_Y.contains(&y)
}

/// Whether x^2 = (y^2 - 1) / (d y^2 + 1) has a solution. The denominator is never zero, and a quotient is a square
/// exactly when the product is.
fn is_on_curve(encoded: &[u8; 32]) -> Result<bool, Error> {
    let big_endian = |mut bytes: [u8; 32]| {
        bytes.reverse();
        bytes
    };
    let field = Field::new(&big_endian(P))?;
    let one = Number::new(&[1])?;
    let y = Number::new(&big_endian(without_sign(encoded)))?;
    let y2 = field.multiply(&y, &y)?;
    let numerator = field.subtract(&y2, &one)?;
    let denominator = field.add(&field.multiply(&Number::new(&D)?, &y2)?, &one)?;
    field.is_square(&field.multiply(&numerator, &denominator)?)
}
