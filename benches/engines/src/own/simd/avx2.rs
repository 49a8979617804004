//! Vectors of 256 bits.

use std::arch::x86_64::*;

use super::{Lanes, Q_INVERSE, Words};
use crate::own::{keccak, ntt, params::Q, poly::Poly};

/// Intrinsics, which are inlined into functions that have AVX2.
macro_rules! avx2 {
    ($($body:tt)*) => {
        // SAFETY: these types are used by the functions of `dispatch` that are compiled for AVX2, which are called only
        // where the CPU has it. Unaligned loads and stores are of arrays of 32 bytes.
        unsafe { $($body)* }
    };
}

impl Lanes<8> for __m256i {
    /// Of the even lanes, and of the odd ones.
    type Products = [__m256i; 2];

    #[inline(always)]
    fn load(from: &[i32]) -> Self {
        let from: &[i32; 8] = from.first_chunk().expect("a caller has 8");
        avx2! { _mm256_loadu_si256(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store(self, to: &mut [i32]) {
        let to: &mut [i32; 8] = to.first_chunk_mut().expect("a caller has 8");
        avx2! { _mm256_storeu_si256(to.as_mut_ptr().cast(), self) }
    }

    #[inline(always)]
    fn splat(value: i32) -> Self {
        avx2! { _mm256_set1_epi32(value) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        avx2! { _mm256_add_epi32(self, other) }
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        avx2! { _mm256_sub_epi32(self, other) }
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self::Products {
        avx2! {[
            _mm256_mul_epi32(self, other),
            _mm256_mul_epi32(_mm256_srli_epi64::<32>(self), _mm256_srli_epi64::<32>(other)),
        ]}
    }

    #[inline(always)]
    fn add_products(one: Self::Products, other: Self::Products) -> Self::Products {
        avx2! { [_mm256_add_epi64(one[0], other[0]), _mm256_add_epi64(one[1], other[1])] }
    }

    #[inline(always)]
    fn sub_products(one: Self::Products, other: Self::Products) -> Self::Products {
        avx2! { [_mm256_sub_epi64(one[0], other[0]), _mm256_sub_epi64(one[1], other[1])] }
    }

    #[inline(always)]
    fn reduce(products: Self::Products) -> Self {
        avx2! {
            let (q, inverse) = (_mm256_set1_epi32(Q), _mm256_set1_epi32(Q_INVERSE));
            let [even, odd] = products;
            let even = _mm256_sub_epi64(even, _mm256_mul_epi32(_mm256_mul_epi32(even, inverse), q));
            let odd = _mm256_sub_epi64(odd, _mm256_mul_epi32(_mm256_mul_epi32(odd, inverse), q));
            _mm256_blend_epi32::<0xaa>(_mm256_srli_epi64::<32>(even), odd)
        }
    }

    #[inline(always)]
    fn transpose(rows: &mut [Self; 8]) {
        // Exchanges the blocks beside the diagonal: of 4 by 4, of 2 by 2, of 1.
        avx2! {
            for row in [0, 1, 2, 3] {
                let [a, b] = [rows[row], rows[row + 4]];
                rows[row] = _mm256_permute2x128_si256::<0x20>(a, b);
                rows[row + 4] = _mm256_permute2x128_si256::<0x31>(a, b);
            }
            for row in [0, 1, 4, 5] {
                let [a, b] = [rows[row], rows[row + 2]];
                rows[row] = _mm256_unpacklo_epi64(a, b);
                rows[row + 2] = _mm256_unpackhi_epi64(a, b);
            }
            for row in [0, 2, 4, 6] {
                let [a, b] = [rows[row], rows[row + 1]];
                rows[row] = _mm256_blend_epi32::<0xaa>(a, _mm256_slli_epi64::<32>(b));
                rows[row + 1] = _mm256_blend_epi32::<0xaa>(_mm256_srli_epi64::<32>(a), b);
            }
        }
    }

    #[inline(always)]
    fn ntt(w: &mut Poly) {
        avx2! { forward(w) }
    }

    #[inline(always)]
    fn inverse_ntt(w: &mut Poly) {
        avx2! { inverse(w) }
    }
}

impl Words for __m256i {
    const WAYS: usize = 4;

    #[inline(always)]
    fn gather(of: impl Fn(usize) -> u64) -> Self {
        let words = [of(0), of(1), of(2), of(3)];
        avx2! { _mm256_loadu_si256(words.as_ptr().cast()) }
    }

    #[inline(always)]
    fn scatter(self, mut to: impl FnMut(usize, u64)) {
        let mut words = [0_u64; 4];
        avx2! { _mm256_storeu_si256(words.as_mut_ptr().cast(), self) };
        for (way, word) in words.into_iter().enumerate() {
            to(way, word);
        }
    }

    #[inline(always)]
    fn splat(word: u64) -> Self {
        avx2! { _mm256_set1_epi64x(word as i64) }
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        avx2! { _mm256_xor_si256(self, other) }
    }

    #[inline(always)]
    fn xor3(self, b: Self, c: Self) -> Self {
        self.xor(b).xor(c)
    }

    #[inline(always)]
    fn chi(self, b: Self, c: Self) -> Self {
        avx2! { _mm256_xor_si256(self, _mm256_andnot_si256(b, c)) }
    }

    #[inline(always)]
    fn rotate_left<const BY: i32, const BACK: i32>(self) -> Self {
        avx2! { _mm256_or_si256(_mm256_slli_epi64::<BY>(self), _mm256_srli_epi64::<BACK>(self)) }
    }

    #[inline(always)]
    fn permute(state: &mut [Self; 25]) {
        avx2! { permute(state) }
    }
}

#[target_feature(enable = "avx2")]
#[inline(never)]
fn forward(w: &mut Poly) {
    ntt::ntt::<__m256i, 8>(w);
}

#[target_feature(enable = "avx2")]
#[inline(never)]
fn inverse(w: &mut Poly) {
    ntt::inverse_ntt::<__m256i, 8>(w);
}

#[target_feature(enable = "avx2")]
#[inline(never)]
fn permute(state: &mut [__m256i; 25]) {
    keccak::permute(state);
}
