//! Verify_internal (FIPS 204 Algorithm 8), from line 8 on.

use super::{
    encode::{unpack_hints, unpack_z},
    keccak::shake_256,
    key::{PublicKey, encode_w1},
    ntt::dot_less,
    params::{MOST, Set},
    poly::{Poly, canonical, use_hint},
    sampling::{expand_a, sample_in_ball},
    simd::{Lanes, Words},
};

/// Whether this is a signature of mu. Nothing here is secret.
#[inline(always)]
pub(super) fn verify<S: Set, V: Lanes<N>, W: Words, const N: usize>(
    key: &PublicKey,
    mu: &[u8; 64],
    signature: &[u8],
) -> bool {
    if signature.len() != S::NAME.signature_len() {
        return false;
    }
    let (challenge, rest) = signature.split_at(S::CHALLENGE_LEN);
    let (z_bytes, hint_bytes) = rest.split_at(S::Z_LEN * S::L);
    let Some(hints) = unpack_hints::<S>(hint_bytes) else { return false };
    let mut z = [Poly::ZERO; MOST];
    for (z, bytes) in z.iter_mut().zip(z_bytes.chunks_exact(S::Z_LEN)) {
        *z = unpack_z::<S>(bytes);
        if !z.is_below(S::GAMMA_1 - S::BETA) {
            return false;
        }
        V::ntt(z);
    }
    let expanded;
    let matrix = match &key.matrix {
        Some(matrix) => matrix,
        None => {
            expanded = expand_a::<S, V, W, N>(&key.rho);
            &expanded
        }
    };
    let mut c = sample_in_ball::<S>(challenge);
    V::ntt(&mut c);

    let mut w1 = [Poly::ZERO; MOST];
    for (index, row) in matrix.chunks_exact(S::L).enumerate() {
        let mut w = dot_less::<V, N>(row, &z[..S::L], (&key.t1[index], &c));
        V::inverse_ntt(&mut w);
        w1[index] = w.map(canonical).zip(&hints[index], |w, hint| use_hint::<S>(hint, w));
    }
    let mut commitment = [0; 64 + 32 * 4 * MOST];
    commitment[..64].copy_from_slice(mu);
    encode_w1::<S>(&w1[..S::K], &mut commitment[64..]);
    let mut expected = [0; 64];
    let expected = &mut expected[..S::CHALLENGE_LEN];
    shake_256(&commitment[..64 + S::W1_LEN * S::K], expected);
    expected == challenge
}
