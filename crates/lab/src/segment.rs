//! `simseg segment`: label maps for your own images and words.

use crate::bank::Cache;
use crate::failure::{Failure, Outcome};
use crate::model_dir;
use crate::pipeline::Pipeline;
use crate::settings;
use simseg_data::picture::Labels;
use simseg_data::{Picture, atomic, checkpoint};
use simseg_segment::{ClassList, Recipe, Segmenter, SimSeg};
use simseg_tensor::{Ops, Tap, Tensor};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What the command line says.
#[derive(Debug, Clone)]
pub struct Options {
    /// Model directory.
    pub model: PathBuf,
    /// Class file.
    pub classes: PathBuf,
    /// Images.
    pub images: Vec<PathBuf>,
    /// Output folder.
    pub out: PathBuf,
    /// The recipe: a name or a file.
    pub recipe: String,
    /// Changes to it.
    pub set: Vec<String>,
    /// Where class embeddings are kept.
    pub cache: Cache,
    /// Where every intermediate goes.
    pub trace: Option<PathBuf>,
    /// Where the seconds per stage go.
    pub timings: Option<PathBuf>,
}

/// A recipe by name (as it is for a data set; empty for none) or from a TOML file, with changes.
///
/// # Errors
/// If there is no such recipe, a file does not hold a complete one, or a change does not fit.
pub fn recipe(name: &str, dataset: &str, set: &[String]) -> Outcome<Recipe> {
    let known = Recipe::names();
    let file = Path::new(name);
    let from_file = file.extension().is_some_and(|ending| ending == "toml");
    let mut table = if from_file {
        let table = settings::parse(file, &settings::read_text(file)?)?;
        settings::settings::<Recipe>(file, "", table.clone())?; // what is wrong in the file is not the fault of --set
        table
    } else if let Some(base) = Recipe::for_dataset(name, dataset) {
        toml::Table::try_from(&base).map_err(|error| Failure::input("--recipe", error))?
    } else {
        let hint = settings::nearest(name, known.iter().copied()).map(|near| format!("; did you mean `{near}`?"));
        let known = known.join(", ");
        let text = format!("no recipe `{name}`{} (known: {known}, or a .toml file)", hint.unwrap_or_default());
        return Err(Failure::input("--recipe", text));
    };
    set.iter().try_for_each(|assignment| settings::set(&mut table, assignment))?;
    let path = Path::new(if from_file { name } else { "--set" });
    let recipe: Recipe = settings::settings(path, "", table)?;
    recipe.prompts.templates.lines().map_err(|error| Failure::file(path, error))?;
    Ok(recipe)
}

/// What `auto` means for a model: `official-code` for networks that see 224 pixels and more, as the released ones do, and
/// `plain` for the small world's. Other names are themselves.
///
/// # Errors
/// If the model directory has no readable card.
pub fn recipe_name(model: &Path, name: &str) -> Outcome<String> {
    if name != "auto" {
        return Ok(name.to_owned());
    }
    let released = model_dir::card(model)?.network.image().image_size >= 224;
    Ok(if released { "official-code" } else { "plain" }.to_owned())
}

/// [`recipe`] for a model, by [`recipe_name`].
///
/// # Errors
/// As both.
pub fn recipe_for(model: &Path, name: &str, dataset: &str, set: &[String]) -> Outcome<Recipe> {
    recipe(&recipe_name(model, name)?, dataset, set)
}

/// A class file.
///
/// # Errors
/// One line that names the file and what is wrong in it.
pub fn class_list(path: &Path) -> Outcome<ClassList> {
    ClassList::parse(&settings::read_text(path)?).map_err(|error| Failure::file(path, error))
}

/// Segments every image.
///
/// # Errors
/// Exit 2 for anything that is wrong with the input; images before the faulty one keep their outputs.
pub fn segment<T: Tensor>(options: &Options, device: &T::Device) -> Outcome {
    let (mut clock, began) = (Clock::default(), Instant::now());
    let recipe = recipe_for(&options.model, &options.recipe, "", &options.set)?;
    let classes = class_list(&options.classes)?;
    let mut stems = std::collections::HashSet::new();
    for image in &options.images {
        if !stems.insert(stem(image)) {
            return Err(Failure::file(image, "another image has the same name; outputs would overwrite each other"));
        }
    }
    let pipeline = Pipeline::new(clock.time("load", || model_dir::load::<T>(&options.model, device))?, recipe);
    atomic::folder(&options.out)?;
    let bank = clock.time("text", || options.cache.bank(&pipeline, &options.model, &classes))?;
    let simseg = SimSeg::new(pipeline.recipe.clone());
    let mut trace = Trace::new(options.trace.is_some());
    if trace.on {
        trace.see("text/classes", &bank.embeddings)?;
    }
    for image in &options.images {
        let picture = Picture::load(image)?;
        let stem = stem(image);
        trace.prefix = if options.images.len() > 1 { format!("{stem}/") } else { String::new() };
        let features = clock.time("image", || pipeline.features(std::slice::from_ref(&picture), &mut trace))?;
        let segmented = clock.time("refine", || simseg.segment(&features[0], &bank, &mut trace))?;
        let labels = Labels { width: picture.width, height: picture.height, values: segmented.labels };
        clock.time("save", || -> Outcome {
            labels.save(&options.out.join(format!("{stem}.png")))?;
            Ok(picture.overlay(&labels).save(&options.out.join(format!("{stem}.overlay.png")))?)
        })?;
        let area = labels.values.len() as f64;
        let found: Vec<String> = segmented
            .claims
            .iter()
            .map(|claim| {
                let pixels = labels.values.iter().filter(|&&label| usize::from(label) == claim.class).count();
                let share = 100.0 * pixels as f64 / area;
                format!("{} (score {:.3}, {share:.0}% of the pixels)", classes.name(claim.class), claim.score)
            })
            .collect();
        let list = if found.is_empty() { "background only".to_owned() } else { found.join(", ") };
        println!("{}: {list}", image.display());
    }
    println!("→ {}", options.out.display());
    if let Some(path) = &options.trace {
        trace.save(path)?;
    }
    if let Some(path) = &options.timings {
        clock.seconds.insert("total", began.elapsed().as_secs_f64());
        let text = serde_json::to_string_pretty(&clock.seconds).map_err(|error| Failure::file(path, error))?;
        atomic::write(path, (text + "\n").as_bytes())?;
    }
    Ok(())
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Seconds per stage.
#[derive(Default)]
struct Clock {
    seconds: BTreeMap<&'static str, f64>,
}

impl Clock {
    fn time<R>(&mut self, stage: &'static str, work: impl FnOnce() -> R) -> R {
        let start = Instant::now();
        let result = work();
        *self.seconds.entry(stage).or_default() += start.elapsed().as_secs_f64();
        result
    }
}

/// A tap that keeps everything for a safetensors file: real values as f32, masks and labels as u8.
struct Trace {
    on: bool,
    prefix: String,
    tensors: Vec<checkpoint::Stored<'static>>,
}

impl Trace {
    fn new(on: bool) -> Self {
        Self { on, prefix: String::new(), tensors: vec![] }
    }

    fn save(&self, path: &Path) -> Outcome {
        Ok(checkpoint::write_stored(path, &self.tensors, &[])?)
    }
}

impl<T: Tensor> Tap<T> for Trace {
    fn see(&mut self, name: &str, value: &T) -> simseg_tensor::Result<()> {
        // Layer outputs are for parity reports; a trace holds the stages of the contract.
        let inner = ["image/embed", "image/tokens", "image/block/", "text/embed", "text/layer/"];
        let layer =
            inner.iter().any(|prefix| if prefix.ends_with('/') { name.starts_with(prefix) } else { name == *prefix });
        if self.on && !layer {
            let (shape, values) = (value.shape().to_vec(), value.to_f32()?);
            self.tensors.push(checkpoint::Stored::f32(format!("{}{name}", self.prefix), shape, values));
        }
        Ok(())
    }
    fn see_host(&mut self, name: &str, shape: &[usize], values: &[f32]) -> simseg_tensor::Result<()> {
        if self.on {
            let name = format!("{}{name}", self.prefix);
            self.tensors.push(checkpoint::Stored::f32(name, shape.to_vec(), values.to_vec()));
        }
        Ok(())
    }
    fn see_labels(&mut self, name: &str, shape: &[usize], values: &[u8]) -> simseg_tensor::Result<()> {
        if self.on {
            let name = format!("{}{name}", self.prefix);
            self.tensors.push(checkpoint::Stored::u8(name, shape.to_vec(), values.to_vec()));
        }
        Ok(())
    }
}
