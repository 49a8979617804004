//! ECDSA and RSA, and the big numbers they are made of.

use std::{ffi::c_int, ptr};

use aws_lc_sys as c;

use super::{check, failed, gate, handle};
use crate::{Error, digest::Hash, ecdsa::Curve};

handle!(EcKey(EC_KEY), EC_KEY_free);
handle!(EcPoint(EC_POINT), EC_POINT_free);
handle!(EcdsaSignature(ECDSA_SIG), ECDSA_SIG_free);
handle!(Rsa(RSA), RSA_free);
handle!(Number(BIGNUM), BN_clear_free);
handle!(NumberContext(BN_CTX), BN_CTX_free);

/// Keys on the NIST curves.
impl EcKey {
    pub(crate) fn generate(curve: Curve) -> Result<Self, Error> {
        let _inside = gate::enter();
        let key = Self::empty(curve)?;
        // SAFETY: the key is alive and has its group.
        check(unsafe { c::EC_KEY_generate_key(key.0.as_ptr()) }, Error::EngineFailed)?;
        Ok(key)
    }

    /// From a big-endian scalar; AWS-LC refuses one that is not below the order, and zero by its public point.
    pub(crate) fn from_scalar(curve: Curve, scalar: &[u8]) -> Result<Self, Error> {
        let _inside = gate::enter();
        let key = Self::empty(curve)?;
        let scalar = Number::new(scalar)?;
        // SAFETY: every handle is alive; AWS-LC copies the scalar and the point.
        unsafe {
            check(c::EC_KEY_set_private_key(key.0.as_ptr(), scalar.0.as_ptr()), Error::KeyInvalid)?;
            let group = c::EC_KEY_get0_group(key.0.as_ptr());
            let point = EcPoint::take(c::EC_POINT_new(group), Error::EngineFailed)?;
            let none = ptr::null_mut();
            let product =
                c::EC_POINT_mul(group, point.0.as_ptr(), scalar.0.as_ptr(), ptr::null(), ptr::null(), none);
            check(product, Error::KeyInvalid)?;
            check(c::EC_KEY_set_public_key(key.0.as_ptr(), point.0.as_ptr()), Error::KeyInvalid)?;
            check(c::EC_KEY_check_key(key.0.as_ptr()), Error::KeyInvalid)?;
        }
        Ok(key)
    }

    /// From an encoded point, which AWS-LC checks to be on the curve.
    pub(crate) fn from_point(curve: Curve, encoded: &[u8]) -> Result<Self, Error> {
        let _inside = gate::enter();
        let key = Self::empty(curve)?;
        // SAFETY: every handle is alive; `encoded` is readable for its length; AWS-LC copies the point.
        unsafe {
            let group = c::EC_KEY_get0_group(key.0.as_ptr());
            let point = EcPoint::take(c::EC_POINT_new(group), Error::EngineFailed)?;
            let none = ptr::null_mut();
            let decoded =
                c::EC_POINT_oct2point(group, point.0.as_ptr(), encoded.as_ptr(), encoded.len(), none);
            check(decoded, Error::KeyInvalid)?;
            check(c::EC_KEY_set_public_key(key.0.as_ptr(), point.0.as_ptr()), Error::KeyInvalid)?;
            check(c::EC_KEY_check_key(key.0.as_ptr()), Error::KeyInvalid)?;
        }
        Ok(key)
    }

    /// Writes the scalar, padded to the length of `out`.
    pub(crate) fn scalar(&self, out: &mut [u8]) -> Result<(), Error> {
        // SAFETY: the key is alive; NULL, for a public key, is handled.
        unsafe { write_padded(c::EC_KEY_get0_private_key(self.0.as_ptr()), out) }
    }

    /// Writes the uncompressed point, which fills `out`.
    pub(crate) fn point(&self, out: &mut [u8]) -> Result<(), Error> {
        let _inside = gate::enter();
        // SAFETY: the key is alive; AWS-LC writes at most `out.len()` bytes to `out`.
        let len = unsafe {
            c::EC_POINT_point2oct(
                c::EC_KEY_get0_group(self.0.as_ptr()),
                c::EC_KEY_get0_public_key(self.0.as_ptr()),
                c::point_conversion_form_t::POINT_CONVERSION_UNCOMPRESSED,
                out.as_mut_ptr(),
                out.len(),
                ptr::null_mut(),
            )
        };
        if len == out.len() { Ok(()) } else { Err(failed(Error::EngineFailed)) }
    }

    /// Writes r and s, each padded to half of `out`.
    pub(crate) fn sign(&self, digest: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let _inside = gate::enter();
        let (r, s) = out.split_at_mut(out.len() / 2);
        // SAFETY: the key is alive; `digest` is readable for its length; r and s belong to the signature.
        unsafe {
            let signature = c::ECDSA_do_sign(digest.as_ptr(), digest.len(), self.0.as_ptr());
            let signature = EcdsaSignature::take(signature, Error::EngineFailed)?;
            write_padded(c::ECDSA_SIG_get0_r(signature.0.as_ptr()), r)?;
            write_padded(c::ECDSA_SIG_get0_s(signature.0.as_ptr()), s)
        }
    }

    pub(crate) fn verify(&self, digest: &[u8], signature: &[u8]) -> Result<(), Error> {
        let _inside = gate::enter();
        let (r, s) = signature.split_at(signature.len() / 2);
        let (r, s) = (Number::new(r)?, Number::new(s)?);
        // SAFETY: every handle is alive; the signature takes over r and s, which are therefore forgotten here.
        unsafe {
            let signature = EcdsaSignature::take(c::ECDSA_SIG_new(), Error::EngineFailed)?;
            check(c::ECDSA_SIG_set0(signature.0.as_ptr(), r.0.as_ptr(), s.0.as_ptr()), Error::EngineFailed)?;
            std::mem::forget((r, s));
            let answer =
                c::ECDSA_do_verify(digest.as_ptr(), digest.len(), signature.0.as_ptr(), self.0.as_ptr());
            check(answer, Error::SignatureInvalid)
        }
    }

    fn empty(curve: Curve) -> Result<Self, Error> {
        let nid = match curve {
            Curve::P256 => c::NID_X9_62_prime256v1,
            Curve::P384 => c::NID_secp384r1,
            Curve::P521 => c::NID_secp521r1,
        };
        // SAFETY: any number may be passed.
        Self::take(unsafe { c::EC_KEY_new_by_curve_name(nid) }, Error::EngineFailed)
    }
}

/// RSA keys.
impl Rsa {
    pub(crate) fn generate(bits: u32, public_exponent: &[u8]) -> Result<Self, Error> {
        let _inside = gate::enter();
        let exponent = Number::new(public_exponent)?;
        let bits = c_int::try_from(bits).map_err(|_| Error::KeySizeRange)?;
        // SAFETY: every handle is alive; there is no callback.
        unsafe {
            let key = Self::take(c::RSA_new(), Error::EngineFailed)?;
            let answer = c::RSA_generate_key_ex(key.0.as_ptr(), bits, exponent.0.as_ptr(), ptr::null_mut());
            check(answer, Error::EngineFailed)?;
            Ok(key)
        }
    }

    /// From n and e.
    pub(crate) fn public(modulus: &[u8], public_exponent: &[u8]) -> Result<Self, Error> {
        let _inside = gate::enter();
        let (modulus, exponent) = (Number::new(modulus)?, Number::new(public_exponent)?);
        // SAFETY: both numbers are alive, and AWS-LC copies them.
        let key = unsafe { c::RSA_new_public_key(modulus.0.as_ptr(), exponent.0.as_ptr()) };
        Self::take(key, Error::KeyInvalid)
    }

    /// From the eight numbers of [`Rsa::number_len`], which AWS-LC checks against each other (but not p and q for being prime).
    pub(crate) fn private(numbers: [&[u8]; 8]) -> Result<Self, Error> {
        let _inside = gate::enter();
        let numbers = numbers.iter().map(|bytes| Number::new(bytes)).collect::<Result<Vec<_>, _>>()?;
        let [n, e, d, p, q, dp, dq, qi] = std::array::from_fn(|index| numbers[index].0.as_ptr().cast_const());
        // SAFETY: all the numbers are alive, and AWS-LC copies them.
        Self::take(unsafe { c::RSA_new_private_key(n, e, d, p, q, dp, dq, qi) }, Error::KeyInvalid)
    }

    /// The length of the number at this place among the eight of RFC 8017's RSAPrivateKey: n, e, d, p, q, dP, dQ, qInv.
    pub(crate) fn number_len(&self, index: usize) -> Result<usize, Error> {
        let number = self.number(index)?;
        // SAFETY: the key, which is alive, lends the number.
        Ok(unsafe { c::BN_num_bytes(number) as usize })
    }

    /// Writes the same number, which fills `out`.
    pub(crate) fn write_number(&self, index: usize, out: &mut [u8]) -> Result<(), Error> {
        let number = self.number(index)?;
        // SAFETY: the key, which is alive, lends the number.
        unsafe { write_padded(number, out) }
    }

    fn number(&self, index: usize) -> Result<*const c::BIGNUM, Error> {
        let key = self.0.as_ptr();
        // SAFETY: the key is alive; NULL stands for a number that it lacks.
        let number = unsafe {
            match index {
                0 => c::RSA_get0_n(key),
                1 => c::RSA_get0_e(key),
                2 => c::RSA_get0_d(key),
                3 => c::RSA_get0_p(key),
                4 => c::RSA_get0_q(key),
                5 => c::RSA_get0_dmp1(key),
                6 => c::RSA_get0_dmq1(key),
                7 => c::RSA_get0_iqmp(key),
                _ => ptr::null(),
            }
        };
        if number.is_null() { Err(Error::EngineFailed) } else { Ok(number) }
    }

    /// PKCS#1 v1.5 over bytes as they are. `out` is as long as the modulus.
    pub(crate) fn sign_raw(&self, data: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let _inside = gate::enter();
        let mut len = 0;
        // SAFETY: AWS-LC writes at most `out.len()` bytes to `out`.
        let answer = unsafe {
            c::RSA_sign_raw(
                self.0.as_ptr(),
                &raw mut len,
                out.as_mut_ptr(),
                out.len(),
                data.as_ptr(),
                data.len(),
                c::RSA_PKCS1_PADDING,
            )
        };
        check(answer, Error::EngineFailed)
    }

    /// Recovers the bytes that `sign_raw` signed to the front of `out`, as long as the modulus; says how many.
    pub(crate) fn recover_raw(&self, signature: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let _inside = gate::enter();
        let mut len = 0;
        // SAFETY: AWS-LC writes at most `out.len()` bytes to `out`.
        let answer = unsafe {
            c::RSA_verify_raw(
                self.0.as_ptr(),
                &raw mut len,
                out.as_mut_ptr(),
                out.len(),
                signature.as_ptr(),
                signature.len(),
                c::RSA_PKCS1_PADDING,
            )
        };
        check(answer, Error::SignatureInvalid).map(|()| len)
    }

    /// PKCS#1 v1.5 over a digest of `hash`'s length. `out` is as long as the modulus.
    pub(crate) fn sign(&self, hash: Hash, digest: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let _inside = gate::enter();
        assert!(out.len() >= self.size(), "room for the signature");
        let mut len = 0;
        // SAFETY: `out` has room for the modulus, asserted above.
        let answer = unsafe {
            c::RSA_sign(
                digest_facts(hash)?.0,
                digest.as_ptr(),
                digest.len(),
                out.as_mut_ptr(),
                &raw mut len,
                self.0.as_ptr(),
            )
        };
        check(answer, Error::EngineFailed)
    }

    pub(crate) fn verify(&self, hash: Hash, digest: &[u8], signature: &[u8]) -> Result<(), Error> {
        let _inside = gate::enter();
        // SAFETY: both slices are readable for the lengths passed.
        let answer = unsafe {
            c::RSA_verify(
                digest_facts(hash)?.0,
                digest.as_ptr(),
                digest.len(),
                signature.as_ptr(),
                signature.len(),
                self.0.as_ptr(),
            )
        };
        check(answer, Error::SignatureInvalid)
    }

    /// PSS over a digest of `hash`'s length. `out` is as long as the modulus.
    pub(crate) fn sign_pss(
        &self,
        (hash, mgf): (Hash, Hash),
        salt_len: usize,
        digest: &[u8],
        out: &mut [u8],
    ) -> Result<(), Error> {
        let _inside = gate::enter();
        assert_eq!(digest.len(), hash.output_len(), "AWS-LC reads that many");
        let salt_len = c_int::try_from(salt_len).map_err(|_| Error::ParameterInvalid)?;
        let mut len = 0;
        // SAFETY: AWS-LC writes at most `out.len()` bytes to `out`; the hash tables are static.
        let answer = unsafe {
            c::RSA_sign_pss_mgf1(
                self.0.as_ptr(),
                &raw mut len,
                out.as_mut_ptr(),
                out.len(),
                digest.as_ptr(),
                digest.len(),
                digest_facts(hash)?.1(),
                digest_facts(mgf)?.1(),
                salt_len,
            )
        };
        check(answer, Error::EngineFailed)
    }

    pub(crate) fn verify_pss(
        &self,
        (hash, mgf): (Hash, Hash),
        salt_len: usize,
        digest: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        let _inside = gate::enter();
        assert_eq!(digest.len(), hash.output_len(), "AWS-LC reads that many");
        let salt_len = c_int::try_from(salt_len).map_err(|_| Error::ParameterInvalid)?;
        // SAFETY: both slices are readable for the lengths passed; the hash tables are static.
        let answer = unsafe {
            c::RSA_verify_pss_mgf1(
                self.0.as_ptr(),
                digest.as_ptr(),
                digest.len(),
                digest_facts(hash)?.1(),
                digest_facts(mgf)?.1(),
                salt_len,
                signature.as_ptr(),
                signature.len(),
            )
        };
        check(answer, Error::SignatureInvalid)
    }

    fn size(&self) -> usize {
        // SAFETY: the key is alive.
        unsafe { c::RSA_size(self.0.as_ptr()) as usize }
    }
}

/// AWS-LC's number and table of a hash function that RSA may be used with.
fn digest_facts(hash: Hash) -> Result<(c_int, unsafe extern "C" fn() -> *const c::EVP_MD), Error> {
    Ok(match hash {
        Hash::Sha1 => (c::NID_sha1, c::EVP_sha1),
        Hash::Sha224 => (c::NID_sha224, c::EVP_sha224),
        Hash::Sha256 => (c::NID_sha256, c::EVP_sha256),
        Hash::Sha384 => (c::NID_sha384, c::EVP_sha384),
        Hash::Sha512 => (c::NID_sha512, c::EVP_sha512),
        Hash::Sha3_224 => (c::NID_sha3_224, c::EVP_sha3_224),
        Hash::Sha3_256 => (c::NID_sha3_256, c::EVP_sha3_256),
        Hash::Sha3_384 => (c::NID_sha3_384, c::EVP_sha3_384),
        Hash::Sha3_512 => (c::NID_sha3_512, c::EVP_sha3_512),
        Hash::Shake128 | Hash::Shake256 => return Err(Error::ParameterInvalid),
    })
}

/// Arithmetic on public numbers.
impl Number {
    /// From big-endian bytes.
    pub(crate) fn new(bytes: &[u8]) -> Result<Self, Error> {
        let _inside = gate::enter();
        // SAFETY: `bytes` is readable for its length.
        let number = unsafe { c::BN_bin2bn(bytes.as_ptr(), bytes.len(), ptr::null_mut()) };
        Self::take(number, Error::EngineFailed)
    }

    pub(crate) fn zero() -> Result<Self, Error> {
        // SAFETY: takes nothing.
        Self::take(unsafe { c::BN_new() }, Error::EngineFailed)
    }
}

/// The operations that Ed25519's curve equation needs, each modulo `modulus`.
pub(crate) struct Field {
    modulus: Number,
    context: NumberContext,
}

impl Field {
    pub(crate) fn new(modulus: &[u8]) -> Result<Self, Error> {
        let _inside = gate::enter();
        // SAFETY: takes nothing.
        let context = NumberContext::take(unsafe { c::BN_CTX_new() }, Error::EngineFailed)?;
        Ok(Self { modulus: Number::new(modulus)?, context })
    }

    pub(crate) fn multiply(&self, left: &Number, right: &Number) -> Result<Number, Error> {
        let _inside = gate::enter();
        self.apply(c::BN_mod_mul, left, right)
    }

    pub(crate) fn add(&self, left: &Number, right: &Number) -> Result<Number, Error> {
        let _inside = gate::enter();
        self.apply(c::BN_mod_add, left, right)
    }

    pub(crate) fn subtract(&self, left: &Number, right: &Number) -> Result<Number, Error> {
        let _inside = gate::enter();
        self.apply(c::BN_mod_sub, left, right)
    }

    /// Whether `number` is a square: its power to (p-1)/2 is 1, or it is 0.
    pub(crate) fn is_square(&self, number: &Number) -> Result<bool, Error> {
        let _inside = gate::enter();
        let half = Number::zero()?;
        let power = Number::zero()?;
        // SAFETY: every handle is alive.
        unsafe {
            check(c::BN_rshift1(half.0.as_ptr(), self.modulus.0.as_ptr()), Error::EngineFailed)?;
            let answer = c::BN_mod_exp(
                power.0.as_ptr(),
                number.0.as_ptr(),
                half.0.as_ptr(),
                self.modulus.0.as_ptr(),
                self.context.0.as_ptr(),
            );
            check(answer, Error::EngineFailed)?;
            Ok(c::BN_is_one(power.0.as_ptr()) == 1 || c::BN_is_zero(power.0.as_ptr()) == 1)
        }
    }

    fn apply(&self, operation: ModularOperation, left: &Number, right: &Number) -> Result<Number, Error> {
        let result = Number::zero()?;
        // SAFETY: every handle is alive, and `result` belongs to nobody else.
        let answer = unsafe {
            operation(
                result.0.as_ptr(),
                left.0.as_ptr(),
                right.0.as_ptr(),
                self.modulus.0.as_ptr(),
                self.context.0.as_ptr(),
            )
        };
        check(answer, Error::EngineFailed).map(|()| result)
    }
}

type ModularOperation = unsafe extern "C" fn(
    *mut c::BIGNUM,
    *const c::BIGNUM,
    *const c::BIGNUM,
    *const c::BIGNUM,
    *mut c::BN_CTX,
) -> c_int;

/// Writes `number` big-endian, padded in front to the length of `out`.
///
/// # Safety
/// `number` is NULL, which is an error, or alive.
unsafe fn write_padded(number: *const c::BIGNUM, out: &mut [u8]) -> Result<(), Error> {
    if number.is_null() {
        return Err(Error::EngineFailed);
    }
    // SAFETY: AWS-LC writes exactly `out.len()` bytes to `out`, or fails.
    check(unsafe { c::BN_bn2bin_padded(out.as_mut_ptr(), out.len(), number) }, Error::EngineFailed)
}
