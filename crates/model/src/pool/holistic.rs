//! Holistic alignment: the summary token speaks for all, as in CLIP. `z[b] = x[b, 0]`.

use super::{Aligner, Side};
use crate::tokens::Tokens;
use simseg_tensor::{Ops, Result, Tensor};

/// `[CLS]` to `[CLS]`; the released code calls it `identity`.
#[derive(Debug, Clone, Copy)]
pub struct Holistic;

impl<T: Tensor> Aligner<T> for Holistic {
    fn pool(&self, _: Side, tokens: &Tokens<T>) -> Result<T> {
        tokens.values.slice(1, 0, 1)?.squeeze(1)?.l2_normalize_pooled() // [b, d]
    }
}
