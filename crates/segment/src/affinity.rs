//! Patches that agree with their like: every patch becomes a mean of the patches that it resembles.
//!
//! `f'_p = Σ_q w_pq f_q / Σ_q w_pq`, `w_pq = A_pq·[A_pq ≥ level]`, `A_pq = f̂_p·f̂_q`: the guided pooling of CLIP-DINOiser
//! (Wysoczańska et al. 2024, §3.2, level 0.2), with the patches' own similarity in the place of DINO's.
//! - `f`: `[n, d]` patches, `f̂` the same divided by their norms

use simseg_tensor::{Ops, Result, Tensor};

/// Most patches whose similarities are computed in one product, as attention does; of more, so many rows at a time.
const AT_ONCE: usize = 1 << 14;
const ROWS: usize = 1 << 10;

/// Smooths patches `[n, d]` by their own similarity.
///
/// ```
/// # use simseg_cpu::{CpuDevice, CpuTensor};
/// # use simseg_tensor::{Ops, Tensor};
/// let patches = CpuTensor::<f32>::from_host(&[1.0f32, 0.0, 3.0, 0.0, 0.0, 5.0], &[3, 2], &CpuDevice)?;
/// // The first two are alike, and nothing like the third.
/// assert_eq!(simseg_segment::affinity::smooth(&patches, 0.2)?.to_f32()?, [2.0, 0.0, 2.0, 0.0, 0.0, 5.0]);
/// # Ok::<(), simseg_tensor::Error>(())
/// ```
///
/// # Errors
/// If `patches` is not a matrix.
pub fn smooth<T: Tensor>(patches: &T, level: f32) -> Result<T> {
    let [n, _] = patches.dims()?;
    smooth_by(patches, level, if n > AT_ONCE { ROWS } else { n.max(1) })
}

/// How many similarities of `n` patches [`smooth`] keeps at once.
pub(crate) fn similarities(n: usize) -> usize {
    n.saturating_mul(if n > AT_ONCE { ROWS } else { n })
}

/// [`smooth`], so many rows at a time: memory is that of `rows·n` similarities.
fn smooth_by<T: Tensor>(patches: &T, level: f32, rows: usize) -> Result<T> {
    let [n, _] = patches.dims()?;
    let unit = patches.l2_normalize()?;
    let all = unit.t()?;
    let parts = (0..n).step_by(rows).map(|first| {
        let weights = weights(&unit.slice(0, first, rows.min(n - first))?, &all, first, level)?;
        weights.matmul(patches)
    });
    let parts = parts.collect::<Result<Vec<T>>>()?;
    match parts.as_slice() {
        [] => Ok(patches.clone()),
        [whole] => Ok(whole.clone()),
        parts => T::concat(&parts.iter().collect::<Vec<_>>(), 0),
    }
}

/// How much every patch counts in the means of some: `own [m, d]`, the unit patches from `first` on, and `all [d, n]` → `[m, n]`.
fn weights<T: Tensor>(own: &T, all: &T, first: usize, level: f32) -> Result<T> {
    let similar = own.matmul(all)?; //  [m, n]
    let [m, n] = similar.dims()?;
    let mut weights = similar.to_f32()?;
    drop(similar); // as large as what is made of it: there are two of them at a time, not three
    for (p, row) in weights.chunks_mut(n.max(1)).enumerate() {
        for (q, a) in row.iter_mut().enumerate() {
            // A patch without direction still is itself.
            *a = if *a >= level { *a } else { f32::from(first + p == q && *a <= 0.0) };
        }
        let sum: f32 = row.iter().sum();
        if sum > 0.0 {
            row.iter_mut().for_each(|a| *a /= sum);
        }
    }
    T::from_host(&weights, &[m, n], &own.device())
}

#[cfg(test)]
mod tests {
    use super::*;
    use simseg_cpu::{CpuDevice, CpuTensor};

    #[test]
    fn a_level_that_nothing_else_reaches_changes_nothing() {
        let values = [1.0f32, 0.0, 0.8, 0.6, 0.0, 0.0];
        let patches = CpuTensor::<f32>::from_host(&values, &[3, 2], &CpuDevice).unwrap();
        assert_eq!(smooth(&patches, 0.9).unwrap().to_f32().unwrap(), values);
        // Similarity .8: weights 1 and .8.
        let smoothed = smooth(&patches, 0.5).unwrap().to_f32().unwrap();
        assert!((smoothed[0] - (1.0 + 0.8 * 0.8) / 1.8).abs() < 1e-6, "{smoothed:?}");
        assert_eq!(smoothed[4..], [0.0, 0.0]);
    }

    #[test]
    fn rows_may_be_taken_some_at_a_time() {
        let values: Vec<f32> = (0..70).map(|i| if i / 10 == 3 { 0.0 } else { (i * i % 17) as f32 - 8.0 }).collect();
        let patches = CpuTensor::<f32>::from_host(&values, &[7, 10], &CpuDevice).unwrap();
        let whole = smooth(&patches, 0.2).unwrap().to_f32().unwrap();
        assert_ne!(whole, values);
        for rows in 1..=8 {
            let parts = smooth_by(&patches, 0.2, rows).unwrap().to_f32().unwrap();
            assert!(parts.iter().zip(&whole).all(|(a, b)| (a - b).abs() < 1e-5), "{rows}: {parts:?}");
        }
    }
}
