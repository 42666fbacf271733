//! SPARC: words are contrasted inside their own caption (Bica et al. 2024, arXiv 2401.09865, §3.2).
//!
//! Beside the contrast of whole images and captions (mean over patches, mean over words: dense alignment) the loss has a term that needs
//! no other pair. For word `w` of `m` in a caption and the `n` patches of its image:
//!
//! ```text
//! u_wp = (s_wp − min_p s_wp) / (max_p s_wp − min_p s_wp)      s_wp = f̂_p·ĝ_w
//! α_wp = ũ_wp / Σ_p ũ_wp                                      ũ = u where u ≥ 1/n, else 0
//! v_w  = Σ_p α_wp·f_p
//! L    = ½·(CE(V̂·Ĝᵀ/τ) + CE(Ĝ·V̂ᵀ/τ))                         rows: the words of one caption; right is the diagonal
//! ```
//!
//! averaged over the words of a caption, then over captions, times `coefficient`. Patches below `1/n` of the range take no part, so that
//! a word stands for few of them. Padding takes no part. With a single patch there is no range: the term is then a constant.
//!
//! The paper's temperature is the global one, learned; an aligner does not see that, so here it is a setting.

use super::{Aligner, AlignerConfig, Dense, Limits, Side, Stage, check_temperature, lengths, pooled_tokens};
use crate::parameters::Parameters;
use crate::tokens::Tokens;
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_tensor::{Error, Ops, Result, Tensor, Unary};

/// Dense alignment with a contrast of words.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sparc {
    /// How much the contrast of words counts beside that of pairs.
    #[serde(default = "one")]
    pub coefficient: f64,
    /// What its cosines are divided by.
    #[serde(default = "usual")]
    pub temperature: f64,
}

fn one() -> f64 {
    1.0
}

fn usual() -> f64 {
    0.07
}

/// `α [b, m, n]` from cosines `[b, m, n]`: stretched to `[0, 1]` over patches, 0 below `1/n`, summing to 1.
fn sparse_weights<T: Tensor>(cosines: &T) -> Result<T> {
    let [_, _, n] = cosines.dims()?;
    let low = cosines.neg()?.max(2)?.neg()?; //                              [b, m, 1]
    // Without a range (one patch) the quotient is 0, not a division by 0.
    let range = cosines.max(2)?.sub(&low)?.clamp(1e-12, f64::MAX)?;
    let stretched = cosines.sub(&low)?.div(&range)?;
    let kept = stretched.mul(&stretched.unary(Unary::Inside { low: 1.0 / n as f64, high: f64::MAX })?)?;
    kept.div(&kept.sum(2)?.clamp(1e-12, f64::MAX)?)
}

/// Cross-entropy of the rows of `logits [b, m, m]` against their diagonals: rows count by `weights [b, m, 1]`, items alike.
fn diagonal<T: Tensor>(logits: &T, bias: Option<&T>, weights: &T) -> Result<T> {
    let [b, m, _] = logits.dims()?;
    let logits = match bias {
        None => logits.clone(),
        Some(bias) => logits.add(&bias.reshape(&[b, 1, m])?)?, //            padding is no choice
    };
    let diagonal: Vec<usize> = (0..b * m).map(|i| i % m).collect();
    let index = T::index_from_host(&diagonal, &[b, m, 1], &logits.device())?;
    logits.log_softmax()?.gather(2, &index)?.mul(weights)?.sum_all()?.scale(-1.0 / b as f64)
}

impl Sparc {
    /// The contrast of words, a scalar.
    fn contrast<T: Tensor>(&self, image: &Tokens<T>, text: &Tokens<T>) -> Result<T> {
        let patches = pooled_tokens(Side::Image, image)?; //                 [b, n, d]
        let words = text.values.l2_normalize()?; //                          [b, m, d]
        let cosines = words.matmul(&patches.l2_normalize()?.t()?)?; //       [b, m, n]
        let grouped = sparse_weights(&cosines)?.matmul(&patches)?.l2_normalize()?; // [b, m, d]
        let logits = grouped.matmul(&words.t()?)?.scale(1.0 / self.temperature)?; //  [b, m, m]
        let [b, m, _] = words.dims()?;
        let own = text.lengths.clone().unwrap_or(vec![m; b]);
        let (bias, weights) = (lengths::score_bias(&words, Some(&own))?, lengths::mean_weights(&words, &own)?);
        let there = diagonal(&logits, bias.as_ref(), &weights)?;
        there.add(&diagonal(&logits.t()?, bias.as_ref(), &weights)?)?.scale(0.5)
    }
}

impl<T: Tensor> Aligner<T> for Sparc {
    fn pool(&self, side: Side, tokens: &Tokens<T>) -> Result<T> {
        Dense {}.pool(side, tokens)
    }

    fn extra_loss(&self, image: &Tokens<T>, text: &Tokens<T>) -> Result<Option<T>> {
        self.contrast(image, text)?.scale(self.coefficient).map(Some)
    }

    fn shares(&self, side: Side, tokens: &Tokens<T>) -> Result<Option<T>> {
        Dense {}.shares(side, tokens)
    }
}

impl<T: Tensor> AlignerConfig<T> for Sparc {
    fn pools_suffice(&self) -> bool {
        false
    }

    fn check(&self, _: Limits) -> Result<()> {
        if !(self.coefficient >= 0.0 && self.coefficient.is_finite()) {
            let found = self.coefficient;
            return Err(Error::setting("aligner.coefficient", format!("0 or a positive number, found {found}")));
        }
        check_temperature(self.temperature)
    }

    fn build(&self, _: Stage, _: &Parameters<T>) -> Result<Box<dyn Aligner<T>>> {
        Ok(Box::new(*self))
    }
}

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn AlignerConfig<T>>) {
    kinds.add("sparc", "dense, and words contrasted inside their caption", |config: Sparc| Ok(Box::new(config)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::naive::{batch, dot, image_items, near, refused, row, text_items, unit};
    use simseg_cpu::CpuTensor;

    /// The two images with the captions of 1 and 4 words, padded to 6.
    fn pairs() -> (Tokens<CpuTensor<f32>>, Tokens<CpuTensor<f32>>) {
        let (image, text) = batch();
        (image, Tokens { values: text.values.slice(0, 1, 2).unwrap(), lengths: Some(vec![1, 4]) })
    }

    /// `−log softmax(logits)[right]`
    fn nll(logits: &[f32], right: usize) -> f32 {
        logits.iter().map(|x| x.exp()).sum::<f32>().ln() - logits[right]
    }

    /// `v̂_w` of a word among patches.
    fn grouped(word: &[f32], patches: &[Vec<f32>]) -> Vec<f32> {
        let s: Vec<f32> = patches.iter().map(|p| dot(&unit(p), &unit(word))).collect();
        let (low, high) = (s.iter().copied().fold(f32::MAX, f32::min), s.iter().copied().fold(f32::MIN, f32::max));
        let u = s.iter().map(|s| (s - low) / (high - low)).map(|u| if u < 1.0 / s.len() as f32 { 0.0 } else { u });
        let u: Vec<f32> = u.collect();
        let mut v = vec![0.0; word.len()];
        for (patch, u) in patches.iter().zip(&u) {
            v.iter_mut().zip(patch).for_each(|(v, x)| *v += u * x);
        }
        unit(&v)
    }

    #[test]
    fn the_extra_loss_contrasts_words_inside_their_caption() {
        let (image, text) = pairs();
        let (tau, mut want) = (0.5, 0.0);
        let (images, captions) = (image_items(&image), text_items(&text));
        for (patches, words) in images.iter().zip(&captions) {
            let v: Vec<Vec<f32>> = words.iter().map(|word| grouped(word, patches)).collect();
            let g: Vec<Vec<f32>> = words.iter().map(|word| unit(word)).collect();
            for w in 0..words.len() {
                let rows = |a: &Vec<f32>, list: &[Vec<f32>]| list.iter().map(|b| dot(a, b) / tau).collect::<Vec<f32>>();
                let both = nll(&rows(&v[w], &g), w) + nll(&rows(&g[w], &v), w);
                want += 0.5 * both / (words.len() * images.len()) as f32;
            }
        }
        let sparc = Sparc { coefficient: 2.0, temperature: f64::from(tau) };
        near(&row(&sparc.extra_loss(&image, &text).unwrap().unwrap()), &[2.0 * want]);
    }

    #[test]
    fn a_single_patch_gives_no_division_by_zero() {
        let (image, text) = pairs();
        let image = Tokens { values: image.values.slice(1, 0, 2).unwrap(), lengths: None };
        let loss = Sparc { coefficient: 1.0, temperature: 0.1 }.extra_loss(&image, &text).unwrap().unwrap();
        assert!(row(&loss)[0].is_finite());
    }

    #[test]
    fn impossible_numbers_name_their_key() {
        let refused = |settings| refused("sparc", settings);
        assert_eq!(refused(r#"{"coefficient": -0.1}"#), "aligner.coefficient: 0 or a positive number, found -0.1");
        assert_eq!(refused(r#"{"temperature": 0.0}"#), "aligner.temperature: a positive number, found 0");
    }
}
