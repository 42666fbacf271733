//! The window that speaks most for a class: `score_c = max_w max_{rows r of c} z_w·u_r`.
//!
//! A picture's own embedding is the mean of its windows', in which a class that fills one of nine counts a ninth; here one window is
//! enough for it to be in the picture. The price: the maximum of many noisy scores is larger than that of few, for every class alike, so
//! that thresholds in absolute terms lie higher. A picture in one piece is its own only window: what is left is `pooled`.

use super::{ClassScore, Pooled};
use crate::features::View;
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_tensor::{Ops, Result, Tensor};

/// The best window of the image for each class.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BestWindow {}

impl<T: Tensor> ClassScore<T> for BestWindow {
    fn scores(&self, view: View<'_, T>) -> Result<Vec<f32>> {
        let View { image, bank, .. } = view;
        let windows: Vec<&T> = image.windows.iter().map(|window| &window.embedding).collect();
        if windows.len() < 2 {
            return Pooled {}.scores(view);
        }
        let per_row = bank.embeddings.matmul(&T::concat(&windows, 0)?.t()?)?.max(1)?; // [r, w] → [r, 1]
        Ok(bank.best_per_class(&per_row.to_f32()?))
    }
}

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn ClassScore<T>>) {
    kinds.add("best-window", "cosine of the best window and the class", |rule: BestWindow| Ok(Box::new(rule)));
}
