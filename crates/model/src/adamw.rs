//! AdamW (Loshchilov & Hutter 2019): the step itself is a hook, [`simseg_tensor::hooks::adamw`].
//!
//! Decay is decoupled from the gradient, and spares vectors (norms, biases) and the temperature unless `decay_all` is set,
//! as it is in the released code.

use serde::{Deserialize, Serialize};
use simseg_tensor::{AdamWStep, Error, Ops, Result, Tensor};

/// The optimiser's numbers; the defaults are those of the released code but for `decay_all`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamWConfig {
    /// Decay rate of the mean gradient.
    pub beta1: f64,
    /// Decay rate of the mean squared gradient.
    pub beta2: f64,
    /// Added to the root of the mean square.
    pub eps: f64,
    /// Weight decay λ.
    pub weight_decay: f64,
    /// Whether norms, biases and the temperature decay too.
    pub decay_all: bool,
    /// Longest gradient, over all parameters together; longer ones are shortened. 0 is no limit.
    pub clip_norm: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.98, eps: 1e-6, weight_decay: 0.001, decay_all: false, clip_norm: 0.0 }
    }
}

/// The optimiser's state: two running means per parameter, in the order of the parameters.
#[derive(Debug, Clone)]
pub struct AdamW<T> {
    /// Its numbers.
    pub config: AdamWConfig,
    /// Steps taken.
    pub step: u64,
    /// Running means of the gradients.
    pub m: Vec<T>,
    /// Running means of the squared gradients.
    pub v: Vec<T>,
}

impl<T: Tensor> AdamW<T> {
    /// Before the first step.
    ///
    /// # Errors
    /// If the backend fails.
    pub fn new(config: AdamWConfig, parameters: &[T]) -> Result<Self> {
        let zeros = || parameters.iter().map(Ops::zeros_like).collect::<Result<Vec<T>>>();
        Ok(Self { config, step: 0, m: zeros()?, v: zeros()? })
    }

    /// New parameters after one step with learning rate `rate`. All tensors are constants (detached).
    ///
    /// # Errors
    /// If shapes do not fit the ones this was made with. Where the numbers of tensors fit and an error comes all the same, means are lost
    /// and the optimiser refuses further steps.
    pub fn update(&mut self, parameters: &[T], gradients: &[T], rate: f64) -> Result<Vec<T>> {
        let AdamWConfig { beta1, beta2, eps, weight_decay, decay_all, clip_norm } = self.config;
        if [parameters.len(), gradients.len()] != [self.m.len(); 2] {
            let (lhs, rhs) = (vec![parameters.len(), gradients.len()], vec![self.m.len()]);
            return Err(Error::Shape {
                op: "AdamW",
                lhs,
                rhs,
                rule: "as many parameters and gradients as at the start",
            });
        }
        self.step += 1;
        let t = self.step as i32;
        let shorten = if clip_norm > 0.0 { (clip_norm / (norm(gradients)? + 1e-6)).min(1.0) } else { 1.0 };
        let (rate_m, root) = (rate / (1.0 - beta1.powi(t)), 1.0 / (1.0 - beta2.powi(t)).sqrt());
        let mut updated = Vec::with_capacity(parameters.len());
        // Taken, not cloned: a backend writes over means that nobody else holds.
        let means = std::mem::take(&mut self.m).into_iter().zip(std::mem::take(&mut self.v));
        for ((p, g), (m, v)) in parameters.iter().zip(gradients).zip(means) {
            let g = if shorten < 1.0 { g.scale(shorten)? } else { g.clone() };
            let decays = decay_all || p.rank() >= 2;
            let keep = if decays { 1.0 - rate * weight_decay } else { 1.0 };
            let step = AdamWStep { beta1, beta2, eps, keep, rate: rate_m, root };
            let [after, m, v] = p.adamw(&g, m, v, step)?;
            updated.push(after);
            self.m.push(m);
            self.v.push(v);
        }
        Ok(updated)
    }
}

/// The length of all gradients together.
///
/// # Errors
/// If the backend fails.
pub fn norm<T: Tensor>(gradients: &[T]) -> Result<f64> {
    // Joined on the device and read once: every reading waits for it.
    let squares = gradients.iter().map(|g| g.square()?.sum_all()?.reshape(&[1])).collect::<Result<Vec<T>>>()?;
    if squares.is_empty() {
        return Ok(0.0);
    }
    let squares = T::concat(&squares.iter().collect::<Vec<_>>(), 0)?;
    Ok(squares.to_vec::<f64>()?.iter().sum::<f64>().sqrt())
}
