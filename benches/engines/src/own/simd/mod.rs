//! Vectors: of 32-bit coefficients for the NTT, of 64-bit words for Keccak. Unsafe code is here and in `dispatch`.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
pub(super) mod portable;

use super::poly::Poly;
#[cfg(doc)]
use super::{keccak, ntt};

/// q^-1 modulo 2^32.
const Q_INVERSE: i32 = 58_728_449;

/// `N` coefficients.
pub(super) trait Lanes<const N: usize>: Copy {
    /// `N` products of 64 bits.
    type Products: Copy;

    fn load(from: &[i32]) -> Self;
    fn store(self, to: &mut [i32]);
    fn splat(value: i32) -> Self;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self::Products;
    fn add_products(one: Self::Products, other: Self::Products) -> Self::Products;
    fn sub_products(one: Self::Products, other: Self::Products) -> Self::Products;
    /// MontgomeryReduce (Algorithm 49): a / 2^32 modulo q, between -q and q, for |a| <= 2^31 q.
    fn reduce(products: Self::Products) -> Self;
    /// Makes rows of columns.
    fn transpose(rows: &mut [Self; N]);
    /// [`ntt::ntt`], compiled for these vectors.
    fn ntt(w: &mut Poly);
    /// [`ntt::inverse_ntt`], compiled for these vectors.
    fn inverse_ntt(w: &mut Poly);
}

/// One word of each of `WAYS` Keccak states.
pub(super) trait Words: Copy {
    const WAYS: usize;

    /// One word for each state.
    fn gather(of: impl Fn(usize) -> u64) -> Self;
    /// Gives each state its word.
    fn scatter(self, to: impl FnMut(usize, u64));
    fn splat(word: u64) -> Self;
    fn xor(self, other: Self) -> Self;
    /// a ^ b ^ c.
    fn xor3(self, b: Self, c: Self) -> Self;
    /// chi: a ^ (!b & c).
    fn chi(self, b: Self, c: Self) -> Self;
    /// `BACK` is 64 - `BY`.
    fn rotate_left<const BY: i32, const BACK: i32>(self) -> Self;
    /// [`keccak::permute`], compiled for these vectors.
    fn permute(state: &mut [Self; 25]);
}
