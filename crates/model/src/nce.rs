//! The loss: symmetric InfoNCE (van den Oord et al. 2018; paper eq. 5) with a learned temperature.
//!
//! `L = ½·(CE(S/τ) + CE(Sᵀ/τ))`, where `S [b, b]` holds cosine similarities, the right caption of image `i` is `i`, and
//! `CE = (1−ε)·nll + ε·mean(−log p)` with label smoothing ε. `τ` is a divisor, clamped to `[0.001, 0.5]` (released code).
//!
//! The clamp passes gradients on its bounds but none beyond them: a step that carried the parameter past a bound would
//! leave it there for good. So a training loop calls [`bounded`] after every step, as the released code clamps its
//! parameter, and the temperature can come back.

use crate::parameters::Parameters;
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_tensor::{Error, Ops, Parameter, Result, Tensor};

/// A loss: how the similarities of a batch become one number.
pub trait Loss<T: Tensor>: Send + Sync {
    /// `similarity [b, b]` (image `i` against caption `j`), `temperature []` → scalar.
    ///
    /// # Errors
    /// If `similarity` is not square.
    fn loss(&self, similarity: &T, temperature: &T) -> Result<T>;
}

/// A loss before it has weights. One without parameters and without checks implements [`Self::build`] alone.
pub trait LossConfig<T: Tensor>: Send + Sync {
    /// Whether the numbers make sense.
    ///
    /// # Errors
    /// The key that does not.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Learned parameters. They are optimised with the model, as `loss.NAME`, and are of no use once it is trained.
    fn parameters(&self) -> Vec<(String, Parameter)> {
        vec![]
    }

    /// The loss, given all parameters: its own are called `loss.NAME`.
    ///
    /// # Errors
    /// If a parameter is missing.
    fn build(&self, parameters: &Parameters<T>) -> Result<Box<dyn Loss<T>>>;
}

/// Symmetric InfoNCE.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InfoNce {
    /// Label smoothing ε, below 1.
    #[serde(default)]
    pub label_smoothing: f64,
}

impl<T: Tensor> Loss<T> for InfoNce {
    fn loss(&self, similarity: &T, temperature: &T) -> Result<T> {
        info_nce(similarity, temperature, self.label_smoothing)
    }
}

impl<T: Tensor> LossConfig<T> for InfoNce {
    fn check(&self) -> Result<()> {
        match (0.0..1.0).contains(&self.label_smoothing) {
            true => Ok(()),
            false => Err(Error::setting("loss.label_smoothing", "from 0 to below 1")),
        }
    }

    fn build(&self, _: &Parameters<T>) -> Result<Box<dyn Loss<T>>> {
        Ok(Box::new(*self))
    }
}

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

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn LossConfig<T>>) {
    kinds.add("info-nce", "symmetric InfoNCE with a temperature", |config: InfoNce| Ok(Box::new(config)));
}
