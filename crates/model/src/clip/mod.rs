//! CLIP (Radford et al. 2021) in OpenAI's layout and under its names: two encoders that differ from SimSeg's in details.
//!
//! Both are pre-norm transformers with `x·sigmoid(1.702 x)` for GELU (OpenAI's; others trained with the exact one) and
//! LayerNorm ε 1e-5:
//! - image: `x₀ = ln_pre([class; patches·Wᵀ] + pos)`, no bias on the patches, blocks, `ln_post`;
//! - text: `x₀ = token + pos`, blocks in which a token sees only itself and earlier ones, `ln_final`;
//! - then `x·P` on every token, `P [d, e]` (stored transposed to a [`Linear`] layer).
//!
//! OpenAI normalises and projects the \[CLS\] token alone; here all tokens are, since alignment and maps need them. The text
//! counterpart of \[CLS\] is the *last* token (end of text), the only one that has seen the whole sentence: it is put first,
//! where every [`Encoder`] keeps its \[CLS\] token, and the others follow in order. Padding needs no mask: it comes last.

mod towers;

use crate::encoder::{Encoder, EncoderConfig};
use crate::last_layer::LastLayer;
use crate::layers::{LayerNorm, Linear, Visit, list, map_list};
use crate::network::{Architecture, Network, NetworkConfig};
use crate::parameters::Parameters;
use crate::pool::Side;
use crate::tokens::{TokenBatch, Tokens};
use crate::vit::VitConfig;
use serde::{Deserialize, Serialize};
use simseg_registry::Choice;
use simseg_tensor::{Error, Init, Normalisation, Ops, Parameter, Result, Tap, Tensor};
use towers::EPS;
pub use towers::{ClipImage, ClipText, Resblock};

/// The text encoder's architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipTextConfig {
    /// Tokens the tokenizer knows; 0 in an experiment: as many as its tokenizer has.
    #[serde(default)]
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
    /// The image encoder.
    pub image: VitConfig,
    /// The text encoder.
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
    /// The architecture by name, as settings files say it.
    pub fn choice(&self) -> Choice {
        let all = Choice::new("clip").with("projection", self.projection).with("gelu", self.gelu);
        all.with("image", self.image).with("text", self.text)
    }
}

impl Architecture for ClipConfig {
    fn check(&self) -> Result<()> {
        self.image.check()?;
        let ClipTextConfig { vocabulary, positions, width, depth, heads } = self.text;
        if heads == 0 || width == 0 || width % heads != 0 {
            return Err(Error::setting("model.text.heads", format!("a divisor of the width ({width}), found {heads}")));
        }
        let _ = vocabulary; // 0 in an experiment: as many as its tokenizer has
        let counts = [("text.positions", positions), ("text.depth", depth), ("projection", self.projection)];
        match counts.iter().find(|(_, count)| *count == 0) {
            Some((key, _)) => Err(Error::setting(format!("model.{key}"), "at least 1")),
            None => Ok(()),
        }
    }

    fn parameters(&self) -> Vec<(String, Parameter)> {
        list(|f| Clip::layout(self).map(f))
    }
    fn image_size(&self) -> usize {
        self.image.image_size
    }
    fn patch(&self) -> usize {
        self.image.patch
    }
    fn normalisation(&self) -> Normalisation {
        Normalisation::CLIP
    }
    fn vocabulary(&self) -> usize {
        self.text.vocabulary
    }
    fn positions(&self) -> usize {
        self.text.positions
    }
    fn context_length(&self) -> usize {
        self.text.positions
    }
    fn projection(&self) -> usize {
        self.projection
    }
    fn side(&self, parameter: &str) -> Option<Side> {
        match parameter {
            "logit_scale" => None,
            _ if parameter.starts_with("visual.") => Some(Side::Image),
            _ => Some(Side::Text),
        }
    }
}

impl<T: Tensor> NetworkConfig<T> for ClipConfig {
    fn build(&self, parameters: &Parameters<T>) -> Result<Box<dyn Network<T>>> {
        Ok(Box::new(Clip::layout(self).map(&mut |name, _| parameters.get(name).cloned())?))
    }
}

/// Both encoders, their projections and the scale of similarities.
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

/// Bounds of `logit_scale`: a factor of 100 at most (Radford et al. 2021, §2.5), and of 2 at least: the loss holds its divisor at ½,
/// beyond which no gradient would bring it back.
const SCALES: (f64, f64) = (std::f64::consts::LN_2, 4.605_170_185_988_092);

impl<T: Tensor> Network<T> for Clip<T> {
    fn encode_image(&self, pixels: &T, tap: &mut dyn Tap<T>) -> Result<Tokens<T>> {
        self.encode_image_with(pixels, LastLayer::AsTrained, tap)
    }

    fn encode_image_with(&self, pixels: &T, last: LastLayer, tap: &mut dyn Tap<T>) -> Result<Tokens<T>> {
        let tokens = self.image.encode_with(pixels, last, tap)?;
        Ok(Tokens { values: tokens.values.linear(&self.image_projection.t()?, None)?, ..tokens })
    }

    fn encode_text(&self, batch: &TokenBatch, tap: &mut dyn Tap<T>) -> Result<Tokens<T>> {
        let tokens = self.text.encode(batch, tap)?;
        Ok(Tokens { values: tokens.values.linear(&self.text_projection.t()?, None)?, ..tokens })
    }

    /// `e^(−logit_scale)`; within `SCALES` it lies inside the bounds that the loss puts on the divisor.
    fn temperature(&self) -> Result<T> {
        self.logit_scale.neg()?.exp()
    }

    fn bounded(&self, name: &str, value: &T) -> Result<Option<T>> {
        if name == "logit_scale" { value.clamp(SCALES.0, SCALES.1).map(Some) } else { Ok(None) }
    }
}
