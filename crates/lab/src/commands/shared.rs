//! Options that several commands take, and what they lead to: a model with its recipe, classes, a data set.

use crate::calibration;
use crate::failure::{Failure, Outcome};
use crate::output::note;
use crate::progress::Steps;
use clap::{Args, ValueEnum};
use simseg::words::class_file;
use simseg::{Cache, Choice, ClassList, Extension, Loaded, Model, Recipe, Registry, WeightType, Words};
use simseg_data::{Dataset, Exif, Source};
use simseg_segment::Threshold;
use simseg_tensor::Tensor;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

/// Which model, and how it is used.
#[derive(Debug, Clone, Args)]
pub struct ModelArgs {
    /// A model directory, such as fixtures/tiny.
    #[arg(long = "model", value_name = "DIR")]
    pub folder: PathBuf,
    /// The complete configuration to start from: plain, official-code, paper, or a TOML file; auto is
    /// official-code for models that see 224 pixels and more, else plain.
    #[arg(long, default_value = "auto")]
    pub recipe: String,
    /// Change a switch of the recipe, such as map.upsample=nearest.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Where class embeddings are kept.
    #[command(flatten)]
    pub cache: CacheArgs,
    /// Words that the model cannot tell apart, or that are cut, are an error instead of a note.
    #[arg(long)]
    pub strict: bool,
}

impl ModelArgs {
    /// The name of the recipe: what `auto` means for this model.
    ///
    /// # Errors
    /// If the model directory has no readable `config.json`.
    pub fn recipe_name<T: Tensor>(&self, registry: &Registry<T>) -> Outcome<String> {
        if self.recipe != "auto" {
            return Ok(self.recipe.clone());
        }
        let released = simseg::ModelDescription::read(&self.folder)?.network(registry)?.image_size() >= 224;
        Ok(if released { "official-code" } else { "plain" }.to_owned())
    }

    /// The model with its recipe, as it is for a data set (empty for none), its weights rounded to a type if one is given.
    ///
    /// # Errors
    /// One line that names the file or switch that is wrong.
    pub fn open<T: Tensor>(
        &self,
        dataset: &str,
        rounded: Option<WeightType>,
        extension: &impl Extension,
        device: &T::Device,
    ) -> Outcome<Model<T>> {
        let model = self.open_uncalibrated(dataset, rounded, extension, device)?;
        match calibration::wanted(model.recipe()).map(|rule| rule.check(0)) {
            Some(Err(error)) => Err(Failure::from(error).within(format!("--recipe {}: ", self.recipe))),
            _ => Ok(model),
        }
    }

    /// The same for whoever finds a rule first, where the recipe wants one that is learned from captions.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_uncalibrated<T: Tensor>(
        &self,
        dataset: &str,
        rounded: Option<WeightType>,
        extension: &impl Extension,
        device: &T::Device,
    ) -> Outcome<Model<T>> {
        let registry = Arc::new(Registry::with(extension));
        let recipe = Recipe::load(&self.recipe_name(&registry)?, dataset, &self.set, &registry)?;
        let loaded = Loaded::read_rounded(&self.folder, rounded, &registry, device)?;
        Ok(Model::assemble(loaded, Some(recipe), registry, device)?)
    }

    /// The embedded classes of a list, from the cache if they are there.
    ///
    /// # Errors
    /// If they cannot be computed.
    pub fn words<T: Tensor>(&self, model: &Model<T>, list: ClassList) -> Outcome<Words<T>> {
        let bar = Steps::new("words", 1.0, "words");
        bar.start((0..list.len()).map(|class| list.words(class).len() as u64).sum(), 0);
        let mut watch = |done: usize, _: usize| {
            bar.to(done as u64, None);
            ControlFlow::Continue(())
        };
        let words = self.cache.choice().classes(model, &self.folder, list, &mut watch);
        bar.finish();
        let words = words?;
        let doubts = super::doubts::doubts(model, &words)?;
        if self.strict && !doubts.is_empty() {
            return Err(Failure::input("--strict", doubts.join("; ")));
        }
        doubts.iter().for_each(|line| note!("note: {line}"));
        Ok(words)
    }
}

/// Which classes to look for.
#[derive(Debug, Clone, Args)]
pub struct ClassArgs {
    /// One class a line, the background first unless the file begins with `background = false`; `cat | kitten` gives a class
    /// several words.
    #[arg(long = "classes", value_name = "FILE")]
    pub file: PathBuf,
    /// The first line is a class like the others: a pixel that no class claims gets 255 (65535 in maps of 16 bits), or the best
    /// class with `--set unclaimed=best-class`.
    #[arg(long)]
    pub no_background: bool,
}

impl ClassArgs {
    /// The class list.
    ///
    /// # Errors
    /// If the file is none.
    pub fn list(&self) -> Outcome<ClassList> {
        let list = class_file(&self.file)?;
        let background = list.has_background() && !self.no_background;
        Ok(list.with_background(background))
    }
}

/// Which data set.
#[derive(Debug, Clone, Args)]
pub struct DatasetArgs {
    /// voc2012, context, coco-object, folder (images/ and labels/*.png of the same stem), or scenes (drawn).
    #[arg(long)]
    pub dataset: String,
    /// Where the data set lies.
    #[arg(long, value_name = "PATH")]
    pub root: Option<PathBuf>,
    /// The data set's classes in other words: a class file of the same length and order.
    #[arg(long, value_name = "FILE")]
    pub classes: Option<PathBuf>,
    /// What becomes of a camera's note how it was held, in a folder of your own; published data sets stay as they are stored.
    #[arg(long, value_enum, default_value_t)]
    pub exif: ExifArg,
    /// The first class is no background: its pixels count like those of others in a folder of your own (as `background = false` in
    /// its class file says, too), and are not counted in a published data set (VOC20, Context59).
    #[arg(long)]
    pub no_background: bool,
    /// In the label maps of a folder 0 is "unlabelled" and class k is written k + 1 (as in ADE20K).
    #[arg(long)]
    pub reduce_zero_label: bool,
    /// A value in the label maps of a folder that is not counted, beside 255.
    #[arg(long, value_name = "V")]
    pub ignore_index: Option<u16>,
    /// How many scenes to draw, without bias.
    #[arg(long, value_name = "N", default_value_t = 300)]
    pub count: usize,
    /// Which world to draw them from; small numbers are what experiments train on.
    #[arg(long, value_name = "S", default_value_t = 1_000_000)]
    pub seed: u64,
}

/// A data set with the classes that it is judged on.
pub struct Opened {
    /// Images with label maps.
    pub dataset: Box<dyn Dataset>,
    /// Its classes, in its own words or those of `--classes`.
    pub classes: ClassList,
}

impl DatasetArgs {
    /// The same as an experiment file would say it.
    ///
    /// # Errors
    /// If `--root` is missing, or too much.
    pub fn source(&self) -> Outcome<Source> {
        let mut source = self.place_of_source()?;
        // What a data set of this name does not know, its registry names.
        if self.no_background {
            source = source.with("background", false);
        }
        if self.reduce_zero_label {
            source = source.with("reduce_zero_label", true);
        }
        if let Some(value) = self.ignore_index {
            source = source.with("ignore_index", value);
        }
        Ok(source)
    }

    fn place_of_source(&self) -> Outcome<Source> {
        match (self.dataset.as_str(), &self.root) {
            ("scenes", None) => {
                Ok(Choice::new("scenes").with("count", self.count).with("seed", self.seed).with("bias", 0.0))
            }
            ("scenes", Some(_)) => {
                Err(Failure::input("--root", "scenes are drawn; `folder` reads those that were written"))
            }
            ("folder", Some(root)) => Ok(Choice::new("folder").with("root", root).with("exif", Exif::from(self.exif))),
            (name, Some(root)) => Ok(Choice::new(name).with("root", root)),
            // Without a place: sources that need one say so, others are drawn.
            (name, None) => Ok(Choice::new(name)),
        }
    }

    /// Opens it.
    ///
    /// # Errors
    /// If there is no such data set, not at that place, or nothing in it; or if the classes are not as many.
    pub fn open<T: Tensor>(&self, registry: &Registry<T>) -> Outcome<Opened> {
        let known = registry.data.datasets.names();
        if !known.contains(&self.dataset.as_str()) {
            let hint = simseg::settings::nearest(&self.dataset, known.iter().copied());
            let hint = hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            let text = format!("unknown `{}`{hint} (known: {})", self.dataset, known.join(", "));
            return Err(Failure::input("--dataset", text));
        }
        let source = self.source()?;
        if self.root.is_none() && registry.data.datasets.resolve(&source).is_err() {
            return Err(Failure::input("--root", format!("expected the folder where {} lies", self.dataset)));
        }
        let dataset = match &self.classes {
            // A folder's own class file may be missing if another is given.
            Some(path) if self.dataset == "folder" => {
                registry.data.open_dataset(&source.with("classes", path), self.seed)?
            }
            _ => registry.data.open_dataset(&source, self.seed)?,
        };
        if dataset.is_empty() {
            return Err(Failure::input(self.place(), "no images in it"));
        }
        let classes = match &self.classes {
            Some(path) => class_file(path)?.with_background(dataset.has_background()),
            None => ClassList::parse(&dataset.class_lines().join("\n"))?,
        };
        if classes.len() != dataset.classes().len() {
            let (found, expected) = (classes.len(), dataset.classes().len());
            let text = format!("expected the data set's {expected} classes, found {found}");
            return Err(Failure::input("--classes", text));
        }
        Ok(Opened { dataset, classes })
    }

    /// Where its images come from, in words.
    pub fn place(&self) -> String {
        match &self.root {
            Some(root) => root.display().to_string(),
            None => format!("{} scenes of seed {}", self.count, self.seed),
        }
    }
}

/// What becomes of the Exif orientation of photographs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ExifArg {
    /// They are turned as every viewer shows them.
    #[default]
    Apply,
    /// They stay as they are stored.
    Ignore,
}

impl From<ExifArg> for Exif {
    fn from(argument: ExifArg) -> Self {
        match argument {
            ExifArg::Apply => Self::Apply,
            ExifArg::Ignore => Self::Ignore,
        }
    }
}

/// Where class embeddings are kept.
#[derive(Debug, Clone, Args)]
pub struct CacheArgs {
    /// Keep class embeddings in this folder, by content [default: the user's cache folder, if they took over a second].
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Neither read nor keep class embeddings.
    #[arg(long, conflicts_with = "cache")]
    no_cache: bool,
}

impl CacheArgs {
    /// Where class embeddings are kept.
    pub fn choice(&self) -> Cache {
        match (&self.cache, self.no_cache) {
            (_, true) => Cache::Off,
            (Some(folder), _) => Cache::In(folder.clone()),
            (None, false) => Cache::Usual,
        }
    }
}
