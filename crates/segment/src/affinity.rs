//! Patches that agree with their like: every patch becomes a mean of the patches that it resembles.
//!
//! `f'_p = Σ_q w_pq f_q / Σ_q w_pq`, `w_pq = A_pq·[A_pq ≥ level]`, `A_pq = f̂_p·f̂_q`: the guided pooling of CLIP-DINOiser
//! (Wysoczańska et al. 2024, §3.2, level 0.2), with the patches' own similarity in the place of DINO's.
//! - `f`: `[n, d]` patches, `f̂` the same divided by their norms

use simseg_tensor::{Ops, Result, Tensor};

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
    let unit = patches.l2_normalize()?;
    let mut weights = unit.matmul(&unit.t()?)?.to_f32()?; //  [n, n]
    for (p, row) in weights.chunks_mut(n.max(1)).enumerate() {
        for (q, a) in row.iter_mut().enumerate() {
            // A patch without direction still is itself.
            *a = if *a >= level { *a } else { f32::from(p == q && *a <= 0.0) };
        }
        let sum: f32 = row.iter().sum();
        if sum > 0.0 {
            row.iter_mut().for_each(|a| *a /= sum);
        }
    }
    T::from_host(&weights, &[n, n], &patches.device())?.matmul(patches)
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
}
