//! The split of the scores into two groups with the largest variance between them (Otsu 1979).

use super::{Scores, Selection, Threshold, keep};
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;

/// The upper of the two groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Otsu {}

/// The lowest score of the upper group.
fn split(scores: &[f32]) -> f32 {
    let mut sorted: Vec<f32> = scores.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let total: f64 = sorted.iter().map(|&x| f64::from(x)).sum();
    let n = sorted.len() as f64;
    let (mut largest, mut split, mut upper) = (f64::NEG_INFINITY, f32::INFINITY, 0.0);
    for (i, &score) in sorted.iter().enumerate().take(sorted.len().saturating_sub(1)) {
        upper += f64::from(score);
        let (w1, w2) = ((i + 1) as f64, n - (i + 1) as f64);
        let between = w1 * w2 * (upper / w1 - (total - upper) / w2).powi(2);
        if between > largest {
            (largest, split) = (between, score);
        }
    }
    split
}

impl Threshold for Otsu {
    fn select(&self, scores: Scores<'_>) -> Selection {
        let threshold = split(&scores);
        keep(scores, threshold, |c| scores[c] >= threshold)
    }
}

/// Adds it to its family.
pub fn register(kinds: &mut Kinds<dyn Threshold>) {
    kinds.add("otsu", "the split with the largest variance between groups", |rule: Otsu| Ok(Box::new(rule)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn otsu_splits_two_groups_where_they_part() {
        assert_eq!(Otsu {}.select(Scores::from(&[0.1, 0.9, 0.15, 0.8, 0.12])).classes, [1, 3]);
    }
}
