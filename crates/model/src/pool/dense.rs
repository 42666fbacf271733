//! Dense alignment: every patch and every word counts alike. `z[b] = 1/n_b · Σ_{j<n_b} x[b, j]`, then `z / (‖z‖ + 1e-8)`.
//!
//! The paper's negative example (§3.2): a mean over everything can be matched through whatever most tokens share. Where captions
//! name the context, that is the context, which covers most patches; but context words are not needed for it: where captions
//! never name the context, dense alignment still finds objects far less often than LoDA does.

use super::{Aligner, AlignerConfig, Side, Stage, lengths, pooled_tokens};
use crate::parameters::Parameters;
use crate::tokens::Tokens;
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_tensor::{Ops, Result, Tensor};

/// Mean over patches, mean over words (padding left out); the released code calls it `avg`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dense {}

impl<T: Tensor> Aligner<T> for Dense {
    fn pool(&self, side: Side, tokens: &Tokens<T>) -> Result<T> {
        let x = pooled_tokens(side, tokens)?;
        lengths::mean(&x, tokens.lengths.as_deref())?.l2_normalize_pooled() // [b, d]
    }

    fn shares(&self, side: Side, tokens: &Tokens<T>) -> Result<Option<T>> {
        let x = pooled_tokens(side, tokens)?;
        let [b, n, _] = x.dims()?;
        let own = tokens.lengths.clone().unwrap_or(vec![n; b]);
        lengths::mean_weights(&x, &own)?.expand(x.shape()).map(Some) // [b, n, d]
    }
}

impl<T: Tensor> AlignerConfig<T> for Dense {
    fn build(&self, _: Stage, _: &Parameters<T>) -> Result<Box<dyn Aligner<T>>> {
        Ok(Box::new(*self))
    }
}

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn AlignerConfig<T>>) {
    kinds.add("dense", "mean over all patches, mean over all words", |config: Dense| Ok(Box::new(config)));
}
