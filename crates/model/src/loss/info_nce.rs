//! Symmetric InfoNCE (van den Oord et al. 2018; paper eq. 5) with a temperature, learned unless it is fixed.
//!
//! ```text
//!           1      ⎛        exp(s_ii/τ)               exp(s_ii/τ)    ⎞
//! L  =  −  ───  Σ  ⎜ log ──────────────────  +  log ──────────────── ⎟        s_ij = cosine of image i and caption j,  S: [b, b]
//!          2·b  i  ⎝      Σ_j exp(s_ij/τ)            Σ_j exp(s_ji/τ) ⎠
//! ```
//!
//! Each image has to find its caption among the `b` of the batch (a row of `S`), each caption its image (a column). A model that finds all
//! alike guesses: `L = log b`. In code `L = ½·(CE(S/τ) + CE(Sᵀ/τ))` with `CE = (1−ε)·nll + ε·mean(−log p)` and label smoothing ε. `τ` is a
//! divisor, clamped to `[0.001, 0.5]` (released code).
//!
//! The clamp passes gradients on its bounds but none beyond them: a step that carried the parameter past a bound would
//! leave it there for good. So a training loop calls [`bounded`] after every step, as the released code clamps its
//! parameter, and the temperature can come back.

use super::{Loss, LossConfig, pairs};
use crate::parameters::Parameters;
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_tensor::{Error, Ops, Result, Tensor};

/// Symmetric InfoNCE.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InfoNce {
    /// Label smoothing ε, below 1.
    #[serde(default)]
    pub label_smoothing: f64,
    /// A temperature that stays what it is, in place of the network's learned one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_temperature: Option<f64>,
}

impl<T: Tensor> Loss<T> for InfoNce {
    fn loss(&self, similarity: &T, temperature: &T) -> Result<T> {
        info_nce(similarity, &self.divisor(temperature)?, self.label_smoothing)
    }

    fn share(&self, images: &T, captions: &T, first: usize, temperature: &T) -> Result<T> {
        let tau = bounded(&self.divisor(temperature)?)?.reshape(&[1, 1])?;
        let [p, b] = images.dims()?;
        let rows = |similarity: &T| rows_cross_entropy(&similarity.div(&tau)?, first, self.label_smoothing); // [p, b] → []
        rows(images)?.add(&rows(captions)?)?.scale(0.5 * p as f64 / b as f64)
    }

    fn divisor(&self, temperature: &T) -> Result<T> {
        match self.fixed_temperature {
            None => Ok(temperature.clone()),
            Some(fixed) => T::full(fixed, &[], &temperature.device()),
        }
    }
}

impl<T: Tensor> LossConfig<T> for InfoNce {
    fn check(&self) -> Result<()> {
        if !(0.0..1.0).contains(&self.label_smoothing) {
            let found = self.label_smoothing;
            return Err(Error::setting("loss.label_smoothing", format!("from 0 to below 1, found {found}")));
        }
        self.fixed_temperature.map_or(Ok(()), |fixed| check_temperature("loss.fixed_temperature", fixed))
    }

    fn build(&self, _: &Parameters<T>) -> Result<Box<dyn Loss<T>>> {
        Ok(Box::new(*self))
    }
}

/// Bounds of the temperature.
pub const TEMPERATURE: (f64, f64) = (0.001, 0.5);

/// That a temperature lies within its bounds: one beyond them would be another one from the first step on.
///
/// # Errors
/// Under this key, if it does not.
pub fn check_temperature(key: &str, temperature: f64) -> Result<()> {
    let (low, high) = TEMPERATURE;
    match (low..=high).contains(&temperature) {
        true => Ok(()),
        false => Err(Error::setting(key, format!("from {low} to {high}, found {temperature}"))),
    }
}

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
    pairs("info_nce", logits)?;
    rows_cross_entropy(logits, 0, smoothing)
}

/// Cross-entropy of every row of `logits [p, b]`, averaged: row `k` has to find column `first + k`.
fn rows_cross_entropy<T: Tensor>(logits: &T, first: usize, smoothing: f64) -> Result<T> {
    let [p, _] = logits.dims()?;
    let log_p = logits.log_softmax()?; //                              [p, b]
    let right: Vec<usize> = (first..first + p).collect();
    let index = T::index_from_host(&right, &[p, 1], &logits.device())?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use simseg_cpu::{CpuDevice, CpuTensor};

    type Cpu = CpuTensor<f64>;

    fn tensor(values: &[f64], shape: &[usize]) -> Cpu {
        Cpu::from_host(values, shape, &CpuDevice).unwrap()
    }

    #[test]
    fn a_fixed_temperature_takes_the_place_of_the_networks() {
        let (s, tau) = (tensor(&[0.9, 0.1, 0.2, 0.8], &[2, 2]), tensor(&[0.3], &[]));
        let config = |json: &str| serde_json::from_str::<InfoNce>(json).unwrap();
        let loss = |config: InfoNce| config.loss(&s, &tau).unwrap().item().unwrap();
        let (learned, fixed) = (config("{}"), config(r#"{"fixed_temperature": 0.07}"#));
        assert_eq!(loss(learned), info_nce(&s, &tau, 0.0).unwrap().item().unwrap());
        assert_eq!(loss(fixed), info_nce(&s, &tensor(&[0.07], &[]), 0.0).unwrap().item().unwrap());
        assert_eq!(fixed.divisor(&tau).unwrap().item().unwrap(), 0.07);
        assert_eq!(serde_json::to_string(&learned).unwrap(), r#"{"label_smoothing":0.0}"#);
    }

    #[test]
    fn impossible_numbers_name_their_key_and_its_range() {
        let message = |json: &str| {
            let config = serde_json::from_str::<InfoNce>(json).unwrap();
            LossConfig::<Cpu>::check(&config).unwrap_err().to_string()
        };
        assert_eq!(message(r#"{"fixed_temperature": 0.9}"#), "loss.fixed_temperature: from 0.001 to 0.5, found 0.9");
        assert_eq!(message(r#"{"label_smoothing": 1.0}"#), "loss.label_smoothing: from 0 to below 1, found 1");
    }
}
