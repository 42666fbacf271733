//! Seconds on the cpu backend: images through the encoder, the class bank of a list of classes, or a training step. `peers/cpu.py` runs
//! it beside the same model in PyTorch and others, turn by turn.
//!
//! `inference JSON` takes its settings as one argument and prints one line of JSON. Weights and pixels are random: speed does not
//! depend on them. The class bank is what `simseg segment` computes: 80 prompts a class, tokenised, encoded and pooled. `write` only
//! leaves a model directory, for `simseg` itself.

use serde::Deserialize;
use simseg::{Choice, Recipe, WeightType};
use simseg_benches::training::{Training, pixels};
use simseg_benches::{Failure, median, model};
use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_model::ModelConfig;
use simseg_tensor::{Autodiff, NoTap};
use std::path::PathBuf;
use std::time::Instant;

type Cpu = CpuTensor<f32>;

/// What to measure.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    work: Work,
    threads: usize,
    /// Images of a batch, or classes of a bank and its background.
    count: usize,
    warm_up: usize,
    steps: usize,
    model: ModelConfig,
    /// What weights are rounded to when the model is opened, as `--precision` does: bf16 or int8; f32 if it does not say.
    #[serde(default)]
    precision: Option<String>,
    /// Where `write` puts the model.
    #[serde(default)]
    folder: Option<PathBuf>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum Work {
    /// Pixels to projected tokens.
    Image,
    /// Words to class embeddings.
    Bank,
    /// [`Training::step`] of LoDA, with captions of up to as many tokens as the model has positions.
    Train,
    /// No seconds: a model directory whose vocabulary has the words.
    Write,
}

fn main() -> Result<(), Failure> {
    let Some(json) = std::env::args().nth(1) else { return Err("usage: inference JSON".into()) };
    let settings: Settings = serde_json::from_str(&json)?;
    rayon::ThreadPoolBuilder::new().num_threads(settings.threads).build_global()?;
    let (count, config) = (settings.count, &settings.model);
    let names = count.saturating_sub(1);
    let precision = match settings.precision.as_deref() {
        None | Some("f32") => None,
        Some(name) => Some(
            WeightType::ALL.into_iter().find(|kind| kind.name() == name).ok_or("precision: f32, f16, bf16 or int8")?,
        ),
    };
    let folder = tempfile::tempdir()?;
    let opened = || -> Result<_, Failure> {
        model::write(config, names, folder.path())?;
        model::open(folder.path(), Recipe::official_code(), precision)
    };
    let seconds = match settings.work {
        Work::Image => {
            let (model, pixels) = (opened()?, pixels::<Cpu>(count, config.image.image_size, &CpuDevice)?);
            time(&settings, || Ok(model.network().encode_image(&pixels, &mut NoTap).map(drop)?))?
        }
        Work::Bank => {
            let (model, names) = (opened()?, model::names(names));
            time(&settings, || Ok(model.words(&names).map(drop)?))?
        }
        Work::Train => {
            let aligner = Choice::of("loda", &serde_json::json!({ "image_k": 5, "text_k": 1 }));
            let sizes = (count, config.text.positions);
            let mut training = Training::<Autodiff<Cpu>>::new(config, &aligner, sizes, &CpuDevice)?;
            time(&settings, || Ok(training.step().map(drop)?))?
        }
        Work::Write => {
            return model::write(config, names, settings.folder.as_deref().ok_or("write: expected a folder")?);
        }
    };
    println!("{{\"seconds\": {seconds:.6}}}");
    Ok(())
}

/// Seconds of a step, the median of those that are timed.
fn time(settings: &Settings, mut step: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    for _ in 0..settings.warm_up {
        step()?;
    }
    let mut seconds = vec![];
    for _ in 0..settings.steps.max(1) {
        let start = Instant::now();
        step()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    Ok(median(&mut seconds))
}
