//! DenseCRF: every pixel is pulled towards the labels of all others, the more the closer they are in position and colour.
//!
//! **Energy.** A labelling `x` costs what each pixel says about its own label and, for each pair of pixels that differ, how alike they are
//! (the Potts term); marginals `Q` of `exp(−E)` are found by passing messages:
//!
//! ```text
//! E(x) = Σ_i U_i(x_i) + Σ_{i<j} [x_i ≠ x_j] · k(i, j)
//! k(i, j) = w_g·exp(−|p_i − p_j|²/2σ_g²) + w_b·exp(−|p_i − p_j|²/2σ_b² − |c_i − c_j|²/2σ_c²)
//! ```
//!
//! with `p` a pixel's place and `c` its colour. A sum over all pairs takes the square of the pixels; the lattice makes it linear:
//!
//! ```text
//! bin             blur along each axis        read back
//! ·  x   ·        ½ 1 ½                       each pixel takes from the corners
//!   ╲│╱      →    each corner hears      →    that it gave to, in the same shares
//! corners near x  its neighbours
//! ```
//!
//! Source: Krähenbühl & Koltun, "Efficient inference in fully connected CRFs with Gaussian edge potentials", NIPS 2011,
//! algorithm 1, with the constants and the symmetric normalisation of pydensecrf.
//!
//! ```text
//! Q⁰ = softmax(−U);   Qᵗ⁺¹ = softmax(−U + w_g·K_g Qᵗ + w_b·K_b Qᵗ)       U, Q: [L, N] for L labels and N pixels
//! K  = D^{-½} L D^{-½},  D = diag(L·1),  L_ij = exp(−½|f_i − f_j|²)
//! f  = (x, y)/sxy  for K_g,   (x/sxy, y/sxy, r/srgb, g/srgb, b/srgb)  for K_b
//! ```
//!
//! A pixel's own message (`i = j`) is kept, as in the code and unlike equation 3 of the paper. [`exact`] computes this
//! literally; [`Lattices`] filters with the permutohedral `lattice`, as pydensecrf does.
//!
//! **Two labels.** A class of SimSeg is one problem, class against rest, with `U = −log([1−p, p] + 1e-8)`. As `Q₀ + Q₁ = 1`,
//! only `q = Q₁` is needed, the message of the other label is `K·1 − K q`, and with the logistic function `σ`
//!
//! ```text
//! q⁰ = σ(u),   qᵗ⁺¹ = σ(u − K·1 + 2 K qᵗ),   u = U₀ − U₁,   K = w_g K_g + w_b K_b
//! ```
//!
//! so all classes of an image together are one table of `q`, filtered by one lattice.

pub mod exact;
mod refiner;
mod geometry;
mod lattice;
mod logistic;
mod vertices;

pub use refiner::{Crf, CrfImage, CrfLabels, register};

use super::{RefineError, area, length, wide};
use geometry::{Geometry, MAX_COORDINATE};
use lattice::Lattice;
use serde::{Deserialize, Serialize};
use simseg_tensor::parallel::prelude::*;

/// Widths and weights of the two kernels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrfParameters {
    /// Standard deviation of the position kernel, in pixels.
    pub gaussian_sxy: f32,
    /// Weight of the position kernel.
    pub gaussian_compat: f32,
    /// Standard deviation in position of the colour kernel, in pixels.
    pub bilateral_sxy: f32,
    /// Standard deviation in colour of the colour kernel, in steps of 1/255.
    pub bilateral_srgb: f32,
    /// Weight of the colour kernel.
    pub bilateral_compat: f32,
    /// Rounds of messages; 0 leaves `softmax(−U)`.
    pub iterations: usize,
}

impl Default for CrfParameters {
    /// The values of the released code.
    fn default() -> Self {
        Self {
            gaussian_sxy: 3.0,
            gaussian_compat: 3.0,
            bilateral_sxy: 40.0,
            bilateral_srgb: 13.0,
            bilateral_compat: 10.0,
            iterations: 3,
        }
    }
}

impl CrfParameters {
    /// Checks the ranges.
    ///
    /// # Errors
    /// If a deviation is not positive, a weight is not finite, or there are more than 10,000 iterations.
    pub fn check(&self) -> Result<(), RefineError> {
        let deviations = [
            ("gaussian_sxy", self.gaussian_sxy),
            ("bilateral_sxy", self.bilateral_sxy),
            ("bilateral_srgb", self.bilateral_srgb),
        ];
        for (key, got) in deviations {
            if !(got > 0.0 && got.is_finite()) {
                return Err(RefineError::Setting { key, got: got.into(), expected: "a positive number" });
            }
        }
        for (key, got) in [("gaussian_compat", self.gaussian_compat), ("bilateral_compat", self.bilateral_compat)] {
            if !got.is_finite() {
                return Err(RefineError::Setting { key, got: got.into(), expected: "a finite number" });
            }
        }
        if self.iterations > 10_000 {
            let got = self.iterations as f64;
            return Err(RefineError::Setting { key: "iterations", got, expected: "at most 10000" });
        }
        Ok(())
    }
}

/// Is told the round, the problem or label, and how to get its marginals `[N]`: nobody pays for columns that are not looked at.
pub type Watching<'a> = &'a mut dyn FnMut(usize, usize, &dyn Fn() -> Vec<f32>);

/// The two filters of one image, ready for any number of problems.
#[derive(Debug, Clone)]
pub struct Lattices {
    parameters: CrfParameters,
    position: Lattice<3>,
    colour: Lattice<6>,
    /// `w_g K_g·1 + w_b K_b·1`, `[N]`
    ones: Vec<f32>,
}

impl Lattices {
    /// Builds the lattices of an image of bytes, `rgb: [h, w, 3]`.
    ///
    /// # Errors
    /// If a side is zero, `rgb` does not fit, a parameter is out of range, or a deviation is so small that the features of
    /// this image leave the range of lattice coordinates (2²¹; a deviation of 0.05 pixels on a side of 16,384).
    pub fn new(rgb: &[u8], height: usize, width: usize, parameters: &CrfParameters) -> Result<Self, RefineError> {
        let count = area("DenseCRF", height, width)?;
        length("DenseCRF: rgb", rgb.len(), 3 * count)?;
        parameters.check()?;
        let p = *parameters;
        let (far, top) = (height.max(width) as f32, 255.0 / p.bilateral_srgb);
        let reaches = [
            ("gaussian_sxy", Geometry::<3>::new().reach(&[far / p.gaussian_sxy; 2]), p.gaussian_sxy),
            ("bilateral_sxy", Geometry::<6>::new().reach(&[far / p.bilateral_sxy; 2]), p.bilateral_sxy),
            ("bilateral_srgb", Geometry::<6>::new().reach(&[0.0, 0.0, top, top, top]), p.bilateral_srgb),
        ];
        for (key, reach, got) in reaches {
            if reach.is_nan() || reach > MAX_COORDINATE / 2.0 {
                return Err(RefineError::Setting {
                    key,
                    got: got.into(),
                    expected: "a larger deviation for this image",
                });
            }
        }
        let place = |pixel: usize| ((pixel % width) as f32, (pixel / width) as f32);
        let position = |pixel: usize| {
            let (x, y) = place(pixel);
            [x / p.gaussian_sxy, y / p.gaussian_sxy, 0.0]
        };
        let colour = |pixel: usize| {
            let (x, y) = place(pixel);
            let [r, g, b] = std::array::from_fn(|c| f32::from(rgb[3 * pixel + c]) / p.bilateral_srgb);
            [x / p.bilateral_sxy, y / p.bilateral_sxy, r, g, b, 0.0]
        };
        let (position, colour) =
            simseg_tensor::parallel::join(|| Lattice::new(count, position), || Lattice::new(count, colour));
        let mut lattices = Self { parameters: p, position, colour, ones: Vec::new() };
        let ones = lattices.messages(&vec![[1.0]; count], |_, message| message);
        lattices.ones = ones.into_iter().map(|[one]| one).collect();
        Ok(lattices)
    }

    /// Bytes that both lattices of an image and the inference of `together` problems take at most, as if its colours were noise: then hardly
    /// two pixels share a point of the colour lattice. A photograph's repeat, and need about a quarter.
    pub fn memory(height: usize, width: usize, parameters: &CrfParameters, together: usize) -> usize {
        let pixels = height * width;
        let bounded = |corners: usize, points: f64| (corners * pixels).min(points as usize);
        let side = |pixels: usize, deviation: f32| pixels as f64 / f64::from(deviation);
        // A strip is some rows, or a part of one.
        let rows = (lattice::STRIP / width.max(1) + 2).min(height);
        let strips = pixels.div_ceil(lattice::STRIP) as f64;
        let place = |rows: usize, deviation: f32| [side(rows, deviation), side(width, deviation)];
        let colour = side(256, parameters.bilateral_srgb);
        let near = |rows| Lattice::<3>::points_in(&place(rows, parameters.gaussian_sxy));
        let alike = |rows| {
            let [y, x] = place(rows, parameters.bilateral_sxy);
            Lattice::<6>::points_in(&[y, x, colour, colour, colour])
        };
        let position = [bounded(3, strips * near(rows)), bounded(3, near(height))];
        let colours = [bounded(6, strips * alike(rows)), bounded(6, alike(height))];
        let inference = 3 * size_of::<f32>() * together; // q, the one before, and log-odds
        Lattice::<3>::memory(pixels, position, together)
            + Lattice::<6>::memory(pixels, colours, together)
            + pixels * (inference + size_of::<f32>())
    }

    /// Number of pixels.
    pub fn pixels(&self) -> usize {
        self.ones.len()
    }

    /// Lattice points of the position and of the colour kernel.
    pub fn points(&self) -> [usize; 2] {
        [self.position.points(), self.colour.points()]
    }

    /// Solves independent two-label problems together: for each map of probabilities `[N]` the marginals `[N]` of its
    /// label. The mask of the released code (argmax) is `marginal > 0.5`.
    ///
    /// A probability outside of `[0, 1]` counts as the nearer bound, NaN as one half: no opinion.
    ///
    /// # Errors
    /// If a map does not have one value per pixel.
    pub fn infer(&self, probabilities: &[&[f32]]) -> Result<Vec<Vec<f32>>, RefineError> {
        self.infer_watched(probabilities, &mut |_, _, _| {})
    }

    /// The same, telling the marginals after every round: `watch(t, map, q)` for `t` from 0 (before any message) to the last.
    ///
    /// # Errors
    /// As [`Self::infer`].
    pub fn infer_watched(&self, probabilities: &[&[f32]], watch: Watching<'_>) -> Result<Vec<Vec<f32>>, RefineError> {
        for map in probabilities {
            length("DenseCRF: probabilities", map.len(), self.pixels())?;
        }
        let mut marginals = Vec::with_capacity(probabilities.len());
        for maps in probabilities.chunks(8) {
            let first = marginals.len();
            let mut watch = |t: usize, map: usize, q: &dyn Fn() -> Vec<f32>| watch(t, first + map, q);
            marginals.extend(match maps.len() {
                0..=1 => self.infer_together::<1>(maps, &mut watch),
                2..=4 => self.infer_together::<4>(maps, &mut watch),
                _ => self.infer_together::<8>(maps, &mut watch),
            });
        }
        Ok(marginals)
    }

    /// Up to `C` two-label problems as the columns of one table.
    fn infer_together<const C: usize>(&self, maps: &[&[f32]], watch: Watching<'_>) -> Vec<Vec<f32>> {
        let row = |pixel: usize| std::array::from_fn(|c| maps.get(c).map_or(0.5, |map| map[pixel]));
        let u: Vec<[f32; C]> =
            (0..self.pixels()).into_par_iter().map(|pixel| row(pixel).map(logistic::logit)).collect(); // [N, C]
        let mut q: Vec<[f32; C]> = u.par_iter().map(|row| row.map(logistic::sigmoid)).collect(); // [N, C]
        let mut tell = |t: usize, q: &[[f32; C]]| {
            (0..maps.len()).for_each(|c| watch(t, c, &|| q.iter().map(|row| row[c]).collect()));
        };
        tell(0, &q);
        for t in 0..self.parameters.iterations {
            q = self.messages(&q, |pixel, message| {
                let (u, one) = (&u[pixel], self.ones[pixel]);
                std::array::from_fn(|c| logistic::sigmoid(u[c] - one + 2.0 * message[c]))
            });
            tell(t + 1, &q);
        }
        (0..maps.len()).map(|c| q.iter().map(|row| row[c]).collect()).collect()
    }

    /// Solves one problem of `labels` labels: energies `[labels, N]`, label by label, to marginals of the same layout.
    ///
    /// An energy of +∞ forbids a label; a pixel with a NaN, or with nothing but +∞, starts from the uniform distribution
    /// and takes part in the sums of the others.
    ///
    /// # Errors
    /// If there is no label, or not one energy per label and pixel.
    pub fn infer_multi(&self, energies: &[f32], labels: usize) -> Result<Vec<f32>, RefineError> {
        self.infer_multi_watched(energies, labels, &mut |_, _, _| {})
    }

    /// The same, telling the marginals of every label after every round: `watch(t, label, q)`.
    ///
    /// # Errors
    /// As [`Self::infer_multi`].
    pub fn infer_multi_watched(
        &self,
        energies: &[f32],
        labels: usize,
        watch: Watching<'_>,
    ) -> Result<Vec<f32>, RefineError> {
        if labels == 0 {
            return Err(RefineError::Setting { key: "labels", got: 0.0, expected: "at least one label" });
        }
        let n = self.pixels();
        length("DenseCRF: energies", energies.len(), labels.saturating_mul(n))?;
        let unary = sanitised(energies, labels, n); // [N, L], −U
        let mut q = unary.clone(); // [N, L]
        q.par_chunks_mut(labels).for_each(softmax);
        let mut tell = |t: usize, q: &[f32]| {
            for label in 0..labels {
                watch(t, label, &|| q.iter().skip(label).step_by(labels).copied().collect());
            }
        };
        tell(0, &q);
        for t in 0..self.parameters.iterations {
            let mut logits = unary.clone();
            for first in (0..labels).step_by(8) {
                let here = 8.min(labels - first);
                let row =
                    |pixel: usize| std::array::from_fn(|c| if c < here { q[pixel * labels + first + c] } else { 0.0 });
                let block: Vec<[f32; 8]> = (0..n).into_par_iter().map(row).collect();
                let block = self.messages(&block, |_, message| message);
                logits.par_chunks_mut(labels).zip(&block).for_each(|(logits, message)| {
                    logits[first..first + here].iter_mut().zip(message).for_each(|(t, m)| *t += m);
                });
            }
            q = logits;
            q.par_chunks_mut(labels).for_each(softmax);
            tell(t + 1, &q);
        }
        Ok((0..labels).flat_map(|label| q.iter().skip(label).step_by(labels).copied()).collect())
    }

    /// `update(pixel, w_g K_g x + w_b K_b x)` for every pixel.
    fn messages<const C: usize>(
        &self,
        x: &[[f32; C]],
        update: impl Fn(usize, [f32; C]) -> [f32; C] + Sync,
    ) -> Vec<[f32; C]> {
        const PIXELS: usize = 2048;
        let (position, colour) = simseg_tensor::parallel::join(|| self.position.filter(x), || self.colour.filter(x));
        let (near, alike) = (self.parameters.gaussian_compat, self.parameters.bilateral_compat);
        let mut out = vec![[0.0; C]; x.len()];
        out.par_chunks_mut(PIXELS).enumerate().for_each(|(chunk, out)| {
            wide(|| {
                for (i, out) in out.iter_mut().enumerate() {
                    let pixel = chunk * PIXELS + i;
                    let (g, b) = (self.position.slice(&position, pixel), self.colour.slice(&colour, pixel));
                    *out = update(pixel, std::array::from_fn(|c| near * g[c] + alike * b[c]));
                }
            });
        });
        out
    }
}

/// `−U` by pixel, `[N, L]`, with unusable pixels made uniform.
fn sanitised(energies: &[f32], labels: usize, n: usize) -> Vec<f32> {
    let mut unary = vec![0.0; labels * n];
    unary.par_chunks_mut(labels).enumerate().for_each(|(pixel, row)| {
        row.iter_mut().enumerate().for_each(|(label, t)| *t = -energies[label * n + pixel]);
        if row.iter().any(|t| t.is_nan()) || row.iter().all(|&t| t == f32::NEG_INFINITY) {
            row.fill(0.0);
        }
        // Two certain labels would be ∞ − ∞.
        row.iter_mut().for_each(|t| *t = t.min(1e30));
    });
    unary
}

fn softmax(row: &mut [f32]) {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|t| *t = (*t - top).exp());
    let sum: f32 = row.iter().sum();
    row.iter_mut().for_each(|t| *t /= sum);
}
