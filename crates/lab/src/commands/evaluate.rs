//! `simseg evaluate`: a model and a recipe on a data set with label maps.
//!
//! Images are streamed; what each adds to the figures goes to `FILE.partial`, so that a stopped evaluation goes on where it was
//! (`--resume`) and the confidence interval can draw images with replacement.

use super::shared::{DatasetArgs, ModelArgs, Opened};
use crate::backend::BackendArgs;
use crate::experiment::built_in::BuiltIn;
use crate::experiment::settings::USUAL_METRICS;
use crate::failure::{Failure, Outcome};
use crate::judging::partial::{Partial, path_of};
use crate::judging::{Judge, Observations};
use crate::progress::Steps;
use crate::results::{Metrics, save_json};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use simseg::{Choice, ClassList, Extension, Labels, Model};
use simseg_data::datasets::IGNORED;
use simseg_segment::metrics::{Confusion, Metric, bootstrap, iou};
use simseg_tensor::Tensor;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What the command line says.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Which model, and how it is used.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Which images.
    #[command(flatten)]
    pub data: DatasetArgs,
    /// What is measured beside mIoU; `simseg run --help` lists the metrics.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub metrics: Vec<String>,
    /// Where results go.
    #[arg(long, value_name = "FILE.json")]
    pub out: PathBuf,
    /// Go on where an earlier evaluation stopped.
    #[arg(long)]
    pub resume: bool,
    /// Give each image its true set of classes: what would remain wrong if choosing them were perfect.
    #[arg(long)]
    pub oracle: bool,
    /// What computes.
    #[command(flatten)]
    pub backend: BackendArgs,
}

/// `FILE.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Mean intersection over union, of classes that occur.
    pub miou: f64,
    /// A 95% interval for it: images drawn with replacement, 1,000 times.
    pub miou_95: (f64, f64),
    /// Share of pixels labelled correctly.
    pub pixel_accuracy: f64,
    /// All figures by name.
    pub metrics: Metrics,
    /// Intersection over union by class; null for a class that never occurs.
    pub per_class: serde_json::Map<String, Value>,
    /// The most frequent mistakes.
    pub confusions: Vec<Mistake>,
    /// Images counted.
    pub images: usize,
    /// Where they are from.
    pub dataset: String,
    /// Every switch.
    pub recipe: Value,
    /// Seconds of this session.
    pub seconds: f64,
}

/// Pixels of one class given the label of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mistake {
    /// What they are.
    pub truth: String,
    /// What they were called.
    pub label: String,
    /// How many.
    pub pixels: u64,
}

/// Evaluates.
///
/// # Errors
/// Exit 2 for bad input; what was counted until then is kept for `--resume`.
pub fn evaluate<T: Tensor>(options: &Options, extension: &impl Extension, device: &T::Device) -> Outcome<Report> {
    let began = Instant::now();
    let model = options.model.open::<T>(&options.data.dataset, options.backend.rounded(), extension, device)?;
    let Opened { dataset, classes } = options.data.open(model.registry())?;
    // Intersections and unions first: the interval and the classes' own figures come from them.
    let others = options.metrics.iter().map(String::as_str).filter(|name| *name != USUAL_METRICS[0]);
    let names: Vec<&str> = std::iter::once(USUAL_METRICS[0]).chain(others).collect();
    let metric = |name: &&str| Ok(model.registry().segment.metrics.build(&Choice::new(*name))?);
    let metrics = names.iter().map(metric).collect::<Outcome<Vec<_>>>()?;
    let header = serde_json::json!({
        "model": options.model.folder, "dataset": options.data.dataset, "root": options.data.place(),
        "weights": simseg::fingerprint::fingerprint(&options.model.folder)?,
        "classes": (0..classes.len()).map(|class| classes.words(class)).collect::<Vec<_>>(), "recipe": model.recipe(), "oracle": options.oracle, "metrics": names,
        "backend": options.backend.names(),
    });
    let partial = path_of(&options.out);
    let root: Vec<&Path> = options.data.root.iter().chain(&options.data.classes).map(PathBuf::as_path).collect();
    let inside =
        options.data.root.iter().flat_map(|root| [root.join("images"), root.join("labels")]).collect::<Vec<_>>();
    let inputs = root.into_iter().chain(inside.iter().map(PathBuf::as_path)).chain([options.model.folder.as_path()]);
    // A report of an earlier evaluation may be replaced, wherever it lies.
    let outputs = [&options.out, &partial].into_iter().filter(|path| !is_report(path)).cloned();
    crate::output::guard(&inputs.collect::<Vec<_>>(), &outputs.collect::<Vec<_>>())?;
    let (mut seen, mut log) = Partial::open(&partial, &header, options.resume, metrics.len(), &*dataset)?;
    let words = options.model.words(&model, classes)?;
    let instead = options.oracle.then_some(BuiltIn::TrueClasses);
    let judge = Judge { model: &model, words: &words, segmenter: model.segmenter(), metrics: &metrics, instead };
    let log_is_whole = seen.is_empty();
    let mut occurring = Occurring::default();
    let bar = Steps::new(options.data.dataset.clone(), 1.0, "images");
    bar.start(dataset.len() as u64, seen.len() as u64);
    judge.all(&*dataset, seen.len()..dataset.len(), &mut |image| {
        log.add(image.item, &image.observed)?;
        occurring.see(&image.item.labels);
        seen.add(image.observed);
        bar.to(image.index as u64 + 1, None);
        Ok(())
    })?;
    bar.finish();
    let report = report(&seen, &metrics, &words.list, options, &model, began)?;
    save_json(&options.out, &report)?;
    log.finish();
    print(&report, &words.list);
    if report.images == dataset.len() && log_is_whole {
        occurring.notes(&words.list).iter().for_each(|line| crate::output::note!("{line}"));
    }
    crate::output::say!("→ {}", options.out.display());
    Ok(report)
}

/// Whether there is a report of an evaluation, or the lines of an unfinished one.
fn is_report(path: &Path) -> bool {
    read(path).is_ok() || (path.extension().is_some_and(|end| end == "partial") && path.is_file())
}

/// Which values occur in label maps.
#[derive(Default)]
struct Occurring {
    classes: BTreeSet<usize>,
    ignored: bool,
}

impl Occurring {
    fn see(&mut self, labels: &Labels) {
        self.classes.extend(labels.classes());
        self.ignored |= labels.values.contains(&IGNORED);
    }

    /// What looks like a mistake in the data.
    fn notes(&self, classes: &ClassList) -> Vec<String> {
        let first = usize::from(classes.has_background());
        let missing: Vec<String> = (first..classes.len())
            .filter(|class| !self.classes.contains(class))
            .map(|class| classes.name(class).to_owned())
            .collect();
        let mut notes = vec![];
        if first == 1 && missing.len() == classes.len() - 1 && self.ignored {
            notes.push(
                "note: the label maps hold 0 and 255 alone, and 255 is ignored: a mask of 0 and 255 needs 1 for its class".into(),
            );
        }
        if !missing.is_empty() {
            let listed = crate::failure::listed(&missing);
            notes.push(format!("note: never in the label maps, so its IoU is 0 or none: {listed}"));
        }
        notes
    }
}

fn report<T: Tensor>(
    seen: &Observations,
    metrics: &[Box<dyn Metric<T>>],
    classes: &ClassList,
    options: &Options,
    model: &Model<T>,
    began: Instant,
) -> Outcome<Report> {
    let counts = seen.of(0).iter().map(|value| iou::confusion(value, classes.len()));
    let counts = counts.collect::<Result<Vec<Confusion>, _>>()?;
    let mut total = Confusion::new(classes.len());
    counts.iter().for_each(|image| total.merge(image));
    let per_class = total.iou().into_iter().enumerate();
    let mistake = |pair: simseg_segment::metrics::Pair| Mistake {
        truth: classes.name(pair.truth).to_owned(),
        label: pair.label.map_or("no class", |label| classes.name(label)).to_owned(),
        pixels: pair.pixels,
    };
    let figures = seen.finish(metrics)?.into_iter();
    Ok(Report {
        miou: total.miou(),
        miou_95: bootstrap(&counts, 1000, 0).unwrap_or((0.0, 0.0)),
        pixel_accuracy: total.pixel_accuracy(),
        metrics: figures.filter_map(|(figure, value)| Some((figure.name.to_owned(), value?))).collect(),
        per_class: per_class.map(|(class, iou)| (classes.name(class).to_owned(), serde_json::json!(iou))).collect(),
        confusions: total.worst_pairs(10).into_iter().map(mistake).collect(),
        images: seen.len(),
        dataset: options.data.dataset.clone(),
        recipe: serde_json::to_value(model.recipe()).map_err(|error| Failure::input("recipe", error))?,
        seconds: began.elapsed().as_secs_f64(),
    })
}

fn print(report: &Report, classes: &ClassList) {
    let width = classes.names().iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for (name, iou) in &report.per_class {
        match iou.as_f64() {
            Some(iou) => crate::output::say!("{name:<width$}  {:5.1}", 100.0 * iou),
            None => crate::output::say!("{name:<width$}      –"),
        }
    }
    let (low, high) = report.miou_95;
    let percent = |share: f64| 100.0 * share;
    crate::output::say!("\nmIoU {:.1}% (95%: {:.1} to {:.1})", percent(report.miou), percent(low), percent(high));
    crate::output::say!("pixel accuracy {:.1}%, {} images", percent(report.pixel_accuracy), report.images);
    for (name, value) in report.metrics.iter().filter(|(name, _)| !["miou", "pixel_accuracy"].contains(&name.as_str()))
    {
        crate::output::say!("{name} {value:.3}");
    }
    for mistake in report.confusions.iter().take(5) {
        crate::output::say!("  {} taken for {}: {} pixels", mistake.truth, mistake.label, mistake.pixels);
    }
}

/// Reads a report back.
///
/// # Errors
/// If the file cannot be read.
pub fn read(path: &Path) -> Outcome<Report> {
    serde_json::from_str(&simseg::settings::read_text(path)?).map_err(|error| Failure::file(path, error))
}
