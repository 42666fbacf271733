//! The rule of the paper: `θ = μ + k·σ` over the best scores (§3.3; table 6 varies k).

use super::{Looked, Scores, Selection, Threshold, keep, ranking};
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;

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

    fn try_from(written: CountOrWord) -> Result<Self, String> {
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
    /// Whether the background takes part in the statistics.
    pub background: bool,
}

impl Statistics {
    /// `θ` for these scores.
    ///
    /// ```
    /// use simseg_segment::threshold::Scores;
    /// use simseg_segment::threshold::statistics::{Statistics, Std, TopN};
    /// let rule = Statistics { k: 1.0, top_n: TopN::First(2), std: Std::Population, background: true };
    /// // The best two are 3 and 1: mean 2, standard deviation 1.
    /// assert_eq!(rule.threshold(Scores::from(&[0.0, 1.0, 3.0])), 3.0);
    /// ```
    pub fn threshold(&self, scores: Scores<'_>) -> f32 {
        let Looked { mean, deviation, k, .. } = self.statistics(scores);
        (mean + k * deviation) as f32
    }

    /// Which classes enter, and their mean and deviation.
    pub fn statistics(&self, scores: Scores<'_>) -> Looked {
        let counts = |class: &usize| self.background || !scores.is_background(*class);
        let mut entered: Vec<usize> = ranking(&scores).into_iter().filter(counts).collect();
        entered.truncate(match self.top_n {
            TopN::UpperHalf => (entered.len() / 2).max(2),
            TopN::First(n) => n,
        });
        let best: Vec<f64> = entered.iter().map(|&class| f64::from(scores[class])).collect();
        let count = best.len() as f64;
        let mean = best.iter().sum::<f64>() / count;
        let squares = best.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        let variance = match self.std {
            Std::Unbiased => squares / (count - 1.0),
            Std::Population => squares / count,
        };
        Looked { entered, mean, deviation: variance.sqrt(), k: self.k }
    }
}

impl Threshold for Statistics {
    fn select(&self, scores: Scores<'_>) -> Selection {
        let threshold = self.threshold(scores);
        keep(scores, threshold, |c| scores[c] >= threshold)
    }

    fn looked(&self, scores: Scores<'_>) -> Option<Looked> {
        Some(self.statistics(scores))
    }
}

/// Adds it to its family.
pub fn register(kinds: &mut Kinds<dyn Threshold>) {
    kinds.add("statistics", "mean + k standard deviations of the best scores", |rule: Statistics| Ok(Box::new(rule)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_released_rule_by_hand() {
        // Best three: 4, 2, 0 → mean 2, unbiased σ = 2 → θ = 4.
        let rule = Statistics { k: 1.0, top_n: TopN::First(3), std: Std::Unbiased, background: true };
        let scores = Scores::from(&[0.0, 2.0, 4.0, -7.0]);
        assert_eq!(rule.threshold(scores), 4.0);
        assert_eq!(rule.select(scores).classes, [2]);
        let looked = rule.looked(scores).unwrap();
        assert_eq!((looked.entered, looked.mean, looked.deviation), (vec![2, 1, 0], 2.0, 2.0));
    }
}
