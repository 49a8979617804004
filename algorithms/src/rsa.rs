//! RSA: PKCS#1 v1.5 and PSS (RFC 8017), keys of 2048 to 4096 bits.

use crate::{Error, SecretBytes, digest::Hash, engine::aws_lc::classical::Rsa};

/// The modulus sizes this crate makes and takes, in bits.
pub const MODULUS_BITS: std::ops::RangeInclusive<u32> = 2048..=4096;

/// A padding scheme with what it pads.
#[derive(Debug, Clone, Copy)]
pub enum Padding<'a> {
    /// RSASSA-PKCS1-v1_5 over data the caller encoded (CKM_RSA_PKCS): at most modulus length - 11 bytes.
    Pkcs1Raw(&'a [u8]),
    /// RSASSA-PKCS1-v1_5 over a digest.
    Pkcs1 {
        /// The hash whose DigestInfo goes in front.
        hash: Hash,
        /// Its output.
        digest: &'a [u8],
    },
    /// RSASSA-PSS over a digest.
    Pss {
        /// The hash.
        hash: Hash,
        /// The hash of MGF1.
        mgf: Hash,
        /// Bytes of salt.
        salt_len: usize,
        /// The output of `hash`.
        digest: &'a [u8],
    },
}

/// The numbers of a private key (RFC 8017 section 3.2), big-endian.
#[derive(Debug, Clone)]
pub struct Components {
    /// n
    pub modulus: Vec<u8>,
    /// e
    pub public_exponent: Vec<u8>,
    /// d
    pub private_exponent: SecretBytes,
    /// p, q, dP, dQ, qInv
    pub crt: [SecretBytes; 5],
}

/// A private key.
#[derive(Debug)]
pub struct PrivateKey {
    key: Rsa,
    public: PublicKey,
}

impl PrivateKey {
    /// A new key of `bits` with the big-endian public exponent given (odd, 65537 or above, at most 32 bits; otherwise
    /// [`Error::ParameterInvalid`]). `bits` is a multiple of 128 in [`MODULUS_BITS`], because AWS-LC rounds down to
    /// one; otherwise [`Error::KeySizeRange`].
    pub fn generate(bits: u32, public_exponent: &[u8]) -> Result<Self, Error> {
        if !MODULUS_BITS.contains(&bits) || !bits.is_multiple_of(128) {
            return Err(Error::KeySizeRange);
        }
        let exponent = without_zeros(public_exponent);
        let value = exponent.iter().take(8).fold(0, |value: u64, &byte| value << 8 | u64::from(byte));
        if exponent.len() > 4 || value % 2 == 0 || value < 65537 {
            return Err(Error::ParameterInvalid);
        }
        Self::complete(Rsa::generate(bits, exponent)?)
    }

    /// Takes and checks the numbers; where they disagree, [`Error::KeyInvalid`].
    pub fn from_components(components: &Components) -> Result<Self, Error> {
        let Components { modulus, public_exponent, private_exponent, crt: [p, q, dp, dq, qi] } = components;
        check_size(modulus)?;
        let secrets = [private_exponent, p, q, dp, dq, qi].map(SecretBytes::expose);
        // Sizes come before arithmetic, so that absurd numbers cost no time.
        if secrets.iter().any(|number| without_zeros(number).len() > without_zeros(modulus).len()) {
            return Err(Error::KeyInvalid);
        }
        let [d, p, q, dp, dq, qi] = secrets;
        let key = Self::complete(Rsa::private([modulus, public_exponent, d, p, q, dp, dq, qi])?)?;
        // The numbers fit each other even where p or q is not prime; a signature shows that they work.
        let trial = Padding::Pkcs1 { hash: Hash::Sha256, digest: &[0x5a; 32] };
        let signature = key.sign(trial).map_err(|_| Error::KeyInvalid)?;
        key.public.verify(trial, &signature).map_err(|_| Error::KeyInvalid)?;
        Ok(key)
    }

    /// The numbers.
    pub fn components(&self) -> Result<Components, Error> {
        let secret =
            |index| SecretBytes::filled(self.key.number_len(index)?, |out| self.key.write_number(index, out));
        Ok(Components {
            modulus: self.public.modulus.to_vec(),
            public_exponent: self.public.public_exponent.to_vec(),
            private_exponent: secret(2)?,
            crt: [secret(3)?, secret(4)?, secret(5)?, secret(6)?, secret(7)?],
        })
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs: as many bytes as the modulus has.
    pub fn sign(&self, padding: Padding<'_>) -> Result<Vec<u8>, Error> {
        self.public.check(&padding)?;
        let mut signature = vec![0; self.public.modulus.len()];
        match padding {
            Padding::Pkcs1Raw(data) => self.key.sign_raw(data, &mut signature),
            Padding::Pkcs1 { hash, digest } => self.key.sign(hash, digest, &mut signature),
            Padding::Pss { hash, mgf, salt_len, digest } => {
                self.key.sign_pss((hash, mgf), salt_len, digest, &mut signature)
            }
        }?;
        Ok(signature)
    }

    fn complete(key: Rsa) -> Result<Self, Error> {
        let [modulus, public_exponent] = [public_number(&key, 0)?, public_number(&key, 1)?];
        Ok(Self { public: PublicKey::from_components(&modulus, &public_exponent)?, key })
    }
}

/// A public key.
#[derive(Debug)]
pub struct PublicKey {
    key: Rsa,
    modulus: Box<[u8]>,
    public_exponent: Box<[u8]>,
}

impl PublicKey {
    /// Takes n and e, big-endian; [`Error::KeySizeRange`] outside [`MODULUS_BITS`], [`Error::KeyInvalid`] for an
    /// exponent that is even, 1 or over 33 bits.
    pub fn from_components(modulus: &[u8], public_exponent: &[u8]) -> Result<Self, Error> {
        check_size(modulus)?;
        if without_zeros(public_exponent).len() > 5 {
            return Err(Error::KeyInvalid);
        }
        Ok(Self {
            key: Rsa::public(modulus, public_exponent)?,
            modulus: without_zeros(modulus).into(),
            public_exponent: without_zeros(public_exponent).into(),
        })
    }

    /// n, big-endian without leading zeros.
    pub fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    /// e, big-endian without leading zeros.
    pub fn public_exponent(&self) -> &[u8] {
        &self.public_exponent
    }

    /// Verifies.
    pub fn verify(&self, padding: Padding<'_>, signature: &[u8]) -> Result<(), Error> {
        self.check(&padding)?;
        if signature.len() != self.modulus.len() {
            return Err(Error::SignatureLength);
        }
        match padding {
            Padding::Pkcs1Raw(data) => {
                let mut recovered = vec![0; self.modulus.len()];
                let len = self.key.recover_raw(signature, &mut recovered)?;
                if recovered[..len] == *data { Ok(()) } else { Err(Error::SignatureInvalid) }
            }
            Padding::Pkcs1 { hash, digest } => self.key.verify(hash, digest, signature),
            Padding::Pss { hash, mgf, salt_len, digest } => {
                self.key.verify_pss((hash, mgf), salt_len, digest, signature)
            }
        }
    }

    /// Refuses what cannot be signed under this key.
    fn check(&self, padding: &Padding<'_>) -> Result<(), Error> {
        let is_xof = |hash| matches!(hash, Hash::Shake128 | Hash::Shake256);
        match *padding {
            Padding::Pkcs1Raw(data) if data.len() + 11 > self.modulus.len() => Err(Error::InputLength),
            Padding::Pkcs1 { hash, .. } if is_xof(hash) => Err(Error::ParameterInvalid),
            Padding::Pss { hash, mgf, .. } if is_xof(hash) || is_xof(mgf) => Err(Error::ParameterInvalid),
            Padding::Pkcs1 { hash, digest } | Padding::Pss { hash, digest, .. }
                if digest.len() != hash.output_len() =>
            {
                Err(Error::InputLength)
            }
            // RFC 8017 section 9.1.1: the encoded message has one bit less than the modulus.
            Padding::Pss { hash, salt_len, .. }
                if salt_len
                    > ((bit_len(&self.modulus) - 1).div_ceil(8) as usize)
                        .saturating_sub(hash.output_len() + 2) =>
            {
                Err(Error::ParameterInvalid)
            }
            _ => Ok(()),
        }
    }
}

fn public_number(key: &Rsa, index: usize) -> Result<Vec<u8>, Error> {
    let mut out = vec![0; key.number_len(index)?];
    key.write_number(index, &mut out)?;
    Ok(out)
}

fn check_size(modulus: &[u8]) -> Result<(), Error> {
    if MODULUS_BITS.contains(&bit_len(modulus)) { Ok(()) } else { Err(Error::KeySizeRange) }
}

fn bit_len(number: &[u8]) -> u32 {
    let significant = without_zeros(number);
    let top = significant.first().map_or(0, |byte| byte.leading_zeros());
    u32::try_from(significant.len() * 8).unwrap_or(u32::MAX) - top
}

fn without_zeros(number: &[u8]) -> &[u8] {
    &number[number.iter().take_while(|&&byte| byte == 0).count()..]
}
