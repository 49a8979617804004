//! The parameter sets (FIPS 204 section 4, tables 1 and 2).

use algorithms::ml_dsa::ParameterSet;

/// The modulus.
pub(super) const Q: i32 = 8_380_417;
/// Bits dropped from t.
pub(super) const D: u32 = 13;

/// A row of table 1.
pub(super) trait Set {
    const NAME: ParameterSet;
    const K: usize;
    const L: usize;
    const ETA: i32;
    const TAU: usize;
    const GAMMA_1: i32;
    const GAMMA_2: i32;
    const OMEGA: usize;
    /// Bytes in c~: lambda / 4.
    const CHALLENGE_LEN: usize;

    const BETA: i32 = Self::TAU as i32 * Self::ETA;
    /// Bits of a coefficient of z, and of y.
    const Z_BITS: usize = 1 + Self::GAMMA_1.ilog2() as usize;
    /// Bytes of one packed polynomial of z, and of y.
    const Z_LEN: usize = 32 * Self::Z_BITS;
    /// How many values HighBits has.
    const HIGHS: i32 = (Q - 1) / (2 * Self::GAMMA_2);
    /// Bits of a coefficient of w1.
    const W1_BITS: usize = 1 + (Self::HIGHS - 1).ilog2() as usize;
    /// Bytes of one packed polynomial of w1.
    const W1_LEN: usize = 32 * Self::W1_BITS;
}

macro_rules! sets {
    ($($set:ident: $k:literal, $l:literal, $eta:literal, $tau:literal, $gamma_1:expr, $gamma_2:expr, $omega:literal,
        $challenge:literal;)*) => {$(
        pub(super) struct $set;

        impl Set for $set {
            const NAME: ParameterSet = ParameterSet::$set;
            const K: usize = $k;
            const L: usize = $l;
            const ETA: i32 = $eta;
            const TAU: usize = $tau;
            const GAMMA_1: i32 = $gamma_1;
            const GAMMA_2: i32 = $gamma_2;
            const OMEGA: usize = $omega;
            const CHALLENGE_LEN: usize = $challenge;
        }
    )*};
}

sets! {
    MlDsa44: 4, 4, 2, 39, 1 << 17, (Q - 1) / 88, 80, 32;
    MlDsa65: 6, 5, 4, 49, 1 << 19, (Q - 1) / 32, 55, 48;
    MlDsa87: 8, 7, 2, 60, 1 << 19, (Q - 1) / 32, 75, 64;
}

/// The largest K and L.
pub(super) const MOST: usize = 8;
