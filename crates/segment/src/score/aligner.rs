//! What training compared: the dot of two pools, or the aligner's own pairwise similarity where it has one.
//!
//! With a pairwise similarity `s(image, prompt)` a word scores the mean over its prompts, and a class its best word.

use super::{ClassScore, Pooled};
use crate::features::View;
use crate::needs::Needs;
use serde::{Deserialize, Serialize};
use simseg_model::Aligner;
use simseg_registry::Kinds;
use simseg_tensor::{Error, Ops, Result, Tensor};

/// The aligner's similarity.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlignerScore {}

impl<T: Tensor> ClassScore<T> for AlignerScore {
    fn needs(&self, aligner: &dyn Aligner<T>) -> Needs {
        Needs { tokens: aligner.pairwise(), prompts: aligner.pairwise(), ..Needs::default() }
    }

    fn scores(&self, view: View<'_, T>) -> Result<Vec<f32>> {
        if !view.aligner.pairwise() {
            return Pooled {}.scores(view);
        }
        let missing = || Error::setting("score", "tokens of the image and of every prompt");
        let tokens = view.image.tokens.as_ref().ok_or_else(missing)?;
        let prompts = view.bank.prompts.as_ref().ok_or_else(missing)?;
        let mut best = vec![f32::NEG_INFINITY; view.bank.classes];
        for word in prompts {
            let score = view.aligner.similarity(tokens, &word.tokens)?.mean(1)?.item()? as f32; // [1, p] → one
            best[word.class] = best[word.class].max(score);
        }
        Ok(best)
    }
}

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn ClassScore<T>>) {
    kinds.add("aligner", "what training compared", |rule: AlignerScore| Ok(Box::new(rule)));
}
