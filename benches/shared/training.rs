//! What `simseg run` does in a step, on random data: both encoders, alignment, loss, gradients, AdamW, and reading the loss.

use crate::Failure;
use simseg::{Choice, Registry};
use simseg_lab::training::batch::Batch;
use simseg_lab::training::objective::Objective;
use simseg_lab::training::state::State;
use simseg_model::{AdamWConfig, Architecture, ModelConfig, TokenBatch};
use simseg_tensor::{Differentiable, Tensor, random};

/// Training that can go on step by step, always with the same batch.
pub struct Training<D: Differentiable> {
    objective: Objective<D>,
    state: State<D>,
    batch: Batch<D>,
}

impl<D: Differentiable> Training<D> {
    /// A model of random weights before its first step; `batch` images, and as many captions of at most `words` tokens.
    ///
    /// # Errors
    /// If sizes do not fit each other.
    pub fn new(
        model: &ModelConfig,
        aligner: &Choice,
        (batch, words): (usize, usize),
        device: &D::Device,
    ) -> Result<Self, Failure> {
        let registry = Registry::<D>::built_in();
        let parameters = model.layout()?.draw::<D>(0, device)?;
        let objective = Objective {
            network: registry.model.network(&model.choice())?,
            aligner: registry.model.aligners.build(aligner)?,
            loss: registry.model.losses.build(&Choice::default())?,
            parts: 1,
            ranks: None,
        };
        let trained = vec![true; parameters.len()];
        let state = State::new(parameters, trained, AdamWConfig::default())?;
        let pixels = pixels(batch, model.image.image_size, device)?;
        let captions = captions(batch, words, model.text.vocabulary)?;
        Ok(Self { objective, state, batch: Batch::new(pixels, captions) })
    }

    /// One step; its loss.
    ///
    /// # Errors
    /// If the backend fails.
    pub fn step(&mut self) -> simseg_tensor::Result<f64> {
        self.objective.step(&mut self.state, &self.batch, 1e-4)
    }
}

/// Random images, `[batch, 3, side, side]`.
///
/// # Errors
/// If the backend fails.
pub fn pixels<T: Tensor>(batch: usize, side: usize, device: &T::Device) -> simseg_tensor::Result<T> {
    let mut rng = random::stream(0, "pixels", 0);
    let values: Vec<f32> = (0..batch * 3 * side * side).map(|_| random::normal(&mut rng) as f32).collect();
    T::from_host(&values, &[batch, 3, side, side], device)
}

/// Captions of 5 tokens up to `words`, as many of each length as of any other.
fn captions(batch: usize, words: usize, vocabulary: usize) -> simseg_tensor::Result<TokenBatch> {
    let shortest = words.min(5);
    let length = |i: usize| shortest + i % (words - shortest + 1);
    let word = |i: usize| (1 + i % vocabulary.saturating_sub(1).max(1)) as u32;
    let sentences: Vec<Vec<u32>> = (0..batch).map(|i| (0..length(i)).map(|j| word(7 * i + j)).collect()).collect();
    TokenBatch::new(&sentences, 0, words)
}
