//! Local evidence among rivals: how surely is the class, and no other, in some patches of the image?
//!
//! ```text
//! P_pc    = Σ_{rows r of c} softmax_r(scale·f̂_p·û_r)         over the rows of all classes, the background's among them
//! local_c = mean of the ⌈share·n⌉ largest P_pc over patches
//! score_c = local_c,   or local_c·max(s_c, 0) with `pooled`,   s_c what training compared
//! ```
//!
//! With `share = 0` (one patch) this is how TagCLIP ranks classes (Lin et al. 2024, §3.2), without its refinement of `P` by
//! attention; some more patches are steadier, and the whole image has a say through `s_c`.

use super::{AlignerScore, ClassScore};
use crate::features::View;
use crate::needs::Needs;
use serde::{Deserialize, Serialize};
use simseg_model::Aligner;
use simseg_registry::Kinds;
use simseg_tensor::{Ops, Result, Tensor};

/// Probabilities of patches, and the whole image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalSoftmax {
    /// Multiplies cosines before the softmax.
    #[serde(default = "twenty")]
    pub scale: f32,
    /// Share of the patches that a class is scored by; at least one patch.
    #[serde(default = "sixteenth")]
    pub share: f32,
    /// Whether the whole image has a say.
    #[serde(default)]
    pub pooled: bool,
}

fn twenty() -> f32 {
    20.0
}
fn sixteenth() -> f32 {
    1.0 / 16.0
}

impl LocalSoftmax {
    /// `local_c` of patch scores `[r, n]`.
    fn local(&self, scores: &[f32], class_of: &[usize], classes: usize, n: usize) -> Vec<f32> {
        let count = ((self.share * n as f32).ceil() as usize).clamp(1, n);
        let mut probabilities = vec![vec![0.0f32; n]; classes];
        for p in 0..n {
            let row = |r: usize| self.scale * scores[r * n + p];
            let highest = (0..class_of.len()).map(row).fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = (0..class_of.len()).map(|r| (row(r) - highest).exp()).sum();
            for (r, &class) in class_of.iter().enumerate() {
                probabilities[class][p] += (row(r) - highest).exp() / sum;
            }
        }
        let top = |mut values: Vec<f32>| {
            values.sort_by(|a, b| b.total_cmp(a));
            values[..count].iter().sum::<f32>() / count as f32
        };
        probabilities.into_iter().map(top).collect()
    }
}

impl<T: Tensor> ClassScore<T> for LocalSoftmax {
    fn needs(&self, aligner: &dyn Aligner<T>) -> Needs {
        if self.pooled { AlignerScore {}.needs(aligner) } else { Needs::default() }
    }

    fn scores(&self, view: View<'_, T>) -> Result<Vec<f32>> {
        let bank = view.bank;
        let patches = view.image.patch_scores(&bank.embeddings)?.to_f32()?; // [r, n]
        let local = self.local(&patches, &bank.class_of, bank.classes, view.image.grid.area());
        if !self.pooled {
            return Ok(local);
        }
        let whole = AlignerScore {}.scores(view)?;
        Ok(local.iter().zip(whole).map(|(local, whole)| local * whole.max(0.0)).collect())
    }
}

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn ClassScore<T>>) {
    kinds.add("local-softmax", "probability of the class in its best patches (TagCLIP)", |rule: LocalSoftmax| {
        Ok(Box::new(rule))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_by_hand() {
        // Two patches, the background's two words and one class; with scale 1 and logarithms the softmax can be done in the head.
        let ln = |x: f32| x.ln();
        let scores = [ln(1.0), ln(1.0), ln(1.0), ln(2.0), ln(2.0), ln(1.0)]; // rows: background, background, class
        let rule = |share| LocalSoftmax { scale: 1.0, share, pooled: false };
        // Patch 0: 1, 1, 2 of 4; patch 1: 1, 2, 1 of 4.
        let best = rule(0.0).local(&scores, &[0, 0, 1], 2, 2);
        assert!((best[0] - 0.75).abs() < 1e-6 && (best[1] - 0.5).abs() < 1e-6, "{best:?}");
        let all = rule(1.0).local(&scores, &[0, 0, 1], 2, 2);
        assert!((all[0] - 0.625).abs() < 1e-6 && (all[1] - 0.375).abs() < 1e-6, "{all:?}");
    }

    #[test]
    fn a_share_counts_at_least_one_patch_and_at_most_all() {
        let scores = [0.0, 0.0, 0.0, 1.0, 0.5, 0.0];
        for share in [-1.0, 0.0, 0.1, 1.0, 7.0] {
            let rule = LocalSoftmax { scale: 1.0, share, pooled: false };
            let sum: f32 = rule.local(&scores, &[0, 1], 2, 3).iter().sum();
            assert!(sum.is_finite() && sum > 0.9, "{share}: {sum}");
        }
    }
}
