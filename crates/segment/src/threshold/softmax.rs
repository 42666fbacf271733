//! A probability: `softmax(scale·score)` over all classes (SCLIP, MaskCLIP: scale 100).

use super::{Scores, Selection, Threshold, keep};
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;

/// Classes of at least `probability`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Softmax {
    /// Multiplies scores before the softmax.
    #[serde(default = "hundred")]
    pub scale: f64,
    /// The probability to reach.
    #[serde(default = "tenth")]
    pub probability: f64,
}

fn hundred() -> f64 {
    100.0
}
fn tenth() -> f64 {
    0.1
}

impl Threshold for Softmax {
    fn select(&self, scores: Scores<'_>) -> Selection {
        let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weight = |c: usize| (self.scale * f64::from(scores[c] - max)).exp();
        let total: f64 = (0..scores.len()).map(weight).sum();
        keep(scores, self.probability as f32, |c| weight(c) / total >= self.probability)
    }
}

/// Adds it to its family.
pub fn register(kinds: &mut Kinds<dyn Threshold>) {
    kinds.add("softmax", "a probability over all classes", |rule: Softmax| Ok(Box::new(rule)));
}
