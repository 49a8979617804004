//! Parameters of AES-GCM as a wrapping mechanism (PKCS#11 v3.2 section 6.13): C_WrapKey takes CK_GCM_WRAP_PARAMS, the
//! Authenticated functions take CK_GCM_MESSAGE_PARAMS. Both can ask for a generated IV, and the latter carries the tag.

use cryptoki_sys as ck;

use super::{
    args,
    mechanism::{self, Raw},
};
use crate::{
    Module,
    error::{Error, Result},
    mechanism::{MechanismCall, ParameterKind, Parameters},
    output::{Output, Written},
};

/// The longest IV that GCM takes.
const MAX_IV: ck::CK_ULONG = 256;
/// Fewer random bits than this in an IV would repeat too soon.
const MIN_GENERATED_BITS: ck::CK_ULONG = 64;

/// A mechanism for wrapping, and where what it produces besides the wrapped key goes.
#[derive(Debug)]
pub(super) struct Wrapping {
    pub(super) call: MechanismCall,
    /// Where a generated IV goes, and the IV.
    iv: Option<(*mut u8, Vec<u8>)>,
    /// Where the tag is, and its bytes: NULL and 0 where it stays with the wrapped key.
    tag: (*mut u8, usize),
}

impl Wrapping {
    /// For C_WrapKey.
    ///
    /// # Safety
    /// The contract of `args`.
    pub(super) unsafe fn of_wrap(module: &Module, mechanism: *const ck::CK_MECHANISM) -> Result<Self> {
        // SAFETY: passed on.
        unsafe { Self::plain(module, mechanism, true) }
    }

    /// For C_UnwrapKey, which ignores the generator.
    ///
    /// # Safety
    /// The contract of `args`.
    pub(super) unsafe fn of_unwrap(module: &Module, mechanism: *const ck::CK_MECHANISM) -> Result<Self> {
        // SAFETY: passed on.
        unsafe { Self::plain(module, mechanism, false) }
    }

    /// For C_WrapKeyAuthenticated.
    ///
    /// # Safety
    /// The contract of `args`.
    pub(super) unsafe fn of_authenticated_wrap(
        module: &Module,
        mechanism: *const ck::CK_MECHANISM,
    ) -> Result<Self> {
        // SAFETY: passed on.
        unsafe { Self::authenticated(module, mechanism, true) }
    }

    /// For C_UnwrapKeyAuthenticated.
    ///
    /// # Safety
    /// The contract of `args`.
    pub(super) unsafe fn of_authenticated_unwrap(
        module: &Module,
        mechanism: *const ck::CK_MECHANISM,
    ) -> Result<Self> {
        // SAFETY: passed on.
        unsafe { Self::authenticated(module, mechanism, false) }
    }

    unsafe fn plain(module: &Module, mechanism: *const ck::CK_MECHANISM, generate: bool) -> Result<Self> {
        // SAFETY: passed on.
        let raw = unsafe { args::read(mechanism) }?;
        let is_wrap_params = raw.ulParameterLen == size_of::<ck::CK_GCM_WRAP_PARAMS>() as ck::CK_ULONG;
        let row = module.mechanism(raw.mechanism)?;
        if row.parameter != ParameterKind::Gcm || !is_wrap_params {
            // SAFETY: passed on.
            let call = unsafe { mechanism::call(module, mechanism) }?;
            return Ok(Self { call, iv: None, tag: (std::ptr::null_mut(), 0) });
        }
        // SAFETY: passed on; the struct is numbers and pointers.
        let gcm: ck::CK_GCM_WRAP_PARAMS = unsafe { Raw(raw).exactly() }?;
        let generator = if generate { gcm.ivGenerator } else { ck::CKG_NO_GENERATE };
        // SAFETY: passed on.
        let (iv, place) = unsafe { iv(gcm.pIv, gcm.ulIvLen, gcm.ulIvFixedBits, generator) }?;
        // SAFETY: passed on.
        let aad = unsafe { mechanism::nested(gcm.pAAD, gcm.ulAADLen) }?.to_vec();
        let parameters = Parameters::Gcm { iv: iv.clone(), aad, tag_bits: gcm.ulTagBits };
        Ok(Self {
            call: MechanismCall { row, parameters },
            iv: place.map(|place| (place, iv)),
            tag: (std::ptr::null_mut(), 0),
        })
    }

    unsafe fn authenticated(
        module: &Module,
        mechanism: *const ck::CK_MECHANISM,
        generate: bool,
    ) -> Result<Self> {
        // SAFETY: passed on.
        let raw = unsafe { args::read(mechanism) }?;
        let row = module.mechanism(raw.mechanism)?;
        if row.parameter != ParameterKind::Gcm {
            return Err(Error::MechanismInvalid);
        }
        // SAFETY: passed on; the struct is numbers and pointers.
        let gcm: ck::CK_GCM_MESSAGE_PARAMS = unsafe { Raw(raw).exactly() }?;
        let whole_bytes = gcm.ulTagBits.is_multiple_of(8) && gcm.ulTagBits <= 128;
        if gcm.pTag.is_null() || !whole_bytes {
            return Err(Error::MechanismParamInvalid);
        }
        let generator = if generate { gcm.ivGenerator } else { ck::CKG_NO_GENERATE };
        // SAFETY: passed on.
        let (iv, place) = unsafe { iv(gcm.pIv, gcm.ulIvLen, gcm.ulIvFixedBits, generator) }?;
        let parameters = Parameters::Gcm { iv: iv.clone(), aad: Vec::new(), tag_bits: gcm.ulTagBits };
        Ok(Self {
            call: MechanismCall { row, parameters },
            iv: place.map(|place| (place, iv)),
            tag: (gcm.pTag, gcm.ulTagBits as usize / 8),
        })
    }

    /// Writes what the caller gets back in its parameter: the IV that was generated, and the tag.
    pub(super) fn give_back(&self, tag: &[u8]) {
        if let Some((place, iv)) = &self.iv {
            // SAFETY: pIv, writable for ulIvLen bytes by the contract that `self` was made under.
            unsafe { std::ptr::copy_nonoverlapping(iv.as_ptr(), *place, iv.len()) };
        }
        if !tag.is_empty() {
            // SAFETY: pTag, not NULL, and writable for ulTagBits by the contract that `self` was made under; the tag
            // has as many bits by `split`.
            unsafe { std::ptr::copy_nonoverlapping(tag.as_ptr(), self.tag.0, tag.len()) };
        }
    }

    /// Has `wrap` produce wrapped key and tag together; the key goes to `out`, the tag to the parameter.
    pub(super) fn split(
        &self,
        wrap: impl Fn(Output<'_>) -> Result<Written>,
        out: Output<'_>,
    ) -> Result<Written> {
        let (Written::Needs(whole) | Written::Bytes(whole)) = wrap(Output::length())?;
        let key_len = whole.checked_sub(self.tag.1).ok_or(Error::GeneralError)?;
        if !out.fits(key_len) {
            return Ok(Written::Needs(key_len));
        }
        let mut wrapped = vec![0; whole];
        match wrap(Output::buffer(&mut wrapped))? {
            Written::Bytes(len) if len == whole => {}
            _ => return Err(Error::GeneralError),
        }
        self.give_back(&wrapped[key_len..]);
        Ok(out.write(&wrapped[..key_len]))
    }

    /// The wrapped key followed by the tag of the parameter.
    pub(super) fn joined(&self, wrapped: &[u8]) -> Vec<u8> {
        let mut joined = wrapped.to_vec();
        let (tag, len) = self.tag;
        joined.resize(wrapped.len() + len, 0);
        // SAFETY: pTag, not NULL, and readable for ulTagBits by the contract that `self` was made under.
        unsafe { std::ptr::copy_nonoverlapping(tag, joined[wrapped.len()..].as_mut_ptr(), len) };
        joined
    }
}

/// The IV to use, and pIv where it is a generated one. Counters would have to be kept with the key; they are refused.
unsafe fn iv(
    place: *mut u8,
    len: ck::CK_ULONG,
    fixed_bits: ck::CK_ULONG,
    generator: ck::CK_GENERATOR_FUNCTION,
) -> Result<(Vec<u8>, Option<*mut u8>)> {
    if place.is_null() || !(1..=MAX_IV).contains(&len) {
        return Err(Error::MechanismParamInvalid);
    }
    match generator {
        // SAFETY: passed on.
        ck::CKG_NO_GENERATE => Ok((unsafe { mechanism::nested(place, len) }?.to_vec(), None)),
        ck::CKG_GENERATE | ck::CKG_GENERATE_RANDOM => {
            if (len * 8).checked_sub(fixed_bits).is_none_or(|bits| bits < MIN_GENERATED_BITS) {
                return Err(Error::MechanismParamInvalid);
            }
            let mut iv = vec![0; len as usize];
            algorithms::random::fill(&mut iv)?;
            let (whole, rest) = (fixed_bits as usize / 8, fixed_bits as usize % 8);
            // SAFETY: passed on; the fixed part is the caller's.
            let fixed = unsafe { mechanism::nested(place, fixed_bits.div_ceil(8)) }?;
            iv[..whole].copy_from_slice(&fixed[..whole]);
            if rest > 0 {
                let mask = 0xff_u8 << (8 - rest);
                iv[whole] = (fixed[whole] & mask) | (iv[whole] & !mask);
            }
            Ok((iv, Some(place)))
        }
        _ => Err(Error::MechanismParamInvalid),
    }
}
