//! The whole model: two towers, a linear projection on each into one space, and the temperature of the loss.
//!
//! `f(x) = vit(x)·Pᵀ`, `g(t) = bert(t)·Qᵀ`, no bias: every token is projected, pooling comes after (REFERENCE §2).

use crate::bert::{Bert, BertConfig};
use crate::encoder::Encoder;
use crate::layers::{Linear, Visit};
use crate::tokens::{TokenBatch, Tokens};
use crate::vit::{Vit, VitConfig};
use serde::{Deserialize, Serialize};
use simseg_tensor::{Error, Init, Parameter, Result, Tap, Tensor};

/// The architecture: `config.json` of a model directory.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The image tower.
    pub image: VitConfig,
    /// The text tower.
    pub text: BertConfig,
    /// Channels both are projected to.
    pub projection: usize,
    /// Starting value of the temperature, a divisor of similarities (released code: 0.02).
    #[serde(default = "released_temperature")]
    pub temperature: f64,
}

fn released_temperature() -> f64 {
    0.02
}

impl ModelConfig {
    /// Whether the numbers fit each other.
    ///
    /// # Errors
    /// The first key that does not.
    pub fn check(&self) -> Result<()> {
        self.image.check()?;
        self.text.check()?;
        if self.projection == 0 {
            return Err(Error::setting("model.projection", "at least 1"));
        }
        if self.temperature.is_nan() || self.temperature <= 0.0 {
            return Err(Error::setting("model.temperature", "a positive number"));
        }
        Ok(())
    }
}

/// Both towers.
#[derive(Debug, Clone)]
pub struct DualEncoder<P> {
    /// Images → tokens.
    pub image: Vit<P>,
    /// Sentences → tokens.
    pub text: Bert<P>,
    /// `[projection, image width]`
    pub image_projection: Linear<P>,
    /// `[projection, text width]`
    pub text_projection: Linear<P>,
    /// `[]`, a divisor.
    pub temperature: P,
}

impl DualEncoder<Parameter> {
    /// The parameters of an architecture.
    pub fn layout(config: &ModelConfig) -> Self {
        let project = |width| {
            let mut linear = Linear::layout(width, config.projection, false);
            linear.weight.init = Init::Xavier;
            linear
        };
        Self {
            image: Vit::layout(config.image),
            text: Bert::layout(config.text),
            image_projection: project(config.image.width),
            text_projection: project(config.text.width),
            temperature: Parameter::new(&[], Init::Constant(config.temperature)),
        }
    }

    /// A network with starting values, a pure function of the seed.
    ///
    /// # Errors
    /// If the backend fails.
    pub fn init<T: Tensor>(&self, seed: u64, device: &T::Device) -> Result<DualEncoder<T>> {
        self.map(&mut |name, parameter| parameter.draw(seed, name, device))
    }
}

impl<P> DualEncoder<P> {
    /// The same model around other contents, under the names of the released checkpoint.
    pub fn map<Q, E>(&self, f: Visit<'_, P, Q, E>) -> std::result::Result<DualEncoder<Q>, E> {
        Ok(DualEncoder {
            image: self.image.map("image_encoder.model.model", f)?,
            text: self.text.map("text_encoder.model.model", f)?,
            image_projection: self.image_projection.map("image_projection.linear", f)?,
            text_projection: self.text_projection.map("text_projection.linear", f)?,
            temperature: f("loss.temperature", &self.temperature)?,
        })
    }
}

impl<P: Clone> DualEncoder<P> {
    /// Every parameter with its name, in order.
    pub fn parameters(&self) -> Vec<(String, P)> {
        let mut list = Vec::new();
        let visited: std::result::Result<_, std::convert::Infallible> = self.map(&mut |name, value| {
            list.push((name.to_owned(), value.clone()));
            Ok(())
        });
        let _ = visited;
        list
    }

    /// The same model holding `values`, given in the order of [`Self::parameters`].
    ///
    /// # Errors
    /// If there are too few values.
    pub fn with<Q>(&self, values: impl IntoIterator<Item = Q>) -> Result<DualEncoder<Q>> {
        let mut values = values.into_iter();
        self.map(&mut |name, _| values.next().ok_or_else(|| Error::parameter(name, "no value given")))
    }
}

impl<T: Tensor> DualEncoder<T> {
    /// Projected image tokens `[b, 1+n, e]`, the summary token first: pixels `[b, 3, h, w]`.
    ///
    /// # Errors
    /// If the image is not a whole number of patches.
    pub fn encode_image(&self, pixels: &T, tap: &mut dyn Tap<T>) -> Result<Tokens<T>> {
        let tokens = self.image.encode(pixels, tap)?;
        Ok(Tokens { values: self.image_projection.forward(&tokens.values)?, ..tokens })
    }

    /// Projected text tokens `[b, m, e]`.
    ///
    /// # Errors
    /// If a sentence is longer than the model's positions, or holds an id beyond its vocabulary.
    pub fn encode_text(&self, batch: &TokenBatch, tap: &mut dyn Tap<T>) -> Result<Tokens<T>> {
        let tokens = self.text.encode(batch, tap)?;
        Ok(Tokens { values: self.text_projection.forward(&tokens.values)?, ..tokens })
    }
}
