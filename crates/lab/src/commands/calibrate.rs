//! `simseg calibrate`: a threshold for each class, from images whose classes are known: by label maps, or by captions.
//!
//! For every class the score that best tells images with it from images without it (largest F1). A class is in an image if its label
//! map has it (`--dataset`), or if a caption mentions one of its words (`--captions`, `--scenes`). Leaves a complete recipe
//! for `--recipe FILE.toml`. Judge it on other images than it was made from.

use super::shared::{DatasetArgs, ModelArgs, Opened};
use crate::backend::BackendArgs;
use crate::calibration::{Cases, some_mentioned};
use crate::experiment::Experiment;
use crate::failure::{Failure, Outcome};
use crate::progress::Steps;
use clap::Args;
use simseg::words::class_file;
use simseg::{Choice, ClassList, Extension, Model, Recipe, Registry, Words, settings as reading};
use simseg_data::{DataRegistry, Exif, Pairs, Source, atomic};
use simseg_segment::threshold::Calibrated;
use simseg_tensor::Tensor;
use std::path::{Path, PathBuf};

/// What the command line says.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = HELP)]
#[command(mut_arg("dataset", |dataset| {
    dataset.required(false).default_value("").hide_default_value(true).required_unless_present_any(["captions", "scenes"])
}))]
pub struct Options {
    /// Which model, and the recipe to start from.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Which images.
    #[command(flatten)]
    pub data: DatasetArgs,
    /// Instead of label maps, captions of images in --root: a CSV or TSV file with the columns image and caption, or as Flickr8k is
    /// published. A class of --classes is in an image if one of its captions mentions it.
    #[arg(
        long,
        value_name = "FILE.csv",
        requires = "root",
        requires = "classes",
        conflicts_with_all = ["dataset", "scenes", "reduce_zero_label", "ignore_index"]
    )]
    pub captions: Option<PathBuf>,
    /// Likewise --count drawn scenes with their captions, which no training and no test set sees whatever its seed: of the usual world,
    /// or of that of a file: an experiment (its training data), a run's config.toml, or settings of scenes.
    #[arg(
        long,
        value_name = "FILE.toml",
        conflicts_with_all = ["dataset", "root", "reduce_zero_label", "ignore_index"]
    )]
    pub scenes: Option<Option<PathBuf>>,
    /// Use the first N images; 0 is all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub images: usize,
    /// Where the new recipe goes.
    #[arg(long, value_name = "FILE.toml")]
    pub out: PathBuf,
    /// What computes.
    #[command(flatten)]
    pub backend: BackendArgs,
}

const HELP: &str = "\
A caption mentions a class if it has one of the class's words as a whole word, in any case: `cat` is in \"a cat's toys\", not
in \"caterpillar\" or \"cats\" (write `cat | cats` in the class file). Names of several words are looked for as a phrase, and
the longest counts: \"a hot dog\" mentions `hot dog`, not `dog`. Classes that no caption mentions are never drawn.

In an experiment file, `threshold = { kind = \"from-captions\", images = 1000 }` does the same for a variant with captions
that its training data hold out: drawn scenes of the same world, or the pairs beyond `limit` of a caption file.

Examples:
  simseg calibrate --model DIR --dataset voc2012 --root VOCdevkit/VOC2012 --images 300 --out voc.toml
  simseg calibrate --model DIR --captions held-out.csv --root photos --classes classes.txt --out own.toml
  simseg calibrate --model runs/alignment/loda-seed0/model --scenes experiments/alignment.toml --count 1000 --out drawn.toml";

/// Calibrates.
///
/// # Errors
/// Exit 2 for bad input.
pub fn calibrate<T: Tensor>(options: &Options, extension: &impl Extension, device: &T::Device) -> Outcome<Recipe> {
    let model =
        options.model.open_uncalibrated::<T>(&options.data.dataset, options.backend.rounded(), extension, device)?;
    let with = |rule: &Calibrated| model.recipe().clone().with_threshold(&Choice::of("calibrated", rule));
    // Whether this segmenter has a threshold at all.
    with(&Calibrated { scores: vec![] }).resolved(model.registry())?;
    let (cases, list, said) = match options.captioned(model.registry())? {
        Some(captioned) => captioned.cases(options, &model)?,
        None => labelled(options, &model)?,
    };
    let calibrated = cases.rule()?;
    for (class, score) in calibrated.scores.iter().enumerate().skip(usize::from(list.has_background())) {
        let name = list.name(class);
        match score.is_finite() {
            true => crate::output::say!("{name:<20} {score:.3}  ({} images)", cases.with(class)),
            false => crate::output::say!("{name:<20} never seen: will not be drawn"),
        }
    }
    let recipe = with(&calibrated);
    atomic::write(&options.out, (format!("# Calibrated on {said}.\n") + &recipe.to_toml()?).as_bytes())?;
    crate::output::say!("→ {}", options.out.display());
    Ok(recipe)
}

/// Scores of images with their classes, the list of these, and what was looked at, in words.
type Found = (Cases, ClassList, String);

/// Images with label maps.
fn labelled<T: Tensor>(options: &Options, model: &Model<T>) -> Outcome<Found> {
    let Opened { dataset, classes } = options.data.open(model.registry())?;
    let most = if options.images == 0 { dataset.len() } else { options.images.min(dataset.len()) };
    let words = options.model.words(model, classes)?;
    let cases = watched(most, |done| Cases::labelled((model, &words), &*dataset, most, done))?;
    Ok((cases, words.list, format!("{most} images of {} at {}", options.data.dataset, options.data.place())))
}

/// Pictures with captions, and the classes that these may mention.
struct Captioned {
    pairs: Box<dyn Pairs>,
    list: ClassList,
    /// Where they are from.
    place: String,
}

impl Captioned {
    fn cases<T: Tensor>(self, options: &Options, model: &Model<T>) -> Outcome<Found> {
        let Self { pairs, list, place } = self;
        let most = if options.images == 0 { usize::MAX } else { options.images };
        let pictures = some_mentioned(&*pairs, &list, most)?;
        let words: Words<T> = options.model.words(model, list)?;
        let cases = watched(pictures.len(), |done| Cases::captioned((model, &words), &*pairs, &pictures, done))?;
        Ok((cases, words.list, format!("the captions of {} {place}", pictures.len())))
    }
}

/// Work on so many images, with a bar.
fn watched(images: usize, work: impl FnOnce(&mut dyn FnMut(usize)) -> Outcome<Cases>) -> Outcome<Cases> {
    let bar = Steps::new("scores", 1.0, "images");
    bar.start(images as u64, 0);
    let cases = work(&mut |done| bar.to(done as u64, None));
    bar.finish();
    cases
}

impl Options {
    /// Pictures with captions, if these are asked for.
    fn captioned<T: Tensor>(&self, registry: &Registry<T>) -> Outcome<Option<Captioned>> {
        let data = &registry.data;
        let (pairs, own, place) = match (&self.captions, &self.scenes) {
            (Some(file), _) => {
                let source = Choice::new("captions").with("file", file).with("images", &self.data.root);
                let pairs = data.open_pairs(&source.with("exif", Exif::from(self.data.exif)), self.data.seed)?;
                (pairs, None, format!("images of {}", file.display()))
            }
            (None, Some(file)) => {
                let source =
                    world(file.as_deref(), registry)?.with("count", self.data.count).with("seed", self.data.seed);
                let failed = |error: simseg_registry::Error| match file {
                    None => Failure::from(error),
                    Some(file) => Failure::from(error).within(format!("{}: ", file.display())),
                };
                let pairs = data.open_pairs(&source, self.data.seed).map_err(failed)?.held_out(self.data.count)?;
                (pairs, Some(classes_of(&source, self.data.seed, data)?), self.data.place())
            }
            (None, None) => return Ok(None),
        };
        let list = match (&self.data.classes, own) {
            (Some(path), _) => class_file(path)?,
            (None, Some(own)) => own,
            (None, None) => return Err(Failure::input("--classes", "expected the classes that captions may mention")),
        };
        let background = list.has_background() && !self.data.no_background;
        Ok(Some(Captioned { pairs, list: list.with_background(background), place }))
    }
}

/// The classes of drawn scenes.
fn classes_of(source: &Source, seed: u64, data: &DataRegistry) -> Outcome<ClassList> {
    Ok(ClassList::parse(&data.open_dataset(source, seed)?.class_lines().join("\n"))?)
}

/// The world of a file: that of an experiment's training data or of a run's, or its settings; the usual one if no file is named.
fn world<T: Tensor>(file: Option<&Path>, registry: &Registry<T>) -> Outcome<Source> {
    let Some(file) = file else { return Ok(Choice::new("scenes")) };
    let mut table = reading::parse(file, &reading::read_text(file)?)?;
    let source: Source = if table.contains_key("question") {
        let experiment = Experiment::load(file, &[], registry)?;
        let baseline = experiment.variants.into_iter().find(|variant| variant.name == experiment.baseline);
        baseline.map(|variant| variant.settings.training.data).unwrap_or_default()
    } else if let Some(toml::Value::Table(training)) = table.remove("training") {
        let data = training.get("data").and_then(toml::Value::as_table).cloned().unwrap_or_default();
        reading::settings(file, "training.data", data)?
    } else {
        let source: Source = reading::settings(file, "", table)?;
        if source.kind.is_empty() { Source { kind: "scenes".into(), ..source } } else { source }
    };
    if source.kind != "scenes" {
        let text = format!("expected drawn scenes, found data of kind `{}`; --captions reads files", source.kind);
        return Err(Failure::file(file, text));
    }
    Ok(source)
}
