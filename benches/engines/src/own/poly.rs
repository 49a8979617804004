//! Polynomials, and what is done to them coefficient by coefficient. The compiler makes vectors of these loops.

use zeroize::Zeroize;

use super::params::{D, Q, Set};

/// 256 coefficients modulo q, in no particular range; which one, each function says.
#[derive(Clone, Copy, Zeroize)]
#[repr(C, align(64))]
pub(super) struct Poly(pub(super) [i32; 256]);

impl Poly {
    pub(super) const ZERO: Self = Self([0; 256]);

    /// Coefficient by coefficient.
    #[inline(always)]
    pub(super) fn map(&self, of: impl Fn(i32) -> i32) -> Self {
        let mut out = Self::ZERO;
        for (out, &a) in out.0.iter_mut().zip(&self.0) {
            *out = of(a);
        }
        out
    }

    /// Coefficient by coefficient.
    #[inline(always)]
    pub(super) fn zip(&self, other: &Self, of: impl Fn(i32, i32) -> i32) -> Self {
        let mut out = Self::ZERO;
        for ((out, &a), &b) in out.0.iter_mut().zip(&self.0).zip(&other.0) {
            *out = of(a, b);
        }
        out
    }

    /// Whether the infinity norm is below `bound`; the time does not depend on where it is not.
    #[inline(always)]
    pub(super) fn is_below(&self, bound: i32) -> bool {
        self.0.iter().fold(0, |over, &a| over | ((bound - 1 - a.abs()) >> 31)) == 0
    }
}

/// The representative of smallest size, for |a| < 2^31 - 2^22: below 6,283,009.
#[inline(always)]
pub(super) fn centered(a: i32) -> i32 {
    a - ((a + (1 << 22)) >> 23) * Q
}

/// The representative from 0 to q - 1, for |a| < 2^31 - 2^22.
#[inline(always)]
pub(super) fn canonical(a: i32) -> i32 {
    let a = centered(a);
    a + ((a >> 31) & Q)
}

/// Power2Round (Algorithm 35) of 0 to q - 1: (r1, r0).
#[inline(always)]
pub(super) fn power_2_round(r: i32) -> (i32, i32) {
    let high = (r + (1 << (D - 1)) - 1) >> D;
    (high, r - (high << D))
}

/// Decompose (Algorithm 36) of 0 to q - 1: (r1, r0).
#[inline(always)]
pub(super) fn decompose<S: Set>(r: i32) -> (i32, i32) {
    // A division by a constant is a multiplication.
    let high = ((r + S::GAMMA_2 - 1) as u32 / (2 * S::GAMMA_2) as u32) as i32;
    // All ones for the last interval, which is joined to the first.
    let wraps = (S::HIGHS - 1 - high) >> 31;
    (high & !wraps, r - high * 2 * S::GAMMA_2 - (wraps & 1))
}

/// HighBits (Algorithm 37) of 0 to q - 1.
#[inline(always)]
pub(super) fn high_bits<S: Set>(r: i32) -> i32 {
    decompose::<S>(r).0
}

/// LowBits (Algorithm 38) of 0 to q - 1.
#[inline(always)]
pub(super) fn low_bits<S: Set>(r: i32) -> i32 {
    decompose::<S>(r).1
}

/// UseHint (Algorithm 40) for h of 0 or 1 and r of 0 to q - 1.
#[inline(always)]
pub(super) fn use_hint<S: Set>(h: i32, r: i32) -> i32 {
    let (high, low) = decompose::<S>(r);
    let moved = high + if low > 0 { h } else { -h };
    let moved = moved + ((moved >> 31) & S::HIGHS);
    if moved == S::HIGHS { 0 } else { moved }
}
