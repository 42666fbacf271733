//! Holistic alignment: the \[CLS\] token stands for all, as in CLIP. `z[b] = x[b, 0] / (‖x[b, 0]‖ + 1e-8)`.

use super::{Aligner, AlignerConfig, Side, Stage};
use crate::parameters::Parameters;
use crate::tokens::Tokens;
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_tensor::{Ops, Result, Tensor};

/// \[CLS\] token to \[CLS\] token; the released code calls it `identity`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holistic {}

impl<T: Tensor> Aligner<T> for Holistic {
    fn pool(&self, _: Side, tokens: &Tokens<T>) -> Result<T> {
        tokens.values.slice(1, 0, 1)?.squeeze(1)?.l2_normalize_pooled() // [b, d]
    }
}

impl<T: Tensor> AlignerConfig<T> for Holistic {
    fn build(&self, _: Stage, _: &Parameters<T>) -> Result<Box<dyn Aligner<T>>> {
        Ok(Box::new(*self))
    }
}

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn AlignerConfig<T>>) {
    kinds.add("holistic", "[CLS] token to [CLS] token", |config: Holistic| Ok(Box::new(config)));
}
