//! PACL: the image is pooled anew for every caption, from the patches that agree with it (Mukhoti et al., CVPR 2023, eq. 1–3).
//!
//! `a_p = softmax_p(scale·f̂_p·t̂)`, `s(i, t) = cos(Σ_p a_p·f_p, t)`, with `f` the patches and `t` the \[CLS\] token of the caption (of
//! CLIP: its end-of-text token).
//!
//! Must pooling see the text? Here it does, so that a sheep is pooled where the caption says sheep, and the meadow where another says
//! meadow. With `scale = 0` every patch counts alike, and cosines alone (`scale = 1`) are not far from that: the largest of 64 weights
//! can be at most e² times the smallest. The larger the scale, the fewer patches count.
//!
//! A pool by itself sees no text: the mean of the patches, or the \[CLS\] token of a caption.
//!
//! Memory: `b·c·(n + d)` numbers for `b` images of `n` patches, `c` captions and `d` channels (8 MB for 128, 64, 128, 64 in f32, a few
//! times as much in training), since weights and patches meet in one product per image.

use super::{Aligner, AlignerConfig, Limits, Side, Stage, lengths, pooled_tokens};
use crate::parameters::Parameters;
use crate::tokens::Tokens;
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_tensor::{Error, Ops, Result, Tensor};

/// Pooled by agreement with the caption.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pacl {
    /// The factor of cosines in the softmax.
    #[serde(default = "ten")]
    pub scale: f64,
}

fn ten() -> f64 {
    10.0
}

impl<T: Tensor> Aligner<T> for Pacl {
    fn pool(&self, side: Side, tokens: &Tokens<T>) -> Result<T> {
        match side {
            Side::Image => lengths::mean(&pooled_tokens(side, tokens)?, None)?,
            Side::Text => tokens.values.slice(1, 0, 1)?.squeeze(1)?,
        }
        .l2_normalize_pooled() // [b, d]
    }

    fn similarity(&self, image: &Tokens<T>, text: &Tokens<T>) -> Result<T> {
        let captions = self.pool(Side::Text, text)?; //                      [c, d]
        let patches = pooled_tokens(Side::Image, image)?; //                 [b, n, d]
        let ([b, n, d], c) = (patches.dims()?, captions.shape()[0]);
        let cosines = patches.l2_normalize()?.reshape(&[b * n, d])?.matmul(&captions.t()?)?;
        let scores = cosines.reshape(&[b, n, c])?.t()?; //                   [b, c, n]
        let pooled = scores.scale(self.scale)?.softmax()?.matmul(&patches)?.l2_normalize_pooled()?;
        pooled.mul(&captions.unsqueeze(0)?)?.sum(2)?.squeeze(2) //           [b, c, d] → [b, c]
    }

    fn pairwise(&self) -> bool {
        true
    }
}

impl<T: Tensor> AlignerConfig<T> for Pacl {
    fn pools_suffice(&self) -> bool {
        false
    }

    fn check(&self, _: Limits) -> Result<()> {
        match self.scale >= 0.0 && self.scale.is_finite() {
            true => Ok(()),
            false => Err(Error::setting("aligner.scale", format!("0 or a positive number, found {}", self.scale))),
        }
    }

    fn build(&self, _: Stage, _: &Parameters<T>) -> Result<Box<dyn Aligner<T>>> {
        Ok(Box::new(*self))
    }
}

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn AlignerConfig<T>>) {
    kinds.add("pacl", "patches pooled by their agreement with the caption", |config: Pacl| Ok(Box::new(config)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::naive::{batch, dot, image_items, near, refused, row, text_items, unit};

    #[test]
    fn similarity_pools_the_patches_that_agree() {
        let (image, text) = batch();
        let mut want = vec![];
        for patches in image_items(&image) {
            for words in text_items(&text) {
                let caption = unit(&words[0]);
                let scores: Vec<f32> = patches.iter().map(|p| (3.0 * dot(&unit(p), &caption)).exp()).collect();
                let sum: f32 = scores.iter().sum();
                let mut pooled = vec![0.0; caption.len()];
                for (patch, score) in patches.iter().zip(&scores) {
                    pooled.iter_mut().zip(patch).for_each(|(z, x)| *z += score / sum * x);
                }
                want.push(dot(&unit(&pooled), &caption));
            }
        }
        near(&row(&Pacl { scale: 3.0 }.similarity(&image, &text).unwrap()), &want);
    }

    #[test]
    fn without_scale_every_patch_counts_alike() {
        let (image, text) = batch();
        let even = Pacl { scale: 0.0 };
        let pooled = even.pool(Side::Image, &image).unwrap();
        let dots = pooled.matmul(&even.pool(Side::Text, &text).unwrap().t().unwrap()).unwrap();
        near(&row(&even.similarity(&image, &text).unwrap()), &row(&dots));
    }

    #[test]
    fn impossible_scales_name_the_key() {
        assert_eq!(refused("pacl", r#"{"scale": -1.0}"#), "aligner.scale: 0 or a positive number, found -1");
    }
}
