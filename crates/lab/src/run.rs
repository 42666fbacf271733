//! `simseg run`: every variant × seed of an experiment, then a table, `results.json` and `report.html`.
//!
//! One folder per run, `DIR/<variant>-seed<k>/`, with `config.toml` (resolved), `metrics.jsonl`, `state.safetensors` (to
//! resume), `model/`, `pictures/` and, once it is finished, `result.json`; a run that has one is not repeated.

use crate::corpus::Corpus;
use crate::evaluate::{Metrics, evaluate};
use crate::experiment::{Experiment, Settings};
use crate::failure::{Failure, Outcome};
use crate::model_dir::{self, Card, Loaded};
use crate::pipeline::Pipeline;
use crate::progress::Steps;
use crate::report;
use crate::train::train;
use serde::{Deserialize, Serialize};
use simseg_data::atomic;
use simseg_model::NetworkConfig;
use simseg_tensor::Differentiable;
use std::path::{Path, PathBuf};

/// What the command line adds to the file.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where results go; the experiment's own folder under `runs/` if not given.
    pub out: Option<PathBuf>,
    /// Seeds `0..seeds`.
    pub seeds: u64,
    /// Whether to go on with what is in the folder.
    pub resume: bool,
    /// Whether to throw away what is in the folder.
    pub fresh: bool,
}

/// One row of `results.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Name of the variant.
    pub variant: String,
    /// Seed of the run.
    pub seed: u64,
    /// Figures by name.
    pub metrics: Metrics,
    /// Pairs per second of training.
    pub train_images_per_second: f64,
    /// Seconds of training.
    pub seconds: f64,
}

/// `results.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Name of the experiment.
    pub experiment: String,
    /// One per variant and seed.
    pub rows: Vec<Row>,
}

impl Results {
    /// A figure of a run.
    pub fn value(&self, variant: &str, seed: u64, metric: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.variant == variant && row.seed == seed)?.metrics.get(metric).copied()
    }
}

/// The folder of one run.
pub fn run_folder(out: &Path, variant: &str, seed: u64) -> PathBuf {
    out.join(format!("{variant}-seed{seed}"))
}

/// Runs an experiment.
///
/// # Errors
/// Exit 2 for bad input or a disk that refuses, exit 1 if an expectation does not hold.
pub fn run<D: Differentiable>(experiment: &Experiment, options: &Options, device: &D::Device) -> Outcome<Results> {
    let out = prepare(experiment, options)?;
    eprintln!("{}\n→ {}", experiment.question.trim(), out.display());
    let mut rows = Vec::new();
    for seed in 0..options.seeds {
        // Variants of one seed that agree on what is drawn share the corpus.
        let mut drawn: Option<(Settings, Corpus)> = None;
        for (variant, settings) in &experiment.variants {
            let folder = run_folder(&out, variant, seed);
            if let Some(row) = finished(&folder, settings)? {
                rows.push(row);
                continue;
            }
            let same = |(old, _): &(Settings, Corpus)| {
                (&old.world, old.training.scenes, old.model.text.positions)
                    == (&settings.world, settings.training.scenes, settings.model.text.positions)
            };
            if !drawn.as_ref().is_some_and(same) {
                let bar = Steps::new("drawing scenes", 1.0, "scenes");
                bar.start(settings.training.scenes, 0);
                drawn = Some((settings.clone(), Corpus::draw(settings, seed, |position| bar.to(position, None))?));
                bar.finish();
            }
            let (_, corpus) = drawn.as_ref().expect("drawn just above");
            let earlier = experiment.variants.iter().take_while(|(name, _)| name != variant);
            let twin = |(_, other): &&(String, Settings)| other.training_text(seed) == settings.training_text(seed);
            if let Some((twin, _)) = earlier.into_iter().find(twin) {
                adopt(&run_folder(&out, twin, seed), &folder)?;
            }
            rows.push(one::<D>(variant, settings, seed, corpus, &folder, device)?);
            write_results(experiment, &rows, &out)?;
        }
    }
    let results = write_results(experiment, &rows, &out)?;
    report::write(experiment, &results, &out)?;
    print!("{}", report::table(experiment, &results));
    println!("\n{}\n{}", out.join("report.html").display(), out.join("results.json").display());
    check(experiment, &results, options.seeds)?;
    Ok(results)
}

/// One variant and seed, from wherever it was left.
fn one<D: Differentiable>(
    variant: &str,
    settings: &Settings,
    seed: u64,
    corpus: &Corpus,
    folder: &Path,
    device: &D::Device,
) -> Outcome<Row> {
    let mut settings = settings.clone();
    settings.model.text.vocabulary = corpus.tokenizer.vocabulary();
    atomic::folder(folder)?;
    atomic::write(&folder.join("config.toml"), format!("seed = {seed}\n{}", settings.to_toml()).as_bytes())?;
    let progress = Steps::new(format!("{variant} seed {seed}"), settings.training.batch as f64, "images");
    let trained = train::<D>(&settings, seed, corpus, folder, device, &progress)?;
    let card = Card { network: NetworkConfig::SimSeg(settings.model), aligner: settings.aligner };
    let loaded = Loaded { card, model: trained.model.into(), tokenizer: corpus.tokenizer.clone() };
    model_dir::save(&folder.join("model"), &loaded.card, &loaded.model, &loaded.tokenizer)?;
    let scenes = Corpus::held_out(&settings, seed)?;
    let pipeline = Pipeline::new(loaded, settings.segmentation.clone());
    let (metrics, samples) = evaluate(&pipeline, &scenes, settings.evaluation.pictures as usize)?;
    let pictures = folder.join("pictures");
    atomic::folder(&pictures)?;
    for (i, sample) in samples.iter().enumerate() {
        sample.labels.save(&pictures.join(format!("{i}.labels.png")))?;
        sample.heat.save(&pictures.join(format!("{i}.heat.png")))?;
    }
    let (train_images_per_second, seconds) = (trained.images_per_second, trained.seconds);
    let row = Row { variant: variant.to_owned(), seed, metrics, train_images_per_second, seconds };
    save_json(&folder.join("result.json"), &row)?;
    Ok(row)
}

/// Takes over the training of a variant that differs in nothing that training depends on, unless this one has its own.
fn adopt(from: &Path, to: &Path) -> Outcome {
    for name in ["metrics.jsonl", "state.safetensors"] {
        let (from, to) = (from.join(name), to.join(name));
        if from.exists() && !to.exists() {
            atomic::folder(to.parent().unwrap_or(&to))?;
            let bytes = std::fs::read(&from).map_err(|error| Failure::file(&from, error))?;
            atomic::write(&to, &bytes)?;
        }
    }
    Ok(())
}

/// The result of a finished run; an error if it was made with other settings.
fn finished(folder: &Path, settings: &Settings) -> Outcome<Option<Row>> {
    let path = folder.join("result.json");
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
    let row: Row = serde_json::from_str(&text).map_err(|error| Failure::file(&path, error))?;
    let config = folder.join("config.toml");
    let text = crate::settings::read_text(&config)?;
    let text = text.split_once('\n').map_or("", |(_, rest)| rest);
    let mut made: Settings = toml::from_str(text).map_err(|error| Failure::file(&config, error.message()))?;
    made.model.text.vocabulary = settings.model.text.vocabulary;
    if made != *settings {
        return Err(Failure::file(
            folder,
            "was made with other settings; start afresh with --fresh, or choose another --out",
        ));
    }
    Ok(Some(row))
}

/// Decides on the output folder and makes it.
fn prepare(experiment: &Experiment, options: &Options) -> Outcome<PathBuf> {
    let used = |path: &Path| std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
    let mut out = options.out.clone().unwrap_or_else(|| experiment.default_folder());
    if used(&out) && options.fresh {
        if !out.join("results.json").exists() && !out.join("experiment.txt").exists() {
            return Err(Failure::file(&out, "--fresh only clears a folder that an earlier run made"));
        }
        std::fs::remove_dir_all(&out).map_err(|error| Failure::file(&out, error))?;
    } else if used(&out) && !options.resume {
        if options.out.is_some() {
            return Err(Failure::file(&out, "is not empty; --resume goes on with it, --fresh starts over"));
        }
        // The default folder: keep the earlier run and put this one beside it.
        let numbered = (2..).map(|n| out.with_file_name(format!("{}-{n}", experiment.name)));
        out = numbered.into_iter().find(|path| !used(path)).expect("some number is free");
    }
    atomic::folder(&out)?;
    // Written first, so that a folder that cannot be written is known before anything is computed.
    atomic::write(&out.join("experiment.txt"), format!("{}\n", experiment.name).as_bytes())?;
    Ok(out)
}

fn save_json(path: &Path, value: &impl Serialize) -> Outcome {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::file(path, error))?;
    Ok(atomic::write(path, (text + "\n").as_bytes())?)
}

fn write_results(experiment: &Experiment, rows: &[Row], out: &Path) -> Outcome<Results> {
    let results = Results { experiment: experiment.name.clone(), rows: rows.to_vec() };
    save_json(&out.join("results.json"), &results)?;
    Ok(results)
}

/// Prints every expectation with its answer.
fn check(experiment: &Experiment, results: &Results, seeds: u64) -> Outcome {
    let mut broken = Vec::new();
    for expectation in &experiment.expect {
        for seed in 0..seeds {
            match expectation.holds(|variant, metric| results.value(variant, seed, metric)) {
                Some(true) => println!("✓ {expectation} (seed {seed})"),
                Some(false) => broken.push(format!("{expectation} (seed {seed})")),
                None => broken.push(format!("{expectation} (seed {seed}: no such figure)")),
            }
        }
    }
    if broken.is_empty() { Ok(()) } else { Err(Failure::Check(format!("expected, but not so: {}", broken.join("; ")))) }
}
