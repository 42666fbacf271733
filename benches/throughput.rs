//! Images per second on libtorch: inference of the image encoder, or whole training steps. `peers/cuda.py` runs it beside the same model
//! in PyTorch, turn by turn.
//!
//! `throughput JSON` takes its settings as one argument and prints one line of JSON. Weights and data are random: speed does not
//! depend on them. The clock starts after warm-up and stops when the device is done.

use serde::Deserialize;
use simseg::{Choice, Registry};
use simseg_lab::training::Objective;
use simseg_lab::training::state::State;
use simseg_model::{AdamWConfig, Architecture, ModelConfig, NetworkConfig, TokenBatch};
use simseg_tch::{TchDevice, TchTensor, device, set_threads};
use simseg_tensor::{NoTap, Tensor, random};
use std::time::Instant;

/// What to measure.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    work: Work,
    /// `cpu` or `cuda:0`
    device: String,
    /// `f32`, `f64`, `bf16` or `f16`
    precision: String,
    /// Threads of libtorch; 0 leaves them.
    threads: usize,
    /// Images, and captions, per step.
    batch: usize,
    /// Tokens of the longest caption.
    words: usize,
    /// Steps before the clock starts.
    warm_up: usize,
    /// Steps that are timed.
    steps: usize,
    model: ModelConfig,
    aligner: Choice,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum Work {
    /// `encode_image`: pixels on the device → projected tokens on the device.
    Inference,
    /// What `simseg run` does in a step: both encoders, alignment, loss, gradients, AdamW, and reading the loss.
    Training,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let Some(json) = std::env::args().nth(1) else { return Err("usage: throughput JSON".into()) };
    let settings: Settings = serde_json::from_str(&json)?;
    // The GPU first: libtorch looks for it once.
    let device = device(&settings.device)?.with_precision(settings.precision.parse()?);
    set_threads(settings.threads);
    let parameters = settings.model.layout()?.draw::<TchTensor>(0, &device)?;
    let registry = Registry::<TchTensor>::built_in();
    let (b, side) = (settings.batch, settings.model.image.image_size);
    let mut rng = random::stream(0, "throughput", 0);
    let pixels: Vec<f32> = (0..b * 3 * side * side).map(|_| random::normal(&mut rng) as f32).collect();
    let pixels = TchTensor::from_host(&pixels, &[b, 3, side, side], &device)?;
    let seconds = match settings.work {
        Work::Inference => {
            let model = NetworkConfig::<TchTensor>::build(&settings.model, &parameters)?;
            time(&settings, device, || model.encode_image(&pixels, &mut NoTap).map(drop))?
        }
        Work::Training => {
            let captions = captions(&settings)?;
            let objective = Objective {
                network: registry.model.network(&settings.model.choice())?,
                aligner: registry.model.aligners.build(&settings.aligner)?,
                loss: registry.model.losses.build(&Choice::default())?,
            };
            let trained = vec![true; parameters.len()];
            let mut state = State::new(parameters, trained, AdamWConfig::default())?;
            time(&settings, device, || objective.step(&mut state, (&pixels, &captions), 1e-4).map(drop))?
        }
    };
    println!("{{\"images_per_second\": {:.3}}}", (b * settings.steps) as f64 / seconds);
    Ok(())
}

/// Captions of 5 tokens up to `words`, as many of each length as of any other.
fn captions(settings: &Settings) -> Result<TokenBatch, Failure> {
    let shortest = settings.words.min(5);
    let length = |i: usize| shortest + i % (settings.words - shortest + 1);
    let word = |i: usize| (1 + i % settings.model.text.vocabulary.saturating_sub(1).max(1)) as u32;
    let sentences: Vec<Vec<u32>> =
        (0..settings.batch).map(|i| (0..length(i)).map(|j| word(7 * i + j)).collect()).collect();
    Ok(TokenBatch::new(&sentences, 0, settings.words)?)
}

/// Seconds of the timed steps.
fn time(
    settings: &Settings,
    device: TchDevice,
    mut step: impl FnMut() -> simseg_tensor::Result<()>,
) -> Result<f64, Failure> {
    for _ in 0..settings.warm_up {
        step()?;
    }
    device.synchronize();
    let start = Instant::now();
    for _ in 0..settings.steps {
        step()?;
    }
    device.synchronize();
    Ok(start.elapsed().as_secs_f64())
}
