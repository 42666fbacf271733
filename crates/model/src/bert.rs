//! The text encoder: BERT (Devlin et al. 2019) in Hugging Face's layout.
//!
//! `x₀ = norm(word + position + type₀)`, then per layer (post-norm)
//! `x ← norm(x + dense(attn(x)))`, `x ← norm(x + out(gelu(inter(x))))`. LayerNorm ε is 1e-12, GELU is exact, there is no
//! pooler; padding is hidden from attention (released code). In training, values may be dropped where Hugging Face drops them: `x₀`, the
//! weights of attention, and what `dense` and `out` give, before they are added.
//! - ids `[b, m]`   - tokens `[b, m, d]`

use crate::dropout::Dropout;
use crate::encoder::{Encoder, EncoderConfig, TextEncoder, TextEncoderConfig, TextFacts};
use crate::layers::{LayerNorm, Linear, Visit, list, map_list};
use crate::parameters::Parameters;
use crate::tokens::{TokenBatch, Tokens};
use serde::{Deserialize, Serialize};
use simseg_tensor::{Attention, Error, Init, Ops, Parameter, Result, Tap, Tensor, hooks};

/// The architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BertConfig {
    /// Words the tokenizer knows; 0 in an experiment: as many as its tokenizer has.
    #[serde(default)]
    pub vocabulary: usize,
    /// Longest sentence, in tokens.
    pub positions: usize,
    /// Token types in the checkpoint; only the first is used.
    #[serde(default = "two")]
    pub types: usize,
    /// Channels per token.
    pub width: usize,
    /// Channels inside the MLP; 0 is four times the width.
    #[serde(default)]
    pub intermediate: usize,
    /// Number of layers.
    pub depth: usize,
    /// Attention heads; divides the width.
    pub heads: usize,
}

fn two() -> usize {
    2
}

impl BertConfig {
    fn inner(&self) -> usize {
        if self.intermediate == 0 { 4 * self.width } else { self.intermediate }
    }
}

impl EncoderConfig for BertConfig {
    fn check(&self) -> Result<()> {
        let Self { width, heads, depth, positions, .. } = *self;
        if heads == 0 || width == 0 || width % heads != 0 {
            return Err(Error::setting("model.text.heads", format!("a divisor of the width ({width}), found {heads}")));
        }
        for (key, value) in [("depth", depth), ("positions", positions), ("types", self.types)] {
            if value == 0 {
                return Err(Error::setting(format!("model.text.{key}"), "at least 1"));
            }
        }
        Ok(())
    }

    fn parameters(&self, prefix: &str) -> Vec<(String, Parameter)> {
        list(|f| Bert::layout(*self).map(prefix, f))
    }

    fn width(&self) -> usize {
        self.width
    }
}

impl TextFacts for BertConfig {
    fn padded_embeddings(&self, prefix: &str) -> Option<String> {
        Some(format!("{prefix}.embeddings.word_embeddings.weight"))
    }
    fn has_dropout(&self) -> bool {
        true
    }
    fn vocabulary(&self) -> usize {
        self.vocabulary
    }
    fn positions(&self) -> usize {
        self.positions
    }
}

impl<T: Tensor> TextEncoderConfig<T> for BertConfig {
    fn build(&self, prefix: &str, parameters: &Parameters<T>) -> Result<TextEncoder<T>> {
        let bert = Bert::layout(*self).map(prefix, &mut |name, _| parameters.get(name).cloned())?;
        Ok(Box::new(bert))
    }
}

/// A BERT encoder.
#[derive(Debug, Clone)]
pub struct Bert<P> {
    /// Its numbers.
    pub config: BertConfig,
    /// `[v, d]`
    pub word_embeddings: P,
    /// `[positions, d]`
    pub position_embeddings: P,
    /// `[types, d]`
    pub token_type_embeddings: P,
    /// After the embeddings.
    pub norm: LayerNorm<P>,
    /// The layers.
    pub layers: Vec<Layer<P>>,
}

/// One post-norm transformer layer.
#[derive(Debug, Clone)]
pub struct Layer<P> {
    /// `[d, d]`
    pub query: Linear<P>,
    /// `[d, d]`
    pub key: Linear<P>,
    /// `[d, d]`
    pub value: Linear<P>,
    /// After attention, `[d, d]`.
    pub dense: Linear<P>,
    /// After attention.
    pub norm: LayerNorm<P>,
    /// `[inner, d]`
    pub intermediate: Linear<P>,
    /// `[d, inner]`
    pub output: Linear<P>,
    /// After the MLP.
    pub output_norm: LayerNorm<P>,
}

const EPS: f64 = 1e-12;

impl Bert<Parameter> {
    /// The parameters of an architecture.
    pub fn layout(config: BertConfig) -> Self {
        let d = config.width;
        let table = |rows| Parameter::new(&[rows, d], Init::Normal(0.02));
        let layer = || Layer {
            query: Linear::layout(d, d, true),
            key: Linear::layout(d, d, true),
            value: Linear::layout(d, d, true),
            dense: Linear::layout(d, d, true),
            norm: LayerNorm::layout(d, EPS),
            intermediate: Linear::layout(d, config.inner(), true),
            output: Linear::layout(config.inner(), d, true),
            output_norm: LayerNorm::layout(d, EPS),
        };
        Self {
            config,
            word_embeddings: table(config.vocabulary),
            position_embeddings: table(config.positions),
            token_type_embeddings: table(config.types),
            norm: LayerNorm::layout(d, EPS),
            layers: (0..config.depth).map(|_| layer()).collect(),
        }
    }
}

impl<P> Bert<P> {
    /// The same network around other contents.
    pub fn map<Q, E>(&self, name: &str, f: Visit<'_, P, Q, E>) -> std::result::Result<Bert<Q>, E> {
        let embeddings = format!("{name}.embeddings");
        Ok(Bert {
            config: self.config,
            word_embeddings: f(&format!("{embeddings}.word_embeddings.weight"), &self.word_embeddings)?,
            position_embeddings: f(&format!("{embeddings}.position_embeddings.weight"), &self.position_embeddings)?,
            token_type_embeddings: f(
                &format!("{embeddings}.token_type_embeddings.weight"),
                &self.token_type_embeddings,
            )?,
            norm: self.norm.map(&format!("{embeddings}.LayerNorm"), f)?,
            layers: map_list(&format!("{name}.encoder.layer"), &self.layers, |name, layer| layer.map(name, f))?,
        })
    }
}

impl<P> Layer<P> {
    fn map<Q, E>(&self, name: &str, f: Visit<'_, P, Q, E>) -> std::result::Result<Layer<Q>, E> {
        Ok(Layer {
            query: self.query.map(&format!("{name}.attention.self.query"), f)?,
            key: self.key.map(&format!("{name}.attention.self.key"), f)?,
            value: self.value.map(&format!("{name}.attention.self.value"), f)?,
            dense: self.dense.map(&format!("{name}.attention.output.dense"), f)?,
            norm: self.norm.map(&format!("{name}.attention.output.LayerNorm"), f)?,
            intermediate: self.intermediate.map(&format!("{name}.intermediate.dense"), f)?,
            output: self.output.map(&format!("{name}.output.dense"), f)?,
            output_norm: self.output_norm.map(&format!("{name}.output.LayerNorm"), f)?,
        })
    }
}

impl<T: Tensor> Layer<T> {
    /// `[b, m, d]` → `[b, m, d]`
    pub fn forward(&self, x: &T, heads: usize, key_bias: Option<&T>) -> Result<T> {
        self.pass(x, heads, key_bias, &Dropped { dropout: None, layer: 0 })
    }

    fn pass(&self, x: &T, heads: usize, key_bias: Option<&T>, dropped: &Dropped) -> Result<T> {
        let (q, k, v) = (self.query.forward(x)?, self.key.forward(x)?, self.value.forward(x)?);
        let context = dropped.attention(&q, &k, &v, Attention { heads, key_bias, causal: false })?;
        let heard = dropped.of("attention output", self.dense.forward(&context)?)?;
        let x = self.norm.forward(&x.add(&heard)?)?; //                         [b, m, d]
        let hidden = self.intermediate.forward(&x)?.gelu()?; //                 [b, m, inner]
        let out = dropped.of("output", self.output.forward(&hidden)?)?;
        self.output_norm.forward(&x.add(&out)?)
    }
}

/// What is dropped in a layer; nothing outside of training.
struct Dropped {
    dropout: Option<Dropout>,
    layer: usize,
}

impl Dropped {
    fn of<T: Tensor>(&self, place: &str, x: T) -> Result<T> {
        match self.dropout {
            None => Ok(x),
            Some(dropout) => dropout.apply(&format!("{place} {}", self.layer), &x),
        }
    }

    /// Attention; where its weights are dropped they have to be there, so that the fused kernel cannot be used.
    fn attention<T: Tensor>(&self, q: &T, k: &T, v: &T, how: Attention<'_, T>) -> Result<T> {
        if self.dropout.is_none() {
            return q.attention(k, v, how);
        }
        let ([b, m, d], heads) = (v.dims()?, how.heads);
        let weights = self.of("attention", hooks::attention_weights(q, k, how)?)?; //           [b, h, m, m]
        let v = v.reshape(&[b, m, heads, d / heads])?.permute(&[0, 2, 1, 3])?; //               [b, h, m, d/h]
        weights.matmul(&v)?.permute(&[0, 2, 1, 3])?.reshape(&[b, m, d])
    }
}

impl<T: Tensor> Bert<T> {
    fn run(&self, batch: &TokenBatch, dropout: Option<Dropout>, tap: &mut dyn Tap<T>) -> Result<Tokens<T>> {
        let (b, m, d) = (batch.len(), batch.width, self.config.width);
        if m > self.config.positions {
            let expected = format!("at most {} tokens, found {m}", self.config.positions);
            return Err(Error::setting("model.text.positions", expected));
        }
        let device = self.word_embeddings.device();
        let words = self.word_embeddings.rows(&T::index_from_host(&batch.ids, &[b, m], &device)?)?; // [b, m, d]
        let positions = self.position_embeddings.slice(0, 0, m)?.add(&self.token_type_embeddings.slice(0, 0, 1)?)?;
        let x = self.norm.forward(&words.add(&positions.reshape(&[1, m, d])?)?)?;
        let mut x = Dropped { dropout, layer: 0 }.of("embeddings", x)?;
        tap.see("text/embed", &x)?;
        let key_bias = batch.key_bias(&device)?;
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.pass(&x, self.config.heads, key_bias.as_ref(), &Dropped { dropout, layer: i })?;
            tap.see(&format!("text/layer/{i}"), &x)?;
        }
        Ok(Tokens { values: x, lengths: Some(batch.lengths.clone()) })
    }
}

impl<T: Tensor> Encoder<T> for Bert<T> {
    type Input = TokenBatch;

    fn encode(&self, batch: &TokenBatch, tap: &mut dyn Tap<T>) -> Result<Tokens<T>> {
        self.run(batch, None, tap)
    }

    fn encode_dropped(&self, batch: &TokenBatch, dropout: Dropout, tap: &mut dyn Tap<T>) -> Result<Tokens<T>> {
        self.run(batch, Some(dropout), tap)
    }

    fn width(&self) -> usize {
        self.config.width
    }
}
