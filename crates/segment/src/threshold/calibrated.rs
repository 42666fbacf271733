//! One score per class, found on a hold-out: the one that best separates images that hold the class from images that do not.

use super::{Scores, Selection, Threshold, keep};
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_tensor::{Error, Result};

/// Classes scoring at least their own score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibrated {
    /// One per class, in the order of the list.
    #[serde(with = "finite")]
    pub scores: Vec<f64>,
}

/// JSON has no infinity: a class that is never drawn has a score that none reaches.
mod finite {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    const NEVER: f64 = 1e30;

    pub fn serialize<S: Serializer>(scores: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        scores.iter().map(|score| score.min(NEVER)).collect::<Vec<f64>>().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        let never = |score: f64| if score >= NEVER { f64::INFINITY } else { score };
        Ok(Vec::<f64>::deserialize(deserializer)?.into_iter().map(never).collect())
    }
}

impl Threshold for Calibrated {
    fn select(&self, scores: Scores<'_>) -> Selection {
        let wanted = |c: usize| self.scores.get(c).copied();
        keep(scores, f32::NAN, |c| wanted(c).is_some_and(|wanted| f64::from(scores[c]) >= wanted))
    }

    fn check(&self, classes: usize) -> Result<()> {
        match self.scores.len() == classes {
            true => Ok(()),
            false => {
                let expected = format!("one for each of the {classes} classes, found {}", self.scores.len());
                Err(Error::setting("threshold.scores", expected))
            }
        }
    }
}

/// The score per class that best separates images that hold the class from images that do not (largest F1) on a hold-out.
///
/// `scores[i][c]` for image `i`; `present[i]` lists its classes. A class never present gets `+∞`: it is never drawn.
///
/// # Errors
/// If the lists have different lengths or there is no image.
pub fn calibrate(scores: &[Vec<f32>], present: &[Vec<usize>]) -> Result<Calibrated> {
    let (Some(first), true) = (scores.first(), scores.len() == present.len()) else {
        return Err(Error::setting("threshold.scores", "a hold-out with as many class sets as images, at least one"));
    };
    let best = |c: usize| {
        let mut cases: Vec<(f32, bool)> = scores.iter().zip(present).map(|(s, p)| (s[c], p.contains(&c))).collect();
        cases.sort_by(|a, b| b.0.total_cmp(&a.0));
        let positives = cases.iter().filter(|case| case.1).count();
        let (mut hits, mut largest, mut best) = (0usize, 0.0, f64::INFINITY);
        for (i, &(score, present)) in cases.iter().enumerate() {
            hits += usize::from(present);
            let f1 = 2.0 * hits as f64 / (i + 1 + positives) as f64;
            if f1 > largest {
                (largest, best) = (f1, f64::from(score));
            }
        }
        best
    };
    Ok(Calibrated { scores: (0..first.len()).map(best).collect() })
}

/// Adds it to its family.
pub fn register(kinds: &mut Kinds<dyn Threshold>) {
    kinds.add("calibrated", "a score for each class (simseg calibrate)", |rule: Calibrated| Ok(Box::new(rule)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibration_finds_the_separating_score() {
        let scores = vec![vec![0.0, 0.9, 0.3], vec![0.0, 0.5, 0.4], vec![0.0, 0.2, 0.9]];
        let rule = calibrate(&scores, &[vec![1], vec![1], vec![]]).unwrap();
        assert_eq!(rule.select(Scores::from(&[0.0, 0.6, 1.0])).classes, [1], "class 2 was never seen");
        assert!(rule.select(Scores::from(&[0.0, 0.4, 0.0])).classes.is_empty());
        assert!(rule.check(3).is_ok() && rule.check(4).is_err());
        let text = serde_json::to_string(&rule).unwrap();
        assert_eq!(serde_json::from_str::<Calibrated>(&text).unwrap(), rule, "what is never drawn reads back");
        assert!(calibrate(&[], &[]).is_err());
    }
}
