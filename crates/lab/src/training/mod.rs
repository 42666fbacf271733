//! One training run: the loop of the paper, with checkpoints, for any network.
//!
//! ```text
//! for each step:  images, captions = next pairs
//!                 S    = similarity(encode(images), encode(captions))     [b, b]
//!                 loss = InfoNCE(S / τ), or another, + the aligner's own terms
//!                 AdamW(∇loss)
//! ```
//!
//! Reading order: this file (the step, then the loop around it), [`corpus`] (what it sees), [`skipped`] (what could not be read),
//! [`vocabulary`], [`start`] (where it starts, what stays frozen), [`state`] (checkpoints), [`log`].

pub mod corpus;
pub mod skipped;
pub mod vocabulary;
pub mod start;
pub mod state;
pub mod log;

use crate::experiment::Settings;
use crate::failure::{Failure, Outcome};
use crate::probes::log as probes;
use crate::probes::watch::Probing;
use corpus::Corpus;
use log::{Log, StepMetrics};
use simseg::Registry;
use simseg_data::transform::Draw;
use simseg_model::{AlignerConfig, LossConfig, NetworkConfig, Parameters, Stage, TokenBatch};
use simseg_tensor::{Differentiable, NoTap, Ops, Result, Tensor};
use skipped::Skipped;
use state::State;
use std::path::Path;
use std::time::{Duration, Instant};

/// What is trained: how parameters become a loss.
pub struct Objective<T: Tensor> {
    /// Both encoders and the temperature.
    pub network: Box<dyn NetworkConfig<T>>,
    /// What is compared.
    pub aligner: Box<dyn AlignerConfig<T>>,
    /// How similarities become a loss.
    pub loss: Box<dyn LossConfig<T>>,
}

impl<T: Tensor> Objective<T> {
    /// The objective that the settings describe.
    ///
    /// # Errors
    /// If nobody knows a kind.
    pub fn new(settings: &Settings, registry: &Registry<T>) -> Outcome<Self> {
        let aligner = registry.model.aligners.build(&settings.aligner)?;
        Ok(Self { network: settings.network(registry)?, aligner, loss: settings.loss(registry)? })
    }

    /// The loss of a batch, a scalar, as a function of the parameters: pixels `[b, 3, h, w]` and `b` captions.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn loss(&self, parameters: &Parameters<T>, (pixels, captions): (&T, &TokenBatch)) -> Result<T> {
        let network = self.network.build(parameters)?;
        let aligner = self.aligner.build(Stage::Training, parameters)?;
        let image = network.encode_image(pixels, &mut NoTap)?; //           [b, 1+n, e]
        let text = network.encode_text(captions, &mut NoTap)?; //           [b, m, e]
        let similarity = aligner.similarity(&image, &text)?; //             [b, b]
        let loss = self.loss.build(parameters)?.loss(&similarity, &network.temperature()?)?;
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
    pub fn step(&self, state: &mut State<D>, batch: (&D, &TokenBatch), rate: f64) -> Result<f64> {
        let leaf = |(value, &trained): (&D, &bool)| if trained { value.leaf() } else { value.clone() };
        let leaves: Vec<D> = state.parameters.values().iter().zip(&state.trained).map(leaf).collect();
        let loss = self.loss(&state.parameters.with(leaves.clone())?, batch)?;
        let wanted: Vec<&D> = state.trained_only(&leaves).collect();
        let gradients = loss.grad(&wanted)?;
        let values: Vec<D> = wanted.into_iter().map(Differentiable::detach).collect();
        let updated = self.stepped(state, &values, &gradients, rate)?;
        // Read last: reading waits for the device, and a GPU would idle while the rest of the step is asked for.
        let value = loss.item()?;
        if value.is_finite() {
            state.parameters = updated;
        }
        Ok(value)
    }

    /// The parameters after the optimiser's step, within their bounds: beyond them a temperature's gradient is 0, and it would
    /// never come back.
    fn stepped(&self, state: &mut State<D>, values: &[D], gradients: &[D], rate: f64) -> Result<Parameters<D>> {
        let mut updated = state.optimiser.update(values, gradients, rate)?.into_iter();
        let next = |(old, &trained): (&D, &bool)| match trained {
            true => updated.next().unwrap_or_else(|| old.clone()),
            false => old.clone(),
        };
        let next: Vec<D> = state.parameters.values().iter().zip(&state.trained).map(next).collect();
        let stepped = state.parameters.with(next)?;
        let network = self.network.build(&stepped)?;
        let bounded = stepped.iter().zip(&state.trained).map(|((name, value), &trained)| match trained {
            true => Ok(network.bounded(name, value)?.unwrap_or_else(|| value.clone())),
            false => Ok(value.clone()),
        });
        stepped.with(bounded.collect::<Result<Vec<D>>>()?)
    }
}

/// A finished run.
pub struct Trained<T> {
    /// Its parameters.
    pub parameters: Parameters<T>,
    /// Pairs per second of training.
    pub images_per_second: f64,
    /// Seconds of training, over all resumptions.
    pub seconds: f64,
}

/// Who looks on.
pub struct Watching<'a, T: Tensor> {
    /// Told after every step how many there are, and the loss.
    pub progress: &'a mut dyn FnMut(u64, f64),
    /// What the model is asked meanwhile, if anything.
    pub probing: Option<&'a Probing<T>>,
}

/// Trains until the last step, from the last checkpoint if there is one. Leaves `state.safetensors`, `metrics.jsonl` and, with probes,
/// `probes.jsonl`. Weights are the same with and without probes.
///
/// # Errors
/// If the disk refuses, the checkpoint belongs to other settings, or the loss is not a number any more (the last good
/// checkpoint stays).
pub fn train<D: Differentiable>(
    settings: &Settings,
    seed: u64,
    corpus: &Corpus,
    registry: &Registry<D>,
    folder: &Path,
    device: &D::Device,
    watching: Watching<'_, D::Plain>,
) -> Outcome<Trained<D>> {
    let Watching { progress, probing } = watching;
    let config = settings.training_text(seed, registry)?;
    let (checkpoint, log) = (folder.join("state.safetensors"), folder.join("metrics.jsonl"));
    let (layout, training) = (start::layout(settings, registry)?, &settings.training);
    let objective = Objective::new(settings, registry)?;
    let trained = start::trained(settings, &layout, &*objective.network)?;
    let resumed = checkpoint.exists();
    let mut state = if resumed {
        State::load(&checkpoint, &config, &layout, trained, training.adamw, device)?
    } else {
        State::new(start::values(settings, settings.seeds.weights(seed), registry, device)?, trained, training.adamw)?
    };
    let mut skipped = Skipped::open(folder, training.max_corrupt_samples, resumed)?;
    let mut lines = log::read(&log)?;
    lines.retain(|line| line.step < state.step());
    let mut log = Log::create(&log, &lines)?;
    let asked = folder.join(probes::NAME);
    let mut answers = probing.map(|_| probes::Log::open(&asked, resumed.then(|| state.step()))).transpose()?;
    let mut ask = |state: &State<D>| -> Outcome<Duration> {
        let (Some(probing), Some(answers), began) = (probing, &mut answers, Instant::now()) else {
            return Ok(Duration::ZERO);
        };
        if probing.is_due(state.step(), training.steps) {
            let lines = probing.ask(state.step(), &|name| Ok(state.parameters.get(name)?.plain()))?;
            lines.iter().try_for_each(|line| answers.add(line))?;
            answers.flush()?;
        }
        Ok(began.elapsed())
    };
    if !resumed {
        ask(&state)?;
    }
    // Probes are not what a step costs: their time is left out of it.
    let (start, first, earlier, mut asking) = (Instant::now(), state.step(), state.seconds, Duration::ZERO);
    while state.step() < training.steps {
        let index = state.step();
        let draw = Draw { seed: settings.seeds.order(seed), epoch: corpus.epoch(index, training.batch) };
        let picks = corpus.order(draw.seed, index, training.batch);
        let (pixels, captions) = corpus.batch::<D>(&picks, draw, &mut skipped, device)?;
        let rate = training.schedule.rate_at(index + 1, training.steps);
        let loss = objective.step(&mut state, (&pixels, &captions), rate)?;
        if !loss.is_finite() {
            return Err(diverged(folder, &checkpoint, loss, index));
        }
        log.add(&StepMetrics { step: index, loss, rate, temperature: objective.temperature(&state.parameters)? })?;
        progress(state.step(), loss);
        asking += ask(&state)?;
        state.seconds = earlier + start.elapsed().saturating_sub(asking).as_secs_f64();
        if state.step() % training.checkpoint_every == 0 || state.step() == training.steps {
            log.flush()?;
            skipped.save()?;
            state.save(&checkpoint, &config)?;
        }
    }
    skipped.say();
    let pairs = (state.step() - first) as f64 * training.batch as f64;
    let seconds = start.elapsed().saturating_sub(asking).as_secs_f64();
    let images_per_second =
        if pairs > 0.0 { pairs / seconds } else { (training.steps * training.batch as u64) as f64 / state.seconds };
    Ok(Trained { parameters: state.parameters, images_per_second, seconds: state.seconds })
}

/// What to do about a loss that is no number.
fn diverged(folder: &Path, checkpoint: &Path, loss: f64, step: u64) -> Failure {
    let kept = if checkpoint.exists() {
        format!("the last good checkpoint is {}", checkpoint.display())
    } else {
        "no checkpoint yet".into()
    };
    Failure::file(folder, format!("the loss is {loss} at step {step}; {kept}. Try a lower training.schedule.rate"))
}
