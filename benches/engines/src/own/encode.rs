//! From polynomials to bytes and back (FIPS 204 sections 7.1 and 7.2).

use super::{
    params::{MOST, Set},
    poly::Poly,
};

/// SimpleBitPack and BitPack (Algorithms 16 and 17): `of` gives what is packed for a coefficient, below 2^`BITS`.
#[inline(always)]
pub(super) fn pack(bits: usize, poly: &Poly, out: &mut [u8], of: impl Fn(i32) -> i32) {
    for (group, out) in poly.0.chunks_exact(4).zip(out.chunks_exact_mut(bits / 2)) {
        let pair = |a: i32, b: i32| u64::from(of(a) as u32) | u64::from(of(b) as u32) << bits;
        let [a, b, c, d] = *group else { unreachable!("groups are of four") };
        let packed = u128::from(pair(a, b)) | u128::from(pair(c, d)) << (2 * bits);
        out.copy_from_slice(&packed.to_le_bytes()[..bits / 2]);
    }
}

/// SimpleBitUnpack and BitUnpack (Algorithms 18 and 19).
#[inline(always)]
pub(super) fn unpack(bits: usize, bytes: &[u8], of: impl Fn(i32) -> i32) -> Poly {
    let mut poly = Poly::ZERO;
    let mask = (1 << bits) - 1;
    for (group, bytes) in poly.0.chunks_exact_mut(4).zip(bytes.chunks_exact(bits / 2)) {
        let mut packed = [0; 16];
        packed[..bits / 2].copy_from_slice(bytes);
        let packed = u128::from_le_bytes(packed);
        for (index, coefficient) in group.iter_mut().enumerate() {
            *coefficient = of((packed >> (index * bits)) as i32 & mask);
        }
    }
    poly
}

/// BitUnpack of y or z: gamma1 less what was packed.
#[inline(always)]
pub(super) fn unpack_z<S: Set>(bytes: &[u8]) -> Poly {
    unpack(S::Z_BITS, bytes, |packed| S::GAMMA_1 - packed)
}

/// HintBitPack (Algorithm 20), of hints that are 0 or 1 and no more than omega; false where they are more.
#[inline(always)]
pub(super) fn pack_hints<S: Set>(hints: &[Poly], out: &mut [u8]) -> bool {
    out.fill(0);
    let mut count = 0;
    for (poly, hint) in hints.iter().enumerate() {
        for (index, &one) in hint.0.iter().enumerate() {
            if one != 0 {
                if count == S::OMEGA {
                    return false;
                }
                out[count] = index as u8;
                count += 1;
            }
        }
        out[S::OMEGA + poly] = count as u8;
    }
    true
}

/// HintBitUnpack (Algorithm 21); `None` for what HintBitPack cannot have made.
pub(super) fn unpack_hints<S: Set>(bytes: &[u8]) -> Option<[Poly; MOST]> {
    let (places, ends) = bytes.split_at(S::OMEGA);
    let mut hints = [Poly::ZERO; MOST];
    let mut start = 0;
    for (hint, &end) in hints.iter_mut().zip(ends) {
        let places = places.get(start..usize::from(end))?;
        if !places.is_sorted_by(|one, next| one < next) {
            return None;
        }
        for &place in places {
            hint.0[usize::from(place)] = 1;
        }
        start = usize::from(end);
    }
    places[start..].iter().all(|&byte| byte == 0).then_some(hints)
}
