//! CLIP (Radford et al. 2021) in OpenAI's layout and under its names: the same two towers with other habits.
//!
//! Both are pre-norm transformers with `x·sigmoid(1.702 x)` for GELU (OpenAI's; others trained with the exact one) and
//! LayerNorm ε 1e-5:
//! - image: `x₀ = ln_pre([class; patches·Wᵀ] + pos)`, no bias on the patches, blocks, `ln_post`;
//! - text: `x₀ = token + pos`, blocks in which a token sees only itself and earlier ones, `ln_final`;
//! - then `x·P` on every token, `P [d, e]` (stored transposed to a [`Linear`] layer).
//!
//! OpenAI normalises and projects the summary token alone; here all tokens are, since alignment and maps need them. Its
//! text summary is the *last* token, the only one that has seen the sentence: it is put first, where every [`Encoder`]
//! keeps its summary, and the others follow in order. So padding needs no mask: it comes after all that is read.

use crate::encoder::Encoder;
use crate::layers::{LayerNorm, Linear, Visit, map_list};
use crate::tokens::{TokenBatch, Tokens};
use crate::vit::{VitConfig, embed};
use serde::{Deserialize, Serialize};
use simseg_tensor::{Attention, Error, Init, Ops, Parameter, Result, Tap, Tensor};

/// The text tower's architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipTextConfig {
    /// Tokens the tokenizer knows.
    pub vocabulary: usize,
    /// Longest sentence, in tokens (released models: 77).
    pub positions: usize,
    /// Channels per token.
    pub width: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads; divides the width (released models: width / 64).
    pub heads: usize,
}

/// The architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipConfig {
    /// The image tower.
    pub image: VitConfig,
    /// The text tower.
    pub text: ClipTextConfig,
    /// Channels both are projected to.
    pub projection: usize,
    /// Which GELU both were trained with.
    #[serde(default)]
    pub gelu: Gelu,
}

/// Two functions under one name; weights do not say which they were trained with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gelu {
    /// `x·sigmoid(1.702 x)`: OpenAI's models, and open_clip's under names that end in `-quickgelu`.
    #[default]
    Quick,
    /// `x·Φ(x)`: most models of open_clip.
    Exact,
}

impl Gelu {
    fn of<T: Tensor>(self, x: &T) -> Result<T> {
        match self {
            Self::Quick => x.quick_gelu(),
            Self::Exact => x.gelu(),
        }
    }
}

impl ClipConfig {
    /// Whether the numbers fit each other.
    ///
    /// # Errors
    /// The first key that does not.
    pub fn check(&self) -> Result<()> {
        self.image.check()?;
        let ClipTextConfig { vocabulary, positions, width, depth, heads } = self.text;
        if heads == 0 || width == 0 || width % heads != 0 {
            return Err(Error::setting("model.text.heads", format!("a divisor of the width ({width}), found {heads}")));
        }
        let counts = [
            ("text.vocabulary", vocabulary),
            ("text.positions", positions),
            ("text.depth", depth),
            ("projection", self.projection),
        ];
        match counts.iter().find(|(_, count)| *count == 0) {
            Some((key, _)) => Err(Error::setting(format!("model.{key}"), "at least 1")),
            None => Ok(()),
        }
    }
}

/// Both towers, their projections and the scale of similarities.
#[derive(Debug, Clone)]
pub struct Clip<P> {
    /// Images → tokens.
    pub image: ClipImage<P>,
    /// Sentences → tokens.
    pub text: ClipText<P>,
    /// `[image width, e]`
    pub image_projection: P,
    /// `[text width, e]`
    pub text_projection: P,
    /// `[]`, the logarithm of a factor: see [`Clip::temperature`].
    pub logit_scale: P,
}

/// The image tower.
#[derive(Debug, Clone)]
pub struct ClipImage<P> {
    /// Its numbers.
    pub config: VitConfig,
    /// Which GELU.
    pub gelu: Gelu,
    /// `[d]`
    pub class_embedding: P,
    /// `[1+g·g, d]`, the summary token's row first.
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

/// The text tower.
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
    /// Before the perceptron.
    pub ln_2: LayerNorm<P>,
    /// `[4d, d]`
    pub c_fc: Linear<P>,
    /// `[d, 4d]`
    pub c_proj: Linear<P>,
}

const EPS: f64 = 1e-5;

impl Clip<Parameter> {
    /// The parameters of an architecture. Factors start at 1/0.07, as CLIP's did.
    pub fn layout(config: &ClipConfig) -> Self {
        let ClipConfig { image, text, projection: e, gelu } = *config;
        let normal = |shape: &[usize], deviation| Parameter::new(shape, Init::Normal(deviation));
        let root = |width: usize| 1.0 / (width as f64).sqrt();
        let (d, p, grid) = (image.width, image.patch, image.image_size / image.patch);
        let mut conv1 = Linear::layout(3 * p * p, d, false);
        conv1.weight.shape = vec![d, 3, p, p];
        Self {
            image: ClipImage {
                config: image,
                gelu,
                class_embedding: normal(&[d], root(d)),
                positional_embedding: normal(&[1 + grid * grid, d], root(d)),
                conv1,
                ln_pre: LayerNorm::layout(d, EPS),
                blocks: (0..image.depth).map(|_| Resblock::layout(d)).collect(),
                ln_post: LayerNorm::layout(d, EPS),
            },
            text: ClipText {
                config: text,
                gelu,
                token_embedding: normal(&[text.vocabulary, text.width], 0.02),
                positional_embedding: normal(&[text.positions, text.width], 0.01),
                blocks: (0..text.depth).map(|_| Resblock::layout(text.width)).collect(),
                ln_final: LayerNorm::layout(text.width, EPS),
            },
            image_projection: normal(&[d, e], root(d)),
            text_projection: normal(&[text.width, e], root(text.width)),
            logit_scale: Parameter::new(&[], Init::Constant((1.0f64 / 0.07).ln())),
        }
    }
}

impl Resblock<Parameter> {
    fn layout(d: usize) -> Self {
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

impl<P> Clip<P> {
    /// The same model around other contents, under the names of OpenAI's checkpoints.
    pub fn map<Q, E>(&self, f: Visit<'_, P, Q, E>) -> std::result::Result<Clip<Q>, E> {
        let (image, text) = (&self.image, &self.text);
        Ok(Clip {
            image: ClipImage {
                config: image.config,
                gelu: image.gelu,
                class_embedding: f("visual.class_embedding", &image.class_embedding)?,
                positional_embedding: f("visual.positional_embedding", &image.positional_embedding)?,
                conv1: image.conv1.map("visual.conv1", f)?,
                ln_pre: image.ln_pre.map("visual.ln_pre", f)?,
                blocks: map_list("visual.transformer.resblocks", &image.blocks, |name, block| block.map(name, f))?,
                ln_post: image.ln_post.map("visual.ln_post", f)?,
            },
            text: ClipText {
                config: text.config,
                gelu: text.gelu,
                token_embedding: f("token_embedding.weight", &text.token_embedding)?,
                positional_embedding: f("positional_embedding", &text.positional_embedding)?,
                blocks: map_list("transformer.resblocks", &text.blocks, |name, block| block.map(name, f))?,
                ln_final: text.ln_final.map("ln_final", f)?,
            },
            image_projection: f("visual.proj", &self.image_projection)?,
            text_projection: f("text_projection", &self.text_projection)?,
            logit_scale: f("logit_scale", &self.logit_scale)?,
        })
    }
}

impl<P> Resblock<P> {
    fn map<Q, E>(&self, name: &str, f: Visit<'_, P, Q, E>) -> std::result::Result<Resblock<Q>, E> {
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
    /// `[b, n, d]` → `[b, n, d]`
    pub fn forward(&self, x: &T, heads: usize, causal: bool, gelu: Gelu) -> Result<T> {
        let d = x.width();
        let qkv = self.in_proj.forward(&self.ln_1.forward(x)?)?; //                   [b, n, 3d]
        let (q, k, v) = (qkv.slice(2, 0, d)?, qkv.slice(2, d, d)?, qkv.slice(2, 2 * d, d)?);
        let how = Attention { heads, key_bias: None, causal };
        let x = x.add(&self.out_proj.forward(&q.attention(&k, &v, how)?)?)?; //       [b, n, d]
        let hidden = gelu.of(&self.c_fc.forward(&self.ln_2.forward(&x)?)?)?; //       [b, n, 4d]
        x.add(&self.c_proj.forward(&hidden)?)
    }
}

impl<T: Tensor> Encoder<T> for ClipImage<T> {
    type Input = T;

    fn encode(&self, pixels: &T, tap: &mut dyn Tap<T>) -> Result<Tokens<T>> {
        let VitConfig { patch, width: d, heads, .. } = self.config;
        let cls = self.class_embedding.reshape(&[1, 1, d])?;
        let positions = self.positional_embedding.unsqueeze(0)?; //                   [1, 1+g·g, d]
        let mut x = self.ln_pre.forward(&embed(pixels, patch, &self.conv1, &cls, &positions)?)?;
        tap.see("image/embed", &x)?; //                                               [b, 1+n, d]
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x, heads, false, self.gelu)?;
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
        let order = T::index_from_host(&summary_first(&batch.lengths, m), &[b, m], &device)?;
        let values = self.ln_final.forward(&x)?.reshape(&[b * m, d])?.rows(&order)?; //      [b, m, d]
        Ok(Tokens { values, lengths: Some(batch.lengths.clone()) })
    }

    fn width(&self) -> usize {
        self.config.width
    }
}

/// Rows of `[b·m]` tokens in the order: the last real one of each sentence, those before it, padding.
fn summary_first(lengths: &[usize], m: usize) -> Vec<usize> {
    let sentence = |(i, &length): (usize, &usize)| {
        let last = length - 1;
        std::iter::once(last).chain(0..last).chain(length..m).map(move |j| i * m + j)
    };
    lengths.iter().enumerate().flat_map(sentence).collect()
}

impl<T: Tensor> Clip<T> {
    /// Projected image tokens `[b, 1+n, e]`, the summary token first: pixels `[b, 3, h, w]`.
    ///
    /// # Errors
    /// If the image is not a whole number of patches.
    pub fn encode_image(&self, pixels: &T, tap: &mut dyn Tap<T>) -> Result<Tokens<T>> {
        let tokens = self.image.encode(pixels, tap)?;
        Ok(Tokens { values: tokens.values.linear(&self.image_projection.t()?, None)?, ..tokens })
    }

    /// Projected text tokens `[b, m, e]`, the summary (end-of-text) token first.
    ///
    /// # Errors
    /// If a sentence is longer than the model's positions, or holds an id beyond its vocabulary.
    pub fn encode_text(&self, batch: &TokenBatch, tap: &mut dyn Tap<T>) -> Result<Tokens<T>> {
        let tokens = self.text.encode(batch, tap)?;
        Ok(Tokens { values: tokens.values.linear(&self.text_projection.t()?, None)?, ..tokens })
    }

    /// `e^(−logit_scale)`, `[]`: the divisor of similarities that [`crate::nce::info_nce`] takes. CLIP's bound of 100 on the
    /// factor lies inside that loss's bounds on the divisor.
    ///
    /// # Errors
    /// If the backend fails.
    pub fn temperature(&self) -> Result<T> {
        self.logit_scale.neg()?.exp()
    }
}
