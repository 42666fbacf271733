//! The loss: symmetric InfoNCE (van den Oord et al. 2018; paper eq. 5) with a learned temperature.
//!
//! `L = ½·(CE(S/τ) + CE(Sᵀ/τ))`, where `S [b, b]` holds cosine similarities, the right caption of image `i` is `i`, and
//! `CE = (1−ε)·nll + ε·mean(−log p)` with label smoothing ε. `τ` is a divisor, clamped to `[0.001, 0.5]`; the clamp passes
//! gradients on its bounds, so a temperature that reached one can leave it again (REFERENCE §4).

use simseg_tensor::{Ops, Result, Tensor};

/// Bounds of the temperature.
pub const TEMPERATURE: (f64, f64) = (0.001, 0.5);

/// Cross-entropy of every row of `logits [b, b]` against the diagonal, averaged, as a scalar.
///
/// # Errors
/// If `logits` is not square.
pub fn diagonal_cross_entropy<T: Tensor>(logits: &T, smoothing: f64) -> Result<T> {
    let [b, _] = logits.dims()?;
    let log_p = logits.log_softmax()?; //                              [b, b]
    let diagonal: Vec<usize> = (0..b).collect();
    let index = T::index_from_host(&diagonal, &[b, 1], &logits.device())?;
    let nll = log_p.gather(1, &index)?.mean_all()?.neg()?;
    if smoothing == 0.0 {
        return Ok(nll);
    }
    nll.scale(1.0 - smoothing)?.sub(&log_p.mean_all()?.scale(smoothing)?)
}

/// The loss of a batch: `similarity [b, b]` (image `i` against caption `j`), `temperature []` → scalar.
///
/// ```
/// # use simseg_cpu::{CpuDevice, CpuTensor};
/// # use simseg_tensor::{Ops, Tensor};
/// // Right pairs 1, wrong pairs 0, τ = ½: −log(e²/(e² + e⁰)) = ln(1 + e⁻²)
/// let s = CpuTensor::<f64>::from_host(&[1.0, 0.0, 0.0, 1.0], &[2, 2], &CpuDevice)?;
/// let tau = CpuTensor::<f64>::from_host(&[0.5], &[], &CpuDevice)?;
/// let loss = simseg_model::nce::info_nce(&s, &tau, 0.0)?.item()?;
/// assert!((loss - (1.0 + (-2.0f64).exp()).ln()).abs() < 1e-12);
/// # Ok::<(), simseg_tensor::Error>(())
/// ```
///
/// # Errors
/// If `similarity` is not square.
pub fn info_nce<T: Tensor>(similarity: &T, temperature: &T, smoothing: f64) -> Result<T> {
    let tau = temperature.clamp(TEMPERATURE.0, TEMPERATURE.1)?.reshape(&[1, 1])?;
    let logits = similarity.div(&tau)?; //                             [b, b]
    let images = diagonal_cross_entropy(&logits, smoothing)?;
    let captions = diagonal_cross_entropy(&logits.t()?, smoothing)?;
    images.add(&captions)?.scale(0.5)
}
