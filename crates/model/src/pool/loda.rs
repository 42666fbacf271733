//! LoDA, locality-driven alignment: each channel is pooled from the k tokens where it responds most (paper §3.2, eq. 2–4).
//!
//! Three patches, two channels, k = 2 (test `the_worked_example_of_this_file`):
//!
//! ```text
//!             channel 0   channel 1
//! patch A         1           4         channel 0 picks C and B:  (9 + 2) / 2 = 5.5
//! patch B         2           3         channel 1 picks A and B:  (4 + 3) / 2 = 3.5
//! patch C         9           2         z = (5.5, 3.5) / √(5.5² + 3.5²) = (0.844, 0.537)
//!
//! dense, k = 3:   12/3 = 4    9/3 = 3   z = (4, 3) / 5 = (0.8, 0.6)
//! ```
//!
//! C decides channel 0 without a say in channel 1: which patches count is each channel's own matter. In symbols:
//!
//! `z[b,c] = 1/k · Σ_{j≤k} x₍ⱼ₎[b,c]`, where `x₍₁₎ ≥ x₍₂₎ ≥ …` are the token values of channel c; then `z / (‖z‖ + 1e-8)`.
//! - `x`: `[b, n, d]` projected tokens, not normalised   - `z`: `[b, d]`   - `1 ≤ k ≤ n`, which the paper calls `M`: `k = M`
//!
//! One channel may listen to one corner of the image while another listens elsewhere: so a small object that few patches show
//! can still decide the channels that stand for it, where a mean over all patches would drown it.
//!
//! The paper keeps the first `M` sorted rows on both sides and averages all pairwise dots (eq. 4):
//! `1/(M^I·M^T) Σ_{u,v} u·v = mean(V^I)·mean(V^T)`, the dot of two pools (test `pairwise_mean_is_the_dot_of_the_pools`).
//! `k = 1` is the maximum per channel, `k = n` is dense alignment. Padding is [`Padding`]'s choice.

use super::{Aligner, AlignerConfig, Limits, Padding, Side, Stage, pooled_tokens};
use crate::parameters::Parameters;
use crate::tokens::Tokens;
use serde::{Deserialize, Serialize};
use simseg_registry::Choice;
use simseg_registry::Kinds;
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

/// The settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LodaConfig {
    /// Responses per channel over patches, `M^I` of the paper.
    pub image_k: usize,
    /// Responses per channel over words, `M^T` of the paper.
    pub text_k: usize,
    /// The same at evaluation, if different.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_image_k: Option<usize>,
    /// The same at evaluation, if different (paper: 5 in training, 1 at evaluation).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_text_k: Option<usize>,
    /// What padding does.
    #[serde(default)]
    pub padding: Padding,
}

/// What hides a padded token from the ranking: below any real response (the released code's constant).
const HIDDEN: f64 = -10_000.0;

/// The strongest responses of every channel.
pub(super) struct Strongest<T: Tensor> {
    /// Their tokens, `[b, k, d]`.
    pub(super) index: T::Index,
    /// The weight of each, `[b, k, 1]`; `1/k` if there is none.
    pub(super) weights: Option<T>,
}

/// The `min(k, lengths[i])` strongest responses per channel among the first `lengths[i]` tokens of each item.
pub(super) fn strongest<T: Tensor>(x: &T, k: usize, lengths: Option<&[usize]>) -> Result<Strongest<T>> {
    let [b, n, _] = x.dims()?;
    if k == 0 || k > n {
        return Err(Error::setting("k", format!("from 1 to the {n} tokens there are, found {k}")));
    }
    let Some(lengths) = lengths.filter(|lengths| lengths.iter().any(|&length| length < n)) else {
        return Ok(Strongest { index: x.topk(k, 1)?, weights: None });
    };
    let device = x.device();
    let hidden: Vec<f64> =
        lengths.iter().flat_map(|&l| (0..n).map(move |j| if j < l { 0.0 } else { HIDDEN })).collect();
    let visible = x.add(&T::from_host(&hidden, &[b, n, 1], &device)?)?;
    let weights: Vec<f64> = lengths
        .iter()
        .map(|&length| length.min(k))
        .flat_map(|own| (0..k).map(move |j| if j < own { 1.0 / own as f64 } else { 0.0 }))
        .collect();
    Ok(Strongest { index: visible.topk(k, 1)?, weights: Some(T::from_host(&weights, &[b, k, 1], &device)?) })
}

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
    let Strongest { index, weights } = strongest(x, k, lengths)?;
    let best = x.gather(1, &index)?; //                                  [b, k, d], padding last
    match weights {
        None => best.mean(1)?.squeeze(1), //                             [b, d]
        Some(weights) => best.mul(&weights)?.sum(1)?.squeeze(1),
    }
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

impl Loda {
    /// How many responses a side uses of `n` tokens, and the lengths that hide padding from the ranking.
    fn rule<'a, T: Tensor>(&self, side: Side, tokens: &'a Tokens<T>, n: usize) -> (usize, Option<&'a [usize]>) {
        let lengths = tokens.lengths.as_deref();
        let shortest = lengths.and_then(|lengths| lengths.iter().copied().min());
        match (side, self.padding) {
            (Side::Image, _) => (self.image_k, None),
            // A caption shorter than k is the rule at evaluation, not an error: every caption uses what it has.
            (Side::Text, Padding::PerCaption) => (self.text_k.min(n), lengths),
            (Side::Text, Padding::ShortestInBatch) => (self.text_k.min(shortest.unwrap_or(n)), lengths),
            (Side::Text, Padding::Compete) => (self.text_k, None),
        }
    }
}

impl<T: Tensor> Aligner<T> for Loda {
    fn pool(&self, side: Side, tokens: &Tokens<T>) -> Result<T> {
        let x = pooled_tokens(side, tokens)?; //                             [b, n, d]
        let (k, lengths) = self.rule(side, tokens, x.shape()[1]);
        top_k_mean(&x, k, lengths).map_err(|error| self.name(side, error))?.l2_normalize_pooled() // [b, d]
    }

    fn shares(&self, side: Side, tokens: &Tokens<T>) -> Result<Option<T>> {
        let x = pooled_tokens(side, tokens)?;
        let [b, n, d] = x.dims()?;
        let (k, lengths) = self.rule(side, tokens, n);
        let Strongest { index, weights } = strongest(&x, k, lengths).map_err(|error| self.name(side, error))?;
        let weights = match weights {
            None => T::full(1.0 / k as f64, &[b, k, d], &x.device())?,
            Some(weights) => weights.expand(&[b, k, d])?,
        };
        x.zeros_like()?.scatter_add(1, &index, &weights).map(Some) //         [b, n, d]
    }
}

impl LodaConfig {
    /// The aligner by name, as settings files say it.
    pub fn choice(&self) -> Choice {
        let optional = [("eval_image_k", self.eval_image_k), ("eval_text_k", self.eval_text_k)];
        let all = Choice::new("loda").with("image_k", self.image_k).with("text_k", self.text_k);
        let all = optional.into_iter().fold(all, |all, (key, k)| if k.is_some() { all.with(key, k) } else { all });
        all.with("padding", self.padding)
    }
}

impl<T: Tensor> AlignerConfig<T> for LodaConfig {
    fn check(&self, limits: Limits) -> Result<()> {
        let all = [
            ("image_k", Some(self.image_k), limits.patches, "patches"),
            ("eval_image_k", self.eval_image_k, limits.patches, "patches"),
            ("text_k", Some(self.text_k), limits.words, "tokens of a caption"),
            ("eval_text_k", self.eval_text_k, limits.words, "tokens of a caption"),
        ];
        for (key, k, most, of) in all {
            if let Some(k) = k.filter(|&k| k == 0 || k > most) {
                return Err(Error::setting(format!("aligner.{key}"), format!("from 1 to the {most} {of}, found {k}")));
            }
        }
        Ok(())
    }

    fn evaluation_keys(&self) -> &'static [&'static str] {
        &["eval_image_k", "eval_text_k"]
    }

    fn build(&self, stage: Stage, _: &Parameters<T>) -> Result<Box<dyn Aligner<T>>> {
        let Self { image_k, text_k, eval_image_k, eval_text_k, padding } = *self;
        Ok(Box::new(match stage {
            Stage::Training => Loda { image_k, text_k, padding },
            Stage::Evaluation(prompts) => Loda {
                image_k: eval_image_k.unwrap_or(image_k),
                text_k: prompts.k.or(eval_text_k).unwrap_or(text_k),
                padding: prompts.padding.unwrap_or(padding),
            },
        }))
    }
}

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn AlignerConfig<T>>) {
    kinds.add("loda", "mean of the top-k responses per channel", |config: LodaConfig| Ok(Box::new(config)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use simseg_cpu::{CpuDevice, CpuTensor};

    #[test]
    fn the_worked_example_of_this_file() {
        let patches = [[0.0, 0.0], [1.0, 4.0], [2.0, 3.0], [9.0, 2.0]]; // [CLS], A, B, C
        let values = CpuTensor::<f64>::from_host(&patches.concat(), &[1, 4, 2], &CpuDevice).unwrap();
        let image = Tokens { values, lengths: None };
        let pool = |image_k| {
            let loda = Loda { image_k, text_k: 1, padding: Padding::PerCaption };
            loda.pool(Side::Image, &image).unwrap().to_vec::<f64>().unwrap()
        };
        let close = |z: Vec<f64>, by_hand: [f64; 2]| z.iter().zip(by_hand).all(|(z, x)| (z - x).abs() < 5e-4);
        assert!(close(pool(2), [0.844, 0.537]) && close(pool(3), [0.8, 0.6]), "{:?} {:?}", pool(2), pool(3));
    }
}
