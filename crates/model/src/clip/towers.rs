//! Both encoders of CLIP: pre-norm transformers, the text one causal.

use super::{ClipTextConfig, Gelu};
use crate::encoder::Encoder;
use crate::last_layer::LastLayer;
use crate::layers::{LayerNorm, Linear, Visit};
use crate::tokens::{TokenBatch, Tokens};
use crate::vit::{VitConfig, embed};
use simseg_tensor::{Attention, Error, Ops, Parameter, Result, Tap, Tensor, hooks};

/// The image encoder.
#[derive(Debug, Clone)]
pub struct ClipImage<P> {
    /// Its numbers.
    pub config: VitConfig,
    /// Which GELU.
    pub gelu: Gelu,
    /// `[d]`
    pub class_embedding: P,
    /// `[1+g·g, d]`, the \[CLS\] token's row first.
    pub positional_embedding: P,
    /// `weight [d, 3, p, p]`, no bias.
    pub conv1: Linear<P>,
    /// After the embeddings.
    pub ln_pre: LayerNorm<P>,
    /// The blocks.
    pub blocks: Vec<Resblock<P>>,
    /// The last norm.
    pub ln_post: LayerNorm<P>,
}

/// The text encoder.
#[derive(Debug, Clone)]
pub struct ClipText<P> {
    /// Its numbers.
    pub config: ClipTextConfig,
    /// Which GELU.
    pub gelu: Gelu,
    /// `[v, d]`
    pub token_embedding: P,
    /// `[positions, d]`
    pub positional_embedding: P,
    /// The blocks.
    pub blocks: Vec<Resblock<P>>,
    /// The last norm.
    pub ln_final: LayerNorm<P>,
}

/// One pre-norm transformer block.
#[derive(Debug, Clone)]
pub struct Resblock<P> {
    /// Before attention.
    pub ln_1: LayerNorm<P>,
    /// Queries, keys and values in one projection, `[3d, d]`.
    pub in_proj: Linear<P>,
    /// After attention, `[d, d]`.
    pub out_proj: Linear<P>,
    /// Before the MLP.
    pub ln_2: LayerNorm<P>,
    /// `[4d, d]`
    pub c_fc: Linear<P>,
    /// `[d, 4d]`
    pub c_proj: Linear<P>,
}

/// LayerNorm ε.
pub(super) const EPS: f64 = 1e-5;

impl Resblock<Parameter> {
    pub(super) fn layout(d: usize) -> Self {
        Self {
            ln_1: LayerNorm::layout(d, EPS),
            in_proj: Linear::layout(d, 3 * d, true),
            out_proj: Linear::layout(d, d, true),
            ln_2: LayerNorm::layout(d, EPS),
            c_fc: Linear::layout(d, 4 * d, true),
            c_proj: Linear::layout(4 * d, d, true),
        }
    }
}

impl<P> Resblock<P> {
    pub(super) fn map<Q, E>(&self, name: &str, f: Visit<'_, P, Q, E>) -> std::result::Result<Resblock<Q>, E> {
        let ln_1 = self.ln_1.map(&format!("{name}.ln_1"), f)?;
        let weight = f(&format!("{name}.attn.in_proj_weight"), &self.in_proj.weight)?;
        let bias = self.in_proj.bias.as_ref().map(|bias| f(&format!("{name}.attn.in_proj_bias"), bias)).transpose()?;
        Ok(Resblock {
            ln_1,
            in_proj: Linear { weight, bias },
            out_proj: self.out_proj.map(&format!("{name}.attn.out_proj"), f)?,
            ln_2: self.ln_2.map(&format!("{name}.ln_2"), f)?,
            c_fc: self.c_fc.map(&format!("{name}.mlp.c_fc"), f)?,
            c_proj: self.c_proj.map(&format!("{name}.mlp.c_proj"), f)?,
        })
    }
}

impl<T: Tensor> Resblock<T> {
    /// The attention weights of [`Self::forward`] without a causal mask, `[b, h, n, n]`.
    ///
    /// # Errors
    /// If the width is not a multiple of the heads.
    pub fn attention(&self, x: &T, heads: usize) -> Result<T> {
        let d = x.width();
        let qkv = self.in_proj.forward(&self.ln_1.forward(x)?)?; //                   [b, n, 3d]
        let how = Attention { heads, key_bias: None, causal: false };
        hooks::attention_weights(&qkv.slice(2, 0, d)?, &qkv.slice(2, d, d)?, how)
    }

    /// `[b, n, d]` → `[b, n, d]`
    pub fn forward(&self, x: &T, heads: usize, causal: bool, gelu: Gelu) -> Result<T> {
        let d = x.width();
        let qkv = self.in_proj.forward(&self.ln_1.forward(x)?)?; //                   [b, n, 3d]
        let (q, k, v) = (qkv.slice(2, 0, d)?, qkv.slice(2, d, d)?, qkv.slice(2, 2 * d, d)?);
        let how = Attention { heads, key_bias: None, causal };
        let x = x.add(&self.out_proj.forward(&q.attention(&k, &v, how)?)?)?; //       [b, n, d]
        self.mlp(&x, gelu)
    }

    /// The same as the last layer of an encoder whose patches form a grid.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn forward_last(&self, x: &T, heads: usize, gelu: Gelu, last: LastLayer, grid: [usize; 2]) -> Result<T> {
        if last.is_trained() {
            return self.forward(x, heads, false, gelu);
        }
        let d = x.width();
        let qkv = self.in_proj.forward(&self.ln_1.forward(x)?)?; //                   [b, n, 3d]
        let (q, k, v) = (qkv.slice(2, 0, d)?, qkv.slice(2, d, d)?, qkv.slice(2, 2 * d, d)?);
        let heard = self.out_proj.forward(&last.attend([&q, &k, &v], heads, grid)?)?;
        if last.keeps_rest() { self.mlp(&x.add(&heard)?, gelu) } else { Ok(heard) }
    }

    /// The second half of a block.
    fn mlp(&self, x: &T, gelu: Gelu) -> Result<T> {
        let hidden = gelu.of(&self.c_fc.forward(&self.ln_2.forward(x)?)?)?; //        [b, n, 4d]
        x.add(&self.c_proj.forward(&hidden)?)
    }
}

impl<T: Tensor> Encoder<T> for ClipImage<T> {
    type Input = T;

    fn encode(&self, pixels: &T, tap: &mut dyn Tap<T>) -> Result<Tokens<T>> {
        self.encode_with(pixels, LastLayer::AsTrained, tap)
    }

    fn encode_with(&self, pixels: &T, last: LastLayer, tap: &mut dyn Tap<T>) -> Result<Tokens<T>> {
        let VitConfig { patch, width: d, heads, .. } = self.config;
        let cls = self.class_embedding.reshape(&[1, 1, d])?;
        let positions = self.positional_embedding.unsqueeze(0)?; //                   [1, 1+g·g, d]
        let mut x = self.ln_pre.forward(&embed(pixels, patch, &self.conv1, &cls, &positions)?)?;
        tap.see("image/embed", &x)?; //                                               [b, 1+n, d]
        let [_, _, h, w] = pixels.dims()?;
        let grid = [h / patch, w / patch];
        for (i, block) in self.blocks.iter().enumerate() {
            if i + 1 == self.blocks.len() && tap.wants("image/attention") {
                tap.see("image/attention", &block.attention(&x, heads)?)?;
            }
            x = match i + 1 == self.blocks.len() {
                true => block.forward_last(&x, heads, self.gelu, last, grid)?,
                false => block.forward(&x, heads, false, self.gelu)?,
            };
            tap.see(&format!("image/block/{i}"), &x)?;
        }
        let values = self.ln_post.forward(&x)?;
        tap.see("image/tokens", &values)?;
        Ok(Tokens { values, lengths: None })
    }

    fn width(&self) -> usize {
        self.config.width
    }
}

impl<T: Tensor> Encoder<T> for ClipText<T> {
    type Input = TokenBatch;

    fn encode(&self, batch: &TokenBatch, tap: &mut dyn Tap<T>) -> Result<Tokens<T>> {
        let (b, m, d) = (batch.len(), batch.width, self.config.width);
        if m > self.config.positions {
            let expected = format!("at most {} tokens, found {m}", self.config.positions);
            return Err(Error::setting("model.text.positions", expected));
        }
        let device = self.token_embedding.device();
        let words = self.token_embedding.rows(&T::index_from_host(&batch.ids, &[b, m], &device)?)?;
        let mut x = words.add(&self.positional_embedding.slice(0, 0, m)?.unsqueeze(0)?)?; // [b, m, d]
        tap.see("text/embed", &x)?;
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x, self.config.heads, true, self.gelu)?;
            tap.see(&format!("text/layer/{i}"), &x)?;
        }
        let order = T::index_from_host(&end_of_text_first(&batch.lengths, m), &[b, m], &device)?;
        let values = self.ln_final.forward(&x)?.reshape(&[b * m, d])?.rows(&order)?; //      [b, m, d]
        Ok(Tokens { values, lengths: Some(batch.lengths.clone()) })
    }

    fn width(&self) -> usize {
        self.config.width
    }
}

/// Rows of `[b·m]` tokens in the order: the last real one of each sentence, those before it, padding.
fn end_of_text_first(lengths: &[usize], m: usize) -> Vec<usize> {
    let sentence = |(i, &length): (usize, &usize)| {
        let last = length - 1;
        std::iter::once(last).chain(0..last).chain(length..m).map(move |j| i * m + j)
    };
    lengths.iter().enumerate().flat_map(sentence).collect()
}
