//! Edits of the last attention of an image encoder, at inference and without training: what each patch hears of the others.
//!
//! CLIP's last layer gathers what the whole image is about into every token; these edits make a token listen to what is like
//! itself, or near it. `q`, `k`, `v` are those of the trained layer, `c` the channels of a head:
//!
//! | edit | attention | rest of the layer |
//! |---|---|---|
//! | MaskCLIP (Zhou et al. 2022, §3.2) | the identity: every token its own value | kept |
//! | SCLIP (Wang et al. 2024, eq. 3) | `softmax(qqᵀ/√c) + softmax(kkᵀ/√c)` | kept |
//! | ClearCLIP (Lan et al. 2024, §3.3) | `softmax(qqᵀ/√c)` | neither residual nor MLP |
//! | NACLIP (Hajimiri et al. 2025, §3) | `softmax(kkᵀ/√c + exp(−‖Δ‖²/2σ²))`, `Δ` in patches, `σ = 5` | neither residual nor MLP |
//!
//! `[CLS]` takes part everywhere; it is near nothing.

use serde::{Deserialize, Serialize};
use simseg_tensor::{Attention, Error, Ops, Result, Tensor, hooks};

/// What the last layer of an image encoder does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LastLayer {
    /// What it did in training.
    #[default]
    AsTrained,
    /// Every token keeps its own value.
    #[serde(rename = "maskclip")]
    MaskClip,
    /// Queries listen to like queries and keys to like keys.
    Sclip,
    /// Queries listen to like queries, and nothing else is added.
    #[serde(rename = "clearclip")]
    ClearClip,
    /// Keys listen to like keys nearby, and nothing else is added.
    Naclip,
}

/// NACLIP's neighbourhood, in patches.
const SIGMA: f64 = 5.0;

impl LastLayer {
    /// Whether this is the layer as it was trained.
    pub fn is_trained(&self) -> bool {
        *self == Self::AsTrained
    }

    /// Whether the layer's input is added to its output, and its MLP follows.
    pub fn keeps_rest(self) -> bool {
        matches!(self, Self::AsTrained | Self::MaskClip | Self::Sclip)
    }

    /// What the attention of the layer gives: `q`, `k`, `v` `[b, 1+n, d]`, the \[CLS\] token first, of a grid of `n = rows·columns`
    /// patches → `[b, 1+n, d]`.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn attend<T: Tensor>(self, [q, k, v]: [&T; 3], heads: usize, grid: [usize; 2]) -> Result<T> {
        let how = Attention { heads, key_bias: None, causal: false };
        match self {
            Self::AsTrained => q.attention(k, v, how),
            Self::MaskClip => Ok(v.clone()),
            Self::Sclip => q.attention(q, v, how)?.add(&k.attention(k, v, how)?),
            Self::ClearClip => q.attention(q, v, how),
            Self::Naclip => {
                let [b, n, d] = v.dims()?;
                // softmax(s + g) is softmax(s)·e^g, divided by its sum.
                let near = T::from_host(&neighbours(grid), &[1, 1, n, n], &v.device())?;
                let a = hooks::attention_weights(k, k, how)?.mul(&near)?; //           [b, h, 1+n, 1+n]
                let a = a.div(&a.sum(3)?)?;
                let v = v.reshape(&[b, n, heads, d / heads])?.permute(&[0, 2, 1, 3])?; // [b, h, 1+n, c]
                a.matmul(&v)?.permute(&[0, 2, 1, 3])?.reshape(&[b, n, d])
            }
        }
    }

    /// The error of an encoder that has no such layer.
    pub(crate) fn refused(self) -> Error {
        Error::setting("input.last_layer", "`as-trained`: this encoder has no attention that could be edited")
    }
}

/// `exp(exp(−‖Δ‖²/2σ²))` between the patches of a grid, and 1 for \[CLS\]: `[1+n, 1+n]`.
fn neighbours([rows, columns]: [usize; 2]) -> Vec<f32> {
    let n = rows * columns;
    let place = |token: usize| (((token - 1) / columns) as f64, ((token - 1) % columns) as f64);
    let near = |a: usize, b: usize| {
        if a == 0 || b == 0 {
            return 1.0;
        }
        let ((y, x), (v, u)) = (place(a), place(b));
        let distance = (y - v).powi(2) + (x - u).powi(2);
        (-distance / (2.0 * SIGMA * SIGMA)).exp().exp() as f32
    };
    (0..=n).flat_map(|a| (0..=n).map(move |b| near(a, b))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use simseg_cpu::{CpuDevice, CpuTensor};

    type Cpu = CpuTensor<f32>;

    fn tokens(values: impl Iterator<Item = f32>, n: usize) -> Cpu {
        let values: Vec<f32> = values.take(n * 4).collect();
        Cpu::from_host(&values, &[1, n, 4], &CpuDevice).unwrap()
    }

    #[test]
    fn naclip_by_hand_on_two_patches() {
        // Keys of zeros: only nearness counts. Two patches side by side, one channel and head.
        let zeros = Cpu::from_host(&[0.0f32; 3], &[1, 3, 1], &CpuDevice).unwrap();
        let values = Cpu::from_host(&[0.0f32, 1.0, 3.0], &[1, 3, 1], &CpuDevice).unwrap();
        let out = LastLayer::Naclip.attend([&zeros, &zeros, &values], 1, [1, 2]).unwrap().to_f32().unwrap();
        let (own, beside) = (1.0f64.exp(), (-1.0f64 / 50.0).exp().exp());
        let wanted =
            [4.0 / 3.0, (own + 3.0 * beside) / (1.0 + own + beside), (beside + 3.0 * own) / (1.0 + own + beside)];
        for (got, wanted) in out.iter().zip(wanted) {
            assert!((f64::from(*got) - wanted).abs() < 1e-5, "{out:?}, expected {wanted}");
        }
    }

    #[test]
    fn edits_of_equal_tokens_give_back_their_value() {
        let same = tokens([0.3, -1.0, 2.0, 0.5].into_iter().cycle(), 5);
        for (edit, factor) in [
            (LastLayer::AsTrained, 1.0),
            (LastLayer::MaskClip, 1.0),
            (LastLayer::Sclip, 2.0),
            (LastLayer::ClearClip, 1.0),
            (LastLayer::Naclip, 1.0),
        ] {
            let out = edit.attend([&same, &same, &same], 2, [2, 2]).unwrap().to_f32().unwrap();
            let wanted = same.to_f32().unwrap();
            assert!(out.iter().zip(&wanted).all(|(a, b)| (a - factor * b).abs() < 1e-5), "{edit:?}: {out:?}");
        }
    }

    #[test]
    fn a_token_listens_to_like_queries_only_under_clearclip() {
        // Queries of tokens 1 and 2 are alike and long, token 0 is the opposite; keys say the contrary and are not heard.
        let q = tokens([-9.0, 0.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0].into_iter(), 3);
        let k = tokens([9.0, 0.0, 0.0, 0.0, -9.0, 0.0, 0.0, 0.0, -9.0, 0.0, 0.0, 0.0].into_iter(), 3);
        let v = tokens([8.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 4.0, 0.0, 0.0, 0.0].into_iter(), 3);
        let first = |edit: LastLayer| edit.attend([&q, &k, &v], 1, [1, 2]).unwrap().to_f32().unwrap()[4];
        assert!((first(LastLayer::ClearClip) - 3.0).abs() < 1e-4);
        assert!((first(LastLayer::AsTrained) - 8.0).abs() < 1e-4);
        assert!((first(LastLayer::Sclip) - 6.0).abs() < 1e-4);
        assert!((first(LastLayer::MaskClip) - 2.0).abs() < 1e-6);
    }
}
