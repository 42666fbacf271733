//! A batch that was read and waits for its step, still on the host.

use super::batch::{Batch, Given};
use super::mixup;
use super::skipped::Skipped;
use crate::failure::Outcome;
use simseg_model::{TokenBatch, Tokens};
use simseg_tensor::Tensor;

/// One side of a batch.
pub enum Host<R> {
    /// What goes into the tower.
    Raw(R),
    /// What comes out of it: `[b, n, d]` in a row, `shape = [n, d]`, and how many of the `n` are real, if not all are.
    Features {
        /// All values.
        values: Vec<f32>,
        /// Tokens and channels.
        shape: [usize; 2],
        /// Real tokens of each item.
        lengths: Option<Vec<usize>>,
    },
}

impl<R> Host<R> {
    fn given<T: Tensor, G>(
        self,
        items: usize,
        device: &T::Device,
        raw: impl FnOnce(R) -> Outcome<G>,
    ) -> Outcome<Given<T, G>> {
        Ok(match self {
            Self::Raw(input) => Given::Raw(raw(input)?),
            Self::Features { values, shape: [n, d], lengths } => {
                Given::Features(Tokens { values: T::from_host(&values, &[items, n, d], device)?, lengths })
            }
        })
    }
}

/// Pixels `[b, 3, side, side]` with their side, and captions; or features of either.
pub type Pairs32 = (Host<(Vec<f32>, usize)>, Host<TokenBatch>);

/// What a step sees.
pub struct Read {
    /// Pairs that could not be read, in the order in which they were met.
    pub(super) problems: Vec<(usize, String)>,
    pub(super) batch: Outcome<Pairs32>,
}

impl Read {
    /// The batch on a device, its images mixed if they keep only a share of themselves ([`mixup`]). What could not be read is noted now, not when it was read: a step that is never taken has skipped nothing.
    ///
    /// # Errors
    /// If more pairs cannot be read than may be skipped, nothing is left to stand in, or the backend fails.
    pub fn take<T: Tensor>(self, skipped: &mut Skipped, mix: Option<f64>, device: &T::Device) -> Outcome<Batch<T>> {
        self.problems.iter().try_for_each(|(index, problem)| skipped.add(*index, problem))?;
        let (image, text) = self.batch?;
        let items = match &text {
            Host::Raw(captions) => captions.len(),
            Host::Features { values, shape: [n, d], .. } => values.len() / (n * d).max(1),
        };
        let pixels = |(mut values, side): (Vec<f32>, usize)| {
            if let Some(share) = mix {
                mixup::mix(&mut values, items, share);
            }
            Ok(T::from_host(&values, &[items, 3, side, side], device)?)
        };
        let (image, text) = (image.given(items, device, pixels)?, text.given(items, device, Ok)?);
        Ok(Batch { image, text, dropout: None, mix })
    }
}
