//! Encoders, networks, aligners and losses by name.

use crate::bert::BertConfig;
use crate::clip::ClipConfig;
use crate::dual::DualConfig;
use crate::encoder::{ImageEncoderConfig, TextEncoderConfig};
use crate::loss::{self, LossConfig};
use crate::network::NetworkConfig;
use crate::pool::{self, AlignerConfig};
use crate::vit::VitConfig;
use simseg_registry::{Choice, Error, Kinds};
use simseg_tensor::Tensor;

/// Encoders that networks are composed of.
pub struct Encoders<T: Tensor> {
    /// Of images.
    pub image: Kinds<dyn ImageEncoderConfig<T>>,
    /// Of sentences.
    pub text: Kinds<dyn TextEncoderConfig<T>>,
}

/// Everything of this crate that can be chosen by name.
pub struct ModelRegistry<T: Tensor> {
    /// What networks are composed of.
    pub encoders: Encoders<T>,
    /// Both encoders and their projections.
    pub networks: Kinds<dyn NetworkConfig<T>, Encoders<T>>,
    /// What is compared.
    pub aligners: Kinds<dyn AlignerConfig<T>>,
    /// How similarities become a loss.
    pub losses: Kinds<dyn LossConfig<T>>,
}

/// The network whose encoders are chosen by name, and the default.
const COMPOSED: &str = "simseg";

impl<T: Tensor> ModelRegistry<T> {
    /// What this crate brings.
    #[rustfmt::skip]
    pub fn built_in() -> Self {
        let mut image = Kinds::<dyn ImageEncoderConfig<T>>::with_default("model.image", "vit");
        image.add("vit", "vision transformer in timm's layout", |config: VitConfig| Ok(Box::new(config)));

        let mut text = Kinds::<dyn TextEncoderConfig<T>>::with_default("model.text", "bert");
        text.add("bert", "BERT in Hugging Face's layout", |config: BertConfig| Ok(Box::new(config)));

        let mut networks = Kinds::<dyn NetworkConfig<T>, Encoders<T>>::with_default("model", COMPOSED);
        networks.add_composed(COMPOSED, "an image and a text encoder, each with a linear projection", composed);
        networks.add("clip", "CLIP in OpenAI's layout", |config: ClipConfig| Ok(Box::new(config)));

        let mut aligners = Kinds::<dyn AlignerConfig<T>>::new("aligner");
        pool::register(&mut aligners);

        let mut losses = Kinds::<dyn LossConfig<T>>::with_default("loss", "info-nce");
        loss::register(&mut losses);

        Self { encoders: Encoders { image, text }, networks, aligners, losses }
    }

    /// The network of a choice.
    ///
    /// # Errors
    /// If nobody knows its kind or one of its settings.
    pub fn network(&self, choice: &Choice) -> Result<Box<dyn NetworkConfig<T>>, Error> {
        self.networks.build_in(choice, &self.encoders)
    }

    /// The choice of a network with every setting written out, those of its encoders too.
    ///
    /// # Errors
    /// As [`Self::network`].
    pub fn resolve_network(&self, choice: &Choice) -> Result<Choice, Error> {
        let mut resolved = self.networks.resolve(choice)?;
        if resolved.kind == COMPOSED {
            let part = |key: &str| resolved.get::<Choice>(key).unwrap_or_default();
            let (image, text) =
                (self.encoders.image.resolve(&part("image"))?, self.encoders.text.resolve(&part("text"))?);
            resolved = resolved.with("image", image).with("text", text);
        }
        Ok(resolved)
    }
}

fn composed<T: Tensor>(
    config: DualConfig<Choice, Choice>,
    encoders: &Encoders<T>,
) -> Result<Box<dyn NetworkConfig<T>>, Error> {
    let DualConfig { image, text, projection, temperature } = config;
    let (image, text) = (encoders.image.build(&image)?, encoders.text.build(&text)?);
    Ok(Box::new(DualConfig { image, text, projection, temperature }))
}

/// The same error as one of a tensor operation.
pub fn setting(error: Error) -> simseg_tensor::Error {
    match error {
        Error::Setting { key, expected } => simseg_tensor::Error::Setting { key, expected },
        Error::Build(inner) => match inner.downcast::<simseg_tensor::Error>() {
            Ok(tensor) => *tensor,
            Err(other) => simseg_tensor::Error::setting("settings", other.to_string()),
        },
    }
}
