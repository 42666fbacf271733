//! The whole model: two encoders, a linear projection on each into one space, and the temperature of the loss.
//!
//! `f(x) = vit(x)·Pᵀ`, `g(t) = bert(t)·Qᵀ`, no bias: every token is projected, pooling comes after (released code).

use crate::bert::BertConfig;
use crate::dropout::Dropout;
use crate::encoder::{ImageEncoder, ImageEncoderConfig, ImageFacts, TextEncoder, TextEncoderConfig, TextFacts};
use crate::last_layer::LastLayer;
use crate::layers::Linear;
use crate::loss::info_nce;
use crate::network::{Architecture, Network, NetworkConfig};
use crate::parameters::Parameters;
use crate::pool::Side;
use crate::tokens::{TokenBatch, Tokens};
use crate::vit::VitConfig;
use serde::{Deserialize, Serialize};
use simseg_registry::Choice;
use simseg_tensor::{Error, Init, NoTap, Normalisation, Parameter, Result, Tap, Tensor};

/// The architecture, `model` in the `config.json` of a model directory: of known encoders, or of any that are registered.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DualConfig<I, X> {
    /// The image encoder.
    pub image: I,
    /// The text encoder.
    pub text: X,
    /// Channels both are projected to.
    pub projection: usize,
    /// Starting value of the temperature, a divisor of similarities within [`info_nce::TEMPERATURE`] (released code: 0.02).
    #[serde(default = "released_temperature")]
    pub temperature: f64,
}

/// A ViT and a BERT, as released.
pub type ModelConfig = DualConfig<VitConfig, BertConfig>;

fn released_temperature() -> f64 {
    0.02
}

const IMAGE: &str = "image_encoder.model.model";
const TEXT: &str = "text_encoder.model.model";
const IMAGE_PROJECTION: &str = "image_projection.linear.weight";
const TEXT_PROJECTION: &str = "text_projection.linear.weight";
const TEMPERATURE: &str = "loss.temperature";

impl ModelConfig {
    /// The architecture by name, as settings files say it.
    pub fn choice(&self) -> Choice {
        Choice::default()
            .with("projection", self.projection)
            .with("temperature", self.temperature)
            .with("image", self.image)
            .with("text", self.text)
    }
}

impl<I: ImageFacts, X: TextFacts> Architecture for DualConfig<I, X> {
    fn check(&self) -> Result<()> {
        self.image.check()?;
        self.text.check()?;
        if self.projection == 0 {
            return Err(Error::setting("model.projection", "at least 1"));
        }
        info_nce::check_temperature("model.temperature", self.temperature)
    }

    fn parameters(&self) -> Vec<(String, Parameter)> {
        let project = |name: &str, width| (name.to_owned(), Parameter::new(&[self.projection, width], Init::Xavier));
        let mut all = self.image.parameters(IMAGE);
        all.extend(self.text.parameters(TEXT));
        all.push(project(IMAGE_PROJECTION, self.image.width()));
        all.push(project(TEXT_PROJECTION, self.text.width()));
        all.push((TEMPERATURE.to_owned(), Parameter::new(&[], Init::Constant(self.temperature))));
        all
    }

    fn image_size(&self) -> usize {
        self.image.image_size()
    }
    fn patch(&self) -> usize {
        self.image.patch()
    }
    fn normalisation(&self) -> Normalisation {
        self.image.normalisation()
    }
    fn vocabulary(&self) -> usize {
        self.text.vocabulary()
    }
    fn positions(&self) -> usize {
        self.text.positions()
    }
    fn projection(&self) -> usize {
        self.projection
    }
    fn padded_embeddings(&self) -> Option<String> {
        self.text.padded_embeddings(TEXT)
    }

    fn projects(&self, parameter: &str) -> bool {
        [IMAGE_PROJECTION, TEXT_PROJECTION].contains(&parameter)
    }
    fn has_text_dropout(&self) -> bool {
        self.text.has_dropout()
    }

    fn side(&self, parameter: &str) -> Option<Side> {
        match parameter {
            _ if parameter.starts_with("image_") => Some(Side::Image),
            _ if parameter.starts_with("text_") => Some(Side::Text),
            _ => None,
        }
    }
}

impl<T: Tensor, I: ImageEncoderConfig<T>, X: TextEncoderConfig<T>> NetworkConfig<T> for DualConfig<I, X> {
    fn build(&self, parameters: &Parameters<T>) -> Result<Box<dyn Network<T>>> {
        Ok(Box::new(DualEncoder::new(self, parameters)?))
    }
}

/// Both encoders.
pub struct DualEncoder<T> {
    /// Images → tokens.
    pub image: ImageEncoder<T>,
    /// Sentences → tokens.
    pub text: TextEncoder<T>,
    /// `[projection, image width]`
    pub image_projection: Linear<T>,
    /// `[projection, text width]`
    pub text_projection: Linear<T>,
    /// `[]`, a divisor.
    pub temperature: T,
}

impl<T: Tensor> DualEncoder<T> {
    /// The model with the values of its parameters.
    ///
    /// # Errors
    /// If one is missing.
    pub fn new<I, X>(config: &DualConfig<I, X>, parameters: &Parameters<T>) -> Result<Self>
    where
        I: ImageEncoderConfig<T>,
        X: TextEncoderConfig<T>,
    {
        let linear = |name: &str| Ok(Linear { weight: parameters.get(name)?.clone(), bias: None });
        Ok(Self {
            image: config.image.build(IMAGE, parameters)?,
            text: config.text.build(TEXT, parameters)?,
            image_projection: linear(IMAGE_PROJECTION)?,
            text_projection: linear(TEXT_PROJECTION)?,
            temperature: parameters.get(TEMPERATURE)?.clone(),
        })
    }
}

impl<T: Tensor> Network<T> for DualEncoder<T> {
    fn encode_image(&self, pixels: &T, tap: &mut dyn Tap<T>) -> Result<Tokens<T>> {
        self.encode_image_with(pixels, LastLayer::AsTrained, tap)
    }

    fn encode_image_with(&self, pixels: &T, last: LastLayer, tap: &mut dyn Tap<T>) -> Result<Tokens<T>> {
        self.project(Side::Image, &self.image.encode_with(pixels, last, tap)?)
    }

    fn encode_text(&self, batch: &TokenBatch, tap: &mut dyn Tap<T>) -> Result<Tokens<T>> {
        self.project(Side::Text, &self.text.encode(batch, tap)?)
    }

    fn encode_text_dropped(&self, batch: &TokenBatch, dropout: Dropout, tap: &mut dyn Tap<T>) -> Result<Tokens<T>> {
        self.project(Side::Text, &self.text.encode_dropped(batch, dropout, tap)?)
    }

    fn image_features(&self, pixels: &T) -> Result<Tokens<T>> {
        self.image.encode(pixels, &mut NoTap)
    }

    fn text_features(&self, batch: &TokenBatch) -> Result<Tokens<T>> {
        self.text.encode(batch, &mut NoTap)
    }

    fn project(&self, side: Side, features: &Tokens<T>) -> Result<Tokens<T>> {
        let projection = match side {
            Side::Image => &self.image_projection,
            Side::Text => &self.text_projection,
        };
        Ok(Tokens { values: projection.forward(&features.values)?, lengths: features.lengths.clone() })
    }

    fn temperature(&self) -> Result<T> {
        Ok(self.temperature.clone())
    }

    fn bounded(&self, name: &str, value: &T) -> Result<Option<T>> {
        if name == TEMPERATURE { info_nce::bounded(value).map(Some) } else { Ok(None) }
    }
}
