//! A model of either family behind one face: SimSeg's pair ([`DualEncoder`]) or OpenAI's ([`Clip`]).
//!
//! Both turn images and sentences into projected tokens with a summary token first; pooling, prompts and maps need no more.

use crate::clip::{Clip, ClipConfig};
use crate::dual::{DualEncoder, ModelConfig};
use crate::layers::Visit;
use crate::tokens::{TokenBatch, Tokens};
use crate::vit::VitConfig;
use simseg_tensor::{Parameter, Result, Tap, Tensor};

/// Which family, and its numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NetworkConfig {
    /// ViT in timm's layout and BERT.
    SimSeg(ModelConfig),
    /// CLIP in OpenAI's layout.
    Clip(ClipConfig),
}

impl NetworkConfig {
    /// Whether the numbers fit each other.
    ///
    /// # Errors
    /// The first key that does not.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::SimSeg(config) => config.check(),
            Self::Clip(config) => config.check(),
        }
    }

    /// The image tower.
    pub fn image(&self) -> VitConfig {
        match self {
            Self::SimSeg(config) => config.image,
            Self::Clip(config) => config.image,
        }
    }

    /// Tokens the text tower knows.
    pub fn vocabulary(&self) -> usize {
        match self {
            Self::SimSeg(config) => config.text.vocabulary,
            Self::Clip(config) => config.text.vocabulary,
        }
    }

    /// Longest sentence, in tokens.
    pub fn positions(&self) -> usize {
        match self {
            Self::SimSeg(config) => config.text.positions,
            Self::Clip(config) => config.text.positions,
        }
    }

    /// Channels that images and sentences are projected to.
    pub fn projection(&self) -> usize {
        match self {
            Self::SimSeg(config) => config.projection,
            Self::Clip(config) => config.projection,
        }
    }
}

/// A model of either family.
#[derive(Debug, Clone)]
pub enum Network<P> {
    /// ViT in timm's layout and BERT.
    SimSeg(DualEncoder<P>),
    /// CLIP in OpenAI's layout.
    Clip(Clip<P>),
}

impl<P> From<DualEncoder<P>> for Network<P> {
    fn from(model: DualEncoder<P>) -> Self {
        Self::SimSeg(model)
    }
}

impl Network<Parameter> {
    /// The parameters of an architecture.
    pub fn layout(config: &NetworkConfig) -> Self {
        match config {
            NetworkConfig::SimSeg(config) => Self::SimSeg(DualEncoder::layout(config)),
            NetworkConfig::Clip(config) => Self::Clip(Clip::layout(config)),
        }
    }
}

impl<P> Network<P> {
    /// The same model around other contents, under the names of its published checkpoint.
    pub fn map<Q, E>(&self, f: Visit<'_, P, Q, E>) -> std::result::Result<Network<Q>, E> {
        Ok(match self {
            Self::SimSeg(model) => Network::SimSeg(model.map(f)?),
            Self::Clip(model) => Network::Clip(model.map(f)?),
        })
    }
}

impl<P: Clone> Network<P> {
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
}

impl<T: Tensor> Network<T> {
    /// Projected image tokens `[b, 1+n, e]`, the summary token first: pixels `[b, 3, h, w]`.
    ///
    /// # Errors
    /// If the image is not a whole number of patches.
    pub fn encode_image(&self, pixels: &T, tap: &mut dyn Tap<T>) -> Result<Tokens<T>> {
        match self {
            Self::SimSeg(model) => model.encode_image(pixels, tap),
            Self::Clip(model) => model.encode_image(pixels, tap),
        }
    }

    /// Projected text tokens `[b, m, e]`, the summary token first.
    ///
    /// # Errors
    /// If a sentence is longer than the model's positions, or holds an id beyond its vocabulary.
    pub fn encode_text(&self, batch: &TokenBatch, tap: &mut dyn Tap<T>) -> Result<Tokens<T>> {
        match self {
            Self::SimSeg(model) => model.encode_text(batch, tap),
            Self::Clip(model) => model.encode_text(batch, tap),
        }
    }

    /// The divisor of similarities that [`crate::nce::info_nce`] takes, `[]`.
    ///
    /// # Errors
    /// If the backend fails.
    pub fn temperature(&self) -> Result<T> {
        match self {
            Self::SimSeg(model) => Ok(model.temperature.clone()),
            Self::Clip(model) => model.temperature(),
        }
    }

    /// The device that its weights are on.
    pub fn device(&self) -> T::Device {
        match self {
            Self::SimSeg(model) => model.temperature.device(),
            Self::Clip(model) => model.logit_scale.device(),
        }
    }
}
