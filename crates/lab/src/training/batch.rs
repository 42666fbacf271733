//! What a step computes with: pixels and captions, or the features that a frozen tower has of them.

use simseg_model::{Dropout, Network, Side, TokenBatch, Tokens};
use simseg_tensor::{NoTap, Result, Tensor};
use std::ops::Range;

/// One side of a batch.
#[derive(Debug, Clone)]
pub enum Given<T, R> {
    /// What goes into the tower.
    Raw(R),
    /// What comes out of it, before the projection.
    Features(Tokens<T>),
}

/// Pairs of a step.
#[derive(Debug, Clone)]
pub struct Batch<T> {
    /// Pixels `[b, 3, h, w]`, or features `[b, 1+n, d]`.
    pub image: Given<T, T>,
    /// `b` captions, or features `[b, m, d]`.
    pub text: Given<T, TokenBatch>,
    /// What the text tower drops, if it does.
    pub dropout: Option<Dropout>,
    /// The share of themselves that its images keep, if they are mixed ([`super::mixup`]).
    pub mix: Option<f64>,
}

impl<T: Tensor> Batch<T> {
    /// Of pixels `[b, 3, h, w]` and `b` captions, with nothing dropped.
    pub fn new(pixels: T, captions: TokenBatch) -> Self {
        Self { image: Given::Raw(pixels), text: Given::Raw(captions), dropout: None, mix: None }
    }

    /// The captions, unless features stand for them.
    pub fn captions(&self) -> Option<&TokenBatch> {
        match &self.text {
            Given::Raw(captions) => Some(captions),
            Given::Features(_) => None,
        }
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        match &self.text {
            Given::Raw(captions) => captions.len(),
            Given::Features(tokens) => tokens.values.shape()[0],
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Projected tokens of some of the pairs, `[p, 1+n, e]` and `[p, m, e]`. The same values are dropped whichever part is asked for.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn encode(&self, network: &dyn Network<T>, part: Range<usize>) -> Result<[Tokens<T>; 2]> {
        let whole = part == (0..self.len());
        let rows = |x: &T| if whole { Ok(x.clone()) } else { x.slice(0, part.start, part.len()) };
        let some = |tokens: &Tokens<T>| -> Result<Tokens<T>> {
            let lengths = tokens.lengths.as_ref().map(|lengths| lengths[part.clone()].to_vec());
            Ok(Tokens { values: rows(&tokens.values)?, lengths })
        };
        let image = match &self.image {
            Given::Raw(pixels) => network.encode_image(&rows(pixels)?, &mut NoTap)?,
            Given::Features(features) => network.project(Side::Image, &some(features)?)?,
        };
        let text = match &self.text {
            Given::Raw(captions) => {
                let captions = captions.slice(part.start, part.len())?;
                match self.dropout {
                    None => network.encode_text(&captions, &mut NoTap)?,
                    Some(dropout) => {
                        let first = dropout.first as usize + part.start;
                        network.encode_text_dropped(&captions, dropout.from(first), &mut NoTap)?
                    }
                }
            }
            Given::Features(features) => network.project(Side::Text, &some(features)?)?,
        };
        Ok([image, text])
    }
}
