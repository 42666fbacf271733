//! `simseg run`: every variant × seed of an experiment, then a table, `results.json` and `report.html`.
//!
//! All runs come first in this file, then the parts of one.

use crate::experiment::{Experiment, Settings, Variant};
use crate::failure::{Failure, Outcome};
use crate::judging::Judge;
use crate::progress::Steps;
use crate::report;
use crate::results::answers::{self, answers_to};
use crate::results::drawn::Runs;
pub use crate::results::folder::Earlier;
use crate::results::images::{self, Images, Judged};
use crate::results::provenance::{self, Provenance};
use crate::results::{Results, Row, samples, save_json};
use crate::results::{folder, inputs};
use crate::training::corpus::Corpus;
use crate::training::{Trained, start, train};
use simseg::{Choice, Extension, Loaded, Model, Registry};
use simseg_tensor::{Differentiable, Tensor};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the command line adds to the file.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where results go; the experiment's own folder under `runs/` if not given.
    pub out: Option<PathBuf>,
    /// Seeds `0..seeds`.
    pub seeds: u64,
    /// What happens to an earlier run in the same folder.
    pub earlier: Earlier,
    /// Where the numbers come from.
    pub provenance: Provenance,
}

/// Algorithms for both kinds of tensors that a run needs: those that remember how they were computed, and plain ones.
struct Registries<D: Differentiable> {
    training: Registry<D>,
    judging: Arc<Registry<D::Plain>>,
}

/// A corpus, and the settings that it was read for.
struct Drawn {
    settings: Settings,
    corpus: Corpus,
}

impl Drawn {
    /// Whether it is what these settings train on.
    fn fits(&self, settings: &Settings) -> bool {
        let of = |s: &Settings| (s.training.data.clone(), s.training.init.clone(), s.training.vocabulary.clone());
        of(&self.settings) == of(settings) && self.settings.model == settings.model
    }
}

/// Runs an experiment file: trains and judges every variant for every seed.
///
/// # Errors
/// Exit 2 for bad input or a disk that refuses, exit 1 if an expectation does not hold, exit 3 if the backend fails.
pub fn run<D: Differentiable>(
    file: &Path,
    changes: &[String],
    options: &Options,
    extension: &impl Extension,
    device: &D::Device,
) -> Outcome<Results> {
    let registries =
        Registries::<D> { training: Registry::with(extension), judging: Arc::new(Registry::with(extension)) };
    let experiment = Experiment::load(file, changes, &registries.training)?;
    // Sources that are not there are known before anything is computed.
    for Variant { settings, .. } in &experiment.variants {
        open(settings, 0, &registries)?;
    }
    let place = folder::prepare(&experiment, options.out.as_deref(), options.earlier)?;
    let out = place.path.clone();
    crate::output::note!("{}\n→ {}", experiment.question.trim(), out.display());
    let mut known = inputs::Inputs::new();
    let mut results = Results { experiment: experiment.name.clone(), rows: vec![] };
    for seed in 0..options.seeds {
        // Variants of one seed that agree on what they train on share the corpus.
        let mut drawn: Option<Drawn> = None;
        for (index, Variant { name, settings }) in experiment.variants.iter().enumerate() {
            let place = folder::of_run(&out, name, seed);
            if !drawn.as_ref().is_some_and(|drawn| drawn.fits(settings)) && !place.join("result.json").exists() {
                drawn = Some(Drawn { settings: settings.clone(), corpus: corpus(settings, seed, &registries)? });
            }
            let settings = complete(settings, drawn.as_ref(), &place)?;
            let read = inputs::of(&settings, &mut known)?;
            inputs::hold(&place, &read)?;
            if let Some(row) = folder::finished(&place, &settings, seed)? {
                results.rows.push(row);
                continue;
            }
            let text = |settings: &Settings| settings.training_text(seed, &registries.training);
            for earlier in &experiment.variants[..index] {
                if text(&earlier.settings)? == text(&experiment.variants[index].settings)? {
                    folder::adopt(&folder::of_run(&out, &earlier.name, seed), &place)?;
                }
            }
            let corpus = &drawn.as_ref().ok_or_else(|| Failure::file(&place, "no corpus"))?.corpus;
            let mut made = Provenance { began: provenance::now(), inputs: read, ..options.provenance.clone() };
            results.rows.push(one::<D>(name, &settings, seed, corpus, &place, &registries, device)?);
            made.end(&place, &["config.toml", images::NAME, "result.json"])?;
            made.save(&place.join(provenance::NAME))?;
            results.save(&out)?;
        }
    }
    results.save(&out)?;
    report::write(&experiment, &results, &registries.training, &out)?;
    crate::output::print(format_args!("{}", report::table::text(&experiment, &results, &registries.training)?));
    crate::output::say!("\n{}\n{}", out.join("report.html").display(), out.join("results.json").display());
    check(&experiment, &results, &out, &registries)?;
    Ok(results)
}

/// Opens all sources of a variant.
fn open<D: Differentiable>(settings: &Settings, seed: u64, registries: &Registries<D>) -> Outcome {
    let data = &registries.training.data;
    let pairs = data.open_pairs(&settings.training.data, seed);
    let pairs = pairs.map_err(|error| Failure::from(error).of_data("training"))?;
    if pairs.len() < settings.training.batch {
        let found = settings.training.batch;
        return Err(Failure::input(
            "training.batch",
            format!("at most the {} pairs there are, found {found}", pairs.len()),
        ));
    }
    for (prefix, source) in settings.evaluation.data.list() {
        let dataset = data.open_dataset(source, seed);
        dataset.map_err(|error| Failure::from(error).of_data(format!("evaluation.{prefix}").trim_end_matches('.')))?;
    }
    start::check(settings, &registries.training)
}

/// Reads what a variant trains on.
fn corpus<D: Differentiable>(settings: &Settings, seed: u64, registries: &Registries<D>) -> Outcome<Corpus> {
    let pairs = registries.training.data.open_pairs(&settings.training.data, seed)?;
    let network = settings.network(&registries.training)?;
    let bar = Steps::new("reading pairs", 1.0, "pairs");
    bar.start(pairs.len() as u64, 0);
    let tokenizer = start::tokenizer(settings)?;
    let corpus = Corpus::open(pairs, tokenizer, &*network, settings.training.batch, |position| bar.to(position, None))?;
    bar.finish();
    if corpus.cut > 0 {
        crate::output::note!(
            "{} of {} captions are longer than {} tokens: cut",
            corpus.cut,
            corpus.len(),
            network.positions()
        );
    }
    Ok(corpus)
}

/// The settings with the number of words that the network must know, which the corpus or the finished run in `place` tells.
fn complete(settings: &Settings, drawn: Option<&Drawn>, place: &Path) -> Outcome<Settings> {
    let words = match drawn.filter(|drawn| drawn.fits(settings)) {
        Some(drawn) => drawn.corpus.tokenizer.vocabulary(),
        None => start::tokenizer_of(&place.join("model"))?.vocabulary(),
    };
    let model = simseg_model::with_vocabulary(&settings.model, words);
    Ok(Settings { model, ..settings.clone() })
}

/// One variant and seed, from wherever it was left.
fn one<D: Differentiable>(
    variant: &str,
    settings: &Settings,
    seed: u64,
    corpus: &Corpus,
    folder: &Path,
    registries: &Registries<D>,
    device: &D::Device,
) -> Outcome<Row> {
    folder::write_settings(folder, settings, seed)?;
    let progress = Steps::new(format!("{variant} seed {seed}"), settings.training.batch as f64, "images");
    let trained = train::<D>(settings, seed, corpus, &registries.training, folder, device, &progress)?;
    let (train_images_per_second, seconds) = (trained.images_per_second, trained.seconds);
    let loaded = plain(trained, settings, corpus, &registries.judging)?;
    loaded.write(&folder.join("model"))?;
    let recipe = Some(settings.segmentation.clone());
    let model = Model::assemble(loaded, recipe, registries.judging.clone(), device)?;
    let judged = judge(variant, &model, settings, seed, folder)?;
    let (intervals, variant) = (judged.intervals(), variant.to_owned());
    let Judged { metrics, per_class, .. } = judged;
    let row = Row { variant, seed, metrics, intervals, per_class, train_images_per_second, seconds, ..Row::default() };
    save_json(&folder.join("result.json"), &row)?;
    Ok(row)
}

/// The trained model without its record of gradients, and without what only training needs.
fn plain<D: Differentiable>(
    trained: Trained<D>,
    settings: &Settings,
    corpus: &Corpus,
    registry: &Registry<D::Plain>,
) -> Outcome<Loaded<D::Plain>> {
    let description = settings.description();
    let layout = description.layout(registry)?;
    let value = |name: &str| Ok(trained.parameters.get(name)?.plain());
    let parameters = layout.with(layout.names().map(value).collect::<simseg_tensor::Result<Vec<D::Plain>>>()?)?;
    Ok(Loaded { description, parameters, tokenizer: corpus.tokenizer.clone() })
}

/// Judges a model on every data set of the evaluation; leaves pictures to look at, and what every image added.
fn judge<T: Tensor>(variant: &str, model: &Model<T>, settings: &Settings, seed: u64, folder: &Path) -> Outcome<Judged> {
    let registry = model.registry();
    let metric = |name: &String| Ok(registry.segment.metrics.build(&Choice::new(name))?);
    let metrics = settings.evaluation.metrics.iter().map(metric).collect::<Outcome<Vec<_>>>()?;
    let mut seen = Images::new();
    for (prefix, source) in settings.evaluation.data.list() {
        let dataset = registry.data.open_dataset(source, seed)?;
        let words = model.classes(simseg::ClassList::parse(&dataset.class_lines().join("\n"))?)?;
        let judge = Judge { model, words: &words, segmenter: model.segmenter(), metrics: &metrics, given: false };
        let bar = Steps::new(format!("{variant} seed {seed}: {prefix}judging"), 1.0, "images");
        bar.start(dataset.len() as u64, 0);
        let mut samples = vec![];
        seen.classes(&prefix, dataset.classes());
        judge.all(&*dataset, 0..dataset.len(), &mut |image| {
            if image.index < settings.evaluation.pictures {
                samples.push(samples::Sample::of(&*dataset, &image, &judge)?);
            }
            bar.to(image.index as u64 + 1, None);
            seen.add(&prefix, &image.item.stem, &settings.evaluation.metrics, &image.observed);
            Ok(())
        })?;
        bar.finish();
        samples::save(&folder.join("pictures"), &prefix, &samples)?;
    }
    seen.save(&folder.join(images::NAME))?;
    seen.judge(registry)
}

/// Prints every expectation with its answer, and keeps it.
fn check<D: Differentiable>(
    experiment: &Experiment,
    results: &Results,
    out: &Path,
    registries: &Registries<D>,
) -> Outcome {
    let mut broken = Vec::new();
    let all = answers_to(&experiment.expect, results, Some(&Runs::new(out, results, &registries.judging)));
    answers::save(out, &all)?;
    for answer in all {
        match answer.holds {
            true => crate::output::say!("✓ {}", answer.text),
            false => broken.push(answer.text),
        }
    }
    if broken.is_empty() { Ok(()) } else { Err(Failure::Check(format!("expected, but not so: {}", broken.join("; ")))) }
}
