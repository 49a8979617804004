//! SHAKE128 and SHAKE256 (FIPS 202) of as many inputs at once as a vector has words of 64 bits.

use super::simd::Words;

/// iota (FIPS 202 section 3.2.5).
#[rustfmt::skip]
const ROUND_CONSTANTS: [u64; 24] = [
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000,
    0x000000000000808b, 0x0000000080000001, 0x8000000080008081, 0x8000000000008009,
    0x000000000000008a, 0x0000000000000088, 0x0000000080008009, 0x000000008000000a,
    0x000000008000808b, 0x800000000000008b, 0x8000000000008089, 0x8000000000008003,
    0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
];

/// Bytes that SHAKE128 takes or gives for each permutation.
pub(super) const RATE_128: usize = 168;
/// Bytes that SHAKE256 takes or gives for each permutation.
pub(super) const RATE_256: usize = 136;

/// The states of `W::WAYS` functions.
#[derive(Clone)]
pub(super) struct Shake<W, const RATE: usize>([W; 25]);

impl<W: Words, const RATE: usize> Shake<W, RATE> {
    /// Takes in inputs, one for each way, that are equally long.
    #[inline(always)]
    pub(super) fn absorb(inputs: &[&[u8]]) -> Self {
        let len = inputs[0].len();
        assert!(inputs.len() == W::WAYS && inputs.iter().all(|input| input.len() == len));
        let mut state = [W::splat(0); 25];
        let mut start = 0;
        while len - start >= RATE {
            for (index, word) in state[..RATE / 8].iter_mut().enumerate() {
                *word = word.xor(W::gather(|way| word_at(inputs[way], start + 8 * index)));
            }
            W::permute(&mut state);
            start += RATE;
        }
        // What is left, with the suffix of SHAKE and the padding.
        for (index, word) in state[..RATE / 8].iter_mut().enumerate() {
            *word = word.xor(W::gather(|way| {
                let mut block = [0; 8];
                let rest = &inputs[way][len.min(start + 8 * index)..];
                let rest = &rest[..rest.len().min(8)];
                block[..rest.len()].copy_from_slice(rest);
                if let Some(end) = (len - start).checked_sub(8 * index).filter(|end| *end < 8) {
                    block[end] ^= 0x1f;
                }
                if index == RATE / 8 - 1 {
                    block[7] ^= 0x80;
                }
                u64::from_le_bytes(block)
            }));
        }
        Self(state)
    }

    /// Gives the next block of each way.
    #[inline(always)]
    pub(super) fn squeeze(&mut self, mut out: impl FnMut(usize, &[u8; 8], usize)) {
        W::permute(&mut self.0);
        for (index, word) in self.0[..RATE / 8].iter().enumerate() {
            word.scatter(|way, word| out(way, &word.to_le_bytes(), 8 * index));
        }
    }
}

#[inline(always)]
fn word_at(bytes: &[u8], start: usize) -> u64 {
    u64::from_le_bytes(*bytes[start..].first_chunk().expect("a block is whole words"))
}

/// SHAKE256 of one input.
#[inline(always)]
pub(super) fn shake_256(input: &[u8], out: &mut [u8]) {
    let mut shake = Shake::<u64, RATE_256>::absorb(&[input]);
    for block in out.chunks_mut(RATE_256) {
        shake.squeeze(|_, word, start| {
            if let Some(rest) = block.get_mut(start..) {
                let len = rest.len().min(8);
                rest[..len].copy_from_slice(&word[..len]);
            }
        });
    }
}

/// Keccak-f[1600] (FIPS 202 section 3.3).
#[inline(always)]
pub(super) fn permute<W: Words>(state: &mut [W; 25]) {
    for constant in ROUND_CONSTANTS {
        *state = round(state, constant);
    }
}

#[inline(always)]
fn round<W: Words>(a: &[W; 25], constant: u64) -> [W; 25] {
    // theta
    let c = [column(a, 0), column(a, 1), column(a, 2), column(a, 3), column(a, 4)];
    let mut rotated = c;
    for column in &mut rotated {
        *column = column.rotate_left::<1, 63>();
    }
    // rho and pi: from, to, column, rotation, and 64 less it.
    let mut b = [a[0].xor3(c[4], rotated[1]); 25];
    macro_rules! steps {
        ($($from:literal $to:literal $x:literal $by:literal $back:literal,)*) => {
            $(b[$to] = a[$from].xor3(c[($x + 4) % 5], rotated[($x + 1) % 5]).rotate_left::<$by, $back>();)*
        };
    }
    #[rustfmt::skip]
    steps!(
            1 10 1 1 63, 2 20 2 62 2, 3 5 3 28 36, 4 15 4 27 37,
            5 16 0 36 28, 6 1 1 44 20, 7 11 2 6 58, 8 21 3 55 9, 9 6 4 20 44,
            10 7 0 3 61, 11 17 1 10 54, 12 2 2 43 21, 13 12 3 25 39, 14 22 4 39 25,
            15 23 0 41 23, 16 8 1 45 19, 17 18 2 15 49, 18 3 3 21 43, 19 13 4 8 56,
            20 14 0 18 46, 21 24 1 2 62, 22 9 2 61 3, 23 19 3 56 8, 24 4 4 14 50,
    );
    // chi and iota
    let mut out = b;
    for y in [0, 5, 10, 15, 20] {
        for x in 0..5 {
            out[y + x] = b[y + x].chi(b[y + (x + 1) % 5], b[y + (x + 2) % 5]);
        }
    }
    out[0] = out[0].xor(W::splat(constant));
    out
}

/// The parity of a column.
#[inline(always)]
fn column<W: Words>(a: &[W; 25], x: usize) -> W {
    a[x].xor3(a[x + 5], a[x + 10]).xor3(a[x + 15], a[x + 20])
}
