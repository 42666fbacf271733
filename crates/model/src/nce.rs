//! The loss: symmetric InfoNCE (van den Oord et al. 2018; paper eq. 5) with a learned temperature.
//!
//! `L = ½·(CE(S/τ) + CE(Sᵀ/τ))`, where `S [b, b]` holds cosine similarities, the right caption of image `i` is `i`, and
//! `CE = (1−ε)·nll + ε·mean(−log p)` with label smoothing ε. `τ` is a divisor, clamped to `[0.001, 0.5]` (REFERENCE §4).
//!
//! The clamp passes gradients on its bounds but none beyond them: a step that carried the parameter past a bound would
//! leave it there for good. So a training loop calls [`bounded`] after every step, as the released code clamps its
//! parameter, and the temperature can come back.

use simseg_tensor::{Error, Ops, Result, Tensor};

/// Bounds of the temperature.
pub const TEMPERATURE: (f64, f64) = (0.001, 0.5);

/// The temperature within its bounds.
///
/// # Errors
/// If the backend fails.
pub fn bounded<T: Tensor>(temperature: &T) -> Result<T> {
    temperature.clamp(TEMPERATURE.0, TEMPERATURE.1)
}

/// Cross-entropy of every row of `logits [b, b]` against the diagonal, averaged, as a scalar.
///
/// # Errors
/// If `logits` is not square.
pub fn diagonal_cross_entropy<T: Tensor>(logits: &T, smoothing: f64) -> Result<T> {
    let [b, captions] = logits.dims()?;
    if b != captions || b == 0 {
        let rule = "one caption per image, and at least one";
        return Err(Error::Shape { op: "info_nce", lhs: vec![b, captions], rhs: vec![], rule });
    }
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
    let tau = bounded(temperature)?.reshape(&[1, 1])?;
    let logits = similarity.div(&tau)?; //                             [b, b]
    let images = diagonal_cross_entropy(&logits, smoothing)?;
    let captions = diagonal_cross_entropy(&logits.t()?, smoothing)?;
    images.add(&captions)?.scale(0.5)
}
