//! A score rule that keeps every prompt as a row of its own: a class scores its best sentence.

use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_segment::{ClassScore, View};
use simseg_tensor::{Ops, Result, Tensor};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BestPrompt {}

impl<T: Tensor> ClassScore<T> for BestPrompt {
    fn combine(&self, prompts: &T) -> Result<T> {
        Ok(prompts.clone()) // [p, d] rows, already normalised
    }

    fn scores(&self, view: View<'_, T>) -> Result<Vec<f32>> {
        let per_row = view.image.embedding.matmul(&view.bank.embeddings.t()?)?;
        Ok(view.bank.best_per_class(&per_row.to_f32()?))
    }
}

pub fn register<T: Tensor>(kinds: &mut Kinds<dyn ClassScore<T>>) {
    kinds.add("best-prompt", "the best sentence of a class", |rule: BestPrompt| Ok(Box::new(rule)));
}
