//! A network: both encoders and their projections into one space, behind one face.
//!
//! [`Architecture`] is what a network is before it has weights, whatever the backend; [`NetworkConfig`] builds it from its
//! parameters; [`Network`] computes. Pooling, prompts, maps and training need no more, so that they work for every network.

use crate::activations;
use crate::dropout::Dropout;
use crate::last_layer::LastLayer;
use crate::parameters::Parameters;
use crate::pool::Side;
use crate::tokens::{TokenBatch, Tokens};
use simseg_registry::Choice;
use simseg_tensor::{Error, NoTap, Normalisation, Parameter, Result, Tap, Tensor};
use std::fmt::Debug;

/// What a network is before it has weights.
pub trait Architecture: Debug + Send + Sync {
    /// Whether the numbers fit each other.
    ///
    /// # Errors
    /// The first key that does not.
    fn check(&self) -> Result<()>;
    /// All parameters in a fixed order, under the names of the published checkpoint.
    fn parameters(&self) -> Vec<(String, Parameter)>;
    /// The same as one list.
    ///
    /// # Errors
    /// If a name occurs twice.
    fn layout(&self) -> Result<Parameters<Parameter>> {
        Parameters::new(self.parameters())
    }
    /// Side of the square training images, in pixels.
    fn image_size(&self) -> usize;
    /// Side of a patch, in pixels.
    fn patch(&self) -> usize;
    /// What its pixels are normalised with.
    fn normalisation(&self) -> Normalisation;
    /// Tokens the text encoder knows.
    fn vocabulary(&self) -> usize;
    /// Longest sentence, in tokens.
    fn positions(&self) -> usize;
    /// Tokens of the sentences that it was trained with: 25 in the released code, all positions in CLIP's.
    fn context_length(&self) -> usize {
        self.positions().min(25)
    }
    /// Channels that images and sentences are projected to.
    fn projection(&self) -> usize;
    /// The side that a parameter belongs to, projections included; the temperature belongs to none.
    fn side(&self, parameter: &str) -> Option<Side>;
    /// The table of word embeddings in which padding has a row that is not learned, if it has one: `padding_idx` of PyTorch's
    /// `Embedding`. It matters where padding competes with words in pooling: everywhere else no gradient reaches it anyway.
    fn padded_embeddings(&self) -> Option<String> {
        None
    }
    /// Whether a parameter belongs to a projection: it comes after a side's [features](Network::image_features).
    fn projects(&self, parameter: &str) -> bool {
        let _ = parameter;
        false
    }
    /// How many numbers a batch of `images` of this size, in pixels, keeps at once at most on its way through the image encoder, if nothing is
    /// differentiated and attention runs on so many threads: the pixels, their patches, and what the layers keep. By the shapes of the
    /// parameters, for a transformer; an encoder of another kind says so itself.
    fn image_activations(&self, images: usize, height: usize, width: usize, threads: usize) -> usize {
        let patch = self.patch().max(1);
        let layers: Vec<Parameter> = self
            .parameters()
            .into_iter()
            .filter_map(|(name, parameter)| (self.side(&name) == Some(Side::Image)).then_some(parameter))
            .collect();
        let tokens = (height / patch) * (width / patch) + 1;
        let pixels = (2 * 3 * height * width).saturating_mul(images);
        activations::of_layers(&layers, images, tokens, threads).saturating_add(pixels)
    }
    /// Whether its text encoder can drop values in training.
    fn has_text_dropout(&self) -> bool {
        false
    }
}

/// A network before it has weights, for one backend.
pub trait NetworkConfig<T: Tensor>: Architecture {
    /// The network with the values of its parameters.
    ///
    /// # Errors
    /// If one is missing.
    fn build(&self, parameters: &Parameters<T>) -> Result<Box<dyn Network<T>>>;
}

/// Images and sentences to projected tokens.
pub trait Network<T: Tensor>: Send + Sync {
    /// Projected image tokens `[b, 1+n, e]`, the \[CLS\] token first: pixels `[b, 3, h, w]`.
    ///
    /// # Errors
    /// If the image is not a whole number of patches.
    fn encode_image(&self, pixels: &T, tap: &mut dyn Tap<T>) -> Result<Tokens<T>>;

    /// The same with another last layer of the image encoder.
    ///
    /// # Errors
    /// As [`Self::encode_image`], and if the encoder has no such layer.
    fn encode_image_with(&self, pixels: &T, last: LastLayer, tap: &mut dyn Tap<T>) -> Result<Tokens<T>> {
        if last.is_trained() { self.encode_image(pixels, tap) } else { Err(last.refused()) }
    }

    /// Projected text tokens `[b, m, e]`, the \[CLS\] token (CLIP: the end-of-text token) first.
    ///
    /// # Errors
    /// If a sentence is longer than the positions, or holds an id beyond the vocabulary.
    fn encode_text(&self, batch: &TokenBatch, tap: &mut dyn Tap<T>) -> Result<Tokens<T>>;

    /// The same with some values dropped, as training does it.
    ///
    /// # Errors
    /// As [`Self::encode_text`], and if the text encoder has no dropout.
    fn encode_text_dropped(&self, batch: &TokenBatch, dropout: Dropout, tap: &mut dyn Tap<T>) -> Result<Tokens<T>> {
        let _ = (batch, dropout, tap);
        Err(Error::setting("training.text_dropout", "0: this network has no dropout"))
    }

    /// What of [`Self::encode_image`] depends on no parameter that [projects](Architecture::projects): kept, it saves a frozen tower.
    ///
    /// # Errors
    /// As [`Self::encode_image`].
    fn image_features(&self, pixels: &T) -> Result<Tokens<T>> {
        self.encode_image(pixels, &mut NoTap)
    }

    /// The same of sentences.
    ///
    /// # Errors
    /// As [`Self::encode_text`].
    fn text_features(&self, batch: &TokenBatch) -> Result<Tokens<T>> {
        self.encode_text(batch, &mut NoTap)
    }

    /// Projected tokens of a side's features.
    ///
    /// # Errors
    /// If shapes do not fit.
    fn project(&self, side: Side, features: &Tokens<T>) -> Result<Tokens<T>> {
        let _ = side;
        Ok(features.clone())
    }

    /// The divisor of similarities that the loss takes, `[]`.
    ///
    /// # Errors
    /// If the backend fails.
    fn temperature(&self) -> Result<T>;

    /// A parameter brought back into its bounds after a step of the optimiser, if it has any.
    ///
    /// # Errors
    /// If the backend fails.
    fn bounded(&self, name: &str, value: &T) -> Result<Option<T>> {
        let _ = (name, value);
        Ok(None)
    }
}

/// The architecture with as many words as a tokenizer has, where `text.vocabulary` is 0: an experiment leaves it open, since its
/// captions tell.
pub fn with_vocabulary(network: &Choice, words: usize) -> Choice {
    let mut network = network.clone();
    let text = network.settings.get_mut("text").and_then(|text| text.as_object_mut());
    if let Some(vocabulary) = text.and_then(|text| text.get_mut("vocabulary"))
        && vocabulary.as_u64() == Some(0)
    {
        *vocabulary = words.into();
    }
    network
}
