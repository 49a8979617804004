//! No vectors: what runs on every CPU, and what the others are compared with.

use super::{Lanes, Q_INVERSE, Words};
use crate::own::{keccak, ntt, params::Q, poly::Poly};

#[inline(always)]
fn each<A: Copy, B: Copy, R>(a: [A; 8], b: [B; 8], of: impl Fn(A, B) -> R) -> [R; 8] {
    std::array::from_fn(|lane| of(a[lane], b[lane]))
}

impl Lanes<8> for [i32; 8] {
    type Products = [i64; 8];

    #[inline(always)]
    fn load(from: &[i32]) -> Self {
        *from.first_chunk().expect("a caller has 8")
    }

    #[inline(always)]
    fn store(self, to: &mut [i32]) {
        *to.first_chunk_mut().expect("a caller has 8") = self;
    }

    #[inline(always)]
    fn splat(value: i32) -> Self {
        [value; 8]
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        each(self, other, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        each(self, other, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, other: Self) -> [i64; 8] {
        each(self, other, |a, b| i64::from(a) * i64::from(b))
    }

    #[inline(always)]
    fn add_products(one: [i64; 8], other: [i64; 8]) -> [i64; 8] {
        each(one, other, |a, b| a + b)
    }

    #[inline(always)]
    fn sub_products(one: [i64; 8], other: [i64; 8]) -> [i64; 8] {
        each(one, other, |a, b| a - b)
    }

    #[inline(always)]
    fn reduce(products: [i64; 8]) -> Self {
        products.map(|a| {
            let factor = (a as i32).wrapping_mul(Q_INVERSE);
            ((a - i64::from(factor) * i64::from(Q)) >> 32) as i32
        })
    }

    #[inline(always)]
    fn transpose(rows: &mut [Self; 8]) {
        let old = *rows;
        for (row, lanes) in rows.iter_mut().enumerate() {
            *lanes = old.map(|other| other[row]);
        }
    }

    #[inline(always)]
    fn ntt(w: &mut Poly) {
        forward(w)
    }

    #[inline(always)]
    fn inverse_ntt(w: &mut Poly) {
        inverse(w)
    }
}

impl Words for u64 {
    const WAYS: usize = 1;

    #[inline(always)]
    fn gather(of: impl Fn(usize) -> u64) -> Self {
        of(0)
    }

    #[inline(always)]
    fn scatter(self, mut to: impl FnMut(usize, u64)) {
        to(0, self);
    }

    #[inline(always)]
    fn splat(word: u64) -> Self {
        word
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        self ^ other
    }

    #[inline(always)]
    fn xor3(self, b: Self, c: Self) -> Self {
        self ^ b ^ c
    }

    #[inline(always)]
    fn chi(self, b: Self, c: Self) -> Self {
        self ^ (!b & c)
    }

    #[inline(always)]
    fn rotate_left<const BY: i32, const BACK: i32>(self) -> Self {
        self.rotate_left(BY as u32)
    }

    #[inline(always)]
    fn permute(state: &mut [Self; 25]) {
        permute(state)
    }
}

#[inline(never)]
fn forward(w: &mut Poly) {
    ntt::ntt::<[i32; 8], 8>(w);
}

#[inline(never)]
fn inverse(w: &mut Poly) {
    ntt::inverse_ntt::<[i32; 8], 8>(w);
}

#[inline(never)]
fn permute(state: &mut [u64; 25]) {
    keccak::permute(state);
}
