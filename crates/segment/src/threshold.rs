//! Which classes are in the image? Rules that turn one score per class into a list of classes to draw.
//!
//! The rule of the paper: with `r₁ ≥ r₂ ≥ …` the scores in order, `θ = μ + k·σ` over the first `n` of them, and every
//! class scoring at least θ is in the image. Released code: `k = 1`, `n = 10` (30 for 60 classes), unbiased σ, the class
//! "background" takes part in the statistics, only the first 5 of the ranking are looked at, and index 0 uses up one of
//! these places without being drawn (REFERENCE §5, steps 3 and 4). Every one of these is a switch here.

use serde::{Deserialize, Serialize};
use simseg_tensor::{Error, Result};

/// What a rule decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// The threshold that scores were held against; NaN for rules that have none.
    pub threshold: f32,
    /// Classes to draw, by falling score. Never 0, the background.
    pub classes: Vec<usize>,
}

/// A rule. `scores[c]` belongs to class `c`; class 0 is background.
pub trait Threshold {
    /// Decides. Raising the rule's own threshold never adds a class.
    fn select(&self, scores: &[f32]) -> Selection;
}

/// How many of the best scores the statistics see; in a recipe a number, or `upper-half`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "CountOrWord", into = "CountOrWord")]
pub enum TopN {
    /// The better half of the classes (paper), rounded down.
    UpperHalf,
    /// This many (released code: 10, or 30 for Pascal Context), or all if there are fewer.
    First(usize),
}

/// [`TopN`] as it is written.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum CountOrWord {
    Count(usize),
    Word(String),
}

impl From<TopN> for CountOrWord {
    fn from(top_n: TopN) -> Self {
        match top_n {
            TopN::UpperHalf => Self::Word("upper-half".into()),
            TopN::First(n) => Self::Count(n),
        }
    }
}

impl TryFrom<CountOrWord> for TopN {
    type Error = String;

    fn try_from(written: CountOrWord) -> std::result::Result<Self, String> {
        match written {
            CountOrWord::Count(n) if n >= 2 => Ok(Self::First(n)),
            CountOrWord::Word(word) if word == "upper-half" => Ok(Self::UpperHalf),
            CountOrWord::Count(n) => Err(format!("top_n = {n}; expected at least 2, a deviation needs two scores")),
            CountOrWord::Word(word) => Err(format!("top_n = `{word}`; expected a number or `upper-half`")),
        }
    }
}

/// The two estimates of a standard deviation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Std {
    /// Divides by `n − 1`, as `torch.std` does.
    Unbiased,
    /// Divides by `n`.
    Population,
}

/// `θ = μ + k·σ` over the best scores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statistics {
    /// Standard deviations above the mean.
    pub k: f64,
    /// How many of the best scores count.
    pub top_n: TopN,
    /// Which standard deviation.
    pub std: Std,
    /// Whether class 0 takes part in the statistics.
    pub background: bool,
}

/// The rules, as a recipe names them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Rule {
    /// `μ + k·σ` (paper and released code).
    Statistics(Statistics),
    /// A score (TCL: 0.4 or 0.5 on its own scale).
    Fixed {
        /// Classes scoring at least this.
        score: f64,
    },
    /// `softmax(scale·score)` of at least `probability` (SCLIP, MaskCLIP: scale 100).
    Softmax {
        /// Multiplies scores before the softmax.
        #[serde(default = "hundred")]
        scale: f64,
        /// The probability to reach.
        #[serde(default = "tenth")]
        probability: f64,
    },
    /// The `count` best classes whatever their score (GroupViT: 5; its background is what no map reaches, `refine.level`).
    Best {
        /// How many.
        #[serde(default = "five")]
        count: usize,
    },
    /// The split of the scores into two groups with the largest variance between them (Otsu 1979).
    Otsu,
    /// One score per class, found on a hold-out (see [`calibrate`]).
    Calibrated {
        /// Classes scoring at least this; one per class, background first.
        scores: Vec<f64>,
    },
    /// The true set of classes: what would remain wrong if this decision were perfect.
    Oracle {
        /// The classes in the image.
        classes: Vec<usize>,
    },
}

fn hundred() -> f64 {
    100.0
}
fn tenth() -> f64 {
    0.1
}
fn five() -> usize {
    5
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

impl Statistics {
    /// `θ` for these scores.
    ///
    /// ```
    /// use simseg_segment::threshold::{Statistics, Std, TopN};
    /// let rule = Statistics { k: 1.0, top_n: TopN::First(2), std: Std::Population, background: true };
    /// // The best two are 3 and 1: mean 2, standard deviation 1.
    /// assert_eq!(rule.threshold(&[0.0, 1.0, 3.0]), 3.0);
    /// ```
    pub fn threshold(&self, scores: &[f32]) -> f32 {
        let counted = if self.background { scores } else { scores.get(1..).unwrap_or(&[]) };
        let mut best: Vec<f64> = counted.iter().map(|&score| f64::from(score)).collect();
        best.sort_by(|a, b| b.total_cmp(a));
        let n = match self.top_n {
            TopN::UpperHalf => (best.len() / 2).max(2),
            TopN::First(n) => n,
        };
        best.truncate(n);
        let count = best.len() as f64;
        let mean = best.iter().sum::<f64>() / count;
        let squares = best.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        let variance = match self.std {
            Std::Unbiased => squares / (count - 1.0),
            Std::Population => squares / count,
        };
        (mean + self.k * variance.sqrt()) as f32
    }
}

/// Every class but background that `keep` accepts, by falling score.
fn keep(scores: &[f32], threshold: f32, keep: impl Fn(usize) -> bool) -> Selection {
    Selection { threshold, classes: ranking(scores).into_iter().filter(|&c| c != 0 && keep(c)).collect() }
}

impl Threshold for Rule {
    fn select(&self, scores: &[f32]) -> Selection {
        match self {
            Self::Statistics(rule) => {
                let threshold = rule.threshold(scores);
                keep(scores, threshold, |c| scores[c] >= threshold)
            }
            Self::Fixed { score } => keep(scores, *score as f32, |c| scores[c] >= *score as f32),
            Self::Softmax { scale, probability } => {
                let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let weight = |c: usize| (scale * f64::from(scores[c] - max)).exp();
                let total: f64 = (0..scores.len()).map(weight).sum();
                keep(scores, *probability as f32, |c| weight(c) / total >= *probability)
            }
            Self::Best { count } => {
                let mut selection = keep(scores, f32::NAN, |_| true);
                selection.classes.truncate(*count);
                selection
            }
            Self::Otsu => {
                let threshold = otsu(scores);
                keep(scores, threshold, |c| scores[c] >= threshold)
            }
            Self::Calibrated { scores: wanted } => {
                keep(scores, f32::NAN, |c| wanted.get(c).is_some_and(|&wanted| f64::from(scores[c]) >= wanted))
            }
            Self::Oracle { classes } => keep(scores, f32::NAN, |c| classes.contains(&c)),
        }
    }
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

/// The score that splits the scores into two groups with the largest variance between them: the lowest of the upper group.
fn otsu(scores: &[f32]) -> f32 {
    let mut sorted: Vec<f32> = scores.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let total: f64 = sorted.iter().map(|&x| f64::from(x)).sum();
    let n = sorted.len() as f64;
    let mut best = (f64::NEG_INFINITY, f32::INFINITY);
    let mut upper = 0.0;
    for (i, &score) in sorted.iter().enumerate().take(sorted.len().saturating_sub(1)) {
        upper += f64::from(score);
        let (w1, w2) = ((i + 1) as f64, n - (i + 1) as f64);
        let between = w1 * w2 * (upper / w1 - (total - upper) / w2).powi(2);
        if between > best.0 {
            best = (between, score);
        }
    }
    best.1
}

/// The score per class that best separates images that hold the class from images that do not (largest F1) on a hold-out.
///
/// `scores[i][c]` for image `i`; `present[i]` lists its classes. A class never present gets `+∞`: it is never drawn.
///
/// # Errors
/// If the lists have different lengths or there is no image.
pub fn calibrate(scores: &[Vec<f32>], present: &[Vec<usize>]) -> Result<Rule> {
    let (Some(first), true) = (scores.first(), scores.len() == present.len()) else {
        return Err(Error::setting("threshold.scores", "a hold-out with as many class sets as images, at least one"));
    };
    let best = |c: usize| {
        let mut cases: Vec<(f32, bool)> = scores.iter().zip(present).map(|(s, p)| (s[c], p.contains(&c))).collect();
        cases.sort_by(|a, b| b.0.total_cmp(&a.0));
        let positives = cases.iter().filter(|case| case.1).count();
        let (mut hits, mut best) = (0usize, (0.0, f64::INFINITY));
        for (i, &(score, present)) in cases.iter().enumerate() {
            hits += usize::from(present);
            let f1 = 2.0 * hits as f64 / (i + 1 + positives) as f64;
            if f1 > best.0 {
                best = (f1, f64::from(score));
            }
        }
        best.1
    };
    Ok(Rule::Calibrated { scores: (0..first.len()).map(best).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_released_rule_by_hand() {
        // Best three: 4, 2, 0 → mean 2, unbiased σ = 2 → θ = 4.
        let rule = Statistics { k: 1.0, top_n: TopN::First(3), std: Std::Unbiased, background: true };
        let scores = [0.0, 2.0, 4.0, -7.0];
        assert_eq!(rule.threshold(&scores), 4.0);
        assert_eq!(Rule::Statistics(rule).select(&scores).classes, [2]);
    }

    #[test]
    fn background_uses_up_a_place_only_if_asked_to() {
        let scores = [9.0, 8.0, 7.0];
        let select = |background_counts| {
            let mut selection = Rule::Fixed { score: 0.0 }.select(&scores);
            Candidates { cap: 2, background_counts }.limit(&scores, &mut selection);
            selection.classes
        };
        assert_eq!(select(true), [1]);
        assert_eq!(select(false), [1, 2]);
    }

    #[test]
    fn otsu_splits_two_groups_where_they_part() {
        assert_eq!(Rule::Otsu.select(&[0.1, 0.9, 0.15, 0.8, 0.12]).classes, [1, 3]);
    }

    #[test]
    fn calibration_finds_the_separating_score() {
        let scores = vec![vec![0.0, 0.9], vec![0.0, 0.5], vec![0.0, 0.2]];
        let rule = calibrate(&scores, &[vec![1], vec![1], vec![]]).unwrap();
        assert_eq!(rule.select(&[0.0, 0.6]).classes, [1]);
        assert!(rule.select(&[0.0, 0.4]).classes.is_empty());
        assert!(calibrate(&[], &[]).is_err());
    }

    proptest! {
        #[test]
        fn raising_the_threshold_never_adds_a_class(
            scores in prop::collection::vec(-1.0f32..1.0, 2..40),
            low in -2.0f64..2.0, step in 0.0f64..2.0, unbiased: bool, background: bool,
        ) {
            let std = if unbiased { Std::Unbiased } else { Std::Population };
            let rules: [fn(f64, Std, bool) -> Rule; 3] = [
                |k, std, background| Rule::Statistics(Statistics { k, top_n: TopN::UpperHalf, std, background }),
                |score, _, _| Rule::Fixed { score },
                |p, _, _| Rule::Softmax { scale: 10.0, probability: p },
            ];
            for rule in rules {
                let below = rule(low, std, background).select(&scores).classes;
                let above = rule(low + step, std, background).select(&scores).classes;
                prop_assert!(above.iter().all(|c| below.contains(c)), "{above:?} ⊄ {below:?}");
            }
        }
    }
}
