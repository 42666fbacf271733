//! One training run: the loop of the paper, with checkpoints, for any network.
//!
//! ```text
//! for each step:  images, captions = next pairs
//!                 S    = similarity(encode(images), encode(captions))     [b, b]
//!                 loss = InfoNCE(S / τ), or another, + the aligner's own terms
//!                 AdamW(∇loss)
//! ```
//!
//! Reading order: this file (the step, then the loop around it), [`batch`] (what goes in), `parts` (a step on small memory), [`frozen`]
//! (features that are computed once, in files of [`features`]), [`corpus`] (what it sees; `read`: one batch of it), [`order`] (when),
//! [`skipped`] (what could not be read), [`vocabulary`], [`start`] (where it starts, what stays frozen), [`state`] (checkpoints), [`validation`],
//! [`kept`] (models on the way), [`log`].

pub mod read;
pub mod corpus;
pub mod skipped;
pub mod order;
pub mod vocabulary;
pub mod start;
pub mod batch;
mod parts;
pub mod features;
pub mod frozen;
pub mod state;
pub mod validation;
pub mod kept;
pub mod log;

use crate::ahead::ahead_by;
use crate::experiment::Settings;
use crate::failure::{Failure, Outcome};
use crate::probes::log as probes;
use crate::probes::watch::{Probing, Snapshots};
use batch::Batch;
use corpus::Corpus;
use frozen::Frozen;
use kept::Kept;
use log::{Log, StepMetrics};
use order::Order;
use simseg::Registry;
use simseg_model::{AlignerConfig, Dropout, LossConfig, NetworkConfig, Parameters, Stage};
use simseg_tensor::{Differentiable, Ops, Result, Tensor};
use skipped::Skipped;
use state::State;
use std::cell::RefCell;
use std::path::Path;
use std::time::{Duration, Instant};
use validation::{Figures, Validating};

/// What is trained: how parameters become a loss.
pub struct Objective<T: Tensor> {
    /// Both encoders and the temperature.
    pub network: Box<dyn NetworkConfig<T>>,
    /// What is compared.
    pub aligner: Box<dyn AlignerConfig<T>>,
    /// How similarities become a loss.
    pub loss: Box<dyn LossConfig<T>>,
    /// Sub-batches that the networks go through one after another.
    pub parts: usize,
}

impl<T: Tensor> Objective<T> {
    /// The objective that the settings describe.
    ///
    /// # Errors
    /// If nobody knows a kind.
    pub fn new(settings: &Settings, registry: &Registry<T>) -> Outcome<Self> {
        let aligner = registry.model.aligners.build(&settings.aligner)?;
        let (network, loss) = (settings.network(registry)?, settings.loss(registry)?);
        Ok(Self { network, aligner, loss, parts: settings.training.parts })
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
        let (loss, mut gradients) = if self.parts > 1 {
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

/// A finished run.
pub struct Trained<T> {
    /// Its parameters.
    pub parameters: Parameters<T>,
    /// Pairs per second of training.
    pub images_per_second: f64,
    /// Seconds of training, over all resumptions.
    pub seconds: f64,
    /// The share of them that steps waited for their batches, since this process began.
    pub waiting: f64,
}

/// Who looks on.
pub struct Watching<'a, T: Tensor> {
    /// Told after every step how many there are, the loss, and what was measured.
    pub progress: &'a mut dyn FnMut(u64, f64, &Figures),
    /// Makes models of weights on the way.
    pub snapshots: &'a Snapshots<T>,
    /// What the model is asked meanwhile, if anything.
    pub probing: Option<&'a Probing>,
    /// What it is measured on meanwhile, if anything.
    pub validating: Option<&'a Validating>,
    /// Where features of frozen towers are kept, if anywhere.
    pub features: frozen::Place,
}

/// Trains until the last step, from the last checkpoint if there is one. Leaves `state.safetensors`, `metrics.jsonl`, with probes `probes.jsonl`
/// and, if models are kept, `checkpoints/`. Weights are the same with and without any of that.
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
    let Watching { progress, snapshots, probing, validating, features } = watching;
    let config = settings.training_text(seed, registry)?;
    let (checkpoint, log) = (folder.join("state.safetensors"), folder.join("metrics.jsonl"));
    let (layout, training) = (start::layout(settings, registry)?, &settings.training);
    let (steps, schedule) = (training.steps(corpus.len()), training.schedule(training.steps(corpus.len())));
    let objective = Objective::new(settings, registry)?;
    let trained = start::trained(settings, &layout, &*objective.network)?;
    let resumed = checkpoint.exists();
    let mut state = if resumed {
        State::load(&checkpoint, &config, &layout, trained, training, device)?
    } else {
        let values = start::values(settings, settings.seeds.weights(seed), registry, device)?;
        State::new(values, trained, training.adamw)?.averaged_by(training.ema)
    };
    let frozen = Frozen::of(settings, &state, (&*objective.network, corpus), &features, device)?;
    let mut skipped = Skipped::open(folder, training.max_corrupt_samples, resumed)?;
    let mut lines = log::read(&log)?;
    lines.retain(|line| line.step < state.step());
    let mut log = Log::create(&log, &lines)?;
    let kept = RefCell::new(Kept::open(folder, training, steps, &lines)?);
    let asked = folder.join(probes::NAME);
    let mut answers = probing.map(|_| probes::Log::open(&asked, resumed.then(|| state.step()))).transpose()?;
    // Looks at the weights after so many steps, and leaves them as they are. What that takes is not what a step costs.
    let mut look = |state: &State<D>| -> Outcome<(Figures, Duration)> {
        let (began, step) = (Instant::now(), state.step());
        let judged = state.judged()?;
        let weight = |name: &str| Ok(judged.get(name)?.plain());
        if let (Some(probing), Some(answers)) = (probing.filter(|asked| asked.is_due(step, steps)), &mut answers) {
            let lines = probing.ask(step, &snapshots.model(&weight)?)?;
            lines.iter().try_for_each(|line| answers.add(line))?;
            answers.flush()?;
        }
        let validating = validating.filter(|asked| step > 0 && asked.is_due(step, steps));
        let figures = validating.map(|asked| asked.measure(&snapshots.model(&weight)?)).transpose()?;
        let figures = figures.unwrap_or_default();
        if step > 0 {
            kept.borrow_mut().after(step, &figures, &|place| Ok(snapshots.loaded(&weight)?.write(place)?))?;
        }
        Ok((figures, began.elapsed()))
    };
    if !resumed {
        look(&state)?;
    }
    // Batches are read in order, so that what was skipped is known in order; on a pool of their own, so that no step waits inside another's
    // picture.
    let readers = rayon::ThreadPoolBuilder::new().num_threads(rayon::current_num_threads()).build();
    let readers = readers.map_err(|error| Failure::Machine(format!("threads that read batches: {error}")))?;
    let (first, earlier) = (state.step(), state.seconds);
    let mut order = Order::new(corpus.len(), training.batch, settings.seeds.order(seed));
    let batches = (first..steps).map(|step| {
        let (draw, picks) = order.at(step);
        readers.install(|| corpus.read(&picks, draw, training.max_corrupt_samples, &frozen))
    });
    let (start, mut looking, mut before, mut waited) = (Instant::now(), Duration::ZERO, Instant::now(), Duration::ZERO);
    ahead_by(training.prefetch, batches, |read| {
        let (index, wait) = (state.step(), before.elapsed());
        waited += wait;
        let dropout = Dropout { rate: training.text_dropout, seed: settings.seeds.order(seed), step: index, first: 0 };
        let dropout = (training.text_dropout > 0.0).then_some(dropout);
        let batch = Batch { dropout, ..read.take::<D>(&mut skipped, device)? };
        let rate = schedule.rate_at(index + 1, steps);
        let loss = objective.step(&mut state, &batch, rate)?;
        if !loss.is_finite() {
            return Err(diverged(folder, &checkpoint, loss, index));
        }
        let (temperature, wait_seconds) = (objective.temperature(&state.parameters)?, wait.as_secs_f64());
        let (validation, looked) = look(&state)?;
        looking += looked;
        progress(state.step(), loss, &validation);
        log.add(&StepMetrics { step: index, loss, rate, temperature, wait_seconds, validation })?;
        state.seconds = earlier + start.elapsed().saturating_sub(looking).as_secs_f64();
        if state.step() % training.checkpoint_every == 0 || state.step() == steps {
            log.flush()?;
            skipped.save()?;
            state.save(&checkpoint, &config)?;
            kept.borrow().tidy()?;
        }
        before = Instant::now();
        Ok(())
    })?;
    skipped.say();
    let pairs = (state.step() - first) as f64 * training.batch as f64;
    let seconds = start.elapsed().saturating_sub(looking).as_secs_f64();
    let images_per_second =
        if pairs > 0.0 { pairs / seconds } else { (steps * training.batch as u64) as f64 / state.seconds };
    let waiting = waited.as_secs_f64() / seconds.max(f64::MIN_POSITIVE);
    Ok(Trained { parameters: state.judged()?, images_per_second, seconds: state.seconds, waiting })
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
