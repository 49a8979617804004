//! CK_MECHANISM: parameters are read by the kind that the mechanism's table row names, and copied. Whatever does not
//! have exactly the shape of its struct is CKR_MECHANISM_PARAM_INVALID.

use algorithms::ml_dsa::Hedging;
use cryptoki_sys as ck;

use super::args;
use crate::{
    Module,
    error::{Error, Result},
    handle::SessionHandle,
    mechanism::{MechanismCall, ParameterKind, Parameters},
    operation::Family,
};

/// The limit of FIPS 204 and RFC 8032 on context strings.
const MAX_CONTEXT: usize = 255;
/// The first half of the alternative initial value of RFC 5649 section 3; the other is the length of the key.
const RFC_5649_IV: [u8; 4] = [0xa6, 0x59, 0x59, 0xa6];
/// No IV, AAD or other nested field is longer: the limit of CK_GCM_PARAMS on ulAADLen.
const MAX_NESTED: u64 = u32::MAX as u64;

/// Begins an operation, or with a NULL mechanism ends the one that is active (section 5.8 and on). There is no
/// `operation` of a kind that no mechanism has.
///
/// # Safety
/// The contract of `args`.
pub(super) unsafe fn begin(
    module: &Module,
    session: ck::CK_SESSION_HANDLE,
    mechanism: *const ck::CK_MECHANISM,
    operation: Option<Family>,
    begin: impl FnOnce(SessionHandle, MechanismCall) -> Result<()>,
) -> Result<()> {
    let handle = SessionHandle(session);
    if mechanism.is_null() {
        let open = module.session(handle)?;
        if let Some(operation) = operation {
            open.operations.lock().end(operation);
        }
        return Ok(());
    }
    // On verification the hedge variant is ignored (section 6.67), whatever it is.
    let verifies =
        matches!(operation, Some(Family::Verify | Family::VerifySignature | Family::MessageVerify));
    let hedging = if verifies { |_| Ok(Hedging::Hedged) } else { hedging };
    // SAFETY: passed on.
    begin(handle, unsafe { call_with(module, mechanism, hedging) }?)
}

/// A mechanism that must be there.
///
/// # Safety
/// The contract of `args`.
pub(super) unsafe fn call(module: &Module, mechanism: *const ck::CK_MECHANISM) -> Result<MechanismCall> {
    // SAFETY: passed on.
    unsafe { call_with(module, mechanism, hedging) }
}

type HedgingOf = fn(ck::CK_HEDGE_TYPE) -> Result<Hedging>;

unsafe fn call_with(
    module: &Module,
    mechanism: *const ck::CK_MECHANISM,
    hedging: HedgingOf,
) -> Result<MechanismCall> {
    // SAFETY: passed on.
    let mechanism = unsafe { args::read(mechanism) }?;
    let row = module.mechanism(mechanism.mechanism)?;
    // SAFETY: passed on.
    let parameters = unsafe { Raw(mechanism).parameters(row.parameter, hedging) }?;
    Ok(MechanismCall { row, parameters })
}

/// The caller's struct, whose pParameter keeps the contract of `args`.
pub(super) struct Raw(pub(super) ck::CK_MECHANISM);

impl Raw {
    unsafe fn parameters(&self, kind: ParameterKind, hedging: HedgingOf) -> Result<Parameters> {
        use ParameterKind as Kind;
        let optional = matches!(
            kind,
            Kind::None | Kind::SignContext | Kind::Eddsa | Kind::KeyWrapIv | Kind::PaddedKeyWrapIv
        );
        if self.absent() && optional {
            return Ok(Parameters::None);
        }
        // SAFETY: passed on; the structs are plain numbers and pointers.
        unsafe {
            match kind {
                Kind::None => Err(Error::MechanismParamInvalid),
                Kind::SignContext => self.sign_context(hedging),
                Kind::HashSignContext => self.hash_sign_context(hedging),
                Kind::Eddsa => self.eddsa(),
                Kind::Pss => self.pss(),
                Kind::Iv16 => self.exactly().map(Parameters::Iv16),
                Kind::Ctr => self.ctr(),
                Kind::Gcm => self.gcm(),
                Kind::KeyWrapIv => self.exactly().map(Parameters::KeyWrapIv),
                Kind::PaddedKeyWrapIv if self.exactly() == Ok(RFC_5649_IV) => Ok(Parameters::None),
                Kind::PaddedKeyWrapIv => Err(Error::MechanismParamInvalid),
                Kind::MacLength => self.exactly().map(Parameters::MacLength),
            }
        }
    }

    /// The length says so: some callers have a pointer to nothing beside it.
    fn absent(&self) -> bool {
        self.0.ulParameterLen == 0
    }

    /// The parameter as a `T`, if it has the length of one.
    pub(super) unsafe fn exactly<T: Copy>(&self) -> Result<T> {
        if self.0.ulParameterLen != size_of::<T>() as ck::CK_ULONG {
            return Err(Error::MechanismParamInvalid);
        }
        // SAFETY: passed on; there are as many bytes as a `T` has.
        unsafe { args::read(self.0.pParameter.cast::<T>()) }.map_err(|_| Error::MechanismParamInvalid)
    }

    unsafe fn sign_context(&self, hedging: HedgingOf) -> Result<Parameters> {
        // SAFETY: passed on.
        let raw: ck::CK_SIGN_ADDITIONAL_CONTEXT = unsafe { self.exactly() }?;
        // SAFETY: passed on.
        let context = unsafe { context(raw.pContext, raw.ulContextLen) }?;
        Ok(Parameters::SignContext { hedging: hedging(raw.hedgeVariant)?, context })
    }

    unsafe fn hash_sign_context(&self, hedging: HedgingOf) -> Result<Parameters> {
        // SAFETY: passed on.
        let raw: ck::CK_HASH_SIGN_ADDITIONAL_CONTEXT = unsafe { self.exactly() }?;
        // SAFETY: passed on.
        let context = unsafe { context(raw.pContext, raw.ulContextLen) }?;
        Ok(Parameters::HashSignContext { hedging: hedging(raw.hedgeVariant)?, context, hash: raw.hash })
    }

    unsafe fn eddsa(&self) -> Result<Parameters> {
        // SAFETY: passed on.
        let raw: ck::CK_EDDSA_PARAMS = unsafe { self.exactly() }?;
        let prehash = match raw.phFlag {
            ck::CK_FALSE => false,
            ck::CK_TRUE => true,
            _ => return Err(Error::MechanismParamInvalid),
        };
        // SAFETY: passed on.
        let bytes = unsafe { context(raw.pContextData, raw.ulContextDataLen) }?;
        let context = (!raw.pContextData.is_null()).then_some(bytes);
        Ok(Parameters::Eddsa { prehash, context })
    }

    unsafe fn pss(&self) -> Result<Parameters> {
        // SAFETY: passed on.
        let raw: ck::CK_RSA_PKCS_PSS_PARAMS = unsafe { self.exactly() }?;
        let salt_len = usize::try_from(raw.sLen).map_err(|_| Error::MechanismParamInvalid)?;
        Ok(Parameters::Pss { hash: raw.hashAlg, mgf: raw.mgf, salt_len })
    }

    unsafe fn ctr(&self) -> Result<Parameters> {
        // SAFETY: passed on.
        let raw: ck::CK_AES_CTR_PARAMS = unsafe { self.exactly() }?;
        Ok(Parameters::Ctr { counter_bits: raw.ulCounterBits, block: raw.cb })
    }

    unsafe fn gcm(&self) -> Result<Parameters> {
        // SAFETY: passed on.
        let raw: ck::CK_GCM_PARAMS = unsafe { self.exactly() }?;
        // SAFETY: passed on.
        let (iv, aad) = unsafe { (nested(raw.pIv, raw.ulIvLen)?, nested(raw.pAAD, raw.ulAADLen)?) };
        Ok(Parameters::Gcm { iv: iv.to_vec(), aad: aad.to_vec(), tag_bits: raw.ulTagBits })
    }
}

fn hedging(variant: ck::CK_HEDGE_TYPE) -> Result<Hedging> {
    match variant {
        ck::CKH_HEDGE_PREFERRED | ck::CKH_HEDGE_REQUIRED => Ok(Hedging::Hedged),
        ck::CKH_DETERMINISTIC_REQUIRED => Ok(Hedging::Deterministic),
        _ => Err(Error::MechanismParamInvalid),
    }
}

unsafe fn context(pointer: *const u8, len: ck::CK_ULONG) -> Result<Vec<u8>> {
    if len > MAX_CONTEXT as ck::CK_ULONG {
        return Err(Error::MechanismParamInvalid);
    }
    // SAFETY: passed on.
    Ok(unsafe { nested(pointer, len) }?.to_vec())
}

/// Bytes behind a pointer of a parameter struct.
///
/// # Safety
/// The contract of `args`.
pub(super) unsafe fn nested<'a>(pointer: *const u8, len: ck::CK_ULONG) -> Result<&'a [u8]> {
    if len > MAX_NESTED {
        return Err(Error::MechanismParamInvalid);
    }
    // SAFETY: passed on.
    unsafe { args::bytes(pointer, len) }.map_err(|_| Error::MechanismParamInvalid)
}
