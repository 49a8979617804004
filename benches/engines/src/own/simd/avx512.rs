//! Vectors of 512 bits.

use std::arch::x86_64::*;

use super::{Lanes, Q_INVERSE, Words};
use crate::own::{keccak, ntt, params::Q, poly::Poly};

/// Intrinsics, which are inlined into functions that have AVX-512.
macro_rules! avx512 {
    ($($body:tt)*) => {
        // SAFETY: these types are used by the functions of `dispatch` that are compiled for AVX-512F, which are called
        // only where the CPU has it. Unaligned loads and stores are of arrays of 64 bytes.
        unsafe { $($body)* }
    };
}

impl Lanes<16> for __m512i {
    /// Of the even lanes, and of the odd ones.
    type Products = [__m512i; 2];

    #[inline(always)]
    fn load(from: &[i32]) -> Self {
        let from: &[i32; 16] = from.first_chunk().expect("a caller has 16");
        avx512! { _mm512_loadu_si512(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store(self, to: &mut [i32]) {
        let to: &mut [i32; 16] = to.first_chunk_mut().expect("a caller has 16");
        avx512! { _mm512_storeu_si512(to.as_mut_ptr().cast(), self) }
    }

    #[inline(always)]
    fn splat(value: i32) -> Self {
        avx512! { _mm512_set1_epi32(value) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        avx512! { _mm512_add_epi32(self, other) }
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        avx512! { _mm512_sub_epi32(self, other) }
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self::Products {
        avx512! {[
            _mm512_mul_epi32(self, other),
            _mm512_mul_epi32(_mm512_srli_epi64::<32>(self), _mm512_srli_epi64::<32>(other)),
        ]}
    }

    #[inline(always)]
    fn add_products(one: Self::Products, other: Self::Products) -> Self::Products {
        avx512! { [_mm512_add_epi64(one[0], other[0]), _mm512_add_epi64(one[1], other[1])] }
    }

    #[inline(always)]
    fn sub_products(one: Self::Products, other: Self::Products) -> Self::Products {
        avx512! { [_mm512_sub_epi64(one[0], other[0]), _mm512_sub_epi64(one[1], other[1])] }
    }

    #[inline(always)]
    fn reduce(products: Self::Products) -> Self {
        avx512! {
            let (q, inverse) = (_mm512_set1_epi32(Q), _mm512_set1_epi32(Q_INVERSE));
            let [even, odd] = products;
            let even = _mm512_sub_epi64(even, _mm512_mul_epi32(_mm512_mul_epi32(even, inverse), q));
            let odd = _mm512_sub_epi64(odd, _mm512_mul_epi32(_mm512_mul_epi32(odd, inverse), q));
            _mm512_mask_mov_epi32(_mm512_srli_epi64::<32>(even), 0xaaaa, odd)
        }
    }

    #[inline(always)]
    fn transpose(rows: &mut [Self; 16]) {
        exchange::<8>(rows);
        exchange::<4>(rows);
        exchange::<2>(rows);
        exchange::<1>(rows);
    }

    #[inline(always)]
    fn ntt(w: &mut Poly) {
        avx512! { forward(w) }
    }

    #[inline(always)]
    fn inverse_ntt(w: &mut Poly) {
        avx512! { inverse(w) }
    }
}

/// Which lanes two rows take so that the blocks of `SIZE` by `SIZE` beside the diagonal are exchanged; 16 and above are
/// lanes of the second row.
const fn lanes(size: i32) -> [[i32; 16]; 2] {
    let mut taken = [[0; 16]; 2];
    let mut lane = 0;
    while lane < 16 {
        let left = lane & size == 0;
        taken[0][lane as usize] = if left { lane } else { 16 + lane - size };
        taken[1][lane as usize] = if left { lane + size } else { 16 + lane };
        lane += 1;
    }
    taken
}

#[inline(always)]
fn exchange<const SIZE: usize>(rows: &mut [__m512i; 16]) {
    let taken = const { lanes(SIZE as i32) };
    let [first, second] = [<__m512i as Lanes<16>>::load(&taken[0]), Lanes::load(&taken[1])];
    for pair in 0..8 {
        let row = pair / SIZE * 2 * SIZE + pair % SIZE;
        let [a, b] = [rows[row], rows[row + SIZE]];
        avx512! {
            rows[row] = _mm512_permutex2var_epi32(a, first, b);
            rows[row + SIZE] = _mm512_permutex2var_epi32(a, second, b);
        }
    }
}

impl Words for __m512i {
    const WAYS: usize = 8;

    #[inline(always)]
    fn gather(of: impl Fn(usize) -> u64) -> Self {
        let words = [of(0), of(1), of(2), of(3), of(4), of(5), of(6), of(7)];
        avx512! { _mm512_loadu_si512(words.as_ptr().cast()) }
    }

    #[inline(always)]
    fn scatter(self, mut to: impl FnMut(usize, u64)) {
        let mut words = [0_u64; 8];
        avx512! { _mm512_storeu_si512(words.as_mut_ptr().cast(), self) };
        for (way, word) in words.into_iter().enumerate() {
            to(way, word);
        }
    }

    #[inline(always)]
    fn splat(word: u64) -> Self {
        avx512! { _mm512_set1_epi64(word as i64) }
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        avx512! { _mm512_xor_si512(self, other) }
    }

    #[inline(always)]
    fn xor3(self, b: Self, c: Self) -> Self {
        avx512! { _mm512_ternarylogic_epi64::<0x96>(self, b, c) }
    }

    #[inline(always)]
    fn chi(self, b: Self, c: Self) -> Self {
        avx512! { _mm512_ternarylogic_epi64::<0xd2>(self, b, c) }
    }

    #[inline(always)]
    fn rotate_left<const BY: i32, const BACK: i32>(self) -> Self {
        avx512! { _mm512_rol_epi64::<BY>(self) }
    }

    #[inline(always)]
    fn permute(state: &mut [Self; 25]) {
        avx512! { permute(state) }
    }
}

#[target_feature(enable = "avx512f")]
#[inline(never)]
fn forward(w: &mut Poly) {
    ntt::ntt::<__m512i, 16>(w);
}

#[target_feature(enable = "avx512f")]
#[inline(never)]
fn inverse(w: &mut Poly) {
    ntt::inverse_ntt::<__m512i, 16>(w);
}

#[target_feature(enable = "avx512f")]
#[inline(never)]
fn permute(state: &mut [__m512i; 25]) {
    keccak::permute(state);
}
