//! Sign_internal (FIPS 204 Algorithm 7), from line 7 on.

use algorithms::Error;
use zeroize::Zeroize;

use super::{
    encode::{pack, pack_hints},
    keccak::shake_256,
    key::{PrivateKey, encode_w1},
    ntt::dot,
    params::{MOST, Set},
    poly::{Poly, canonical, centered, high_bits, low_bits},
    sampling::{Masks, expand_a, h, sample_in_ball},
    simd::{Lanes, Words},
};

/// Appendix C: fewer attempts than this succeed but for one key in 2^256.
const MOST_ATTEMPTS: usize = 814;

/// What an attempt works on. Everything in it may tell something of the key until the signature is out.
#[derive(Zeroize)]
struct Attempt {
    y: [Poly; MOST],
    y_ntt: [Poly; MOST],
    w: [Poly; MOST],
    w1: [Poly; MOST],
    commitment: [u8; 64 + 32 * 4 * MOST],
}

/// Signs mu with `rnd`.
#[inline(always)]
pub(super) fn sign<S: Set, V: Lanes<N>, W: Words, const N: usize>(
    key: &PrivateKey,
    mu: &[u8; 64],
    rnd: &[u8; 32],
) -> Result<Vec<u8>, Error> {
    let expanded;
    let matrix = match &key.matrix {
        Some(matrix) => matrix,
        None => {
            expanded = expand_a::<S, V, W, N>(&key.rho);
            &expanded
        }
    };
    let mut rho = h::<64>(&[&key.k, rnd, mu]);
    let mut masks = Masks::new(&rho);
    let mut attempt = Attempt {
        y: [Poly::ZERO; MOST],
        y_ntt: [Poly::ZERO; MOST],
        w: [Poly::ZERO; MOST],
        w1: [Poly::ZERO; MOST],
        commitment: [0; 64 + 32 * 4 * MOST],
    };
    let mut signature = vec![0; S::NAME.signature_len()];
    // Here and below a closure would not be compiled for the vectors.
    let mut done = false;
    for _ in 0..MOST_ATTEMPTS {
        attempt.commit::<S, V, W, N>(matrix, &mut masks, mu);
        done = attempt.respond::<S, V, N>(key, &mut signature);
        if done {
            break;
        }
    }
    attempt.zeroize();
    drop(masks);
    rho.zeroize();
    if done { Ok(signature) } else { Err(Error::EngineFailed) }
}

impl Attempt {
    /// Lines 11 to 15, up to what is hashed: y, w and w1.
    #[inline(always)]
    fn commit<S: Set, V: Lanes<N>, W: Words, const N: usize>(
        &mut self,
        matrix: &[Poly],
        masks: &mut Masks<'_>,
        mu: &[u8; 64],
    ) {
        for (y, y_ntt) in self.y[..S::L].iter_mut().zip(&mut self.y_ntt) {
            *y = masks.next::<S, W>();
            *y_ntt = *y;
            V::ntt(y_ntt);
        }
        let rows = matrix.chunks_exact(S::L);
        for ((row, w), w1) in rows.zip(&mut self.w).zip(&mut self.w1) {
            *w = dot::<V, N>(row, &self.y_ntt[..S::L]);
            V::inverse_ntt(w);
            *w = w.map(canonical);
            *w1 = w.map(high_bits::<S>);
        }
        self.commitment[..64].copy_from_slice(mu);
        encode_w1::<S>(&self.w1[..S::K], &mut self.commitment[64..]);
    }

    /// Lines 15 to 33: the signature, or false where the attempt is rejected.
    #[inline(always)]
    fn respond<S: Set, V: Lanes<N>, const N: usize>(
        &mut self,
        key: &PrivateKey,
        signature: &mut [u8],
    ) -> bool {
        let (challenge, rest) = signature.split_at_mut(S::CHALLENGE_LEN);
        let (z_bytes, hint_bytes) = rest.split_at_mut(S::Z_LEN * S::L);
        shake_256(&self.commitment[..64 + S::W1_LEN * S::K], challenge);
        let mut c = sample_in_ball::<S>(challenge);
        V::ntt(&mut c);
        for ((y, s1), out) in self.y.iter().zip(&key.s1).zip(z_bytes.chunks_exact_mut(S::Z_LEN)) {
            let z = times::<V, N>(s1, &c).zip(y, |cs1, y| centered(y + cs1));
            if !z.is_below(S::GAMMA_1 - S::BETA) {
                return false;
            }
            pack(S::Z_BITS, &z, out, |z| S::GAMMA_1 - z);
        }
        for (w, s2) in self.w.iter_mut().zip(&key.s2) {
            *w = times::<V, N>(s2, &c).zip(w, |cs2, w| canonical(w - cs2));
            if !w.map(low_bits::<S>).is_below(S::GAMMA_2 - S::BETA) {
                return false;
            }
        }
        // HighBits(w - cs2) is w1 now, or line 23 would have rejected.
        for ((w, w1), t0) in self.w.iter().zip(&mut self.w1).zip(&key.t0) {
            let ct0 = times::<V, N>(t0, &c).map(centered);
            if !ct0.is_below(S::GAMMA_2) {
                return false;
            }
            let moved = w.zip(&ct0, |w, ct0| high_bits::<S>(canonical(w + ct0)));
            *w1 = moved.zip(w1, |moved, w1| i32::from(moved != w1));
        }
        pack_hints::<S>(&self.w1[..S::K], hint_bytes)
    }
}

/// The product of two NTTs in the ring, between -q and q.
#[inline(always)]
fn times<V: Lanes<N>, const N: usize>(secret: &Poly, c: &Poly) -> Poly {
    let mut product = dot::<V, N>(std::slice::from_ref(secret), std::slice::from_ref(c));
    V::inverse_ntt(&mut product);
    product
}
