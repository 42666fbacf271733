//! Where a point falls in the permutohedral lattice: the simplex around it, its shares of the corners, their keys.
//!
//! Source: Adams, Baek, Davis, "Fast high-dimensional filtering using the permutohedral lattice", 2010, §3.1–3.2.
//!
//! With `d` feature dimensions and `V = d + 1` corners per simplex, a feature `f ∈ R^d` is scaled and lifted onto the
//! plane `Σ x = 0` of `R^V`:
//!
//! ```text
//! x = E f,   x_j = Σ_{i≥j} s_i f_i − j·s_{j−1} f_{j−1},   s_i = √(2/3)·V / √((i+1)(i+2))
//! ```
//!
//! (`√(2/3)·V` makes splat, blur and slice together a Gaussian of variance 1.) The lattice points of that plane have
//! integer coordinates that are all congruent modulo `V`. The nearest point of remainder 0, corrected to the plane, and
//! the order ("rank") of the differences to it give the simplex; corner `k` is that point plus `k` in every coordinate,
//! minus `V` in the `k` coordinates of highest rank. The shares are the barycentric coordinates.

/// Bits per coordinate of a packed key.
const BITS: u32 = 25;
/// Added to coordinates before packing, so that they are never negative.
const BIAS: i32 = 1 << (BITS - 1);
/// Coordinates must stay below this, for packing and for [`nearest_integer`].
pub const MAX_COORDINATE: f32 = (1 << 21) as f32;

/// A lattice point: its first `d` coordinates in fields of 25 bits. The last one follows, because they sum to 0; with
/// the bias no field ever overflows into the next, so that moving a point is one addition.
pub type Key = u128;

/// What a lattice of `V − 1` dimensions needs to place points.
pub struct Geometry<const V: usize> {
    /// `s_i`; the last entry is not used.
    scale: [f32; V],
}

/// The corners around a point, in order of remainder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Simplex<const V: usize> {
    /// One key per corner.
    pub keys: [Key; V],
    /// One share per corner; they sum to 1.
    pub shares: [f32; V],
}

impl<const V: usize> Geometry<V> {
    /// For standard deviation 1 in every direction.
    pub fn new() -> Self {
        assert!(V >= 2 && (V as u32 - 1) * BITS <= Key::BITS);
        let deviation = (2.0f32 / 3.0).sqrt() * V as f32;
        Self { scale: std::array::from_fn(|i| deviation / (((i + 1) * (i + 2)) as f32).sqrt()) }
    }

    /// An upper bound for any coordinate of a point whose features are at most `largest`.
    pub fn reach(&self, largest: &[f32]) -> f32 {
        let sum: f32 = largest.iter().zip(&self.scale).map(|(f, s)| f * s).sum();
        (sum + 2.0) * V as f32
    }

    /// The simplex around `feature`, of which the last entry is not used.
    #[inline(always)]
    pub fn place(&self, feature: &[f32; V]) -> Simplex<V> {
        let d = V - 1;
        let mut x = [0.0f32; V];
        let mut sum = 0.0;
        for j in (1..V).rev() {
            let scaled = feature[j - 1] * self.scale[j - 1];
            x[j] = sum - j as f32 * scaled;
            sum += scaled;
        }
        x[0] = sum;

        // The nearest point of remainder 0, which may lie off the plane by `excess` steps of V.
        let whole = x.map(|x| nearest_integer(x / V as f32)); // [V]
        let mut origin = whole.map(|w| w as i32 * V as i32); // [V]
        let excess = whole.iter().sum::<f32>() as i32;
        let offset: [f32; V] = std::array::from_fn(|i| x[i] - whole[i] * V as f32); // [V]

        // Rank 0 is the largest difference; of equal ones the earlier coordinate ranks higher in number.
        let mut rank = [0i32; V];
        for i in 0..d {
            for j in i + 1..V {
                let later = i32::from(offset[i] < offset[j]);
                rank[i] += later;
                rank[j] += 1 - later;
            }
        }
        // Back onto the plane: the coordinates that were rounded most in the wrong direction give way.
        let mut offset = offset;
        for i in 0..V {
            rank[i] += excess;
            let turn = i32::from(rank[i] < 0) - i32::from(rank[i] > d as i32);
            rank[i] += turn * V as i32;
            origin[i] += turn * V as i32;
            offset[i] -= (turn * V as i32) as f32;
        }

        let mut shares = [0.0f32; V];
        let mut by_rank = [0usize; V]; // the coordinate of each rank
        for i in 0..V {
            let (r, y) = ((rank[i] as usize).min(d), offset[i] / V as f32);
            by_rank[r] = i;
            shares[d - r] += y;
            // The corner after the last is the first one again, one simplex further.
            shares[if r == 0 { 0 } else { V - r }] -= y;
        }
        shares[0] += 1.0;

        let mut keys = [pack(&origin); V];
        for k in 1..V {
            keys[k] = keys[k - 1].wrapping_add(Self::ONES).wrapping_sub(step(by_rank[V - k], V as Key, d));
        }
        Simplex { keys, shares }
    }

    /// 1 in every packed coordinate.
    const ONES: Key = {
        let (mut key, mut i) = (0, 0);
        while i < V - 1 {
            key |= 1 << (i as u32 * BITS);
            i += 1;
        }
        key
    };

    /// What to add to a key to reach the next lattice point along an axis: `V − 1` in that coordinate, −1 in all others.
    pub fn neighbour(axis: usize) -> Key {
        step(axis, V as Key, V - 1).wrapping_sub(Self::ONES)
    }
}

/// `amount` in one packed coordinate; nothing for the last one, which is not stored.
#[inline(always)]
fn step(coordinate: usize, amount: Key, d: usize) -> Key {
    if coordinate < d { amount << (coordinate as u32 * BITS) } else { 0 }
}

#[inline(always)]
fn pack<const V: usize>(point: &[i32; V]) -> Key {
    (0..V - 1).fold(0, |key, i| key | (((point[i] + BIAS) as u32 as Key) << (i as u32 * BITS)))
}

/// Rounds to the nearest integer, halves to the even one: adding 1.5·2²³ leaves no room for a fraction. For |x| < 2²²;
/// unlike `round` it is two additions on any CPU.
#[inline(always)]
fn nearest_integer(x: f32) -> f32 {
    const ROOM: f32 = 12_582_912.0;
    (x + ROOM) - ROOM
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unpack<const V: usize>(key: Key) -> [i32; V] {
        let mut point = [0; V];
        for (i, coordinate) in point[..V - 1].iter_mut().enumerate() {
            *coordinate = ((key >> (i as u32 * BITS)) as i32 & ((1 << BITS) - 1)) - BIAS;
        }
        point[V - 1] = -point[..V - 1].iter().sum::<i32>();
        point
    }

    fn check<const V: usize>(feature: [f32; V]) {
        let geometry = Geometry::<V>::new();
        let simplex = geometry.place(&feature);
        let sum: f32 = simplex.shares.iter().sum();
        assert!((sum - 1.0).abs() < 1e-3 && simplex.shares.iter().all(|&s| s > -1e-3), "{:?}", simplex.shares);
        // The shares recover the lifted point: Σ share · corner = E f.
        let mut middle = [0.0f32; V];
        for (&key, &share) in simplex.keys.iter().zip(&simplex.shares) {
            let corner = unpack::<V>(key);
            for i in 0..V {
                assert_eq!((corner[i] - corner[0]).rem_euclid(V as i32), 0, "{corner:?}");
                middle[i] += share * corner[i] as f32;
            }
        }
        let mut sum = 0.0;
        for j in (1..V).rev() {
            let scaled = feature[j - 1] * geometry.scale[j - 1];
            assert!((middle[j] - (sum - j as f32 * scaled)).abs() < 0.05, "{middle:?}");
            sum += scaled;
        }
    }

    proptest! {
        #[test]
        fn shares_are_barycentric_coordinates_of_the_point(f in proptest::array::uniform6(-60.0f32..60.0)) {
            check::<6>(f);
            check::<3>([f[0], f[1], 0.0]);
        }

        #[test]
        fn a_neighbour_and_back_is_the_same_point(f in proptest::array::uniform6(-60.0f32..60.0), axis in 0usize..6) {
            let key = Geometry::<6>::new().place(&f).keys[0];
            let moved = key.wrapping_add(Geometry::<6>::neighbour(axis));
            let (from, to) = (unpack::<6>(key), unpack::<6>(moved));
            for i in 0..6 {
                prop_assert_eq!(to[i] - from[i], if i == axis { 5 } else { -1 });
            }
            prop_assert_eq!(moved.wrapping_sub(Geometry::<6>::neighbour(axis)), key);
        }
    }

    #[test]
    fn halves_round_to_even() {
        assert_eq!([-1.5, -0.5, 0.5, 1.5, 2.4].map(nearest_integer), [-2.0, 0.0, 0.0, 2.0, 2.0]);
    }
}
