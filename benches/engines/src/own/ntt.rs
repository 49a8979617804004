//! NTT and its inverse (Algorithms 41 and 42), and products in the ring (Algorithms 45 and 48).
//!
//! Coefficients of an NTT are not in the standard's order but in that of the vectors, in which the last layers work on
//! whole vectors as the first do: [`reorder`] makes the one of the other.

use super::{params::Q, poly::Poly, simd::Lanes};

/// zeta^BitRev8(k) (Appendix B) times 2^32, modulo q.
const ZETAS: [i32; 256] = {
    let mut powers = [0; 256];
    let mut power = (1_i64 << 32) % Q as i64;
    let mut k = 0_u8;
    loop {
        powers[k.reverse_bits() as usize] = power as i32;
        power = power * 1753 % Q as i64;
        k = match k.checked_add(1) {
            Some(next) => next,
            None => break,
        };
    }
    powers
};

/// 2^64 / 256 modulo q: undoes the two reductions, of a product and of this one, and the growth by the layers.
const LAST_FACTOR: i32 = {
    let r = (1_i64 << 32) % Q as i64;
    let mut factor = r * r % Q as i64;
    let mut halvings = 0;
    while halvings < 8 {
        factor = if factor % 2 == 0 { factor / 2 } else { (factor + Q as i64) / 2 };
        halvings += 1;
    }
    factor as i32
};

/// The factor of a group in the layer with `len`. That of the inverse is the negative of what undoes NTT's.
const fn zeta(inverse: bool, len: usize, group: usize) -> i32 {
    ZETAS[if inverse { 256 / len - 1 - group } else { 128 / len + group }]
}

/// The factors of the layers in which the rows are transposed, lane by lane: `N - 1` rows for each block, of the layer
/// with len `N / 2` first.
const fn lane_zetas<const N: usize, const ROWS: usize>(inverse: bool) -> [[i32; N]; ROWS] {
    let mut zetas = [[0; N]; ROWS];
    let mut row = 0;
    while row < ROWS {
        let block = row / (N - 1);
        let mut len = N / 2;
        while len > 0 {
            let mut start = 0;
            while start < N {
                let mut lane = 0;
                while lane < N {
                    let group = (block * N * N + lane * N + start) / (2 * len);
                    zetas[row][lane] = zeta(inverse, len, group);
                    lane += 1;
                }
                row += 1;
                start += 2 * len;
            }
            len /= 2;
        }
    }
    zetas
}

/// Four blocks of 8 by 8, of NTT and of its inverse.
static LANE_ZETAS_8: [[[i32; 8]; 28]; 2] = [lane_zetas(false), lane_zetas(true)];
/// One block of 16 by 16.
static LANE_ZETAS_16: [[[i32; 16]; 15]; 2] = [lane_zetas(false), lane_zetas(true)];

/// Where a layer has its factors from. (A closure would not be compiled for the vectors.)
#[derive(Clone, Copy)]
enum Factors {
    /// One for all lanes, from the group `first` on in the layer with `len`.
    Splat { inverse: bool, len: usize, first: usize },
    /// One for each lane, from the row `first` on of a block.
    Lanes { inverse: bool, block: usize, first: usize },
}

impl Factors {
    #[inline(always)]
    fn at<V: Lanes<N>, const N: usize>(self, group: usize) -> V {
        match self {
            Self::Splat { inverse, len, first } => V::splat(zeta(inverse, len, first + group)),
            Self::Lanes { inverse, first, .. } if N == 16 => {
                V::load(&LANE_ZETAS_16[usize::from(inverse)][first + group])
            }
            Self::Lanes { inverse, block, first } => {
                V::load(&LANE_ZETAS_8[usize::from(inverse)][7 * block + first + group])
            }
        }
    }
}

#[inline(always)]
fn load<V: Lanes<N>, const N: usize>(from: &[i32; 256], start: usize, stride: usize) -> [V; N] {
    let mut rows = [V::splat(0); N];
    for (index, row) in rows.iter_mut().enumerate() {
        *row = V::load(&from[start + index * stride..]);
    }
    rows
}

#[inline(always)]
fn store<V: Lanes<N>, const N: usize>(rows: &[V; N], to: &mut [i32; 256], start: usize, stride: usize) {
    for (index, row) in rows.iter().enumerate() {
        row.store(&mut to[start + index * stride..]);
    }
}

/// One layer of NTT over rows, of which those `LEN` apart belong together.
#[inline(always)]
fn layer<V: Lanes<N>, const N: usize, const LEN: usize>(rows: &mut [V; N], factors: Factors) {
    if LEN >= N {
        return;
    }
    for pair in 0..N / 2 {
        let (group, within) = (pair / LEN, pair % LEN);
        let low = group * 2 * LEN + within;
        let t = V::reduce(rows[low + LEN].mul(factors.at(group)));
        rows[low + LEN] = rows[low].sub(t);
        rows[low] = rows[low].add(t);
    }
}

/// One layer of the inverse. The factors are those of NTT, negated by the order of the subtraction.
#[inline(always)]
fn inverse_layer<V: Lanes<N>, const N: usize, const LEN: usize>(rows: &mut [V; N], factors: Factors) {
    if LEN >= N {
        return;
    }
    for pair in 0..N / 2 {
        let (group, within) = (pair / LEN, pair % LEN);
        let low = group * 2 * LEN + within;
        let t = rows[low];
        rows[low] = t.add(rows[low + LEN]);
        rows[low + LEN] = V::reduce(rows[low + LEN].sub(t).mul(factors.at(group)));
    }
}

/// NTT, for |w| < 2q; the result is below 10q, and in the order of the vectors.
#[inline(always)]
pub(super) fn ntt<V: Lanes<N>, const N: usize>(w: &mut Poly) {
    // The rows are 256 / N apart, and so is len at LEN 1.
    for column in 0..256 / N / N {
        let mut rows: [V; N] = load(&w.0, column * N, 256 / N);
        layer::<V, N, 8>(&mut rows, Factors::Splat { inverse: false, len: 256 / N * 8, first: 0 });
        layer::<V, N, 4>(&mut rows, Factors::Splat { inverse: false, len: 256 / N * 4, first: 0 });
        layer::<V, N, 2>(&mut rows, Factors::Splat { inverse: false, len: 256 / N * 2, first: 0 });
        layer::<V, N, 1>(&mut rows, Factors::Splat { inverse: false, len: 256 / N, first: 0 });
        store(&rows, &mut w.0, column * N, 256 / N);
    }
    for block in 0..256 / N / N {
        let mut rows: [V; N] = load(&w.0, block * N * N, N);
        if N == 8 {
            // Of eight lanes there are len 16 and 8 left.
            layer::<V, N, 2>(&mut rows, Factors::Splat { inverse: false, len: 16, first: 2 * block });
            layer::<V, N, 1>(&mut rows, Factors::Splat { inverse: false, len: 8, first: 4 * block });
        }
        V::transpose(&mut rows);
        layer::<V, N, 8>(&mut rows, Factors::Lanes { inverse: false, block, first: 0 });
        layer::<V, N, 4>(&mut rows, Factors::Lanes { inverse: false, block, first: N / 8 - 1 });
        layer::<V, N, 2>(&mut rows, Factors::Lanes { inverse: false, block, first: N / 4 - 1 });
        layer::<V, N, 1>(&mut rows, Factors::Lanes { inverse: false, block, first: N / 2 - 1 });
        store(&rows, &mut w.0, block * N * N, N);
    }
}

/// The inverse times 2^32, for |w| < q in the order of the vectors; the result is between -q and q.
#[inline(always)]
pub(super) fn inverse_ntt<V: Lanes<N>, const N: usize>(w: &mut Poly) {
    for block in 0..256 / N / N {
        let mut rows: [V; N] = load(&w.0, block * N * N, N);
        inverse_layer::<V, N, 1>(&mut rows, Factors::Lanes { inverse: true, block, first: N / 2 - 1 });
        inverse_layer::<V, N, 2>(&mut rows, Factors::Lanes { inverse: true, block, first: N / 4 - 1 });
        inverse_layer::<V, N, 4>(&mut rows, Factors::Lanes { inverse: true, block, first: N / 8 - 1 });
        inverse_layer::<V, N, 8>(&mut rows, Factors::Lanes { inverse: true, block, first: 0 });
        V::transpose(&mut rows);
        if N == 8 {
            inverse_layer::<V, N, 1>(&mut rows, Factors::Splat { inverse: true, len: 8, first: 4 * block });
            inverse_layer::<V, N, 2>(&mut rows, Factors::Splat { inverse: true, len: 16, first: 2 * block });
        }
        store(&rows, &mut w.0, block * N * N, N);
    }
    for column in 0..256 / N / N {
        let mut rows: [V; N] = load(&w.0, column * N, 256 / N);
        inverse_layer::<V, N, 1>(&mut rows, Factors::Splat { inverse: true, len: 256 / N, first: 0 });
        inverse_layer::<V, N, 2>(&mut rows, Factors::Splat { inverse: true, len: 256 / N * 2, first: 0 });
        inverse_layer::<V, N, 4>(&mut rows, Factors::Splat { inverse: true, len: 256 / N * 4, first: 0 });
        inverse_layer::<V, N, 8>(&mut rows, Factors::Splat { inverse: true, len: 256 / N * 8, first: 0 });
        for row in &mut rows {
            *row = V::reduce(row.mul(V::splat(LAST_FACTOR)));
        }
        store(&rows, &mut w.0, column * N, 256 / N);
    }
}

/// From the standard's order to that of the vectors.
#[inline(always)]
pub(super) fn reorder<V: Lanes<N>, const N: usize>(w: &mut Poly) {
    for block in 0..256 / N / N {
        let mut rows: [V; N] = load(&w.0, block * N * N, N);
        V::transpose(&mut rows);
        store(&rows, &mut w.0, block * N * N, N);
    }
}

/// The sum of the products of `row` and `vector`, divided by 2^32; between -q and q. `row` is below q, `vector` below 10q.
#[inline(always)]
pub(super) fn dot<V: Lanes<N>, const N: usize>(row: &[Poly], vector: &[Poly]) -> Poly {
    combine::<V, N>(row, vector, None)
}

/// [`dot`] less the product of two more.
#[inline(always)]
pub(super) fn dot_less<V: Lanes<N>, const N: usize>(
    row: &[Poly],
    vector: &[Poly],
    less: (&Poly, &Poly),
) -> Poly {
    combine::<V, N>(row, vector, Some(less))
}

#[inline(always)]
fn combine<V: Lanes<N>, const N: usize>(row: &[Poly], vector: &[Poly], less: Option<(&Poly, &Poly)>) -> Poly {
    let mut out = Poly::ZERO;
    for start in (0..256).step_by(N) {
        let mut sum = product::<V, N>(&row[0], &vector[0], start);
        for (a, b) in row.iter().zip(vector).skip(1) {
            sum = V::add_products(sum, product::<V, N>(a, b, start));
        }
        if let Some((a, b)) = less {
            sum = V::sub_products(sum, product::<V, N>(a, b, start));
        }
        V::reduce(sum).store(&mut out.0[start..]);
    }
    out
}

#[inline(always)]
fn product<V: Lanes<N>, const N: usize>(a: &Poly, b: &Poly, start: usize) -> V::Products {
    V::load(&a.0[start..]).mul(V::load(&b.0[start..]))
}
