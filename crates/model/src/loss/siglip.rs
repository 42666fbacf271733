//! The sigmoid loss of SigLIP (Zhai et al., ICCV 2023; big_vision's `siglip.py`): every image and caption are a question of their own.
//!
//! `L = −1/b · Σ_ij log σ(z_ij·(t·s_ij + b))`, where `s [b, b]` holds cosine similarities, `z_ij` is 1 for the right caption (`i = j`)
//! and −1 for all others, and `t = e^t′`. Both are learned: `t′ = ln 10` and `b = −10` at the start, where almost every pair is a wrong
//! one and the bias says so.
//!
//! InfoNCE compares captions with each other, so that a similarity means something only beside others of its batch; here there is a
//! level, `−b/t`, above which an image and a caption belong together. The network's own temperature takes no part.

use super::{Loss, LossConfig, pairs};
use crate::parameters::Parameters;
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_tensor::{Error, Init, Ops, Parameter, Result, Tensor};

/// Where its two parameters start.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigLip {
    /// The factor of similarities at the start, `t`.
    #[serde(default = "ten")]
    pub scale: f64,
    /// The bias at the start, `b`.
    #[serde(default = "minus_ten")]
    pub bias: f64,
}

fn ten() -> f64 {
    10.0
}

fn minus_ten() -> f64 {
    -10.0
}

/// Names of its parameters, behind `loss.`.
const LOG_SCALE: &str = "log_scale";
const BIAS: &str = "bias";

/// The sigmoid loss with its parameters.
#[derive(Debug, Clone)]
struct Sigmoid<T> {
    /// `t′`, `[]`
    log_scale: T,
    /// `b`, `[]`
    bias: T,
}

/// `log σ(x)`, elementwise: `x − log(eˣ + e⁰)`, which neither overflows nor loses its slope where `σ(x)` is 0 or 1.
fn log_sigmoid<T: Tensor>(x: &T) -> Result<T> {
    let column = x.unsqueeze(x.rank())?; //                                         […, 1]
    let both = T::concat(&[&column, &column.zeros_like()?], x.rank())?; //          […, 2]
    both.log_softmax()?.slice(x.rank(), 0, 1)?.squeeze(x.rank())
}

/// The loss of a batch: `similarity [b, b]` (image `i` against caption `j`), `log_scale []`, `bias []` → scalar.
///
/// # Errors
/// If `similarity` is not square.
pub fn siglip<T: Tensor>(similarity: &T, log_scale: &T, bias: &T) -> Result<T> {
    pairs("siglip", similarity)?;
    rows(similarity, 0, log_scale, bias)
}

/// The same sum over some images only, `similarity [p, b]`: image `k` belongs to caption `first + k`.
fn rows<T: Tensor>(similarity: &T, first: usize, log_scale: &T, bias: &T) -> Result<T> {
    let [p, b] = similarity.dims()?;
    let (scale, bias) = (log_scale.exp()?.reshape(&[1, 1])?, bias.reshape(&[1, 1])?);
    let logits = similarity.mul(&scale)?.add(&bias)?; //                            [p, b]
    let signs: Vec<f64> = (0..p * b).map(|i| if first + i / b == i % b { 1.0 } else { -1.0 }).collect();
    let signs = T::from_host(&signs, &[p, b], &similarity.device())?;
    log_sigmoid(&logits.mul(&signs)?)?.sum_all()?.scale(-1.0 / b as f64)
}

impl<T: Tensor> Loss<T> for Sigmoid<T> {
    fn loss(&self, similarity: &T, _: &T) -> Result<T> {
        siglip(similarity, &self.log_scale, &self.bias)
    }

    fn share(&self, images: &T, _: &T, first: usize, _: &T) -> Result<T> {
        rows(images, first, &self.log_scale, &self.bias)
    }

    fn divisor(&self, _: &T) -> Result<T> {
        self.log_scale.neg()?.exp()
    }
}

impl<T: Tensor> LossConfig<T> for SigLip {
    fn check(&self) -> Result<()> {
        if !(self.scale > 0.0 && self.scale.is_finite()) {
            return Err(Error::setting("loss.scale", format!("a positive number, found {}", self.scale)));
        }
        if !self.bias.is_finite() {
            return Err(Error::setting("loss.bias", format!("a number, found {}", self.bias)));
        }
        Ok(())
    }

    fn parameters(&self) -> Vec<(String, Parameter)> {
        let scalar = |name: &str, value| (name.to_owned(), Parameter::new(&[], Init::Constant(value)));
        vec![scalar(LOG_SCALE, self.scale.ln()), scalar(BIAS, self.bias)]
    }

    fn build(&self, parameters: &Parameters<T>) -> Result<Box<dyn Loss<T>>> {
        let own = |name: &str| parameters.get(&format!("loss.{name}")).cloned();
        Ok(Box::new(Sigmoid { log_scale: own(LOG_SCALE)?, bias: own(BIAS)? }))
    }
}

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn LossConfig<T>>) {
    kinds.add("siglip", "a sigmoid for every image and caption", |config: SigLip| Ok(Box::new(config)));
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
    fn it_is_the_formula_in_plain_numbers() {
        let s = [0.8, -0.1, 0.3, 0.2, 0.5, -0.7, 0.0, 0.9, 0.4];
        let (scale, bias) = (3.0f64, -0.5);
        let mut want = 0.0;
        for i in 0..3 {
            for j in 0..3 {
                let z = if i == j { 1.0 } else { -1.0 };
                want -= (1.0 / (1.0 + (-z * (scale * s[3 * i + j] + bias)).exp())).ln() / 3.0;
            }
        }
        let loss = siglip(&tensor(&s, &[3, 3]), &tensor(&[scale.ln()], &[]), &tensor(&[bias], &[])).unwrap();
        assert!((loss.item().unwrap() - want).abs() < 1e-12);
    }

    #[test]
    fn logits_far_from_zero_neither_overflow_nor_vanish() {
        let x = log_sigmoid(&tensor(&[-1000.0, 0.0, 1000.0], &[3])).unwrap().to_vec::<f64>().unwrap();
        assert_eq!((x[0], x[2]), (-1000.0, 0.0));
        assert!((x[1] + 2f64.ln()).abs() < 1e-15);
    }

    #[test]
    fn it_starts_where_the_paper_does_and_says_what_cannot_be() {
        let config: SigLip = serde_json::from_str("{}").unwrap();
        let parameters = LossConfig::<Cpu>::parameters(&config);
        let starts = parameters.iter().map(|(name, parameter)| (name.as_str(), parameter.init)).collect::<Vec<_>>();
        assert_eq!(starts, [("log_scale", Init::Constant(10f64.ln())), ("bias", Init::Constant(-10.0))]);
        let message = |config: SigLip| LossConfig::<Cpu>::check(&config).unwrap_err().to_string();
        assert_eq!(message(SigLip { scale: 0.0, ..config }), "loss.scale: a positive number, found 0");
        assert!(message(SigLip { bias: f64::NAN, ..config }).starts_with("loss.bias: "));
        let named = |name: &str| (format!("loss.{name}"), tensor(&[1.5], &[]));
        let built = config.build(&Parameters::new(vec![named("log_scale"), named("bias")]).unwrap()).unwrap();
        let divisor = built.divisor(&tensor(&[0.3], &[])).unwrap().item().unwrap();
        assert!((divisor - (-1.5f64).exp()).abs() < 1e-15);
        assert!(siglip(&tensor(&[0.0; 6], &[2, 3]), &tensor(&[0.0], &[]), &tensor(&[0.0], &[])).is_err());
    }
}
