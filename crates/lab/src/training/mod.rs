//! One training run: the loop of the paper, with checkpoints, for any network.
//!
//! ```text
//! for each step:  images, captions = next pairs
//!                 loss = objective.step(images, captions)
//!                 look, say, save
//! ```
//!
//! Reading order: [`objective`] (the step), [`batch`] (what goes in), [`mixup`], `parts` (a step on small memory, and by several ranks), this file (the
//! loop around it), [`follow`] (the loop of the other ranks), [`frozen`]
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
pub mod mixup;
mod parts;
pub mod objective;
pub mod features;
pub mod frozen;
pub mod state;
pub mod validation;
pub mod kept;
pub mod log;
pub mod follow;

use crate::ahead::ahead_by;
use crate::experiment::Settings;
use crate::failure::{Failure, Outcome};
use crate::probes::log as probes;
use crate::probes::watch::{Probing, Snapshots};
use crate::ranks::{self, Ranks};
use batch::Batch;
use corpus::Corpus;
use frozen::Frozen;
use kept::Kept;
use log::{Log, StepMetrics};
use objective::Objective;
use order::Order;
use simseg::Registry;
use simseg_model::{Dropout, Parameters, Schedule};
use simseg_tensor::{Differentiable, Tensor};
use skipped::Skipped;
use state::State;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use validation::{Figures, Validating};

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
    /// Other processes that train the same model, if there are any: they [`follow`] this one, which is rank 0.
    pub ranks: Option<Arc<dyn Ranks>>,
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
    let Watching { progress, snapshots, probing, validating, features, ranks } = watching;
    let (ranks, training, log) = (ranks.as_ref(), &settings.training, folder.join("metrics.jsonl"));
    let begun = Begun::of(settings, seed, (corpus, registry), folder, device, ranks)?;
    let Begun { config, checkpoint, steps, schedule, objective, resumed, mut state } = begun;
    let frozen = Frozen::of(settings, &state, (&*objective.network, corpus), &features, device)?;
    let ranks = ranks.map(|ranks| &**ranks);
    if let Some(ranks) = ranks {
        follow::meet(ranks, &state, corpus, &config)?;
    }
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
    let readers = readers()?;
    let (first, earlier) = (state.step(), state.seconds);
    let mut order = Order::new(corpus.len(), training.batch, settings.seeds.order(seed));
    let own = ranks.map_or(0..training.batch, |ranks| ranks::own(ranks, training.batch));
    let batches = (first..steps).map(|step| {
        let (draw, picks) = order.at(step);
        readers.install(|| corpus.read((&picks, own.clone()), draw, training.max_corrupt_samples, &frozen))
    });
    let (start, mut looking, mut before, mut waited) = (Instant::now(), Duration::ZERO, Instant::now(), Duration::ZERO);
    ahead_by(training.prefetch, batches, |read| {
        let (index, wait) = (state.step(), before.elapsed());
        waited += wait;
        let (dropout, mix) = (dropout(settings, seed, index, own.start), mixup::share(training.mixup, seed, index));
        let batch = Batch { dropout, ..read.take::<D>(&mut skipped, mix, device)? };
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
            if let Some(ranks) = ranks {
                follow::agree(ranks, &state, &mut skipped)?;
            }
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

/// What every rank has before the first step.
struct Begun<D: Differentiable> {
    /// The settings that a checkpoint belongs to.
    config: String,
    checkpoint: PathBuf,
    steps: u64,
    schedule: Schedule,
    objective: Objective<D>,
    /// Whether there was a checkpoint, whose state it is then.
    resumed: bool,
    state: State<D>,
}

impl<D: Differentiable> Begun<D> {
    fn of(
        settings: &Settings,
        seed: u64,
        (corpus, registry): (&Corpus, &Registry<D>),
        folder: &Path,
        device: &D::Device,
        ranks: Option<&Arc<dyn Ranks>>,
    ) -> Outcome<Self> {
        let (config, checkpoint) = (settings.training_text(seed, registry)?, folder.join("state.safetensors"));
        let (layout, training) = (start::layout(settings, registry)?, &settings.training);
        let steps = training.steps(corpus.len());
        let objective = Objective::new(settings, registry)?.shared_by(ranks.cloned(), settings)?;
        let trained = start::trained(settings, &layout, &*objective.network)?;
        let resumed = checkpoint.exists();
        let state = if resumed {
            State::load(&checkpoint, &config, &layout, trained, training, device)?
        } else {
            let values = start::values(settings, settings.seeds.weights(seed), registry, device)?;
            State::new(values, trained, training.adamw)?.averaged_by(training.ema)
        };
        Ok(Self { config, checkpoint, steps, schedule: training.schedule(steps), objective, resumed, state })
    }
}

/// Threads that read batches: in order, so that what was skipped is known in order; a pool of their own, so that no step waits inside
/// another's picture.
fn readers() -> Outcome<rayon::ThreadPool> {
    let readers = rayon::ThreadPoolBuilder::new().num_threads(rayon::current_num_threads()).build();
    readers.map_err(|error| Failure::Machine(format!("threads that read batches: {error}")))
}

/// What the text tower drops at a step, if it does, from this place of the batch on.
fn dropout(settings: &Settings, seed: u64, step: u64, first: usize) -> Option<Dropout> {
    let rate = settings.training.text_dropout;
    (rate > 0.0).then(|| Dropout { rate, seed: settings.seeds.order(seed), step, first: first as u64 })
}

/// What to do about a loss that is no number.
fn diverged(folder: &Path, checkpoint: &Path, loss: f64, step: u64) -> Failure {
    let kept = if checkpoint.exists() {
        format!("the last good checkpoint is {}", checkpoint.display())
    } else {
        "no checkpoint yet".into()
    };
    let place = folder.display();
    Failure::Diverged(format!("{place}: the loss is {loss} at step {step}; {kept}. Try a lower training.schedule.rate"))
}
