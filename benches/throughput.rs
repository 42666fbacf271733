//! Images per second on libtorch: inference of the image encoder, or whole training steps. `peers/cuda.py` runs it beside the same model
//! in PyTorch, turn by turn.
//!
//! `throughput JSON` takes its settings as one argument and prints one line of JSON. Weights and data are random: speed does not
//! depend on them. The clock starts after warm-up and stops when the device is done.

use serde::Deserialize;
use simseg::Choice;
use simseg_benches::Failure;
use simseg_benches::training::{Training, pixels};
use simseg_model::{Architecture, ModelConfig, NetworkConfig};
use simseg_tch::{TchDevice, TchTensor, device, set_threads};
use simseg_tensor::NoTap;
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
    /// [`Training::step`]
    Training,
}

fn main() -> Result<(), Failure> {
    let Some(json) = std::env::args().nth(1) else { return Err("usage: throughput JSON".into()) };
    let settings: Settings = serde_json::from_str(&json)?;
    // The GPU first: libtorch looks for it once.
    let device = device(&settings.device)?.with_precision(settings.precision.parse()?);
    set_threads(settings.threads);
    let b = settings.batch;
    let seconds = match settings.work {
        Work::Inference => {
            let parameters = settings.model.layout()?.draw::<TchTensor>(0, &device)?;
            let model = NetworkConfig::<TchTensor>::build(&settings.model, &parameters)?;
            let pixels = pixels::<TchTensor>(b, settings.model.image.image_size, &device)?;
            time(&settings, device, || model.encode_image(&pixels, &mut NoTap).map(drop))?
        }
        Work::Training => {
            let sizes = (b, settings.words);
            let mut training = Training::<TchTensor>::new(&settings.model, &settings.aligner, sizes, &device)?;
            time(&settings, device, || training.step().map(drop))?
        }
    };
    println!("{{\"images_per_second\": {:.3}}}", (b * settings.steps) as f64 / seconds);
    Ok(())
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
