//! How good is a label map? Counted over a whole data set, as the released code does.
//!
//! `IoU_c = Σ_images |pred = c ∧ true = c| / Σ_images |pred = c ∨ true = c|`; mIoU is the mean over the classes that occur
//! in a prediction or in the truth. Background counts as a class; pixels whose truth is 255 are not looked at.

use serde::{Deserialize, Serialize};
use simseg_tensor::random;
use simseg_tensor::{Error, Result};
use std::collections::BTreeMap;

/// The label that says "do not look" in the truth, and "no class" in a prediction.
pub const IGNORE: u16 = u16::MAX;

/// Pixels of one class that were given one label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The true class.
    pub truth: usize,
    /// The label; none if no class claimed them.
    pub label: Option<usize>,
    /// How many.
    pub pixels: u64,
}

/// How often each true class was given each label, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    classes: usize,
    /// By truth and label ([`IGNORE`] for none), those that are not zero: of thousands of classes few meet.
    counts: BTreeMap<(u16, u16), u64>,
}

impl Confusion {
    /// Nothing counted yet.
    pub fn new(classes: usize) -> Self {
        Self { classes, counts: BTreeMap::new() }
    }

    /// Counts one image. A pixel without label is a miss of its true class, and a mistake of no class.
    ///
    /// # Errors
    /// If sizes differ or a label is neither below the number of classes nor [`IGNORE`].
    pub fn add(&mut self, truth: &[u16], predicted: &[u16]) -> Result<()> {
        if truth.len() != predicted.len() {
            let rule = "as many predicted as true pixels";
            return Err(Error::Shape { op: "confusion", lhs: vec![truth.len()], rhs: vec![predicted.len()], rule });
        }
        let mut pairs = truth.iter().copied().zip(predicted.iter().copied()).filter(|&(t, _)| t != IGNORE).peekable();
        // Neighbours are mostly alike: one look-up for each run of equal pairs.
        while let Some((t, p)) = pairs.next() {
            let mut pixels = 1;
            while pairs.next_if_eq(&(t, p)).is_some() {
                pixels += 1;
            }
            self.count_many(t.into(), (p != IGNORE).then_some(p.into()), pixels)?;
        }
        Ok(())
    }

    /// Counts pixels of true class `t` labelled `p`, or not labelled.
    ///
    /// # Errors
    /// If a label is out of range.
    pub fn count_many(&mut self, t: usize, p: Option<usize>, pixels: u64) -> Result<()> {
        let index = t.max(p.unwrap_or(0));
        if index >= self.classes.min(usize::from(IGNORE)) {
            return Err(Error::Position { op: "confusion", index, bound: self.classes });
        }
        *self.counts.entry((t as u16, p.map_or(IGNORE, |p| p as u16))).or_default() += pixels;
        Ok(())
    }

    /// Adds the counts of another image or part of the data set.
    pub fn merge(&mut self, other: &Self) {
        other.counts.iter().for_each(|(&pair, pixels)| *self.counts.entry(pair).or_default() += pixels);
    }

    /// Intersection over union per class; `None` for a class that never occurs.
    pub fn iou(&self) -> Vec<Option<f64>> {
        let (mut union, mut both) = (vec![0; self.classes], vec![0; self.classes]);
        for Pair { truth, label, pixels } in self.pairs() {
            union[truth] += pixels;
            match label {
                Some(label) if label == truth => both[truth] += pixels,
                Some(label) => union[label] += pixels,
                None => {}
            }
        }
        let one = |(union, both): (u64, u64)| (union > 0).then(|| both as f64 / union as f64);
        union.into_iter().zip(both).map(one).collect()
    }

    /// Mean intersection over union; 0 if nothing was counted.
    ///
    /// ```
    /// let mut counts = simseg_segment::metrics::Confusion::new(3);
    /// counts.add(&[0, 0, 1, 65535], &[0, 1, 1, 2])?;
    /// assert_eq!(counts.miou(), 0.5); // background 1/2, class 1 1/2; class 2 was predicted only where nobody looks
    /// # Ok::<(), simseg_tensor::Error>(())
    /// ```
    pub fn miou(&self) -> f64 {
        let seen: Vec<f64> = self.iou().into_iter().flatten().collect();
        // Of nothing the sum is −0, which would be shown.
        seen.iter().sum::<f64>() / seen.len().max(1) as f64 + 0.0
    }

    /// Share of pixels labelled correctly.
    pub fn pixel_accuracy(&self) -> f64 {
        let right: u64 = self.pairs().filter(|pair| pair.label == Some(pair.truth)).map(|pair| pair.pixels).sum();
        right as f64 / self.counts.values().sum::<u64>().max(1) as f64
    }

    /// All counts that are not zero, by true class, then by label.
    pub fn pairs(&self) -> impl Iterator<Item = Pair> {
        self.counts.iter().map(|(&(truth, label), &pixels)| Pair {
            truth: truth.into(),
            label: (label != IGNORE).then_some(label.into()),
            pixels,
        })
    }

    /// The most frequent mistakes, most pixels first.
    pub fn worst_pairs(&self, most: usize) -> Vec<Pair> {
        let mut pairs: Vec<Pair> = self.pairs().filter(|pair| pair.label != Some(pair.truth)).collect();
        pairs.sort_by_key(|pair| std::cmp::Reverse(pair.pixels));
        pairs.truncate(most);
        pairs
    }
}

/// A 95% interval for the mIoU: images are drawn with replacement `rounds` times (Efron's percentile bootstrap).
pub fn bootstrap(images: &[Confusion], rounds: usize, seed: u64) -> Option<(f64, f64)> {
    let classes = images.first()?.classes;
    let mut values: Vec<f64> = (0..rounds as u64)
        .map(|round| {
            let mut rng = random::stream(seed, "bootstrap", round);
            let mut total = Confusion::new(classes);
            for _ in images {
                total.merge(&images[(random::uniform(&mut rng) * images.len() as f64) as usize]);
            }
            total.miou()
        })
        .collect();
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values.get((share * (rounds.saturating_sub(1)) as f64).round() as usize).copied();
    Some((at(0.025)?, at(0.975)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intersections_and_unions_are_summed_over_images() {
        let mut counts = Confusion::new(2);
        counts.add(&[1, 1, 0, 0], &[1, 0, 0, 0]).unwrap();
        counts.add(&[1], &[1]).unwrap();
        // class 1: 2 of 3; background: 2 of 3
        assert_eq!(counts.iou(), [Some(2.0 / 3.0), Some(2.0 / 3.0)]);
        assert_eq!(counts.pixel_accuracy(), 0.8);
        assert_eq!(counts.worst_pairs(5), [Pair { truth: 1, label: Some(0), pixels: 1 }]);
    }

    #[test]
    fn a_pixel_without_label_is_a_miss_of_its_class_alone() {
        let mut counts = Confusion::new(2);
        counts.add(&[1, 1, 0, IGNORE], &[1, IGNORE, 0, IGNORE]).unwrap();
        assert_eq!(counts.iou(), [Some(1.0), Some(0.5)]);
        assert_eq!(counts.pixel_accuracy(), 2.0 / 3.0);
        assert_eq!(counts.worst_pairs(5), [Pair { truth: 1, label: None, pixels: 1 }]);
    }

    #[test]
    fn a_label_out_of_range_is_an_error() {
        assert!(Confusion::new(2).add(&[0], &[2]).is_err());
        assert!(Confusion::new(2).add(&[0], &[0, 0]).is_err());
    }

    #[test]
    fn the_bootstrap_interval_holds_the_value_and_shrinks_for_equal_images() {
        let image = |right: bool| {
            let mut counts = Confusion::new(2);
            counts.add(&[0, 1], if right { &[0, 1] } else { &[1, 0] }).unwrap();
            counts
        };
        let mixed: Vec<_> = (0..40).map(|i| image(i % 2 == 0)).collect();
        let (low, high) = bootstrap(&mixed, 200, 0).unwrap();
        assert!(low < 1.0 / 3.0 && 1.0 / 3.0 < high, "{low} {high}");
        assert_eq!(bootstrap(&vec![image(true); 5], 50, 0), Some((1.0, 1.0)));
    }
}
