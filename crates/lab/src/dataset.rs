//! `simseg evaluate`: a model and a recipe on a data set with label maps.
//!
//! Images are streamed; what each adds to the confusion counts goes to `FILE.partial`, a line an image, so that a stopped
//! evaluation goes on where it was (`--resume`) and the confidence interval can draw images with replacement.

use crate::bank::Cache;
use crate::failure::{Failure, Outcome};
use crate::pipeline::Pipeline;
use crate::progress::Steps;
use crate::segment::{class_list, recipe_for};
use crate::{model_dir, settings};
use serde::{Deserialize, Serialize};
use simseg_data::datasets::drawn::Drawn;
use simseg_data::datasets::{self, Dataset};
use simseg_data::{Picture, SceneConfig, World, atomic};
use simseg_segment::metrics::{Confusion, bootstrap};
use simseg_segment::threshold::Rule;
use simseg_segment::{ClassList, Segmenter, SimSeg};
use simseg_tensor::{NoTap, Tensor};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What the command line says.
#[derive(Debug, Clone)]
pub struct Options {
    /// Model directory.
    pub model: PathBuf,
    /// Which images.
    pub source: Source,
    /// Class file instead of the data set's own names: the same classes in the same order, in other words.
    pub classes: Option<PathBuf>,
    /// Name of the recipe.
    pub recipe: String,
    /// Changes to it.
    pub set: Vec<String>,
    /// Where class embeddings are kept.
    pub cache: Cache,
    /// Where results go.
    pub out: PathBuf,
    /// Whether to go on with a stopped evaluation.
    pub resume: bool,
    /// Whether the true classes of each image are given.
    pub oracle: bool,
}

/// Which data set.
#[derive(Debug, Clone)]
pub struct Source {
    /// `voc2012`, `context`, `coco-object`, `folder` or `scenes`.
    pub name: String,
    /// Where it lies; nowhere for `scenes`, which are drawn.
    pub root: Option<PathBuf>,
    /// How many scenes.
    pub count: usize,
    /// Of which world.
    pub seed: u64,
}

impl Source {
    /// Opens it; `classes` replaces the names of a folder's `classes.txt`.
    ///
    /// # Errors
    /// If there is no such data set, not at that place, or nothing in it.
    pub fn open(&self, classes: Option<Vec<String>>) -> Outcome<Box<dyn Dataset>> {
        let dataset: Box<dyn Dataset> = match (self.name.as_str(), &self.root) {
            ("scenes", None) => {
                let unbiased = SceneConfig { bias: 0.0, ..SceneConfig::default() };
                Box::new(Drawn::new(World::new(unbiased, self.seed)?, self.count))
            }
            ("scenes", Some(_)) => {
                return Err(Failure::input("--root", "scenes are drawn; `folder` reads those that were written"));
            }
            (name, Some(root)) => datasets::open(name, root, classes)?,
            (name, None) if datasets::NAMES.contains(&name) => {
                return Err(Failure::input("--root", format!("expected the folder where {name} lies")));
            }
            (name, None) => {
                let known = datasets::NAMES.join(", ");
                return Err(Failure::input("--dataset", format!("one of {known}, scenes, found `{name}`")));
            }
        };
        if dataset.is_empty() {
            return Err(Failure::input(self.place(), "no images in it"));
        }
        Ok(dataset)
    }

    /// Where its images come from, in words.
    pub fn place(&self) -> String {
        match &self.root {
            Some(root) => root.display().to_string(),
            None => format!("{} scenes of seed {}", self.count, self.seed),
        }
    }
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
    /// Intersection over union by class; null for a class that never occurs.
    pub per_class: serde_json::Map<String, serde_json::Value>,
    /// The most frequent mistakes.
    pub confusions: Vec<Mistake>,
    /// Images counted.
    pub images: usize,
    /// Where they are from.
    pub dataset: String,
    /// Every switch.
    pub recipe: serde_json::Value,
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

/// One image in `FILE.partial`: its counts that are not zero, as `(truth, label, pixels)`.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    stem: String,
    counts: Vec<(usize, usize, u64)>,
}

fn partial(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

/// Evaluates.
///
/// # Errors
/// Exit 2 for bad input; what was counted until then is kept for `--resume`.
pub fn evaluate<T: Tensor>(options: &Options, device: &T::Device) -> Outcome<Report> {
    let began = Instant::now();
    let recipe = recipe_for(&options.model, &options.recipe, &options.source.name, &options.set)?;
    let given = options.classes.as_deref().map(class_list).transpose()?;
    let dataset = options.source.open(given.as_ref().map(ClassList::names))?;
    let classes = match given {
        Some(classes) => classes,
        None => ClassList::parse(&dataset.classes().join("\n"))?,
    };
    if classes.len() != dataset.classes().len() {
        let (found, expected) = (classes.len(), dataset.classes().len());
        return Err(Failure::input("--classes", format!("expected the data set's {expected} classes, found {found}")));
    }
    let header = serde_json::json!({
        "model": options.model, "dataset": options.source.name, "root": options.source.place(), "classes": classes.names(),
        "recipe": recipe, "oracle": options.oracle,
    });
    let pipeline = Pipeline::new(model_dir::load::<T>(&options.model, device)?, recipe);
    let (mut counts, mut log) = Log::open(&partial(&options.out), &header.to_string(), options.resume, classes.len())?;
    let bank = options.cache.bank(&pipeline, &options.model, &classes)?;
    let simseg = SimSeg::new(pipeline.recipe.clone());
    let bar = Steps::new(options.source.name.clone(), 1.0, "images");
    bar.start(dataset.len() as u64, counts.len() as u64);
    for index in counts.len()..dataset.len() {
        let (stem, confusion) = one(&pipeline, &simseg, &bank, &*dataset, index, options.oracle)?;
        log.add(&stem, &confusion, classes.len())?;
        counts.push(confusion);
        bar.to(index as u64 + 1, None);
    }
    bar.finish();
    let report = report(&counts, &classes, options, &pipeline, began)?;
    let text = serde_json::to_string_pretty(&report).map_err(|error| Failure::file(&options.out, error))?;
    atomic::write(&options.out, (text + "\n").as_bytes())?;
    let _ = std::fs::remove_file(partial(&options.out)); // complete: nothing to resume
    print(&report, &classes);
    println!("→ {}", options.out.display());
    Ok(report)
}

/// The counts of one image.
fn one<T: Tensor>(
    pipeline: &Pipeline<T>,
    simseg: &SimSeg,
    bank: &simseg_segment::ClassBank<T>,
    dataset: &dyn Dataset,
    index: usize,
    oracle: bool,
) -> Outcome<(String, Confusion)> {
    let item = dataset.item(index)?;
    let features = pipeline.features(&[Picture { ..item.picture }], &mut NoTap)?;
    let truth = &item.labels.values;
    let segmented = if oracle {
        let mut present: Vec<usize> = truth.iter().filter(|&&t| t != datasets::IGNORED).map(|&t| t.into()).collect();
        present.sort_unstable();
        present.dedup();
        simseg.with_rule(Rule::Oracle { classes: present }).segment(&features[0], bank, &mut NoTap)?
    } else {
        simseg.segment(&features[0], bank, &mut NoTap)?
    };
    let mut confusion = Confusion::new(dataset.classes().len());
    confusion.add(truth, &segmented.labels).map_err(|error| Failure::input(&item.stem, error))?;
    Ok((item.stem, confusion))
}

fn report<T: Tensor>(
    counts: &[Confusion],
    classes: &ClassList,
    options: &Options,
    pipeline: &Pipeline<T>,
    began: Instant,
) -> Outcome<Report> {
    let mut total = Confusion::new(classes.len());
    counts.iter().for_each(|image| total.merge(image));
    let iou = total.iou().into_iter().enumerate();
    let mistake = |(truth, label, pixels): (usize, usize, u64)| Mistake {
        truth: classes.name(truth).to_owned(),
        label: classes.name(label).to_owned(),
        pixels,
    };
    Ok(Report {
        miou: total.miou(),
        miou_95: bootstrap(counts, 1000, 0).unwrap_or((0.0, 0.0)),
        pixel_accuracy: total.pixel_accuracy(),
        per_class: iou.map(|(class, iou)| (classes.name(class).to_owned(), serde_json::json!(iou))).collect(),
        confusions: total.worst_pairs(10).into_iter().map(mistake).collect(),
        images: counts.len(),
        dataset: options.source.name.clone(),
        recipe: serde_json::to_value(&pipeline.recipe).map_err(|error| Failure::input("recipe", error))?,
        seconds: began.elapsed().as_secs_f64(),
    })
}

fn print(report: &Report, classes: &ClassList) {
    let width = classes.names().iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for (name, iou) in &report.per_class {
        match iou.as_f64() {
            Some(iou) => println!("{name:<width$}  {:5.1}", 100.0 * iou),
            None => println!("{name:<width$}      –"),
        }
    }
    let (low, high) = report.miou_95;
    let percent = |share: f64| 100.0 * share;
    println!("\nmIoU {:.1}% (95%: {:.1} to {:.1})", percent(report.miou), percent(low), percent(high));
    println!("pixel accuracy {:.1}%, {} images", percent(report.pixel_accuracy), report.images);
    for mistake in report.confusions.iter().take(5) {
        println!("  {} taken for {}: {} pixels", mistake.truth, mistake.label, mistake.pixels);
    }
}

/// `FILE.partial`, open for appending.
struct Log {
    path: PathBuf,
    file: std::fs::File,
}

impl Log {
    /// Opens it, with what an earlier session counted if that is wanted.
    fn open(path: &Path, header: &str, resume: bool, classes: usize) -> Outcome<(Vec<Confusion>, Self)> {
        let old = if resume && path.exists() {
            std::fs::read_to_string(path).map_err(|e| Failure::file(path, e))?
        } else {
            String::new()
        };
        let mut lines = old.lines();
        let mut kept = vec![header.to_owned()];
        let mut counts = Vec::new();
        match lines.next() {
            Some(first) if first != header => {
                return Err(Failure::file(path, "was made with other settings; leave out --resume to start over"));
            }
            _ => {}
        }
        for line in lines {
            // A line cut short by a kill ends what is kept.
            let Ok(parsed) = serde_json::from_str::<Line>(line) else { break };
            let mut confusion = Confusion::new(classes);
            for (truth, label, pixels) in parsed.counts {
                confusion.count_many(truth, label, pixels).map_err(|error| Failure::file(path, error))?;
            }
            counts.push(confusion);
            kept.push(line.to_owned());
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            atomic::folder(folder)?;
        }
        atomic::write(path, (kept.join("\n") + "\n").as_bytes())?;
        let file = std::fs::OpenOptions::new().append(true).open(path).map_err(|error| Failure::file(path, error))?;
        Ok((counts, Self { path: path.to_owned(), file }))
    }

    fn add(&mut self, stem: &str, confusion: &Confusion, classes: usize) -> Outcome {
        let cells = (0..classes * classes).map(|i| (i / classes, i % classes));
        let counts = cells.map(|(t, p)| (t, p, confusion.count(t, p))).filter(|cell| cell.2 > 0).collect();
        let line = serde_json::to_string(&Line { stem: stem.to_owned(), counts });
        let line = line.map_err(|error| Failure::file(&self.path, error))?;
        writeln!(self.file, "{line}").map_err(|error| Failure::file(&self.path, error))
    }
}

/// Reads a report back.
///
/// # Errors
/// If the file cannot be read.
pub fn read(path: &Path) -> Outcome<Report> {
    serde_json::from_str(&settings::read_text(path)?).map_err(|error| Failure::file(path, error))
}
