//! AWS-LC through functions that it exports but does not document: signing mu with a `rnd` of the caller's.

use std::{ffi::c_int, ptr};

use algorithms::{
    Error, SecretBytes,
    ml_dsa::{AwsLc, Engine, Hedging, ParameterSet, PrivateKey},
};

/// The private key, where the signature goes, its length, mu with its length, what comes before the message with its
/// length, and rnd.
type Sign = unsafe extern "C" fn(
    *const u8,
    *mut u8,
    *mut usize,
    *const u8,
    usize,
    *const u8,
    usize,
    *const u8,
) -> c_int;

mod c {
    use std::ffi::c_int;

    macro_rules! sign {
        ($($name:ident = $symbol:literal,)*) => {
            unsafe extern "C" {$(
                #[link_name = $symbol]
                pub(super) fn $name(
                    private_key: *const u8,
                    signature: *mut u8,
                    signature_len: *mut usize,
                    mu: *const u8,
                    mu_len: usize,
                    before: *const u8,
                    before_len: usize,
                    rnd: *const u8,
                ) -> c_int;
            )*}
        };
    }

    // The prefix is that of the version.
    sign! {
        sign_44 = "aws_lc_0_47_0_ml_dsa_extmu_44_sign_internal",
        sign_65 = "aws_lc_0_47_0_ml_dsa_extmu_65_sign_internal",
        sign_87 = "aws_lc_0_47_0_ml_dsa_extmu_87_sign_internal",
    }
}

/// AWS-LC, deterministic.
pub struct Deterministic;

impl Engine for Deterministic {
    /// skEncode's bytes.
    type PreparedKey = SecretBytes;
    type PreparedPublic = <AwsLc as Engine>::PreparedPublic;

    fn prepare(set: ParameterSet, seed: &SecretBytes) -> Result<SecretBytes, Error> {
        PrivateKey::from_seed(set, seed)?.expanded()
    }

    fn sign_mu(
        set: ParameterSet,
        key: &SecretBytes,
        mu: &[u8; 64],
        hedging: Hedging,
        out: &mut [u8],
    ) -> Result<(), Error> {
        if hedging != Hedging::Deterministic {
            return Err(Error::ParameterInvalid);
        }
        let sign: Sign = match set {
            ParameterSet::MlDsa44 => c::sign_44,
            ParameterSet::MlDsa65 => c::sign_65,
            ParameterSet::MlDsa87 => c::sign_87,
        };
        if out.len() != set.signature_len() {
            return Err(Error::SignatureLength);
        }
        let mut len = out.len();
        // SAFETY: the key is as long as this set's are, and so is the signature; mu has 64 bytes, rnd 32, and before mu
        // comes nothing.
        let done = unsafe {
            sign(
                key.expose().as_ptr(),
                out.as_mut_ptr(),
                &raw mut len,
                mu.as_ptr(),
                mu.len(),
                ptr::null(),
                0,
                [0; 32].as_ptr(),
            )
        };
        if done == 1 { Ok(()) } else { Err(Error::EngineFailed) }
    }

    fn prepare_public(set: ParameterSet, encoded: &[u8]) -> Result<Self::PreparedPublic, Error> {
        AwsLc::prepare_public(set, encoded)
    }

    fn verify_mu(
        set: ParameterSet,
        key: &Self::PreparedPublic,
        mu: &[u8; 64],
        signature: &[u8],
    ) -> Result<(), Error> {
        AwsLc::verify_mu(set, key, mu, signature)
    }
}
