//! Cosine of the pooled image and the class: `score_c = max_{rows r of c} z·u_r`.

use super::ClassScore;
use crate::features::View;
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_tensor::{Ops, Result, Tensor};

/// The pooled embedding against each row of a class; the best of them counts.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pooled {}

impl<T: Tensor> ClassScore<T> for Pooled {
    fn scores(&self, View { image, bank, .. }: View<'_, T>) -> Result<Vec<f32>> {
        let per_row = image.embedding.matmul(&bank.embeddings.t()?)?; // [1, r]
        Ok(bank.best_per_class(&per_row.to_f32()?))
    }
}

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn ClassScore<T>>) {
    kinds.add("pooled", "cosine of the pooled image and the class", |rule: Pooled| Ok(Box::new(rule)));
}
