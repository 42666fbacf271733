//! What a step minimises, and one step of it.
//!
//! ```text
//! S    = similarity(encode(images), encode(captions))     [b, b]
//! loss = InfoNCE(S / τ), or another, + the aligner's own terms
//! AdamW(∇loss)
//! ```

use super::batch::Batch;
use super::mixup;
use super::parts;
use super::state::State;
use crate::experiment::Settings;
use crate::failure::{Failure, Outcome};
use crate::ranks::Ranks;
use simseg::Registry;
use simseg_model::{AlignerConfig, LossConfig, NetworkConfig, Parameters, Stage};
use simseg_tensor::{Differentiable, Ops, Result, Tensor};
use std::sync::Arc;

/// What is trained: how parameters become a loss.
pub struct Objective<T: Tensor> {
    /// Both encoders and the temperature.
    pub network: Box<dyn NetworkConfig<T>>,
    /// What is compared.
    pub aligner: Box<dyn AlignerConfig<T>>,
    /// How similarities become a loss.
    pub loss: Box<dyn LossConfig<T>>,
    /// Sub-batches that the networks go through one after another: of the batch, or of a rank's share of it.
    pub parts: usize,
    /// Other processes that have pairs of the same batch, if there are any.
    pub ranks: Option<Arc<dyn Ranks>>,
}

impl<T: Tensor> Objective<T> {
    /// The objective that the settings describe.
    ///
    /// # Errors
    /// If nobody knows a kind.
    pub fn new(settings: &Settings, registry: &Registry<T>) -> Outcome<Self> {
        let aligner = registry.model.aligners.build(&settings.aligner)?;
        let (network, loss) = (settings.network(registry)?, settings.loss(registry)?);
        Ok(Self { network, aligner, loss, parts: settings.training.parts, ranks: None })
    }

    /// The same, computed together with other ranks, each with its share of every batch. `training.parts` are spread over them, too.
    ///
    /// # Errors
    /// If the batch cannot be shared out in equal parts, or the aligner compares more than pooled vectors.
    pub fn shared_by(self, ranks: Option<Arc<dyn Ranks>>, settings: &Settings) -> Outcome<Self> {
        let Some(ranks) = ranks else { return Ok(self) };
        let (batch, size) = (settings.training.batch, ranks.size());
        let parts = self.parts.div_ceil(size);
        if !batch.is_multiple_of(size * parts) {
            let text = format!("a multiple of {} for {size} ranks of {parts} parts each, found {batch}", size * parts);
            return Err(Failure::input("training.batch", text));
        }
        if settings.training.mixup > 0.0 {
            return Err(Failure::input("training.mixup", "0: an image is mixed with one that another rank has"));
        }
        if !self.aligner.pools_suffice() {
            let kind = &settings.aligner.kind;
            return Err(Failure::input(
                "aligner",
                format!("`{kind}` compares more than pooled vectors: train on one rank"),
            ));
        }
        Ok(Self { parts, ranks: Some(ranks), ..self })
    }

    /// The loss of a batch, a scalar, as a function of the parameters.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn loss(&self, parameters: &Parameters<T>, batch: &Batch<T>) -> Result<T> {
        let network = self.network.build(parameters)?;
        let aligner = self.aligner.build(Stage::Training, parameters)?;
        let [image, text] = batch.encode(&*network, 0..batch.len())?; //    [b, 1+n, e], [b, m, e]
        let similarity = aligner.similarity(&image, &text)?; //             [b, b]
        let loss = self.loss.build(parameters)?;
        let loss = mixup::loss(&*loss, &similarity, &network.temperature()?, batch.mix)?;
        match aligner.extra_loss(&image, &text)? {
            Some(extra) => loss.add(&extra),
            None => Ok(loss),
        }
    }

    /// What the loss divides similarities by, at these parameters.
    ///
    /// # Errors
    /// If the backend fails.
    pub fn temperature(&self, parameters: &Parameters<T>) -> Result<f64> {
        let learned = self.network.build(parameters)?.temperature()?;
        self.loss.build(parameters)?.divisor(&learned)?.item()
    }
}

impl<D: Differentiable> Objective<D> {
    /// One step: returns the loss before it. If that is no number the parameters stay as they were (the optimiser's means do
    /// not).
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn step(&self, state: &mut State<D>, batch: &Batch<D>, rate: f64) -> Result<f64> {
        let values: Vec<D> = state.trained_only(state.parameters.values()).map(Differentiable::detach).collect();
        let (loss, gradients) = self.gradients(state, &values, batch)?;
        let updated = self.stepped(state, &values, &gradients, rate)?;
        // Read last: reading waits for the device, and a GPU would idle while the rest of the step is asked for.
        let value = loss.item()?;
        if value.is_finite() {
            state.parameters = updated;
            state.average()?;
        }
        Ok(value)
    }

    /// The loss of a batch, and its gradients for the parameters that are trained, whose `values` are given.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn gradients(&self, state: &State<D>, values: &[D], batch: &Batch<D>) -> Result<(D, Vec<D>)> {
        let (loss, mut gradients) = if self.parts > 1 || self.ranks.is_some() {
            parts::gradients(self, state, values, batch)?
        } else {
            let leaves: Vec<D> = values.iter().map(Differentiable::leaf).collect();
            let loss = self.loss(&state.with_trained(&leaves)?, batch)?;
            loss.backward(&leaves.iter().collect::<Vec<_>>())?
        };
        self.spare_padding(state, batch, &mut gradients)?;
        Ok((loss, gradients))
    }

    /// No gradient reaches the embedding of padding, as in PyTorch.
    fn spare_padding(&self, state: &State<D>, batch: &Batch<D>, gradients: &mut [D]) -> Result<()> {
        let (Some(table), Some(captions)) = (self.network.padded_embeddings(), batch.captions()) else { return Ok(()) };
        let mut names = state.parameters.iter().zip(&state.trained).filter(|(_, trained)| **trained);
        let Some(index) = names.position(|((name, _), _)| name == table) else { return Ok(()) };
        let [words, width] = gradients[index].dims()?;
        let keep: Vec<f32> = (0..words).map(|word| if word == captions.pad { 0.0 } else { 1.0 }).collect();
        let keep = D::from_host(&keep, &[words, 1], &gradients[index].device())?;
        gradients[index] = gradients[index].mul(&keep.expand(&[words, width])?)?;
        Ok(())
    }

    /// The parameters after the optimiser's step, within their bounds: beyond them a temperature's gradient is 0, and it would
    /// never come back.
    fn stepped(&self, state: &mut State<D>, values: &[D], gradients: &[D], rate: f64) -> Result<Parameters<D>> {
        let updated = state.optimiser.update(values, gradients, rate)?;
        let stepped = state.with_trained(&updated)?;
        let network = self.network.build(&stepped)?;
        let bounded = stepped.iter().zip(&state.trained).map(|((name, value), &trained)| match trained {
            true => Ok(network.bounded(name, value)?.unwrap_or_else(|| value.clone())),
            false => Ok(value.clone()),
        });
        stepped.with(bounded.collect::<Result<Vec<D>>>()?)
    }
}
