//! FILIP: every patch looks for its best word, every word for its best patch (Yao et al., ICLR 2022, eq. 3–5; DeCLIP's `filip.py`).
//!
//! `s(i, t) = ½·(mean_p max_w f̂_p·ĝ_w + mean_w max_p f̂_p·ĝ_w)`, with `f̂` the unit patches of image `i` and `ĝ` the unit words of
//! caption `t`. Padding neither wins nor counts.
//!
//! Sparse, too, but per *token* where LoDA is sparse per *channel*: a whole patch is matched with a whole word. And half of it is not
//! sparse at all: every patch counts in the mean of the first term, the sea around a fish as much as the fish.
//!
//! FILIP's loss has one similarity for each direction: images choose captions by the first term, captions images by the second. A loss
//! here sees one similarity per pair and contrasts it both ways, as an evaluation does that knows no direction: so the two are averaged.
//! A pool by itself, for maps and wherever one vector is wanted, is the mean of unit tokens: `f̂·pool(words)` is a word map's mean.
//!
//! Memory: `b·n·c·m` products of `b` images of `n` patches and `c` captions of `m` words: 50 MB for 128 × 64 × 128 × 12 in f32, a few
//! times as much in training.

use super::{Aligner, AlignerConfig, Side, Stage, lengths, pooled_tokens};
use crate::parameters::Parameters;
use crate::tokens::Tokens;
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_tensor::{Ops, Result, Tensor};

/// The mean best match, both ways.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filip {}

impl<T: Tensor> Aligner<T> for Filip {
    fn pool(&self, side: Side, tokens: &Tokens<T>) -> Result<T> {
        let x = pooled_tokens(side, tokens)?.l2_normalize()?; //             [b, n, d]
        lengths::mean(&x, tokens.lengths.as_deref())?.l2_normalize_pooled() // [b, d]
    }

    fn similarity(&self, image: &Tokens<T>, text: &Tokens<T>) -> Result<T> {
        let patches = pooled_tokens(Side::Image, image)?.l2_normalize()?; // [b, n, d]
        let words = lengths::filled(text)?.l2_normalize()?; //               [c, m, d]
        let ([b, n, d], [c, m, _]) = (patches.dims()?, words.dims()?);
        let all = patches.reshape(&[b * n, d])?.matmul(&words.reshape(&[c * m, d])?.t()?)?.reshape(&[b, n, c * m])?;
        let to_text = all.reshape(&[b, n, c, m])?.max(3)?.mean(1)?.reshape(&[b, c])?;
        let best = all.max(1)?.reshape(&[b, c, m])?; //                      the best patch of every word
        let to_image = match &text.lengths {
            None => best.mean(2)?,
            Some(own) => best.mul(&lengths::mean_weights(&words, own)?.reshape(&[1, c, m])?)?.sum(2)?,
        };
        to_text.add(&to_image.squeeze(2)?)?.scale(0.5)
    }

    fn pairwise(&self) -> bool {
        true
    }
}

impl<T: Tensor> AlignerConfig<T> for Filip {
    fn pools_suffice(&self) -> bool {
        false
    }

    fn build(&self, _: Stage, _: &Parameters<T>) -> Result<Box<dyn Aligner<T>>> {
        Ok(Box::new(*self))
    }
}

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn AlignerConfig<T>>) {
    kinds.add("filip", "best word of every patch, best patch of every word", |config: Filip| Ok(Box::new(config)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::naive::{batch, dot, image_items, near, row, text_items, unit};

    #[test]
    fn similarity_is_the_mean_of_both_directions() {
        let (image, text) = batch();
        let got = row(&Filip {}.similarity(&image, &text).unwrap());
        let mean = |values: Vec<f32>| values.iter().sum::<f32>() / values.len() as f32;
        let most = |values: &mut dyn Iterator<Item = f32>| values.fold(f32::NEG_INFINITY, f32::max);
        let mut want = vec![];
        for patches in image_items(&image) {
            for words in text_items(&text) {
                let cosine = |p: &Vec<f32>, w: &Vec<f32>| dot(&unit(p), &unit(w));
                let to_text = patches.iter().map(|p| most(&mut words.iter().map(|w| cosine(p, w)))).collect();
                let to_image = words.iter().map(|w| most(&mut patches.iter().map(|p| cosine(p, w)))).collect();
                want.push(0.5 * (mean(to_text) + mean(to_image)));
            }
        }
        near(&got, &want);
    }
}
