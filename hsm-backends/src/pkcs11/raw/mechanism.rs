//! Mechanisms with their parameters, as PKCS#11 has them in memory.

use std::ptr;

use cryptoki_sys as ck;

use super::{input, len};

/// What a mechanism takes besides its number.
#[derive(Debug, Clone, Copy)]
pub(in crate::pkcs11) enum Parameter<'a> {
    None,
    /// AES-GCM with a tag of 16 bytes.
    Gcm {
        nonce: &'a [u8; 12],
        context: &'a [u8],
    },
    Pss {
        hash: u64,
        mgf: u64,
        salt_len: usize,
    },
    Eddsa {
        prehashed: bool,
        context: &'a [u8],
    },
    MlDsa {
        hedge: u64,
        context: &'a [u8],
    },
    HashMlDsa {
        hedge: u64,
        context: &'a [u8],
        hash: u64,
    },
}

/// A mechanism and its parameter.
#[derive(Debug, Clone, Copy)]
pub(in crate::pkcs11) struct Mechanism<'a> {
    pub(in crate::pkcs11) kind: u64,
    pub(in crate::pkcs11) parameter: Parameter<'a>,
}

impl Mechanism<'_> {
    pub(in crate::pkcs11) fn plain(kind: u64) -> Self {
        Self { kind, parameter: Parameter::None }
    }
}

/// Runs `f` with a CK_MECHANISM whose parameter lives as long as the call.
pub(super) fn with<T>(mechanism: Mechanism<'_>, f: impl FnOnce(*mut ck::CK_MECHANISM) -> T) -> T {
    fn run<P, T>(kind: u64, mut parameter: P, f: impl FnOnce(*mut ck::CK_MECHANISM) -> T) -> T {
        let mut raw = ck::CK_MECHANISM {
            mechanism: kind,
            pParameter: (&raw mut parameter).cast(),
            ulParameterLen: size_of::<P>() as ck::CK_ULONG,
        };
        f(&raw mut raw)
    }
    let kind = mechanism.kind;
    match mechanism.parameter {
        Parameter::None => {
            let mut raw =
                ck::CK_MECHANISM { mechanism: kind, pParameter: ptr::null_mut(), ulParameterLen: 0 };
            f(&raw mut raw)
        }
        Parameter::Gcm { nonce, context } => {
            let parameter = ck::CK_GCM_PARAMS {
                pIv: input(nonce),
                ulIvLen: len(nonce),
                ulIvBits: 8 * len(nonce),
                pAAD: input(context),
                ulAADLen: len(context),
                ulTagBits: 128,
            };
            run(kind, parameter, f)
        }
        Parameter::Pss { hash, mgf, salt_len } => {
            let sLen = salt_len as ck::CK_ULONG;
            run(kind, ck::CK_RSA_PKCS_PSS_PARAMS { hashAlg: hash, mgf, sLen }, f)
        }
        Parameter::Eddsa { prehashed, context } => {
            let parameter = ck::CK_EDDSA_PARAMS {
                phFlag: u8::from(prehashed),
                ulContextDataLen: len(context),
                pContextData: input(context),
            };
            run(kind, parameter, f)
        }
        Parameter::MlDsa { hedge, context } => {
            let parameter = ck::CK_SIGN_ADDITIONAL_CONTEXT {
                hedgeVariant: hedge,
                pContext: input(context),
                ulContextLen: len(context),
            };
            run(kind, parameter, f)
        }
        Parameter::HashMlDsa { hedge, context, hash } => {
            let parameter = ck::CK_HASH_SIGN_ADDITIONAL_CONTEXT {
                hedgeVariant: hedge,
                pContext: input(context),
                ulContextLen: len(context),
                hash,
            };
            run(kind, parameter, f)
        }
    }
}
