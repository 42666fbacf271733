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

/// What a pixel hears from every other, `[N]` each: its row of the position kernel and of the colour kernel, normalised, without their
/// weights. Costs as much as `kernel` in time, but one row in memory.
///
/// # Errors
/// As [`infer`], or if there is no such pixel.
pub fn row(
    rgb: &[u8],
    height: usize,
    width: usize,
    pixel: usize,
    parameters: &CrfParameters,
) -> Result<[Vec<f64>; 2], RefineError> {
    let n = area("exact DenseCRF", height, width)?;
    if n > MAX_PIXELS || pixel >= n {
        return Err(RefineError::Size { what: "exact DenseCRF (a pixel of at most 4096)", height, width });
    }
    length("exact DenseCRF: rgb", rgb.len(), 3 * n)?;
    parameters.check()?;
    let p = parameters;
    let place = |i: usize, s: f32| [(i % width) as f64 / f64::from(s), (i / width) as f64 / f64::from(s)];
    let colour = |i: usize| [0, 1, 2].map(|c| f64::from(rgb[3 * i + c]) / f64::from(p.bilateral_srgb));
    let near = |i: usize, j: usize| squared(&place(i, p.gaussian_sxy), &place(j, p.gaussian_sxy));
    let alike = |i: usize, j: usize| {
        squared(&place(i, p.bilateral_sxy), &place(j, p.bilateral_sxy)) + squared(&colour(i), &colour(j))
    };
    Ok([normalised(n, pixel, near), normalised(n, pixel, alike)])
}

fn squared(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Row `i` of `D^{-½} L D^{-½}` for squared distances.
fn normalised(n: usize, i: usize, distance: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let sum = |i: usize| (0..n).map(|j| (-0.5 * distance(i, j)).exp()).sum::<f64>();
    let sums: Vec<f64> = (0..n).map(sum).collect();
    (0..n).map(|j| (-0.5 * distance(i, j)).exp() / (sums[i] * sums[j]).sqrt()).collect()
}

/// `D^{-½} L D^{-½}`, `[N, N]`, from one feature vector per pixel.
fn kernel(features: &[Vec<f64>]) -> Vec<f64> {
    let n = features.len();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_the_row_of_the_whole_kernel() {
        let rgb: Vec<u8> = (0..3 * 20).map(|i| (i * 37 % 256) as u8).collect();
        let p = CrfParameters { bilateral_srgb: 60.0, ..CrfParameters::default() };
        let [near, alike] = row(&rgb, 4, 5, 7, &p).unwrap();
        let place = |i: usize, s: f32| vec![(i % 5) as f64 / f64::from(s), (i / 5) as f64 / f64::from(s)];
        let colour = |i: usize| rgb[3 * i..][..3].iter().map(|&c| f64::from(c) / 60.0).collect::<Vec<f64>>();
        let all = kernel(&(0..20).map(|i| place(i, 3.0)).collect::<Vec<_>>());
        assert!(near.iter().zip(&all[7 * 20..8 * 20]).all(|(a, b)| (a - b).abs() < 1e-12));
        let all = kernel(&(0..20).map(|i| [place(i, 40.0), colour(i)].concat()).collect::<Vec<_>>());
        assert!(alike.iter().zip(&all[7 * 20..8 * 20]).all(|(a, b)| (a - b).abs() < 1e-12));
        assert!(row(&rgb, 4, 5, 20, &p).is_err());
    }
}
