//! Keys, with all that depends on the key alone computed once.

use algorithms::{Error, SecretBytes};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{
    encode::{pack, unpack},
    ntt::dot,
    params::{D, Set},
    poly::{Poly, canonical, power_2_round},
    sampling::{expand_a, expand_s, h},
    simd::{Lanes, Words},
};

/// A private key: NTTs are in the order of the vectors that made them.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct PrivateKey {
    pub(super) rho: [u8; 32],
    pub(super) k: [u8; 32],
    pub(super) s1: Vec<Poly>,
    pub(super) s2: Vec<Poly>,
    pub(super) t0: Vec<Poly>,
    /// Row by row; `None` where it is to be expanded for each signature.
    pub(super) matrix: Option<Vec<Poly>>,
}

/// A public key.
pub struct PublicKey {
    pub(super) rho: [u8; 32],
    /// Of t1 times 2^d.
    pub(super) t1: Vec<Poly>,
    pub(super) matrix: Option<Vec<Poly>>,
}

impl PrivateKey {
    /// KeyGen_internal (Algorithm 6), without the encodings.
    #[inline(always)]
    pub(super) fn from_seed<S: Set, V: Lanes<N>, W: Words, const N: usize>(
        seed: &SecretBytes,
        keep_matrix: bool,
    ) -> Self {
        let mut expanded: [u8; 128] = h(&[seed.expose(), &[S::K as u8, S::L as u8]]);
        let (&rho, rest) = expanded.split_first_chunk::<32>().expect("128 bytes");
        let (secret_rho, rest) = rest.split_first_chunk::<64>().expect("96 bytes");
        let mut s = expand_s::<S, W>(secret_rho);
        let mut s2 = s.split_off(S::L);
        let matrix = expand_a::<S, V, W, N>(&rho);

        s.iter_mut().for_each(V::ntt);
        let mut t0 = Vec::with_capacity(S::K);
        for (row, s2) in matrix.chunks_exact(S::L).zip(&s2) {
            let mut t = dot::<V, N>(row, &s);
            V::inverse_ntt(&mut t);
            t0.push(t.zip(s2, |t, s2| power_2_round(canonical(t + s2)).1));
        }
        s2.iter_mut().for_each(V::ntt);
        t0.iter_mut().for_each(V::ntt);
        let k = *rest.first_chunk().expect("32 bytes");
        expanded.zeroize();
        Self { rho, k, s1: s, s2, t0, matrix: keep_matrix.then_some(matrix) }
    }
}

impl PublicKey {
    /// pkDecode (Algorithm 23).
    #[inline(always)]
    pub(super) fn decode<S: Set, V: Lanes<N>, W: Words, const N: usize>(
        encoded: &[u8],
        keep_matrix: bool,
    ) -> Result<Self, Error> {
        let (&rho, t1) = encoded.split_first_chunk::<32>().ok_or(Error::KeyInvalid)?;
        if t1.len() != 320 * S::K {
            return Err(Error::KeyInvalid);
        }
        let decode = |bytes| {
            let mut t1 = unpack(10, bytes, |t1| t1 << D);
            V::ntt(&mut t1);
            t1
        };
        let t1 = t1.chunks_exact(320).map(decode).collect();
        Ok(Self { rho, t1, matrix: keep_matrix.then(|| expand_a::<S, V, W, N>(&rho)) })
    }
}

/// w1Encode (Algorithm 28).
#[inline(always)]
pub(super) fn encode_w1<S: Set>(w1: &[Poly], out: &mut [u8]) {
    for (poly, out) in w1.iter().zip(out.chunks_exact_mut(S::W1_LEN)) {
        pack(S::W1_BITS, poly, out, |w1| w1);
    }
}
