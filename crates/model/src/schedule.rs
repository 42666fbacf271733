//! The learning rate over time: linear warm-up from 0, then half a cosine down to a floor. A pure function of the step.

use serde::{Deserialize, Serialize};
use simseg_tensor::{Error, Result};

/// The schedule's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Highest learning rate.
    pub rate: f64,
    /// Steps until it is reached.
    #[serde(default)]
    pub warmup: u64,
    /// The last rate, as a share of the highest (released code: 0.1).
    pub floor: f64,
}

impl Schedule {
    /// The rate of step `step` (from 0) out of `steps`.
    ///
    /// ```
    /// let schedule = simseg_model::Schedule { rate: 1.0, warmup: 2, floor: 0.1 };
    /// let rates: Vec<f64> = [0, 1, 2, 6, 10].map(|step| schedule.rate_at(step, 10)).to_vec();
    /// assert_eq!(rates, [0.0, 0.5, 1.0, 0.55, 0.1]);
    /// ```
    pub fn rate_at(&self, step: u64, steps: u64) -> f64 {
        if step < self.warmup {
            return self.rate * step as f64 / self.warmup as f64;
        }
        let done = (step - self.warmup) as f64 / (steps.saturating_sub(self.warmup)).max(1) as f64;
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos());
        self.rate * (self.floor + (1.0 - self.floor) * cosine)
    }

    /// Whether the numbers make sense.
    ///
    /// # Errors
    /// The first key that does not.
    pub fn check(&self) -> Result<()> {
        if self.rate <= 0.0 || !self.rate.is_finite() {
            return Err(Error::setting("training.schedule.rate", format!("a positive number, found {}", self.rate)));
        }
        if !(0.0..=1.0).contains(&self.floor) {
            return Err(Error::setting("training.schedule.floor", format!("from 0 to 1, found {}", self.floor)));
        }
        Ok(())
    }
}
