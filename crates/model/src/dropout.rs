//! Dropout (Srivastava et al. 2014) whose masks depend on what they are for: `y = x ⊙ m / (1 − p)`, where each `m` is 0 with probability `p`, else 1.
//!
//! A mask is a pure function of (random seed, step, item, place in the network): a step that goes through the networks twice, in parts or
//! after a resumption, drops the same values, and so does any number of threads.

use rand::Rng;
use serde::{Deserialize, Serialize};
use simseg_tensor::{Error, Ops, Result, Tensor, random};

/// Which values are dropped in one pass.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Dropout {
    /// The probability `p`, below 1.
    pub rate: f64,
    /// Random seed.
    pub seed: u64,
    /// The step of training.
    pub step: u64,
    /// The place in the step's batch of the first item that is passed through.
    pub first: u64,
}

/// That a rate of dropout is one.
///
/// # Errors
/// Under this key, if it is not.
pub fn check_rate(key: &str, rate: f64) -> Result<()> {
    match (0.0..1.0).contains(&rate) {
        true => Ok(()),
        false => Err(Error::setting(key, format!("from 0 to below 1, found {rate}"))),
    }
}

impl Dropout {
    /// The same for a pass that begins at another item of the batch.
    #[must_use]
    pub fn from(self, first: usize) -> Self {
        Self { first: first as u64, ..self }
    }

    /// The factors of `values` values of each of `items` items: 0 or `1/(1 − p)`.
    pub fn mask(&self, place: &str, items: usize, values: usize) -> Vec<f32> {
        let (keep, purpose) = ((1.0 / (1.0 - self.rate)) as f32, format!("dropout {place} step {}", self.step));
        // 32 random bits a value: p is met to 2⁻³².
        let dropped = (self.rate * 4_294_967_296.0) as u64;
        let mut mask = Vec::with_capacity(items * values);
        for item in 0..items as u64 {
            let mut rng = random::stream(self.seed, &purpose, self.first + item);
            mask.extend((0..values).map(|_| if u64::from(rng.next_u32()) < dropped { 0.0 } else { keep }));
        }
        mask
    }

    /// `x [b, …]` with some of its values dropped.
    ///
    /// # Errors
    /// If the backend fails.
    pub fn apply<T: Tensor>(&self, place: &str, x: &T) -> Result<T> {
        let (items, all) = (x.shape().first().copied().unwrap_or(1), x.shape().iter().product::<usize>());
        let mask = self.mask(place, items, all / items.max(1));
        x.mul(&T::from_host(&mask, x.shape(), &x.device())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use simseg_cpu::{CpuDevice, CpuTensor};

    const DROPOUT: Dropout = Dropout { rate: 0.1, seed: 3, step: 7, first: 0 };

    #[test]
    fn a_mask_depends_on_seed_step_item_and_place_and_not_on_where_the_pass_begins() {
        let whole = DROPOUT.mask("layer", 6, 50);
        assert_eq!(whole[2 * 50..], DROPOUT.from(2).mask("layer", 4, 50)[..]);
        let others = [Dropout { seed: 4, ..DROPOUT }, Dropout { step: 8, ..DROPOUT }, DROPOUT.from(6)];
        assert!(others.iter().all(|other| other.mask("layer", 6, 50) != whole));
        assert_ne!(DROPOUT.mask("other", 6, 50), whole);
        assert_eq!(DROPOUT.mask("layer", 6, 40)[..40], whole[..40], "padding comes after what is there");
    }

    #[test]
    fn a_tenth_is_dropped_and_the_mean_is_kept() {
        let mask = DROPOUT.mask("layer", 100, 1000);
        let dropped = mask.iter().filter(|factor| **factor == 0.0).count() as f64 / 1e5;
        assert!((dropped - 0.1).abs() < 4.0 * (0.09f64 / 1e5).sqrt(), "{dropped}");
        assert!(mask.iter().all(|factor| *factor == 0.0 || *factor == 1.0 / 0.9f32));
        let x = CpuTensor::<f64>::from_host(&[1.0; 8], &[2, 4], &CpuDevice).unwrap();
        let none = Dropout { rate: 0.0, ..DROPOUT };
        assert_eq!(none.apply("layer", &x).unwrap().to_vec::<f64>().unwrap(), [1.0; 8]);
        assert!(
            check_rate("training.text_dropout", 1.0).unwrap_err().to_string().contains("from 0 to below 1, found 1")
        );
    }
}
