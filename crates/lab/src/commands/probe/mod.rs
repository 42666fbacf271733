//! `simseg probe`: what does a model rely on? Word swap, attention and retrieval ([`crate::probes`]) on drawn scenes, or on pictures and
//! captions of one's own.
//!
//! Captions are scored and maps computed as training compares them (the plain recipe at the size that the model was trained at), so
//! that figures are those of `[probes]` in an experiment file.

mod page;

use super::shared::ExifArg;
use crate::backend::BackendArgs;
use crate::failure::{Failure, Outcome};
use crate::probes::examples::Examples;
use crate::probes::{Answer, Probe, Seen, settings};
use crate::results::save_json;
use clap::{Args, ValueEnum};
use serde::Serialize;
use simseg::{Choice, Extension, Loaded, Model, Recipe, Registry};
use simseg_data::{NamedWords, atomic};
use simseg_tensor::Tensor;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// What the command line says.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = HELP)]
pub struct Options {
    /// A model directory, such as fixtures/tiny.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Ask about this many drawn scenes, whose objects and contexts are known.
    #[arg(long, value_name = "N", required_unless_present = "captions", conflicts_with_all = ["captions", "images"])]
    pub scenes: Option<usize>,
    /// Probability that an object of a scene stands in its favourite context.
    #[arg(long, default_value_t = 0.0, conflicts_with = "captions")]
    pub bias: f64,
    /// Ask about captions of your own: a CSV or TSV file with the columns `image` and `caption`, or as Flickr8k is published.
    #[arg(long, value_name = "FILE.csv", requires = "images")]
    pub captions: Option<PathBuf>,
    /// Where its images lie.
    #[arg(long, value_name = "DIR", requires = "captions")]
    pub images: Option<PathBuf>,
    /// Words of captions that name objects: with commas between them, or a file with one a line.
    #[arg(long, value_name = "WORDS|FILE")]
    pub objects: Option<String>,
    /// Words of captions that name contexts, likewise.
    #[arg(long, value_name = "WORDS|FILE")]
    pub contexts: Option<String>,
    /// The first so many images of a caption file.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub limit: usize,
    /// Which probes, with commas between them; all that the data allow unless told otherwise.
    #[arg(long, value_name = "PROBE", value_delimiter = ',')]
    pub what: Vec<What>,
    /// Other words that stand for each word of a caption, at most.
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub swaps: usize,
    /// Which scenes are drawn, and which words stand for others.
    #[arg(long, value_name = "S", default_value_t = settings::SEED)]
    pub seed: u64,
    /// What becomes of a camera's note how it was held.
    #[arg(long, value_enum, default_value_t)]
    pub exif: ExifArg,
    /// Leave probes.json and probes.html (maps of the first pictures) in this folder.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Pictures on the page.
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub pictures: usize,
    /// What computes.
    #[command(flatten)]
    pub backend: BackendArgs,
}

const HELP: &str = "\
How to read it:
  word-swap   A caption that names an object and a context is scored against its image; then with another object's
              word, then with another context's. A model that goes by context hardly notices the first (drop near 0,
              ratio near 0); one that goes by objects drops for both.
  attention   s(I2I): how much each patch agrees with the pooled image; s(T2I): with a class. The share of a map's mass
              that lies on the object says something only beside the object's share of the area.
              `score from object`: the part of a class's score that the object's own patches carry.
  retrieval   R@k: images whose caption is among the k best of all captions, and captions whose image is.

Examples:
  simseg probe --model fixtures/tiny --scenes 100 --out /tmp/probed
  simseg probe --model DIR --captions captions.csv --images photos --objects dog,cat,horse --contexts beach,snow,street";

/// A probe by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// The score of a caption that names another object, or another context.
    WordSwap,
    /// Where patches agree with the image and with its classes.
    Attention,
    /// Recall of captions and images.
    Retrieval,
}

impl From<What> for Probe {
    fn from(what: What) -> Self {
        match what {
            What::WordSwap => Self::WordSwap,
            What::Attention => Self::Attention,
            What::Retrieval => Self::Retrieval,
        }
    }
}

/// `probes.json`.
#[derive(Serialize)]
struct Report {
    model: String,
    data: String,
    images: usize,
    captions: usize,
    seed: u64,
    /// Images of each probe, and its figures by name.
    probes: BTreeMap<&'static str, Answered>,
}

#[derive(Serialize)]
struct Answered {
    images: usize,
    figures: BTreeMap<String, f64>,
}

/// Words with commas between them, or a file with one a line; none may be empty or occur twice.
fn words(option: &str, given: Option<&String>) -> Outcome<Vec<String>> {
    let Some(given) = given else { return Ok(vec![]) };
    let path = std::path::Path::new(given);
    let words: Vec<String> = if path.is_file() {
        let text = simseg::settings::read_text(path)?;
        text.lines().map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    } else {
        given.split(',').map(|word| word.trim().to_owned()).collect()
    };
    if words.len() < 2 || words.iter().any(String::is_empty) {
        let text = format!("expected two words or more, with commas between them, or a file of them; found `{given}`");
        return Err(Failure::input(option, text));
    }
    let twice = words.iter().enumerate().find(|(i, word)| words[..*i].iter().any(|w| w.eq_ignore_ascii_case(word)));
    match twice {
        Some((_, word)) => Err(Failure::input(option, format!("`{word}` occurs twice"))),
        None => Ok(words),
    }
}

/// Reads what is asked about, and which probes that allows.
fn examples<T: Tensor>(options: &Options, registry: &Registry<T>) -> Outcome<(Examples, Vec<Probe>, String)> {
    let lists = [("--objects", &options.objects), ("--contexts", &options.contexts)];
    let [objects, contexts] = lists.map(|(option, given)| words(option, given.as_ref()));
    let (objects, contexts) = (objects?, contexts?);
    for (option, count) in [("--swaps", options.swaps), ("--limit", options.limit)] {
        if count == 0 {
            return Err(Failure::input(option, "at least 1"));
        }
    }
    let own = !objects.is_empty() || !contexts.is_empty();
    let (source, most, text) = match (&options.captions, &options.images) {
        (Some(file), Some(images)) => {
            let source = Choice::new("captions").with("file", file).with("images", images);
            let source = source.with("exif", simseg_data::Exif::from(options.exif));
            (source, options.limit, file.display().to_string())
        }
        _ => {
            let count = options.scenes.unwrap_or(0);
            let source = Choice::new("scenes").with("count", count).with("bias", options.bias);
            (source, count, format!("{count} drawn scenes"))
        }
    };
    let mut asked: Vec<Probe> = options.what.iter().map(|&what| what.into()).collect();
    if asked.is_empty() {
        // All that there is something to ask of.
        let drawn = options.captions.is_none();
        let possible = |probe: &Probe| match probe {
            Probe::WordSwap => drawn || own,
            Probe::Attention => drawn,
            Probe::Retrieval => true,
        };
        asked = Probe::ALL.into_iter().filter(possible).collect();
        if !drawn && !own {
            crate::output::note!("note: no word-swap without --objects or --contexts");
        }
    }
    let words = own.then_some(NamedWords { objects, contexts });
    let examples = Examples::open(&registry.data, &source, (most, options.seed), words, &asked)?;
    Ok((examples, asked, text))
}

/// Asks.
///
/// # Errors
/// Exit 2 for bad input: a model that lacks a tower, captions without the words, data without what a probe needs.
pub fn probe<T: Tensor>(options: &Options, extension: &impl Extension, device: &T::Device) -> Outcome {
    let registry = Arc::new(Registry::<T>::with(extension));
    let loaded = Loaded::read_rounded(&options.model, options.backend.rounded(), &registry, device)?;
    let (examples, asked, data) = examples(options, &registry)?;
    let mut recipe = Recipe::plain();
    recipe.prompts.max_tokens = loaded.description.network(&registry)?.positions();
    let model = Model::assemble(loaded, Some(recipe), registry, device)?;
    let seen = Seen::new(&model, &examples)?;
    let ask = |&probe| seen.ask(probe, options.swaps, options.seed);
    let answers = asked.iter().map(ask).collect::<Outcome<Vec<Answer>>>()?;
    crate::output::print(format_args!("{}", table(&answers)));
    let Some(out) = &options.out else { return Ok(()) };
    atomic::folder(out)?;
    let page = page::render(options, &seen, &asked, &answers, &data)?;
    let report = Report {
        model: options.model.display().to_string(),
        data,
        images: examples.images.len(),
        captions: examples.captions.len(),
        seed: options.seed,
        probes: answers
            .into_iter()
            .map(|Answer { probe, images, figures }| (probe.name(), Answered { images, figures }))
            .collect(),
    };
    save_json(&out.join("probes.json"), &report)?;
    atomic::write(&out.join("probes.html"), page.as_bytes())?;
    crate::output::say!("\n{}\n{}", out.join("probes.html").display(), out.join("probes.json").display());
    Ok(())
}

/// One line per figure, under the name of its probe.
fn table(answers: &[Answer]) -> String {
    let mut text = String::new();
    for Answer { probe, images, figures } in answers {
        text +=
            &format!("{} ({images} {})\n", probe.name(), if *probe == Probe::WordSwap { "captions" } else { "images" });
        for figure in probe.figures() {
            let value = figures.get(figure.name).map_or("–".to_owned(), |value| format!("{value:.3}"));
            text += &format!("  {:<30} {value:>7}   {}\n", figure.heading, figure.name);
        }
    }
    text
}
