//! Attention pooling: one learned query attends over the tokens (the MAP head of Zhai et al., CVPR 2022; big_vision's `vit.py`).
//!
//! `a = softmax_j(q·(K·x_j)/√d_h)` per head, `z = Σ_j a_j·v_j`, then `z / ‖z‖`; `v = x`, or `v = x + V·x` with `value_projection`.
//! One set of `q [d]`, `K [d, d]`, `V [d, d]` per side. Padding gets no weight.
//!
//! Does a learned pool fall into dense alignment's trap? By default it only learns how much each token counts. Maps compare single
//! patches, which no head projects, with pooled words: so a value projection starts as the identity (`V = 0`) and leads away from it
//! only where training gains by that; what maps lose then is part of the answer.
//!
//! Left out of the MAP head: biases (one on keys changes no softmax), the output projection (one head's follows its value projection,
//! and two matrices in a row are one), and the MLP behind it.

use super::{Aligner, AlignerConfig, Limits, Side, Stage, lengths, pooled_tokens};
use crate::parameters::Parameters;
use crate::tokens::Tokens;
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_tensor::{Attention, Error, Init, Ops, Parameter, Result, Tensor, hooks};

/// A learned query.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionPoolConfig {
    /// Parts of the channels that attend by themselves; divides their number.
    #[serde(default = "one")]
    pub heads: usize,
    /// Whether what is pooled is projected, too.
    #[serde(default)]
    pub value_projection: bool,
}

fn one() -> usize {
    1
}

/// What one side has learned.
#[derive(Debug, Clone)]
struct Head<T> {
    /// `[d]`
    query: T,
    /// `[d, d]`
    key: T,
    /// `[d, d]`, if values are projected.
    value: Option<T>,
}

/// The pools of both sides.
#[derive(Debug, Clone)]
struct AttentionPool<T> {
    heads: usize,
    image: Head<T>,
    text: Head<T>,
}

/// The names of its parameters, behind `aligner.`.
fn name(side: Side, what: &str) -> String {
    match side {
        Side::Image => format!("image.{what}"),
        Side::Text => format!("text.{what}"),
    }
}

impl<T: Tensor> AttentionPool<T> {
    fn head(&self, side: Side) -> &Head<T> {
        match side {
            Side::Image => &self.image,
            Side::Text => &self.text,
        }
    }

    /// The query `[b, 1, d]` and the keys `[b, n, d]` of tokens.
    fn asked(&self, side: Side, x: &T) -> Result<[T; 2]> {
        let ([b, _, d], head) = (x.dims()?, self.head(side));
        Ok([head.query.reshape(&[1, 1, d])?.expand(&[b, 1, d])?, x.linear(&head.key, None)?])
    }
}

impl<T: Tensor> Aligner<T> for AttentionPool<T> {
    fn pool(&self, side: Side, tokens: &Tokens<T>) -> Result<T> {
        let x = pooled_tokens(side, tokens)?; //                             [b, n, d]
        let [query, keys] = self.asked(side, &x)?;
        let values = match &self.head(side).value {
            None => x.clone(),
            Some(value) => x.add(&x.linear(value, None)?)?,
        };
        let bias = lengths::score_bias(&x, tokens.lengths.as_deref())?;
        let how = Attention { heads: self.heads, key_bias: bias.as_ref(), causal: false };
        query.attention(&keys, &values, how)?.squeeze(1)?.l2_normalize_pooled() // [b, d]
    }

    fn shares(&self, side: Side, tokens: &Tokens<T>) -> Result<Option<T>> {
        if self.head(side).value.is_some() {
            return Ok(None);
        }
        let x = pooled_tokens(side, tokens)?;
        let [query, keys] = self.asked(side, &x)?;
        let bias = lengths::score_bias(&x, tokens.lengths.as_deref())?;
        let how = Attention { heads: self.heads, key_bias: bias.as_ref(), causal: false };
        let weights = hooks::attention_weights(&query, &keys, how)?; //      [b, h, 1, n]
        let ([b, n, d], h) = (x.dims()?, self.heads);
        let wide = weights.expand(&[b, h, d / h, n])?.reshape(&[b, d, n])?; // every channel of a head alike
        wide.t().map(Some) //                                                [b, n, d]
    }
}

impl<T: Tensor> AlignerConfig<T> for AttentionPoolConfig {
    fn check(&self, _: Limits) -> Result<()> {
        match self.heads {
            0 => Err(Error::setting("aligner.heads", "at least 1, found 0")),
            _ => Ok(()),
        }
    }

    fn parameters(&self, projection: usize) -> Vec<(String, Parameter)> {
        let d = projection;
        let side = |side: Side| {
            let parameter = |what: &str, shape: &[usize], init| (name(side, what), Parameter::new(shape, init));
            let mut all = vec![parameter("query", &[d], Init::Xavier), parameter("key", &[d, d], Init::Xavier)];
            all.extend(self.value_projection.then(|| parameter("value", &[d, d], Init::Constant(0.0))));
            all
        };
        [side(Side::Image), side(Side::Text)].concat()
    }

    fn build(&self, _: Stage, parameters: &Parameters<T>) -> Result<Box<dyn Aligner<T>>> {
        let head = |side: Side| -> Result<Head<T>> {
            let own = |what: &str| parameters.get(&format!("aligner.{}", name(side, what))).cloned();
            let value = if self.value_projection { Some(own("value")?) } else { None };
            Ok(Head { query: own("query")?, key: own("key")?, value })
        };
        let (heads, image, text) = (self.heads, head(Side::Image)?, head(Side::Text)?);
        let width = image.query.width();
        if heads == 0 || width % heads != 0 {
            return Err(Error::setting("aligner.heads", format!("a divisor of the {width} channels, found {heads}")));
        }
        Ok(Box::new(AttentionPool { heads, image, text }))
    }
}

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn AlignerConfig<T>>) {
    kinds.add("attention-pool", "a learned query attends over the tokens", |config: AttentionPoolConfig| {
        Ok(Box::new(config))
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::naive::{batch, dot, image_items, near, refused, row, text_items, unit, waves};
    use simseg_cpu::{CpuDevice, CpuTensor};

    type Cpu = CpuTensor<f32>;
    const D: usize = 4;

    /// Its parameters with irregular values.
    fn parameters(config: AttentionPoolConfig) -> Parameters<Cpu> {
        let layout = AlignerConfig::<Cpu>::parameters(&config, D).into_iter();
        let drawn = layout.enumerate().map(|(i, (name, parameter))| {
            let values: Vec<f32> = waves(40)[i..][..parameter.shape.iter().product()].to_vec();
            (format!("aligner.{name}"), Cpu::from_host(&values, &parameter.shape, &CpuDevice).unwrap())
        });
        Parameters::new(drawn.collect()).unwrap()
    }

    /// `matrix [D, D]·x`
    fn times(matrix: &[f32], x: &[f32]) -> Vec<f32> {
        matrix.chunks(D).map(|row| dot(row, x)).collect()
    }

    #[test]
    fn it_weighs_tokens_by_a_learned_query_head_by_head() {
        let (image, text) = batch();
        for (heads, value_projection) in [(1, false), (2, false), (1, true), (4, true)] {
            let config = AttentionPoolConfig { heads, value_projection };
            let parameters = parameters(config);
            let aligner = config.build(Stage::Training, &parameters).unwrap();
            for (side, tokens, items) in
                [(Side::Image, &image, image_items(&image)), (Side::Text, &text, text_items(&text))]
            {
                let own = |what: &str| row(parameters.get(&format!("aligner.{}", name(side, what))).unwrap());
                let mut want = vec![];
                for x in items {
                    let mut z = vec![0.0; D];
                    let keys: Vec<Vec<f32>> = x.iter().map(|x| times(&own("key"), x)).collect();
                    for c in 0..D {
                        let part = c / (D / heads) * (D / heads)..(c / (D / heads) + 1) * (D / heads);
                        let root = ((D / heads) as f32).sqrt();
                        let score = |k: &Vec<f32>| (dot(&own("query")[part.clone()], &k[part.clone()]) / root).exp();
                        let sum: f32 = keys.iter().map(score).sum();
                        for (x, k) in x.iter().zip(&keys) {
                            let more = if value_projection { times(&own("value"), x)[c] } else { 0.0 };
                            z[c] += score(k) / sum * (x[c] + more);
                        }
                    }
                    want.extend(unit(&z));
                }
                near(&row(&aligner.pool(side, tokens).unwrap()), &want);
            }
        }
    }

    #[test]
    fn heads_that_do_not_fit_name_the_key() {
        assert_eq!(refused("attention-pool", r#"{"heads": 0}"#), "aligner.heads: at least 1, found 0");
        let config = AttentionPoolConfig { heads: 3, value_projection: false };
        let error = config.build(Stage::Training, &parameters(config)).err().unwrap().to_string();
        assert_eq!(error, "aligner.heads: a divisor of the 4 channels, found 3");
        assert!(config.build(Stage::Training, &Parameters::<Cpu>::new(vec![]).unwrap()).is_err());
    }
}
