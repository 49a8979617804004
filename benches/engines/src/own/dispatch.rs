//! One copy of the engine for each kind of vector, compiled for the CPUs that have it, and the choice between them.

use algorithms::{Error, SecretBytes};

use super::{
    key::{PrivateKey, PublicKey},
    params::Set,
};

/// A kind of vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// None.
    Portable,
    /// Four Keccak states, eight coefficients.
    Avx2,
    /// Eight Keccak states, sixteen coefficients.
    Avx512,
}

impl Level {
    /// Whether this CPU can.
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f"),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }
}

macro_rules! level {
    ($module:ident, $lanes:literal of $coefficients:ty, $words:ty, $(#[$features:meta])?) => {
        mod $module {
            use super::*;
            use crate::own::{sign::sign as sign_internal, verify::verify as verify_internal};

            $(#[$features])?
            pub(super) fn private<S: Set>(seed: &SecretBytes, keep_matrix: bool) -> PrivateKey {
                PrivateKey::from_seed::<S, $coefficients, $words, $lanes>(seed, keep_matrix)
            }

            $(#[$features])?
            pub(super) fn public<S: Set>(encoded: &[u8], keep_matrix: bool) -> Result<PublicKey, Error> {
                PublicKey::decode::<S, $coefficients, $words, $lanes>(encoded, keep_matrix)
            }

            $(#[$features])?
            pub(super) fn sign<S: Set>(
                key: &PrivateKey,
                mu: &[u8; 64],
                rnd: &[u8; 32],
            ) -> Result<Vec<u8>, Error> {
                sign_internal::<S, $coefficients, $words, $lanes>(key, mu, rnd)
            }

            $(#[$features])?
            pub(super) fn verify<S: Set>(key: &PublicKey, mu: &[u8; 64], signature: &[u8]) -> bool {
                verify_internal::<S, $coefficients, $words, $lanes>(key, mu, signature)
            }
        }
    };
}

level!(portable, 8 of [i32; 8], u64,);
#[cfg(target_arch = "x86_64")]
level!(avx2, 8 of std::arch::x86_64::__m256i, std::arch::x86_64::__m256i, #[target_feature(enable = "avx2,bmi2")]);
#[cfg(target_arch = "x86_64")]
level!(avx512, 16 of std::arch::x86_64::__m512i, std::arch::x86_64::__m512i, #[target_feature(enable = "avx2,avx512f,bmi2")]);

/// Calls the copy for `$level`, which the caller has found available.
macro_rules! call {
    ($level:expr, $function:ident::<$set:ident>($($argument:expr),*)) => {{
        assert!($level.is_available(), "{:?} on this CPU", $level);
        match $level {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the CPU has it, as was asserted.
            Level::Avx2 => unsafe { avx2::$function::<$set>($($argument),*) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Level::Avx512 => unsafe { avx512::$function::<$set>($($argument),*) },
            _ => portable::$function::<$set>($($argument),*),
        }
    }};
}

pub(super) fn private<S: Set>(level: Level, seed: &SecretBytes, keep_matrix: bool) -> PrivateKey {
    call!(level, private::<S>(seed, keep_matrix))
}

pub(super) fn public<S: Set>(level: Level, encoded: &[u8], keep_matrix: bool) -> Result<PublicKey, Error> {
    call!(level, public::<S>(encoded, keep_matrix))
}

pub(super) fn sign<S: Set>(
    level: Level,
    key: &PrivateKey,
    mu: &[u8; 64],
    rnd: &[u8; 32],
) -> Result<Vec<u8>, Error> {
    call!(level, sign::<S>(key, mu, rnd))
}

pub(super) fn verify<S: Set>(level: Level, key: &PublicKey, mu: &[u8; 64], signature: &[u8]) -> bool {
    call!(level, verify::<S>(key, mu, signature))
}
