//! Which classes are in the image? Rules that turn one score per class into a list of classes to draw.
//!
//! The rule of the paper ([`statistics`]): with `r₁ ≥ r₂ ≥ …` the scores in order, `θ = μ + k·σ` over the first `n` of them, and
//! every class scoring at least θ is in the image. Released code: `k = 1`, `n = 10` (30 for 60 classes), unbiased σ, the class
//! "background" takes part in the statistics, only the first 5 of the ranking are looked at, and index 0 uses up one of
//! these places without being drawn (`docs/paper.md`, "Segmentation, step by step"). Every one of these is a switch here.

simseg_registry::family! {
    /// Registers every threshold.
    pub fn register(thresholds: &mut Kinds<dyn Threshold>);
    statistics, fixed, softmax, best, otsu, calibrated, oracle,
}

pub use best::Best;
pub use calibrated::{Calibrated, calibrate};
pub use fixed::Fixed;
pub use oracle::Oracle;
pub use otsu::Otsu;
pub use softmax::Softmax;
pub use statistics::{Statistics, Std, TopN};

use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_tensor::Result;

/// What a rule decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// The threshold that scores were held against; NaN for rules that have none.
    pub threshold: f32,
    /// Classes to draw, by falling score. Never 0, the background.
    pub classes: Vec<usize>,
}

/// A rule. `scores[c]` belongs to class `c`; class 0 is background.
pub trait Threshold: Send + Sync {
    /// Decides. Raising the rule's own threshold never adds a class.
    fn select(&self, scores: &[f32]) -> Selection;

    /// Whether the rule fits a list of this many classes.
    ///
    /// # Errors
    /// What it expects.
    fn check(&self, classes: usize) -> Result<()> {
        let _ = classes;
        Ok(())
    }
}

/// How far down the ranking to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidates {
    /// Places of the ranking that are looked at; 0 means all.
    pub cap: usize,
    /// Whether class 0 uses up a place.
    pub background_counts: bool,
}

/// Classes by falling score, the lower index first on a tie.
pub fn ranking(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order
}

/// Every class but background that `keep` accepts, by falling score.
pub fn keep(scores: &[f32], threshold: f32, keep: impl Fn(usize) -> bool) -> Selection {
    Selection { threshold, classes: ranking(scores).into_iter().filter(|&c| c != 0 && keep(c)).collect() }
}

impl Candidates {
    /// Applies the cap to a selection: `ranking` places beyond it are not looked at.
    pub fn limit(&self, scores: &[f32], selection: &mut Selection) {
        if self.cap == 0 {
            return;
        }
        let order = ranking(scores);
        let seen: Vec<usize> = order.into_iter().filter(|&c| self.background_counts || c != 0).take(self.cap).collect();
        selection.classes.retain(|c| seen.contains(c));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn background_uses_up_a_place_only_if_asked_to() {
        let scores = [9.0, 8.0, 7.0];
        let select = |background_counts| {
            let mut selection = Fixed { score: 0.0 }.select(&scores);
            Candidates { cap: 2, background_counts }.limit(&scores, &mut selection);
            selection.classes
        };
        assert_eq!(select(true), [1]);
        assert_eq!(select(false), [1, 2]);
    }

    proptest! {
        #[test]
        fn raising_the_threshold_never_adds_a_class(
            scores in prop::collection::vec(-1.0f32..1.0, 2..40),
            low in -2.0f64..2.0, step in 0.0f64..2.0, unbiased: bool, background: bool,
        ) {
            let std = if unbiased { Std::Unbiased } else { Std::Population };
            type Make = fn(f64, Std, bool) -> Box<dyn Threshold>;
            let rules: [Make; 3] = [
                |k, std, background| Box::new(Statistics { k, top_n: TopN::UpperHalf, std, background }),
                |score, _, _| Box::new(Fixed { score }),
                |probability, _, _| Box::new(Softmax { scale: 10.0, probability }),
            ];
            for rule in rules {
                let below = rule(low, std, background).select(&scores).classes;
                let above = rule(low + step, std, background).select(&scores).classes;
                prop_assert!(above.iter().all(|c| below.contains(c)), "{above:?} ⊄ {below:?}");
            }
        }
    }
}
