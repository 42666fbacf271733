//! Soft top-k per channel: `z_c = Σ_p w_pc·x_pc`, then `z / ‖z‖`; the weights of a channel are a rule of its responses over temperature.
//!
//! | `rule` | weights of `s = x/T` | |
//! |---|---|---|
//! | `softmax` | `e^{s_p} / Σ e^{s_q}` | every token counts a little |
//! | `sparsemax` | `[s_p − τ]₊`, with `τ` so that they sum to 1 (Martins & Astudillo, ICML 2016) | few count, the others exactly 0 |
//! | `entmax15` | `[s_p/2 − τ]₊²`, likewise (Peters et al., ACL 2019, α = 1.5) | between the two |
//!
//! LoDA takes the mean of exactly `k` responses. Is it the hard number that matters, or merely that a channel listens to its peaks? Here
//! how many count is up to the responses: the smaller `T`, the fewer; `T → 0` is LoDA with `k = 1`, `T → ∞` dense alignment.
//!
//! `τ` is found by sorting, exactly: the rule holds for a first few of the sorted responses and for none after them. Which ones is a
//! constant to the gradient; `τ` as a function of those is differentiable, and so are the weights. Padding gets no weight.

use super::{Aligner, AlignerConfig, Limits, Side, Stage, check_temperature, lengths, pooled_tokens};
use crate::parameters::Parameters;
use crate::tokens::Tokens;
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_tensor::{Ops, Result, Tensor, Unary};

/// How responses become weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// All positive.
    Softmax,
    /// The Euclidean projection on the simplex: sparse.
    Sparsemax,
    /// Half way between the two: sparse, too.
    Entmax15,
}

/// Weighted by peakiness, channel by channel.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoftTopK {
    /// How responses become weights.
    pub rule: Rule,
    /// What responses are divided by before.
    #[serde(default = "one")]
    pub temperature: f64,
}

fn one() -> f64 {
    1.0
}

impl Rule {
    /// Weights over the last axis of `s`, summing to 1: `[b, d, n]` → `[b, d, n]`.
    ///
    /// # Errors
    /// If the backend fails.
    pub fn weights<T: Tensor>(self, s: &T) -> Result<T> {
        match self {
            Self::Softmax => s.softmax(),
            Self::Sparsemax => {
                let (s, sorted) = sorted(s)?;
                let support = Self::sparsemax_support(&sorted)?;
                let count = support.sum(2)?;
                let tau = sorted.mul(&support)?.sum(2)?.shift(-1.0)?.div(&count)?;
                s.sub(&tau)?.clamp(0.0, f64::MAX)
            }
            Self::Entmax15 => {
                let (s, sorted) = sorted(&s.scale(0.5)?)?;
                let support = Self::entmax_support(&sorted)?;
                let count = support.sum(2)?;
                let [mean, square] = [&sorted, &sorted.square()?].map(|x| x.mul(&support)?.sum(2)?.div(&count));
                let tau = entmax_tau(&mean?, &square?, &count)?;
                s.sub(&tau)?.clamp(0.0, f64::MAX)?.square()
            }
        }
    }

    /// 1 where `1 + k·s₍ₖ₎ ≥ Σ_{j≤k} s₍ⱼ₎`, else 0: the first few of a sorted row.
    fn sparsemax_support<T: Tensor>(sorted: &T) -> Result<T> {
        let margin = sorted.mul(&ranks(sorted)?)?.shift(1.0)?.sub(&running_sum(sorted)?)?;
        margin.unary(Unary::Inside { low: 0.0, high: f64::MAX })
    }

    /// 1 where `s₍ₖ₎ ≥ τ` of the first `k`, else 0: the first few of a sorted row.
    fn entmax_support<T: Tensor>(sorted: &T) -> Result<T> {
        let k = ranks(sorted)?.expand(sorted.shape())?;
        let (mean, square) = (running_sum(sorted)?.div(&k)?, running_sum(&sorted.square()?)?.div(&k)?);
        sorted.sub(&entmax_tau(&mean, &square, &k)?)?.unary(Unary::Inside { low: 0.0, high: f64::MAX })
    }
}

/// `τ` with `Σ (s − τ)² = 1` over `k` values of this mean and mean square: `mean − √((1 − k·(square − mean²))/k)`.
///
/// Kept ≥ 1e-24 below the root, as norms are: where `k` is no support there may be no such `τ`.
fn entmax_tau<T: Tensor>(mean: &T, square: &T, k: &T) -> Result<T> {
    let spread = square.sub(&mean.square()?)?;
    mean.sub(&k.recip()?.sub(&spread)?.clamp(1e-24, f64::MAX)?.sqrt()?)
}

/// The rows of `s [b, d, n]` less their maximum, which changes no weight and keeps sums exact; and the same sorted, largest first.
fn sorted<T: Tensor>(s: &T) -> Result<(T, T)> {
    let [_, _, n] = s.dims()?;
    let order = s.topk(n, 2)?;
    let largest = s.gather(2, &order)?.slice(2, 0, 1)?;
    let shifted = s.sub(&largest)?;
    let sorted = shifted.gather(2, &order)?;
    Ok((shifted, sorted))
}

/// `1, 2, …, n` for rows `[b, d, n]`: `[1, 1, n]`.
fn ranks<T: Tensor>(rows: &T) -> Result<T> {
    let n = rows.width();
    T::from_host(&(1..=n).map(|k| k as f64).collect::<Vec<_>>(), &[1, 1, n], &rows.device())
}

/// `y_k = Σ_{j≤k} x_j` along the last axis of `[b, d, n]`: a product with a triangle of ones.
fn running_sum<T: Tensor>(x: &T) -> Result<T> {
    let [b, d, n] = x.dims()?;
    let triangle: Vec<f64> = (0..n * n).map(|i| if i / n <= i % n { 1.0 } else { 0.0 }).collect();
    let triangle = T::from_host(&triangle, &[n, n], &x.device())?;
    x.reshape(&[b * d, n])?.matmul(&triangle)?.reshape(&[b, d, n])
}

impl SoftTopK {
    /// The responses of every channel and their weights, both `[b, d, n]`.
    fn weighed<T: Tensor>(&self, side: Side, tokens: &Tokens<T>) -> Result<[T; 2]> {
        let x = pooled_tokens(side, tokens)?; //                             [b, n, d]
        let [b, n, _] = x.dims()?;
        let responses = x.t()?;
        let mut s = responses.scale(1.0 / self.temperature)?;
        if let Some(bias) = lengths::score_bias(&x, tokens.lengths.as_deref())? {
            s = s.add(&bias.reshape(&[b, 1, n])?)?;
        }
        let weights = self.rule.weights(&s)?;
        Ok([responses, weights])
    }
}

impl<T: Tensor> Aligner<T> for SoftTopK {
    fn pool(&self, side: Side, tokens: &Tokens<T>) -> Result<T> {
        let [responses, weights] = self.weighed(side, tokens)?;
        responses.mul(&weights)?.sum(2)?.squeeze(2)?.l2_normalize_pooled() // [b, d]
    }

    fn shares(&self, side: Side, tokens: &Tokens<T>) -> Result<Option<T>> {
        let [_, weights] = self.weighed(side, tokens)?;
        weights.t().map(Some) //                                             [b, n, d]
    }
}

impl<T: Tensor> AlignerConfig<T> for SoftTopK {
    fn check(&self, _: Limits) -> Result<()> {
        check_temperature(self.temperature)
    }

    fn build(&self, _: Stage, _: &Parameters<T>) -> Result<Box<dyn Aligner<T>>> {
        Ok(Box::new(*self))
    }
}

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn AlignerConfig<T>>) {
    kinds.add("soft-top-k", "peaks of every channel, weighted softly", |config: SoftTopK| Ok(Box::new(config)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::naive::{batch, image_items, near, refused, row, text_items, unit, waves};
    use simseg_cpu::{CpuDevice, CpuTensor};

    const RULES: [Rule; 3] = [Rule::Softmax, Rule::Sparsemax, Rule::Entmax15];

    /// What a rule makes of one response, given the τ of its row.
    fn weight(rule: Rule, s: f32, tau: f32) -> f32 {
        match rule {
            Rule::Softmax => (s - tau).exp(),
            Rule::Sparsemax => (s - tau).max(0.0),
            Rule::Entmax15 => (0.5 * s - tau).max(0.0).powi(2),
        }
    }

    /// The weights of a row: the τ for which they sum to 1, by halving an interval and without sorting.
    fn naive(rule: Rule, s: &[f32]) -> Vec<f32> {
        let (mut low, mut high) = (-60.0f32, 60.0f32);
        for _ in 0..80 {
            let tau = 0.5 * (low + high);
            let sum: f32 = s.iter().map(|&s| weight(rule, s, tau)).sum();
            if sum > 1.0 { low = tau } else { high = tau }
        }
        s.iter().map(|&s| weight(rule, s, 0.5 * (low + high))).collect()
    }

    #[test]
    fn channels_are_pooled_by_weights_that_sum_to_one() {
        let (image, text) = batch();
        for rule in RULES {
            for temperature in [0.2f32, 1.0, 3.0] {
                let aligner = SoftTopK { rule, temperature: f64::from(temperature) };
                for (side, tokens, items) in
                    [(Side::Image, &image, image_items(&image)), (Side::Text, &text, text_items(&text))]
                {
                    let mut want = vec![];
                    for x in items {
                        let channel = |c: usize| {
                            let s: Vec<f32> = x.iter().map(|x| x[c] / temperature).collect();
                            naive(rule, &s).iter().zip(&x).map(|(w, x)| w * x[c]).sum::<f32>()
                        };
                        want.extend(unit(&(0..x[0].len()).map(channel).collect::<Vec<f32>>()));
                    }
                    near(&row(&aligner.pool(side, tokens).unwrap()), &want);
                }
            }
        }
    }

    #[test]
    fn sparse_rules_give_exact_zeros_and_softmax_none() {
        let s = CpuTensor::<f32>::from_host(&[0.0, 0.9, 3.0, 2.5], &[1, 1, 4], &CpuDevice).unwrap();
        let weights = RULES.map(|rule| row(&rule.weights(&s).unwrap()));
        assert_eq!(weights[1], [0.0, 0.0, 0.75, 0.25]);
        let zeros = weights.map(|weights| weights.iter().filter(|&&w| w == 0.0).count());
        assert!(zeros[0] == 0 && zeros[1] == 2 && zeros[2] > 0, "{zeros:?}");
    }

    #[test]
    fn a_low_temperature_leaves_the_peak_and_a_high_one_the_mean() {
        let x = CpuTensor::<f64>::from_host(&waves(24), &[2, 3, 4], &CpuDevice).unwrap();
        for rule in RULES {
            let weights =
                |temperature: f64| rule.weights(&x.scale(1.0 / temperature).unwrap()).unwrap().to_vec::<f64>().unwrap();
            assert!(weights(1e-3).iter().all(|w| *w < 1e-9 || *w > 1.0 - 1e-9), "{rule:?}");
            assert!(weights(1e6).iter().all(|w| (w - 0.25).abs() < 1e-5), "{rule:?}");
        }
    }

    #[test]
    fn impossible_settings_name_their_key() {
        let refused = |settings| refused("soft-top-k", settings);
        assert_eq!(
            refused(r#"{"rule": "softmax", "temperature": 0.0}"#),
            "aligner.temperature: a positive number, found 0"
        );
        assert!(refused(r#"{"rule": "softest"}"#).contains("entmax15"));
    }
}
