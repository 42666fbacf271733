//! An encoder turns images or sentences into one feature vector per token.

use crate::tokens::Tokens;
use simseg_tensor::{Result, Tap, Tensor};

/// Turns a batch of inputs into token features.
///
/// Implementers owe: item `i` of the result depends on item `i` of the input alone, whatever else is in the batch and
/// however far it is padded; every layer's output is shown to the tap.
pub trait Encoder<T: Tensor> {
    /// A batch of inputs.
    type Input;
    /// `[b, n, width]` features, the summary token (`[CLS]`) first.
    fn encode(&self, x: &Self::Input, tap: &mut dyn Tap<T>) -> Result<Tokens<T>>;
    /// Channels per token.
    fn width(&self) -> usize;
}
