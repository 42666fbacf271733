//! The permutohedral lattice of one image: a Gaussian filter over features in time linear in the pixels.
//!
//! Source: Adams, Baek, Davis 2010, §3; normalised as in Krähenbühl & Koltun 2011. With `N` pixels and `M` lattice points:
//!
//! ```text
//! L = α S B Sᵀ        Sᵀ: splat, [M, N] shares      B = B_d … B_0: [½, 1, ½] along each axis      S: slice
//! K = D^{-½} L D^{-½},   D = diag(L·1 + 1e-20),   α = 1 / (1 + 2^{-d})
//! ```
//!
//! The lattice depends on the image alone, so one serves every class, iteration and call: what is stored is `S·D^{-½}`
//! by pixel (for slicing) and by lattice point (so that splatting gathers and each sum has one owner and a fixed order),
//! and the neighbours along each axis. Values of `C` problems lie side by side and are filtered together.

use super::geometry::{Geometry, Key, Simplex};
use super::vertices::Vertices;
use crate::refine::wide;
use simseg_tensor::parallel::prelude::*;

/// Pixels whose lattice points are numbered by one task; fixed, though the result does not depend on it.
pub(super) const STRIP: usize = 8192;
/// Rows of a table that one task computes.
const ROWS: usize = 1024;
/// From a feature to the farthest corner of its simplex, in units of features: the longest edge of a simplex in five dimensions, `√(3·3·6)`
/// over the scale of the lattice, `√(2/3)·6`; edges are shorter in two.
const REACH: f64 = 1.5;

/// A Gaussian filter over the features of an image, with `V − 1` feature dimensions.
#[derive(Debug, Clone)]
pub struct Lattice<const V: usize> {
    /// The simplex around each pixel: lattice points …
    corners: Vec<[u32; V]>,
    /// … and shares, times `α·D^{-½}`.
    shares: Vec<[f32; V]>,
    /// Where the pixels of each lattice point start in `pixels`; row 0 stands for missing points and is empty.
    starts: Vec<u32>,
    /// Pixels near a lattice point, with their shares times `D^{-½}`.
    pixels: Vec<(u32, f32)>,
    /// For each axis, the lattice points before and after each one.
    neighbours: Vec<Vec<[u32; 2]>>,
}

/// Values of `C` problems at every lattice point, and room for the next blur.
pub struct Table<const C: usize> {
    values: Vec<[f32; C]>,
    spare: Vec<[f32; C]>,
}

impl<const V: usize> Lattice<V> {
    /// The lattice of `count` pixels, whose features (divided by their standard deviations) are `feature(pixel)`;
    /// the last entry of a feature is not used.
    pub fn new(count: usize, feature: impl Fn(usize) -> [f32; V] + Sync) -> Self {
        let geometry = Geometry::<V>::new();
        // Each strip numbers its own points; walking the strips in order then gives the numbers of one long walk.
        let strips: Vec<Strip<V>> = (0..count.div_ceil(STRIP))
            .into_par_iter()
            .map(|strip| wide(|| Strip::new(&geometry, strip * STRIP..count.min((strip + 1) * STRIP), &feature)))
            .collect();
        let mut vertices =
            Vertices::with_capacity(2 * strips.iter().map(|s| s.vertices.keys().len()).max().unwrap_or(0));
        let numbers: Vec<Vec<u32>> =
            strips.iter().map(|s| s.vertices.keys().iter().map(|&key| vertices.number(key)).collect()).collect();

        let (mut corners, mut shares) = (vec![[0; V]; count], vec![[0.0; V]; count]);
        corners.par_chunks_mut(STRIP).zip(shares.par_chunks_mut(STRIP)).zip(strips.par_iter().zip(&numbers)).for_each(
            |((corners, shares), (strip, numbers))| {
                for (to, from) in corners.iter_mut().zip(&strip.corners) {
                    *to = from.map(|local| numbers[local as usize - 1]);
                }
                shares.copy_from_slice(&strip.shares);
            },
        );
        let rows = vertices.keys().len() + 1;
        let ((starts, pixels), neighbours) =
            simseg_tensor::parallel::join(|| by_vertex(&corners, &shares, rows), || neighbours::<V>(&vertices));
        let mut lattice = Self { corners, shares, starts, pixels, neighbours };
        lattice.normalise();
        lattice
    }

    /// Lattice points that features within a box of these sides can touch at most. One point has `√(3/2)^d / √V` of the volume to itself, and
    /// the corners around a feature are at most [`REACH`] away.
    pub fn points_in(sides: &[f64]) -> f64 {
        let own = 1.5f64.powf(0.5 * (V - 1) as f64) / (V as f64).sqrt();
        sides.iter().map(|side| side + 2.0 * REACH).product::<f64>() / own
    }

    /// Bytes that a lattice of so many pixels and its table of `together` problems take at most, while it is built or used. All strips together
    /// number `in_strips` points, of which `points` are different.
    pub fn memory(pixels: usize, [in_strips, points]: [usize; 2], together: usize) -> usize {
        let numbering = |expected: usize, points: usize| {
            // Keys grow by doubling; slots are at least twice the keys and at most four times as many as asked for.
            size_of::<Key>() * expected.max(2 * points) + size_of::<u32>() * 4 * expected.max(points)
        };
        let corners = pixels * V * (size_of::<u32>() + size_of::<f32>());
        let incidence = pixels * V * size_of::<(u32, f32)>() + points * 2 * size_of::<u32>();
        let neighbours = points * V * size_of::<[u32; 2]>();
        let numbered =
            numbering(pixels, in_strips) + in_strips * size_of::<u32>() + numbering(2 * pixels.min(STRIP * V), points);
        let built = 2 * corners + numbered + incidence + neighbours;
        let used = corners + incidence + neighbours + points * 2 * together * size_of::<f32>();
        built.max(used)
    }

    /// How many lattice points there are.
    pub fn points(&self) -> usize {
        self.starts.len() - 2
    }

    /// Folds `α` and `D^{-½}` into the shares.
    fn normalise(&mut self) {
        let alpha = 1.0 / (1.0 + 0.5f32.powi(V as i32 - 1));
        let table = self.filter(&vec![[1.0]; self.corners.len()]);
        let root: Vec<f32> = (0..self.corners.len())
            .into_par_iter()
            .map(|pixel| 1.0 / (alpha * self.slice(&table, pixel)[0] + 1e-20).sqrt())
            .collect();
        self.shares.par_iter_mut().zip(&root).for_each(|(shares, root)| {
            *shares = shares.map(|share| share * (alpha * root));
        });
        self.pixels.par_iter_mut().for_each(|(pixel, share)| *share *= root[*pixel as usize]);
    }

    /// Splats the values of all pixels and blurs them: `B Sᵀ D^{-½} x`, to be read by [`Self::slice`].
    pub fn filter<const C: usize>(&self, x: &[[f32; C]]) -> Table<C> {
        let rows = self.starts.len() - 1;
        let mut table = Table { values: vec![[0.0; C]; rows], spare: vec![[0.0; C]; rows] };
        self.filter_into(x, &mut table);
        table
    }

    /// The same, into a table used before.
    pub fn filter_into<const C: usize>(&self, x: &[[f32; C]], table: &mut Table<C>) {
        table.values.par_chunks_mut(ROWS).enumerate().for_each(|(chunk, out)| {
            wide(|| splat(&self.starts[chunk * ROWS..], &self.pixels, x, out));
        });
        for axis in &self.neighbours {
            let old = &table.values;
            table.spare.par_chunks_mut(ROWS).enumerate().for_each(|(chunk, out)| {
                wide(|| blur(old, &axis[chunk * ROWS..], chunk * ROWS, out));
            });
            std::mem::swap(&mut table.values, &mut table.spare);
        }
    }

    /// `(K x)[pixel]`, from a filtered table.
    #[inline(always)]
    pub fn slice<const C: usize>(&self, table: &Table<C>, pixel: usize) -> [f32; C] {
        let mut out = [0.0; C];
        for (&corner, share) in self.corners[pixel].iter().zip(self.shares[pixel]) {
            let row = &table.values[corner as usize];
            for c in 0..C {
                out[c] += share * row[c];
            }
        }
        out
    }
}

/// Points near the pixels of a strip, in its own numbers.
struct Strip<const V: usize> {
    vertices: Vertices,
    corners: Vec<[u32; V]>,
    shares: Vec<[f32; V]>,
}

impl<const V: usize> Strip<V> {
    #[inline(always)]
    fn new(geometry: &Geometry<V>, range: std::ops::Range<usize>, feature: &impl Fn(usize) -> [f32; V]) -> Self {
        let mut vertices = Vertices::with_capacity(range.len());
        let (mut corners, mut shares) = (Vec::with_capacity(range.len()), Vec::with_capacity(range.len()));
        let mut last: Option<([Key; V], [u32; V])> = None;
        for pixel in range {
            let Simplex { keys, shares: share } = geometry.place(&feature(pixel));
            // Neighbouring pixels mostly share their simplex.
            let numbers = match last {
                Some((seen, numbers)) if seen == keys => numbers,
                _ => keys.map(|key| vertices.number(key)),
            };
            last = Some((keys, numbers));
            corners.push(numbers);
            shares.push(share);
        }
        Self { vertices, corners, shares }
    }
}

/// The same incidence sorted by lattice point, pixels in order: `(starts, pixels)`.
fn by_vertex<const V: usize>(corners: &[[u32; V]], shares: &[[f32; V]], rows: usize) -> (Vec<u32>, Vec<(u32, f32)>) {
    let mut starts = vec![0u32; rows + 1];
    corners.iter().flatten().for_each(|&corner| starts[corner as usize + 1] += 1);
    for row in 0..rows {
        starts[row + 1] += starts[row];
    }
    let mut next = starts.clone();
    let mut pixels = vec![(0, 0.0); corners.len() * V];
    for (pixel, (corners, shares)) in corners.iter().zip(shares).enumerate() {
        for (&corner, &share) in corners.iter().zip(shares) {
            let place = &mut next[corner as usize];
            pixels[*place as usize] = (pixel as u32, share);
            *place += 1;
        }
    }
    (starts, pixels)
}

/// For each axis, the numbers of the points before and after each point; row 0 has none.
fn neighbours<const V: usize>(vertices: &Vertices) -> Vec<Vec<[u32; 2]>> {
    let keys = vertices.keys();
    let axis = |axis: usize| {
        let step = Geometry::<V>::neighbour(axis);
        let mut pairs = vec![[0; 2]; keys.len() + 1];
        // One search serves both directions: if b comes after a, then a comes before b.
        for (i, key) in keys.iter().enumerate() {
            let after = vertices.find(key.wrapping_add(step));
            pairs[i + 1][1] = after;
            pairs[after as usize][0] = i as u32 + 1;
        }
        pairs[0] = [0; 2];
        pairs
    };
    (0..V).into_par_iter().map(axis).collect()
}

#[inline(always)]
fn splat<const C: usize>(starts: &[u32], pixels: &[(u32, f32)], x: &[[f32; C]], out: &mut [[f32; C]]) {
    for (out, bounds) in out.iter_mut().zip(starts.windows(2)) {
        let mut sum = [0.0; C];
        for &(pixel, share) in &pixels[bounds[0] as usize..bounds[1] as usize] {
            let row = &x[pixel as usize];
            for c in 0..C {
                sum[c] += share * row[c];
            }
        }
        *out = sum;
    }
}

#[inline(always)]
fn blur<const C: usize>(old: &[[f32; C]], neighbours: &[[u32; 2]], first: usize, out: &mut [[f32; C]]) {
    for ((out, own), &[before, after]) in out.iter_mut().zip(&old[first..]).zip(neighbours) {
        let (before, after) = (&old[before as usize], &old[after as usize]);
        for c in 0..C {
            out[c] = own[c] + 0.5 * (before[c] + after[c]);
        }
    }
}
