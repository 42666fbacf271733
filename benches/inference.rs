//! Seconds of inference on the cpu backend: images through the encoder, or the class bank of a list of classes. `peers/cpu.py` runs it
//! beside the same model in PyTorch and onnxruntime, turn by turn.
//!
//! `inference JSON` takes its settings as one argument and prints one line of JSON. Weights and pixels are random: speed does not
//! depend on them. The class bank is what `simseg segment` computes: 80 prompts a class, tokenised, encoded and pooled.

use serde::Deserialize;
use simseg::{Choice, Loaded, Model, ModelDescription, Recipe, Registry};
use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_data::Tokenizer;
use simseg_model::{Architecture, ModelConfig};
use simseg_segment::prompts::{Templates, fill};
use simseg_tensor::{NoTap, Tensor, random};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

type Cpu = CpuTensor<f32>;
type Failure = Box<dyn std::error::Error>;

/// What to measure.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    work: Work,
    threads: usize,
    /// Images of a batch, or classes of a bank.
    count: usize,
    warm_up: usize,
    steps: usize,
    model: ModelConfig,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum Work {
    /// Pixels to projected tokens.
    Image,
    /// Words to class embeddings.
    Bank,
}

fn main() -> Result<(), Failure> {
    let Some(json) = std::env::args().nth(1) else { return Err("usage: inference JSON".into()) };
    let settings: Settings = serde_json::from_str(&json)?;
    rayon::ThreadPoolBuilder::new().num_threads(settings.threads).build_global()?;
    let (list, templates) = (classes(settings.count), Templates::Imagenet80.lines()?);
    let sentences: Vec<String> = list.iter().flat_map(|word| fill(&templates, word)).collect();
    let model = opened(&settings.model, &sentences)?;
    let seconds = match settings.work {
        Work::Image => {
            let (b, side) = (settings.count, settings.model.image.image_size);
            let mut rng = random::stream(0, "inference", 0);
            let pixels: Vec<f32> = (0..b * 3 * side * side).map(|_| random::normal(&mut rng) as f32).collect();
            let pixels = Cpu::from_host(&pixels, &[b, 3, side, side], &CpuDevice)?;
            time(&settings, || Ok(model.network().encode_image(&pixels, &mut NoTap).map(drop)?))?
        }
        Work::Bank => time(&settings, || Ok(model.words(&list).map(drop)?))?,
    };
    println!("{{\"seconds\": {seconds:.6}}}");
    Ok(())
}

/// A model of random weights as a user has it: from a folder, its weights mapped.
fn opened(config: &ModelConfig, sentences: &[String]) -> Result<Model, Failure> {
    let sentences: Vec<String> = sentences.iter().map(|sentence| sentence.to_lowercase()).collect();
    let words: BTreeSet<&str> = sentences.iter().flat_map(|sentence| sentence.split([' ', '.', ','])).collect();
    let aligner = Choice::of("loda", &serde_json::json!({ "image_k": 5, "text_k": 1 }));
    let loaded = Loaded {
        description: ModelDescription { model: config.choice(), aligner },
        parameters: config.layout()?.draw::<Cpu>(0, &CpuDevice)?,
        tokenizer: Tokenizer::from_words(words.into_iter().filter(|word| !word.is_empty()))?,
    };
    let folder = tempfile::tempdir()?;
    loaded.write(folder.path())?;
    drop(loaded);
    let registry = Arc::new(Registry::built_in());
    let loaded = Loaded::read(folder.path(), &registry, &CpuDevice)?;
    Ok(Model::assemble(loaded, Some(Recipe::official_code()), registry, &CpuDevice)?)
}

/// Names of one word, all different; the background comes by itself.
fn classes(count: usize) -> Vec<String> {
    (1..count).map(|i| format!("thing{i}")).collect()
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
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[seconds.len() / 2])
}
