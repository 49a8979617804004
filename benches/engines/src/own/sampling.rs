//! Sampling (FIPS 204 section 7.3), as many polynomials at once as there are Keccak states.

use zeroize::Zeroize;

use super::{
    encode::unpack_z,
    keccak::{RATE_128, RATE_256, Shake, shake_256},
    ntt::reorder,
    params::{MOST, Q, Set},
    poly::Poly,
    simd::{Lanes, Words},
};

/// SampleInBall (Algorithm 29).
#[inline(always)]
pub(super) fn sample_in_ball<S: Set>(challenge: &[u8]) -> Poly {
    let mut shake = Shake::<u64, RATE_256>::absorb(&[challenge]);
    let mut block = [0; RATE_256];
    let mut next = RATE_256;
    let mut byte = || {
        if next == RATE_256 {
            shake.squeeze(|_, word, start| block[start..start + 8].copy_from_slice(word));
            next = 0;
        }
        next += 1;
        block[next - 1]
    };
    let mut signs = u64::from_le_bytes([(); 8].map(|()| byte()));
    let mut c = Poly::ZERO;
    for last in 256 - S::TAU..256 {
        let place = loop {
            let place = usize::from(byte());
            if place <= last {
                break place;
            }
        };
        c.0[last] = c.0[place];
        c.0[place] = 1 - 2 * (signs & 1) as i32;
        signs >>= 1;
    }
    c
}

/// A of ExpandA (Algorithm 32), row by row, in the order of the vectors.
#[inline(always)]
pub(super) fn expand_a<S: Set, V: Lanes<N>, W: Words, const N: usize>(rho: &[u8; 32]) -> Vec<Poly> {
    let mut seeds = Vec::with_capacity(S::K * S::L);
    for row in 0..S::K {
        for column in 0..S::L {
            let mut seed = [0; 34];
            seed[..32].copy_from_slice(rho);
            seed[32..].copy_from_slice(&[column as u8, row as u8]);
            seeds.push(seed);
        }
    }
    let mut matrix = reject::<W, RATE_128, 34>(&seeds, |block, poly, len| {
        for bytes in block.chunks_exact(3) {
            // CoeffFromThreeBytes (Algorithm 14).
            let value = i32::from_le_bytes([bytes[0], bytes[1], bytes[2] & 0x7f, 0]);
            if *len < 256 && value < Q {
                poly.0[*len] = value;
                *len += 1;
            }
        }
    });
    for poly in &mut matrix {
        reorder::<V, N>(poly);
    }
    matrix
}

/// s1 and s2 of ExpandS (Algorithm 33), one after the other.
#[inline(always)]
pub(super) fn expand_s<S: Set, W: Words>(rho: &[u8; 64]) -> Vec<Poly> {
    let seeds: Vec<[u8; 66]> = (0..S::L + S::K).map(|index| numbered(rho, index as u16)).collect();
    reject::<W, RATE_256, 66>(&seeds, |block, poly, len| {
        for half in block.iter().flat_map(|byte| [byte & 15, byte >> 4]) {
            // CoeffFromHalfByte (Algorithm 15).
            let half = i32::from(half);
            let value = match S::ETA {
                2 if half < 15 => 2 - half % 5,
                4 if half < 9 => 4 - half,
                _ => continue,
            };
            if *len < 256 {
                poly.0[*len] = value;
                *len += 1;
            }
        }
    })
}

/// One polynomial for each seed: `take` appends what it accepts of a block.
#[inline(always)]
fn reject<W: Words, const RATE: usize, const SEED: usize>(
    seeds: &[[u8; SEED]],
    take: impl Fn(&[u8], &mut Poly, &mut usize),
) -> Vec<Poly> {
    let mut polys = Vec::with_capacity(seeds.len());
    for seeds in seeds.chunks(W::WAYS) {
        // The last round may have ways to spare.
        let inputs: Vec<&[u8]> = (0..W::WAYS).map(|way| &seeds[way.min(seeds.len() - 1)][..]).collect();
        let mut shake = Shake::<W, RATE>::absorb(&inputs);
        let mut found = vec![(Poly::ZERO, 0); seeds.len()];
        let mut blocks = [[0; RATE]; MOST];
        while found.iter().any(|(_, len)| *len < 256) {
            shake.squeeze(|way, word, start| blocks[way][start..start + 8].copy_from_slice(word));
            for ((poly, len), block) in found.iter_mut().zip(&blocks) {
                take(block, poly, len);
            }
        }
        blocks.as_flattened_mut().zeroize();
        polys.extend(found.iter().map(|(poly, _)| *poly));
        found.iter_mut().for_each(|(poly, _)| poly.zeroize());
    }
    polys
}

fn numbered(rho: &[u8; 64], number: u16) -> [u8; 66] {
    let mut seed = [0; 66];
    seed[..64].copy_from_slice(rho);
    seed[64..].copy_from_slice(&number.to_le_bytes());
    seed
}

/// ExpandMask (Algorithm 34) for one signature: the polynomials of y with kappa 0, 1, 2 and so on. What is drawn
/// together but not needed for one attempt is of the next.
pub(super) struct Masks<'a> {
    rho: &'a [u8; 64],
    kappa: u16,
    drawn: [Poly; MOST],
    /// How many of `drawn` are taken.
    taken: usize,
}

impl<'a> Masks<'a> {
    pub(super) fn new(rho: &'a [u8; 64]) -> Self {
        Self { rho, kappa: 0, drawn: [Poly::ZERO; MOST], taken: MOST }
    }

    #[inline(always)]
    pub(super) fn next<S: Set, W: Words>(&mut self) -> Poly {
        if self.taken >= W::WAYS {
            self.draw::<S, W>();
        }
        self.taken += 1;
        self.drawn[self.taken - 1]
    }

    #[inline(always)]
    fn draw<S: Set, W: Words>(&mut self) {
        let mut seeds = [[0; 66]; MOST];
        for (way, seed) in seeds.iter_mut().enumerate() {
            *seed = numbered(self.rho, self.kappa + way as u16);
        }
        let inputs = seeds.each_ref().map(|seed| &seed[..]);
        let mut shake = Shake::<W, RATE_256>::absorb(&inputs[..W::WAYS]);
        let mut bytes = [[0; 5 * RATE_256]; MOST];
        for block in 0..5 {
            shake.squeeze(|way, word, start| {
                bytes[way][block * RATE_256 + start..][..8].copy_from_slice(word);
            });
        }
        for (poly, bytes) in self.drawn.iter_mut().zip(&bytes[..W::WAYS]) {
            *poly = unpack_z::<S>(&bytes[..S::Z_LEN]);
        }
        bytes.as_flattened_mut().zeroize();
        seeds.as_flattened_mut().zeroize();
        self.kappa += W::WAYS as u16;
        self.taken = 0;
    }
}

impl Drop for Masks<'_> {
    fn drop(&mut self) {
        self.drawn.zeroize();
    }
}

/// SHAKE256 of several inputs one after the other.
#[inline(always)]
pub(super) fn h<const LEN: usize>(inputs: &[&[u8]]) -> [u8; LEN] {
    let mut input = inputs.concat();
    let mut out = [0; LEN];
    shake_256(&input, &mut out);
    input.zeroize();
    out
}
