//! Which classes are in the image? Rules that turn one score per class into a list of classes to draw.
//!
//! The rule of the paper ([`statistics`]): with `r₁ ≥ r₂ ≥ …` the scores in order, `θ = μ + k·σ` over the first `n` of them, and
//! every class scoring at least θ is in the image. Released code: `k = 1`, `n = 10` (30 for 60 classes), unbiased σ, the class
//! "background" takes part in the statistics, only the first 5 of the ranking are looked at, and index 0 uses up one of
//! these places without being drawn (`docs/paper.md`, "Segmentation, step by step"). Every one of these is a switch here.

simseg_registry::family! {
    /// Registers every threshold.
    pub fn register(thresholds: &mut Kinds<dyn Threshold>);
    statistics, fixed, softmax, best, otsu, calibrated, from_captions, oracle,
}

mod mentions;

pub use best::Best;
pub use calibrated::{Calibrated, calibrate};
pub use fixed::Fixed;
pub use from_captions::{FROM_CAPTIONS, FromCaptions};
pub use mentions::Mentions;
pub use oracle::Oracle;
pub use otsu::Otsu;
pub use softmax::Softmax;
pub use statistics::{Statistics, Std, TopN};

use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_tensor::Result;
use std::ops::Deref;

/// What a rule decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// The threshold that scores were held against; NaN for rules that have none.
    pub threshold: f32,
    /// Classes to draw, by falling score. Never the background.
    pub classes: Vec<usize>,
}

/// One score per class, as a slice, and whether class 0 is the background.
#[derive(Debug, Clone, Copy)]
pub struct Scores<'a> {
    values: &'a [f32],
    background: bool,
}

impl<'a> Scores<'a> {
    /// Scores of a list with a background, or without one.
    pub fn new(values: &'a [f32], background: bool) -> Self {
        Self { values, background }
    }

    /// Whether a class is the background.
    pub fn is_background(&self, class: usize) -> bool {
        self.background && class == 0
    }

    /// The scores of all classes but the background.
    pub fn foreground(&self) -> &'a [f32] {
        self.values.get(usize::from(self.background)..).unwrap_or(&[])
    }
}

/// Scores of a list with a background.
impl<'a, const N: usize> From<&'a [f32; N]> for Scores<'a> {
    fn from(values: &'a [f32; N]) -> Self {
        Self::new(values, true)
    }
}

impl Deref for Scores<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.values
    }
}

/// What a rule of mean and deviation looked at: `θ = mean + k·deviation`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Looked {
    /// The classes whose scores entered, by falling score.
    pub entered: Vec<usize>,
    /// Their mean, μ.
    pub mean: f64,
    /// Their standard deviation, σ.
    pub deviation: f64,
    /// Deviations above the mean.
    pub k: f64,
}

/// A rule. `scores[c]` belongs to class `c`.
pub trait Threshold: Send + Sync {
    /// Decides. Raising the rule's own threshold never adds a class.
    fn select(&self, scores: Scores<'_>) -> Selection;

    /// The statistics that the decision came from; nothing for rules without.
    fn looked(&self, scores: Scores<'_>) -> Option<Looked> {
        let _ = scores;
        None
    }

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
    /// Whether the background uses up a place.
    pub background_counts: bool,
}

/// Classes by falling score, the lower index first on a tie.
pub fn ranking(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order
}

/// Every class but background that `keep` accepts, by falling score.
pub fn keep(scores: Scores<'_>, threshold: f32, keep: impl Fn(usize) -> bool) -> Selection {
    Selection {
        threshold,
        classes: ranking(&scores).into_iter().filter(|&c| !scores.is_background(c) && keep(c)).collect(),
    }
}

impl Candidates {
    /// Applies the cap to a selection: `ranking` places beyond it are not looked at.
    pub fn limit(&self, scores: Scores<'_>, selection: &mut Selection) {
        if self.cap == 0 {
            return;
        }
        let order = ranking(&scores).into_iter();
        let counts = |&c: &usize| self.background_counts || !scores.is_background(c);
        let seen: Vec<usize> = order.filter(counts).take(self.cap).collect();
        selection.classes.retain(|c| seen.contains(c));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn background_uses_up_a_place_only_if_asked_to() {
        let scores = Scores::from(&[9.0, 8.0, 7.0]);
        let select = |background_counts| {
            let mut selection = Fixed { score: 0.0 }.select(scores);
            Candidates { cap: 2, background_counts }.limit(scores, &mut selection);
            selection.classes
        };
        assert_eq!(select(true), [1]);
        assert_eq!(select(false), [1, 2]);
    }

    #[test]
    fn without_a_background_every_class_can_be_drawn() {
        let scores = Scores::new(&[9.0, 8.0, 7.0], false);
        let mut selection = Fixed { score: 0.0 }.select(scores);
        Candidates { cap: 2, background_counts: false }.limit(scores, &mut selection);
        assert_eq!(selection.classes, [0, 1]);
        assert_eq!((scores.foreground().len(), Scores::from(&[9.0, 8.0]).foreground()), (3, &[8.0][..]));
    }

    proptest! {
        #[test]
        fn raising_the_threshold_never_adds_a_class(
            scores in prop::collection::vec(-1.0f32..1.0, 2..40),
            low in -2.0f64..2.0, step in 0.0f64..2.0, unbiased: bool, background: bool, listed: bool,
        ) {
            let scores = Scores::new(&scores, listed);
            let std = if unbiased { Std::Unbiased } else { Std::Population };
            type Make = fn(f64, Std, bool) -> Box<dyn Threshold>;
            let rules: [Make; 3] = [
                |k, std, background| Box::new(Statistics { k, top_n: TopN::UpperHalf, std, background }),
                |score, _, _| Box::new(Fixed { score }),
                |probability, _, _| Box::new(Softmax { scale: 10.0, probability }),
            ];
            for rule in rules {
                let below = rule(low, std, background).select(scores).classes;
                let above = rule(low + step, std, background).select(scores).classes;
                prop_assert!(above.iter().all(|c| below.contains(c)), "{above:?} ⊄ {below:?}");
            }
        }
    }
}
