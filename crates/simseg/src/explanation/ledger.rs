//! The ledger: a class's score, split exactly over patches and channels.
//!
//! With `z = pool/‖pool‖` and `pool_c = Σ_p share_pc·f_pc` the score of a class with embedding `u` is a sum,
//!
//! ```text
//! z·u = Σ_p Σ_c share_pc · f_pc · u_c / ‖pool‖          LoDA: share = 1/k where p is in the top k of channel c, else 0
//!                                                       dense: share = 1/n everywhere
//! ```
//!
//! - `f`: `[n, d]` projected patches   - `u`: `[d]`, of norm 1   - `‖pool‖ + 1e-8` in practice, as pooling divides
//!
//! An entry can be negative: a patch can speak against a class. Holistic alignment has no ledger: \[CLS\] is no sum over patches.

use super::{Explanation, Pooling};
use serde::{Deserialize, Serialize};

/// The largest difference between a score and the sum of its entries that counts as rounding.
pub const ROUNDING: f32 = 1e-4;

/// What each patch adds to each score, or why that can't be said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Ledger {
    /// It splits.
    Split {
        /// `‖pool‖ + 1e-8`
        norm: f32,
        /// `[c][n]`: what each patch adds to the score of a class.
        entries: Vec<Vec<f32>>,
        /// `[c]`: their sums, which are the scores up to rounding.
        sums: Vec<f32>,
    },
    /// It does not.
    Whole {
        /// Why, in a sentence.
        why: String,
    },
}

/// One channel's part of a patch's entry.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Term {
    /// The channel.
    pub channel: usize,
    /// The patch's response in it, `f_pc`.
    pub value: f32,
    /// Its place among all patches in this channel, from 1.
    pub rank: usize,
    /// Its share of the pool.
    pub share: f32,
    /// The class's embedding in this channel, `u_c`.
    pub class: f32,
    /// `share · f_pc · u_c / ‖pool‖`
    pub adds: f32,
}

/// The ledger of patches `[n·d]` that were pooled so, against classes of these embeddings. `scores` are what the segmenter said: where
/// they are no dot of two pools, the ledger is not theirs, and says so.
pub(super) fn ledger(patches: &[f32], pooling: &Pooling, classes: &[&[f32]], scores: &[f32]) -> Ledger {
    if let Pooling::Whole { why } = pooling {
        return Ledger::Whole { why: why.clone() };
    }
    let d = classes.first().map_or(1, |class| class.len()).max(1);
    let n = patches.len() / d;
    let mut pooled = vec![0.0f32; n * d]; // share ⊙ f
    match pooling {
        Pooling::Uniform { share } => pooled.iter_mut().zip(patches).for_each(|(p, f)| *p = share * f),
        Pooling::PerChannel { picks } => {
            for (channel, picks) in picks.iter().enumerate() {
                for pick in picks {
                    let at = pick.token * d + channel;
                    pooled[at] = pick.share * patches[at];
                }
            }
        }
        Pooling::Whole { .. } => {}
    }
    let channel = |c: usize| (0..n).map(|p| f64::from(pooled[p * d + c])).sum::<f64>();
    let norm = (0..d).map(|c| channel(c).powi(2)).sum::<f64>().sqrt() + 1e-8;
    let entry = |class: &[f32], p: usize| {
        let terms = pooled[p * d..][..d].iter().zip(class).map(|(f, u)| f64::from(*f) * f64::from(*u));
        (terms.sum::<f64>() / norm) as f32
    };
    let entries: Vec<Vec<f32>> = classes.iter().map(|class| (0..n).map(|p| entry(class, p)).collect()).collect();
    let sums: Vec<f32> =
        entries.iter().map(|row| row.iter().map(|&entry| f64::from(entry)).sum::<f64>() as f32).collect();
    let differs = sums.iter().zip(scores).any(|(sum, score)| (sum - score).abs() > ROUNDING);
    match differs {
        true => {
            let why = "The score rule of this recipe compares something else than the pooled image with the pooled class, so patches do \
                       not add up to its scores.";
            Ledger::Whole { why: why.into() }
        }
        false => Ledger::Split { norm: norm as f32, entries, sums },
    }
}

impl Explanation {
    /// What each channel of each patch adds to a class's score, `[n·d]`: `share · f_pc · u_c / ‖pool‖`. A patch's sum is its entry in the
    /// ledger, the sum of all is the score up to rounding. Nothing where nothing can be split, or there is no such class.
    pub fn contributions(&self, class: usize) -> Option<Vec<f32>> {
        let Ledger::Split { norm, .. } = &self.ledger else { return None };
        let (d, class) = (self.channels, &self.classes.get(class)?.embedding);
        let shares = self.pooling.shares(self.grid.area(), d)?; // [n·d]
        let each = shares.iter().zip(&self.patches).zip(class.iter().cycle());
        Some(each.map(|((share, f), u)| share * f * u / norm).collect())
    }

    /// What each channel adds to the entry of a patch in a class's score, the largest first; empty where nothing can be split. With
    /// `versus`, to the difference of two classes' scores.
    pub fn terms(&self, patch: usize, class: usize, versus: Option<&[f32]>) -> Vec<Term> {
        let (Ledger::Split { norm, .. }, Some(class), d) = (&self.ledger, self.classes.get(class), self.channels)
        else {
            return vec![];
        };
        let n = self.grid.area();
        if patch >= n {
            return vec![];
        }
        let term = |channel: usize| {
            let value = self.patches[patch * d + channel];
            let share = self.pooling.share(patch, channel)?;
            let other = versus.and_then(|other| other.get(channel)).copied().unwrap_or(0.0);
            let class = class.embedding[channel] - other;
            let above = |p: usize| {
                let other = self.patches[p * d + channel];
                other > value || (other == value && p < patch)
            };
            let rank = 1 + (0..n).filter(|&p| above(p)).count();
            Some(Term { channel, value, rank, share, class, adds: share * value * class / norm })
        };
        let mut terms: Vec<Term> = (0..d).filter_map(term).filter(|term| term.share != 0.0).collect();
        terms.sort_by(|a, b| b.adds.abs().total_cmp(&a.adds.abs()));
        terms
    }

    /// The mean of all classes' embeddings, `[d]`: what to hold one class against.
    pub fn mean_class(&self) -> Vec<f32> {
        let count = self.classes.len().max(1) as f32;
        (0..self.channels).map(|c| self.classes.iter().map(|class| class.embedding[c]).sum::<f32>() / count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Pick;
    use super::*;

    #[test]
    fn a_ledger_by_hand() {
        // Two patches, two channels; channel 0 listens to patch 1 (value 3), channel 1 to patch 0 (value 4): the pool is (3, 4), of norm 5.
        let patches = [1.0, 4.0, 3.0, 2.0];
        let pick = |token| vec![Pick { token, share: 1.0 }];
        let pooling = Pooling::PerChannel { picks: vec![pick(1), pick(0)] };
        let class: &[f32] = &[0.6, 0.8];
        // Patch 0 adds 4·0.8/5 = 0.64, patch 1 adds 3·0.6/5 = 0.36.
        let Ledger::Split { norm, entries, sums } = ledger(&patches, &pooling, &[class], &[1.0]) else { panic!() };
        assert_eq!(norm, 5.0);
        assert!((entries[0][0] - 0.64).abs() < 1e-6 && (entries[0][1] - 0.36).abs() < 1e-6, "{entries:?}");
        assert!((sums[0] - 1.0).abs() < 1e-6);
        // Every patch alike: the pool is (2, 3).
        let Ledger::Split { entries, .. } =
            ledger(&patches, &Pooling::Uniform { share: 0.5 }, &[class], &[(2.0 * 0.6 + 3.0 * 0.8) / 13f32.sqrt()])
        else {
            panic!()
        };
        assert!((entries[0][0] - (0.5 * 0.6 + 2.0 * 0.8) / 13f32.sqrt()).abs() < 1e-6);
        // A score that patches do not add up to is not explained by them.
        assert!(matches!(ledger(&patches, &pooling, &[class], &[0.9]), Ledger::Whole { .. }));
    }
}
