//! One training run: the loop of the paper, with checkpoints.
//!
//! ```text
//! for each step:  images, captions = next pairs
//!                 S    = cosine(pool(vit(images)), pool(bert(captions)))     [b, b]
//!                 loss = InfoNCE(S / τ)
//!                 AdamW(∇loss)
//! ```

use crate::corpus::Corpus;
use crate::experiment::Settings;
use crate::failure::{Failure, Outcome};
use crate::progress::Steps;
use crate::state::State;
use serde::{Deserialize, Serialize};
use simseg_model::{AdamW, Aligner, DualEncoder, TokenBatch, nce};
use simseg_tensor::{Differentiable, NoTap, Ops, Result};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

/// One line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// From 0.
    pub step: u64,
    /// InfoNCE.
    pub loss: f64,
    /// Learning rate.
    pub rate: f64,
    /// The divisor of similarities.
    pub temperature: f64,
}

/// The loss of a batch, as a function of the model.
///
/// # Errors
/// If shapes do not fit.
pub fn loss<D: Differentiable>(
    model: &DualEncoder<D>,
    aligner: &dyn Aligner<D>,
    (pixels, captions): (&D, &TokenBatch),
    smoothing: f64,
) -> Result<D> {
    let image = model.encode_image(pixels, &mut NoTap)?; //   [b, 1+n, e]
    let text = model.encode_text(captions, &mut NoTap)?; //   [b, m, e]
    nce::info_nce(&aligner.similarity(&image, &text)?, &model.temperature, smoothing)
}

/// One step: returns the loss before it. If that is no number the parameters stay as they were (the optimiser's means do not).
///
/// # Errors
/// If shapes do not fit.
pub fn step<D: Differentiable>(
    state: &mut State<D>,
    aligner: &dyn Aligner<D>,
    batch: (&D, &TokenBatch),
    smoothing: f64,
    rate: f64,
) -> Result<f64> {
    let leaves = state.model.map(&mut |_, value| Ok::<_, simseg_tensor::Error>(value.leaf()))?;
    let loss = loss(&leaves, aligner, batch, smoothing)?;
    let list: Vec<D> = leaves.parameters().into_iter().map(|(_, leaf)| leaf).collect();
    let gradients = loss.grad(&list.iter().collect::<Vec<_>>())?;
    let values: Vec<D> = list.iter().map(Differentiable::detach).collect();
    let mut model = state.model.with(state.optimiser.update(&values, &gradients, rate)?)?;
    // Beyond its bound the temperature's gradient is 0 and it would never come back.
    model.temperature = nce::bounded(&model.temperature)?;
    // Read last: reading waits for the device, and a GPU would idle while the rest of the step is asked for.
    let value = loss.item()?;
    if value.is_finite() {
        state.model = model;
    }
    Ok(value)
}

/// Trains until the last step, from the last checkpoint if there is one. Leaves `state.safetensors` and `metrics.jsonl`.
///
/// # Errors
/// If the disk refuses, the checkpoint belongs to other settings, or the loss is not a number any more (the last good
/// checkpoint stays).
pub fn train<D: Differentiable>(
    settings: &Settings,
    seed: u64,
    corpus: &Corpus,
    folder: &Path,
    device: &D::Device,
    progress: &Steps,
) -> Outcome<Trained<D>> {
    let config = settings.training_text(seed);
    let (checkpoint, log) = (folder.join("state.safetensors"), folder.join("metrics.jsonl"));
    let layout = DualEncoder::layout(&settings.model);
    let training = settings.training;
    let mut state = if checkpoint.exists() {
        State::load(&checkpoint, &config, &layout, training.adamw, device)?
    } else {
        let model = layout.init::<D>(seed, device)?;
        let values: Vec<D> = model.parameters().into_iter().map(|(_, value)| value).collect();
        State { model, optimiser: AdamW::new(training.adamw, &values)?, seconds: 0.0 }
    };
    let mut lines = read_metrics(&log)?;
    lines.retain(|line| line.step < state.step());
    let mut log = Log::create(&log, &lines)?;
    progress.start(training.steps, state.step());
    let aligner = settings.aligner.train::<D>();
    let (start, first, earlier) = (Instant::now(), state.step(), state.seconds);
    while state.step() < training.steps {
        let index = state.step();
        let (pixels, captions) = corpus.batch::<D>(&corpus.order(seed, index, training.batch), device)?;
        let rate = training.schedule.rate_at(index + 1, training.steps);
        let loss = step(&mut state, &*aligner, (&pixels, &captions), training.label_smoothing, rate)?;
        if !loss.is_finite() {
            let kept = if checkpoint.exists() {
                format!("the last good checkpoint is {}", checkpoint.display())
            } else {
                "no checkpoint yet".into()
            };
            let text = format!("the loss is {loss} at step {index}; {kept}. Try a lower training.schedule.rate");
            return Err(Failure::file(folder, text));
        }
        let line = StepMetrics { step: index, loss, rate, temperature: state.model.temperature.item()? };
        log.add(&line)?;
        progress.step(loss);
        lines.push(line);
        state.seconds = earlier + start.elapsed().as_secs_f64();
        if state.step() % training.checkpoint_every == 0 || state.step() == training.steps {
            log.flush()?;
            state.save(&checkpoint, &config)?;
        }
    }
    progress.finish();
    let pairs = (state.step() - first) as f64 * training.batch as f64;
    let seconds = start.elapsed().as_secs_f64();
    let images_per_second =
        if pairs > 0.0 { pairs / seconds } else { (training.steps * training.batch as u64) as f64 / state.seconds };
    Ok(Trained { model: state.model, images_per_second, seconds: state.seconds })
}

/// A finished run.
pub struct Trained<T> {
    /// Its parameters.
    pub model: DualEncoder<T>,
    /// Pairs per second of training.
    pub images_per_second: f64,
    /// Seconds of training, over all resumptions.
    pub seconds: f64,
}

/// The lines of `metrics.jsonl`; a line cut short by a kill, and all after it, is left out.
///
/// # Errors
/// If the file cannot be read.
pub fn read_metrics(path: &Path) -> Outcome<Vec<StepMetrics>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().map_while(|line| serde_json::from_str(line).ok()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(vec![]),
        Err(error) => Err(Failure::file(path, error)),
    }
}

/// `metrics.jsonl`, open for appending.
struct Log<'a> {
    path: &'a Path,
    out: std::io::BufWriter<std::fs::File>,
}

impl<'a> Log<'a> {
    fn create(path: &'a Path, lines: &[StepMetrics]) -> Outcome<Self> {
        let file = std::fs::File::create(path).map_err(|error| Failure::file(path, error))?;
        let mut log = Self { path, out: std::io::BufWriter::new(file) };
        lines.iter().try_for_each(|line| log.add(line))?;
        log.flush()?;
        Ok(log)
    }

    fn add(&mut self, line: &StepMetrics) -> Outcome {
        let text = serde_json::to_string(line).map_err(|error| Failure::file(self.path, error))?;
        writeln!(self.out, "{text}").map_err(|error| Failure::file(self.path, error))
    }

    fn flush(&mut self) -> Outcome {
        self.out.flush().map_err(|error| Failure::file(self.path, error))
    }
}
