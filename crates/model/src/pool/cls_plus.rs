//! The \[CLS\] token together with its tokens: `z = â + b̂`, then `z / ‖z‖`, where `a` is the \[CLS\] token and `b` the mean over
//! patches (`cls-mean`) or their maximum per channel (`cls-max`).
//!
//! Image models that are judged by linear probes pool `[a; b]`, joined along channels (DINOv2; dinov3's `vision_tower.py` projects such a
//! pair). A pool of twice the width could not be compared with single patches, which maps are made of: so the two are normalised and
//! added, which for cosines is joining them on both sides and letting every half look at every half.
//!
//! On the text side `b` is taken over all words, \[CLS\] and \[SEP\] included, as dense alignment does; padding takes no part.

use super::{Aligner, AlignerConfig, Side, Stage, lengths, loda::top_k_mean, pooled_tokens};
use crate::parameters::Parameters;
use crate::tokens::Tokens;
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_tensor::{Ops, Result, Tensor};

/// \[CLS\] and the mean over tokens.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClsMean {}

/// \[CLS\] and the maximum per channel.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClsMax {}

/// The unit \[CLS\] token plus the unit `pooled [b, d]`, normalised.
fn with_cls<T: Tensor>(tokens: &Tokens<T>, pooled: &T) -> Result<T> {
    let cls = tokens.values.slice(1, 0, 1)?.squeeze(1)?.l2_normalize_pooled()?;
    cls.add(&pooled.l2_normalize_pooled()?)?.l2_normalize_pooled()
}

impl<T: Tensor> Aligner<T> for ClsMean {
    fn pool(&self, side: Side, tokens: &Tokens<T>) -> Result<T> {
        let x = pooled_tokens(side, tokens)?;
        with_cls(tokens, &lengths::mean(&x, tokens.lengths.as_deref())?)
    }
}

impl<T: Tensor> Aligner<T> for ClsMax {
    fn pool(&self, side: Side, tokens: &Tokens<T>) -> Result<T> {
        let x = pooled_tokens(side, tokens)?;
        with_cls(tokens, &top_k_mean(&x, 1, tokens.lengths.as_deref())?)
    }
}

impl<T: Tensor> AlignerConfig<T> for ClsMean {
    fn build(&self, _: Stage, _: &Parameters<T>) -> Result<Box<dyn Aligner<T>>> {
        Ok(Box::new(*self))
    }
}

impl<T: Tensor> AlignerConfig<T> for ClsMax {
    fn build(&self, _: Stage, _: &Parameters<T>) -> Result<Box<dyn Aligner<T>>> {
        Ok(Box::new(*self))
    }
}

/// Adds both to their family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn AlignerConfig<T>>) {
    kinds.add("cls-mean", "[CLS] token and mean over tokens, added", |config: ClsMean| Ok(Box::new(config)));
    kinds.add("cls-max", "[CLS] token and maximum per channel, added", |config: ClsMax| Ok(Box::new(config)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::naive::{all_items, batch, near, row, text_items, unit};

    /// What `by` makes of each channel, beside the first token.
    fn pooled(cls: &[f32], tokens: &[Vec<f32>], by: impl Fn(&[f32]) -> f32) -> Vec<f32> {
        let channel = |c: usize| tokens.iter().map(|x| x[c]).collect::<Vec<f32>>();
        let other = unit(&(0..cls.len()).map(|c| by(&channel(c))).collect::<Vec<f32>>());
        unit(&unit(cls).iter().zip(&other).map(|(a, b)| a + b).collect::<Vec<f32>>())
    }

    #[test]
    fn they_add_the_unit_cls_token_to_a_unit_pool() {
        let (image, text) = batch();
        let mean = |x: &[f32]| x.iter().sum::<f32>() / x.len() as f32;
        let most = |x: &[f32]| x.iter().copied().fold(f32::MIN, f32::max);
        let images = all_items(&image);
        let want = |by: &dyn Fn(&[f32]) -> f32| -> Vec<f32> {
            images.iter().flat_map(|x| pooled(&x[0], &x[1..], by)).collect() // patches without [CLS]
        };
        near(&row(&ClsMean {}.pool(Side::Image, &image).unwrap()), &want(&mean));
        near(&row(&ClsMax {}.pool(Side::Image, &image).unwrap()), &want(&most));
        let captions = text_items(&text);
        let want = |by: &dyn Fn(&[f32]) -> f32| -> Vec<f32> {
            captions.iter().flat_map(|x| pooled(&x[0], x, by)).collect() //         words with it
        };
        near(&row(&ClsMean {}.pool(Side::Text, &text).unwrap()), &want(&mean));
        near(&row(&ClsMax {}.pool(Side::Text, &text).unwrap()), &want(&most));
    }
}
