//! Top-k tokens: whole tokens are chosen, where LoDA chooses channel by channel. `z = 1/k · Σ_{j∈S} x_j`, then `z / ‖z‖`.
//!
//! `S` are the `k` tokens of the largest mean response, `r_j = 1/d · Σ_c x_jc`; `x [b, n, d]` are projected tokens, not normalised.
//!
//! LoDA differs from dense alignment in two things: few responses count, and every channel chooses its own. This aligner has the first
//! without the second, so that it answers which of them matters: sparse per token, or per channel? What ranks is LoDA's own response,
//! averaged over channels: with one channel the two are the same (test). A caption shorter than `k` uses the words that it has.

use super::{Aligner, AlignerConfig, Limits, Side, Stage, loda, pooled_tokens};
use crate::parameters::Parameters;
use crate::tokens::Tokens;
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_tensor::{Error, Ops, Result, Tensor};

/// The strongest tokens, whole.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenTopK {
    /// Patches that count.
    pub image_k: usize,
    /// Words that count.
    pub text_k: usize,
}

impl TokenTopK {
    /// The weight of every token, `[b, n, 1]`: `1/k` for the chosen ones, else 0.
    fn weights<T: Tensor>(&self, side: Side, x: &T, lengths: Option<&[usize]>) -> Result<T> {
        let [b, n, d] = x.dims()?;
        let (key, k) = match side {
            Side::Image => ("aligner.image_k", self.image_k),
            Side::Text => ("aligner.text_k", self.text_k.min(n)), // a caption uses what it has
        };
        if k == 0 || k > n {
            return Err(Error::setting(key, format!("from 1 to the {n} tokens there are, found {k}")));
        }
        let responses = x.sum(2)?.scale(1.0 / d as f64)?; //                 [b, n, 1]
        let loda::Strongest { index, weights } = loda::strongest(&responses, k, lengths)?;
        let weights = match weights {
            Some(weights) => weights,
            None => T::full(1.0 / k as f64, &[b, k, 1], &x.device())?,
        };
        responses.zeros_like()?.scatter_add(1, &index, &weights)
    }
}

impl<T: Tensor> Aligner<T> for TokenTopK {
    fn pool(&self, side: Side, tokens: &Tokens<T>) -> Result<T> {
        let x = pooled_tokens(side, tokens)?; //                             [b, n, d]
        let weights = self.weights(side, &x, tokens.lengths.as_deref())?;
        weights.t()?.matmul(&x)?.squeeze(1)?.l2_normalize_pooled() //        [b, 1, n] × [b, n, d] → [b, d]
    }

    fn shares(&self, side: Side, tokens: &Tokens<T>) -> Result<Option<T>> {
        let x = pooled_tokens(side, tokens)?;
        self.weights(side, &x, tokens.lengths.as_deref())?.expand(x.shape()).map(Some) // [b, n, d]
    }
}

impl<T: Tensor> AlignerConfig<T> for TokenTopK {
    fn check(&self, limits: Limits) -> Result<()> {
        let all = [
            ("image_k", self.image_k, limits.patches, "patches"),
            ("text_k", self.text_k, limits.words, "tokens of a caption"),
        ];
        match all.into_iter().find(|&(_, k, most, _)| k == 0 || k > most) {
            None => Ok(()),
            Some((key, k, most, of)) => {
                Err(Error::setting(format!("aligner.{key}"), format!("from 1 to the {most} {of}, found {k}")))
            }
        }
    }

    fn build(&self, stage: Stage, _: &Parameters<T>) -> Result<Box<dyn Aligner<T>>> {
        let text_k = match stage {
            Stage::Training => self.text_k,
            Stage::Evaluation(prompts) => prompts.k.unwrap_or(self.text_k),
        };
        Ok(Box::new(Self { text_k, ..*self }))
    }
}

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn AlignerConfig<T>>) {
    kinds.add("token-top-k", "mean of the k strongest tokens, whole", |config: TokenTopK| Ok(Box::new(config)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::naive::{batch, image_items, near, refused, row, text_items, unit};
    use crate::pool::{Loda, Padding};
    use simseg_cpu::{CpuDevice, CpuTensor};

    fn pooled(tokens: &[Vec<f32>], k: usize) -> Vec<f32> {
        let mut ranked = tokens.to_vec();
        ranked.sort_by(|a, b| b.iter().sum::<f32>().total_cmp(&a.iter().sum::<f32>()));
        ranked.truncate(k);
        unit(&(0..tokens[0].len()).map(|c| ranked.iter().map(|x| x[c]).sum::<f32>()).collect::<Vec<_>>())
    }

    #[test]
    fn it_pools_whole_tokens_of_the_largest_mean_response() {
        let (image, text) = batch();
        let aligner = TokenTopK { image_k: 3, text_k: 2 };
        let want: Vec<f32> = image_items(&image).iter().flat_map(|patches| pooled(patches, 3)).collect();
        near(&row(&aligner.pool(Side::Image, &image).unwrap()), &want);
        let want: Vec<f32> = text_items(&text).iter().flat_map(|words| pooled(words, 2)).collect();
        near(&row(&aligner.pool(Side::Text, &text).unwrap()), &want);
    }

    #[test]
    fn with_one_channel_beside_a_constant_it_ranks_as_loda_does() {
        // The second channel is constant: it changes no rank, and keeps the first from being normalised away.
        let values: Vec<f32> = [3.0, -1.0, 4.0, 1.5, 9.0].iter().flat_map(|&x| [x, 1.0]).collect();
        let tokens =
            Tokens { values: CpuTensor::<f32>::from_host(&values, &[1, 5, 2], &CpuDevice).unwrap(), lengths: None };
        let loda = Loda { image_k: 2, text_k: 2, padding: Padding::PerCaption };
        let mine = TokenTopK { image_k: 2, text_k: 2 }.pool(Side::Text, &tokens).unwrap();
        near(&row(&mine), &row(&loda.pool(Side::Text, &tokens).unwrap()));
    }

    #[test]
    fn more_than_there_are_names_its_key() {
        let refused = |settings| refused("token-top-k", settings);
        let most = "aligner.image_k: from 1 to the 4 patches, found 5";
        assert_eq!(refused(r#"{"image_k": 5, "text_k": 1}"#), most);
        assert_eq!(
            refused(r#"{"image_k": 1, "text_k": 0}"#),
            "aligner.text_k: from 1 to the 6 tokens of a caption, found 0"
        );
    }
}
