//! DenseCRF by definition, for small images: all pairs of pixels, f64, time and memory O(N²).
//!
//! ```text
//! Q⁰ = softmax(−U);   Qᵗ⁺¹ = softmax(−U + Σ_k w_k K_k Qᵗ)
//! K_ij = exp(−½|f_i − f_j|²) / √(D_i D_j),   D_i = Σ_j exp(−½|f_i − f_j|²)
//! ```
//!
//! What the lattice approximates. See the parent module for symbols and source.

use super::CrfParameters;
use crate::refine::{RefineError, area, length};

/// The largest image: 4,096 pixels, a kernel of 128 MiB.
pub const MAX_PIXELS: usize = 4096;

/// Marginals `[L, N]` from energies `[L, N]`, for an image of bytes `[h, w, 3]`.
///
/// # Errors
/// If slices do not fit, a parameter is out of range, or there are more than [`MAX_PIXELS`] pixels.
pub fn infer(
    rgb: &[u8],
    height: usize,
    width: usize,
    energies: &[f64],
    labels: usize,
    parameters: &CrfParameters,
) -> Result<Vec<f64>, RefineError> {
    let n = area("exact DenseCRF", height, width)?;
    if n > MAX_PIXELS {
        return Err(RefineError::Size { what: "exact DenseCRF (at most 4096 pixels)", height, width });
    }
    length("exact DenseCRF: rgb", rgb.len(), 3 * n)?;
    length("exact DenseCRF: energies", energies.len(), labels * n)?;
    parameters.check()?;
    let p = parameters;
    let place = |i: usize, s: f32| [(i % width) as f64 / f64::from(s), (i / width) as f64 / f64::from(s)];
    let colour = |i: usize| [0, 1, 2].map(|c| f64::from(rgb[3 * i + c]) / f64::from(p.bilateral_srgb));
    let near: Vec<Vec<f64>> = (0..n).map(|i| place(i, p.gaussian_sxy).to_vec()).collect();
    let alike: Vec<Vec<f64>> = (0..n).map(|i| [&place(i, p.bilateral_sxy)[..], &colour(i)].concat()).collect();
    let (near, alike) = (kernel(&near), kernel(&alike)); // [N, N]
    let (w_near, w_alike) = (f64::from(p.gaussian_compat), f64::from(p.bilateral_compat));
    let both: Vec<f64> = near.iter().zip(&alike).map(|(g, b)| w_near * g + w_alike * b).collect();

    let unary: Vec<f64> = energies.iter().map(|u| -u).collect();
    let mut q = softmax(&unary, labels, n);
    for _ in 0..p.iterations {
        let mut t = unary.clone();
        for (t, q) in t.chunks_mut(n).zip(q.chunks(n)) {
            for (t, row) in t.iter_mut().zip(both.chunks(n)) {
                *t += row.iter().zip(q).map(|(k, q)| k * q).sum::<f64>();
            }
        }
        q = softmax(&t, labels, n);
    }
    Ok(q)
}

/// `D^{-½} L D^{-½}`, `[N, N]`, from one feature vector per pixel.
fn kernel(features: &[Vec<f64>]) -> Vec<f64> {
    let n = features.len();
    let squared = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
    let mut k: Vec<f64> =
        features.iter().flat_map(|a| features.iter().map(move |b| (-0.5 * squared(a, b)).exp())).collect();
    let root: Vec<f64> = k.chunks(n).map(|row| row.iter().sum::<f64>().sqrt()).collect();
    k.iter_mut().enumerate().for_each(|(ij, k)| *k /= root[ij / n] * root[ij % n]);
    k
}

/// Over labels, for each pixel of `[L, N]`.
fn softmax(t: &[f64], labels: usize, n: usize) -> Vec<f64> {
    let mut q = vec![0.0; t.len()];
    for i in 0..n {
        let top = (0..labels).map(|l| t[l * n + i]).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = (0..labels).map(|l| (t[l * n + i] - top).exp()).sum();
        (0..labels).for_each(|l| q[l * n + i] = (t[l * n + i] - top).exp() / sum);
    }
    q
}
