//! LoDA pooling: each channel listens only to the k tokens where it is loudest (paper §3.2, eq. 2–4).
//!
//! `z[b,c] = 1/k · Σ_{j≤k} x₍ⱼ₎[b,c]`, where `x₍₁₎ ≥ x₍₂₎ ≥ …` are the token values of channel c.
//! - `x`: `[b, n, d]` projected tokens, not normalised   - `z`: `[b, d]`   - `1 ≤ k ≤ n`
//!
//! The paper keeps the first `M` sorted rows on both sides and averages all pairwise dots (eq. 4):
//! `1/(M^I·M^T) Σ_{u,v} u·v = mean(V^I)·mean(V^T)`, the dot of two pools (test `pairwise_mean_is_the_dot_of_the_pools`).
//! `k = 1` is the maximum per channel, `k = n` is dense alignment. Padding is [`Padding`]'s choice.

use super::{Aligner, Padding, Side, listeners};
use crate::tokens::Tokens;
use simseg_tensor::{Error, Ops, Result, Tensor};

/// Top-k mean per channel.
#[derive(Debug, Clone, Copy)]
pub struct Loda {
    /// Responses per channel over patches.
    pub image_k: usize,
    /// Responses per channel over words.
    pub text_k: usize,
    /// What padding does.
    pub padding: Padding,
}

/// What hides a padded token from the ranking: below any real response (the released code's constant).
const HIDDEN: f64 = -10_000.0;

/// Mean of the `k` largest values per channel, before normalisation: `x [b, n, d]` → `[b, d]`. Item `i` uses the best
/// `min(k, lengths[i])` of its first `lengths[i]` tokens.
///
/// ```
/// # use simseg_cpu::{CpuDevice, CpuTensor};
/// # use simseg_tensor::{Ops, Tensor};
/// let x = CpuTensor::<f32>::from_host(&[1.0f32, 4.0, 2.0, 3.0, 9.0, 2.0], &[1, 3, 2], &CpuDevice)?;
/// let z = simseg_model::pool::loda::top_k_mean(&x, 2, None)?;
/// assert_eq!(z.to_f32()?, [5.5, 3.5]); // channel 0: 9 and 2; channel 1: 4 and 3
/// # Ok::<(), simseg_tensor::Error>(())
/// ```
///
/// # Errors
/// If `k` is zero or larger than the number of tokens.
pub fn top_k_mean<T: Tensor>(x: &T, k: usize, lengths: Option<&[usize]>) -> Result<T> {
    let [b, n, _] = x.dims()?;
    if k == 0 || k > n {
        return Err(Error::setting("k", format!("from 1 to the {n} tokens there are, found {k}")));
    }
    let Some(lengths) = lengths.filter(|lengths| lengths.iter().any(|&length| length < n)) else {
        return x.gather(1, &x.topk(k, 1)?)?.mean(1)?.squeeze(1); // [b, d]
    };
    let device = x.device();
    let hidden: Vec<f64> =
        lengths.iter().flat_map(|&l| (0..n).map(move |j| if j < l { 0.0 } else { HIDDEN })).collect();
    let visible = x.add(&T::from_host(&hidden, &[b, n, 1], &device)?)?;
    let best = x.gather(1, &visible.topk(k, 1)?)?; //                    [b, k, d], padding last
    let shares: Vec<f64> = lengths
        .iter()
        .map(|&length| length.min(k))
        .flat_map(|own| (0..k).map(move |j| if j < own { 1.0 / own as f64 } else { 0.0 }))
        .collect();
    best.mul(&T::from_host(&shares, &[b, k, 1], &device)?)?.sum(1)?.squeeze(1) // [b, d]
}

impl Loda {
    /// The same error under the key that the user wrote.
    fn name(&self, side: Side, error: Error) -> Error {
        let key = match side {
            Side::Image => "aligner.image_k",
            Side::Text => "aligner.text_k",
        };
        match error {
            Error::Setting { expected, .. } => Error::setting(key, expected),
            other => other,
        }
    }
}

impl<T: Tensor> Aligner<T> for Loda {
    fn pool(&self, side: Side, tokens: &Tokens<T>) -> Result<T> {
        let x = listeners(side, tokens)?;
        let lengths = tokens.lengths.as_deref();
        let shortest = lengths.and_then(|lengths| lengths.iter().copied().min());
        let pooled = match (side, self.padding) {
            (Side::Image, _) => top_k_mean(&x, self.image_k, None),
            // A caption shorter than k is the rule at evaluation, not an error: every caption uses what it has.
            (Side::Text, Padding::PerCaption) => top_k_mean(&x, self.text_k.min(x.shape()[1]), lengths),
            (Side::Text, Padding::ShortestInBatch) => {
                top_k_mean(&x, self.text_k.min(shortest.unwrap_or(x.shape()[1])), lengths)
            }
            (Side::Text, Padding::Compete) => top_k_mean(&x, self.text_k, None),
        };
        pooled.map_err(|error| self.name(side, error))?.l2_normalize_pooled() // [b, d]
    }
}
