//! Local evidence instead of the pooled vector: `score_c = max_p f̂_p·û_c`, as TagCLIP ranks classes (Lin et al. 2024).

use super::ClassScore;
use crate::features::View;
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_tensor::{Ops, Result, Tensor};

/// The best patch of the image for each class.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BestPatch {}

impl<T: Tensor> ClassScore<T> for BestPatch {
    fn scores(&self, View { image, bank, .. }: View<'_, T>) -> Result<Vec<f32>> {
        let best = image.patch_scores(&bank.embeddings)?.max(1)?; // [r, n] → [r, 1]
        Ok(bank.best_per_class(&best.to_f32()?))
    }
}

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn ClassScore<T>>) {
    kinds.add("best-patch", "cosine of the best patch and the class", |rule: BestPatch| Ok(Box::new(rule)));
}
