//! Dense alignment: every patch and every word counts alike. `z[b] = 1/n_b · Σ_{j<n_b} x[b, j]`.
//!
//! The paper's negative example (§3.2): the mean over everything is matched most easily by the context, which covers
//! most patches and is named by most captions.

use super::{Aligner, Side, listeners};
use crate::tokens::Tokens;
use simseg_tensor::{Ops, Result, Tensor};

/// Mean over patches, mean over words (padding left out); the released code calls it `avg`.
#[derive(Debug, Clone, Copy)]
pub struct Dense;

impl<T: Tensor> Aligner<T> for Dense {
    fn pool(&self, side: Side, tokens: &Tokens<T>) -> Result<T> {
        let x = listeners(side, tokens)?;
        let [b, n, _] = x.dims()?;
        let mean = match &tokens.lengths {
            None => x.mean(1)?,
            Some(lengths) => {
                let share = |j: usize, length: usize| if j < length { 1.0 / length as f64 } else { 0.0 };
                let shares: Vec<f64> = lengths.iter().flat_map(|&l| (0..n).map(move |j| share(j, l))).collect();
                x.mul(&T::from_host(&shares, &[b, n, 1], &x.device())?)?.sum(1)?
            }
        };
        mean.squeeze(1)?.l2_normalize_pooled() // [b, d]
    }
}
