//! An encoder turns images or sentences into one feature vector per token.
//!
//! Before it has weights an encoder is a configuration: it knows its parameters by name and shape, and a few facts that its
//! users ask for. [`ImageEncoderConfig`] and [`TextEncoderConfig`] are what the registry holds.

use crate::dropout::Dropout;
use crate::last_layer::LastLayer;
use crate::parameters::Parameters;
use crate::tokens::{TokenBatch, Tokens};
use simseg_tensor::{Error, Normalisation, Parameter, Result, Tap, Tensor};
use std::fmt::Debug;

/// Turns a batch of inputs into token features.
///
/// Implementers owe: item `i` of the result depends on item `i` of the input alone, whatever else is in the batch and
/// however far it is padded; every layer's output is shown to the tap.
pub trait Encoder<T: Tensor>: Send + Sync {
    /// A batch of inputs.
    type Input;
    /// `[b, n, width]` features, the \[CLS\] token first.
    fn encode(&self, x: &Self::Input, tap: &mut dyn Tap<T>) -> Result<Tokens<T>>;
    /// The same with another last layer; an encoder that has none to edit only knows the one that was trained.
    ///
    /// # Errors
    /// As [`Self::encode`], and if the encoder cannot do it.
    fn encode_with(&self, x: &Self::Input, last: LastLayer, tap: &mut dyn Tap<T>) -> Result<Tokens<T>> {
        if last.is_trained() { self.encode(x, tap) } else { Err(last.refused()) }
    }
    /// The same as training does it where it drops values; an encoder that was published without dropout has none.
    ///
    /// # Errors
    /// As [`Self::encode`], and if the encoder has no dropout.
    fn encode_dropped(&self, x: &Self::Input, dropout: Dropout, tap: &mut dyn Tap<T>) -> Result<Tokens<T>> {
        let _ = (x, dropout, tap);
        Err(Error::setting("training.text_dropout", "0: this encoder has no dropout"))
    }
    /// Channels per token.
    fn width(&self) -> usize;
}

/// An encoder of pixels `[b, 3, h, w]`.
pub type ImageEncoder<T> = Box<dyn Encoder<T, Input = T>>;
/// An encoder of padded sentences.
pub type TextEncoder<T> = Box<dyn Encoder<T, Input = TokenBatch>>;

/// What an encoder is before it has weights.
pub trait EncoderConfig: Debug + Send + Sync {
    /// Whether the numbers fit each other.
    ///
    /// # Errors
    /// The first key that does not.
    fn check(&self) -> Result<()>;
    /// Its parameters in a fixed order; names begin with `prefix` and a dot.
    fn parameters(&self, prefix: &str) -> Vec<(String, Parameter)>;
    /// Channels per token.
    fn width(&self) -> usize;
}

/// An image encoder before it has weights.
pub trait ImageEncoderConfig<T: Tensor>: ImageFacts {
    /// The encoder with the values of its parameters.
    ///
    /// # Errors
    /// If one is missing.
    fn build(&self, prefix: &str, parameters: &Parameters<T>) -> Result<ImageEncoder<T>>;
}

/// A text encoder before it has weights.
pub trait TextEncoderConfig<T: Tensor>: TextFacts {
    /// The encoder with the values of its parameters.
    ///
    /// # Errors
    /// If one is missing.
    fn build(&self, prefix: &str, parameters: &Parameters<T>) -> Result<TextEncoder<T>>;
}

/// What users of an image encoder ask for.
pub trait ImageFacts: EncoderConfig {
    /// Side of the square training images, in pixels.
    fn image_size(&self) -> usize;
    /// Side of a patch, in pixels.
    fn patch(&self) -> usize;
    /// What its pixels are normalised with.
    fn normalisation(&self) -> Normalisation {
        Normalisation::IMAGENET
    }
}

/// What users of a text encoder ask for.
pub trait TextFacts: EncoderConfig {
    /// Tokens the tokenizer may know.
    fn vocabulary(&self) -> usize;
    /// Longest sentence, in tokens.
    fn positions(&self) -> usize;
    /// The table of word embeddings in which padding has a row that is not learned, if it has one: `padding_idx` of PyTorch's
    /// `Embedding`.
    fn padded_embeddings(&self, prefix: &str) -> Option<String> {
        let _ = prefix;
        None
    }
    /// Whether it can drop values in training.
    fn has_dropout(&self) -> bool {
        false
    }
}

/// A box is what it holds, so that networks can be written once for known and for registered encoders.
impl<C: EncoderConfig + ?Sized> EncoderConfig for Box<C> {
    fn check(&self) -> Result<()> {
        (**self).check()
    }
    fn parameters(&self, prefix: &str) -> Vec<(String, Parameter)> {
        (**self).parameters(prefix)
    }
    fn width(&self) -> usize {
        (**self).width()
    }
}

impl<C: ImageFacts + ?Sized> ImageFacts for Box<C> {
    fn image_size(&self) -> usize {
        (**self).image_size()
    }
    fn patch(&self) -> usize {
        (**self).patch()
    }
    fn normalisation(&self) -> Normalisation {
        (**self).normalisation()
    }
}

impl<C: TextFacts + ?Sized> TextFacts for Box<C> {
    fn padded_embeddings(&self, prefix: &str) -> Option<String> {
        (**self).padded_embeddings(prefix)
    }
    fn has_dropout(&self) -> bool {
        (**self).has_dropout()
    }
    fn vocabulary(&self) -> usize {
        (**self).vocabulary()
    }
    fn positions(&self) -> usize {
        (**self).positions()
    }
}

impl<T: Tensor, C: ImageEncoderConfig<T> + ?Sized> ImageEncoderConfig<T> for Box<C> {
    fn build(&self, prefix: &str, parameters: &Parameters<T>) -> Result<ImageEncoder<T>> {
        (**self).build(prefix, parameters)
    }
}

impl<T: Tensor, C: TextEncoderConfig<T> + ?Sized> TextEncoderConfig<T> for Box<C> {
    fn build(&self, prefix: &str, parameters: &Parameters<T>) -> Result<TextEncoder<T>> {
        (**self).build(prefix, parameters)
    }
}
