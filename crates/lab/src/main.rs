//! The command line. With [`backend`] the only place that knows which backends exist.

mod arguments;
mod backend;

use arguments::{CacheArgs, GeluArg, SourceArgs};
use backend::{Against, BackendArgs, on};
use clap::{Parser, Subcommand};
use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_data::SceneConfig;
use simseg_lab::{
    Failure, Outcome, calibrate, convert, dataset, experiment::Experiment, explain, import, parity, retrieval, run,
    scenes, segment,
};
use simseg_tensor::Autodiff;
use simseg_testkit::mistake::{Mistake, NUDGES};
use simseg_testkit::{Faulty, NaiveTensor, plant};
use std::path::PathBuf;
use std::process::ExitCode;

/// Text-supervised semantic segmentation: train by captions, segment by words.
///
/// Start with `simseg run experiments/quick.toml`, then open the report it names.
/// Exit status: 0 done, 1 a check failed, 2 bad input or usage.
#[derive(Parser)]
#[command(name = "simseg", version, max_term_width = 100)]
struct Cli {
    /// Threads to use; 0 is one per core. Results of the cpu backend do not depend on it.
    #[arg(long, global = true, default_value_t = 0)]
    threads: usize,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train and evaluate every variant of an experiment, for one or more seeds.
    ///
    /// Leaves DIR/results.json, DIR/report.html and one folder per run with its resolved settings, metrics and model.
    Run {
        /// An experiment file, such as experiments/alignment.toml.
        experiment: PathBuf,
        /// Where results go [default: runs/NAME, or runs/NAME-2 … if that is taken].
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        #[command(flatten)]
        backend: BackendArgs,
        /// Runs seeds 0, 1, … N-1.
        #[arg(long, value_name = "N", default_value_t = 1)]
        seeds: u64,
        /// Go on where an earlier run in DIR stopped; finished runs are not repeated.
        #[arg(long)]
        resume: bool,
        /// Throw away an earlier run in DIR first.
        #[arg(long, conflicts_with = "resume")]
        fresh: bool,
        /// Change a setting of every variant, such as training.steps=100.
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
    },
    /// Segment images by words.
    ///
    /// Writes STEM.png, an indexed PNG of the image's own size whose pixel is the line number in the class file (line 0 is
    /// the background), and STEM.overlay.png to look at.
    Segment {
        /// A model directory, such as fixtures/tiny.
        #[arg(long, value_name = "DIR")]
        model: PathBuf,
        /// One class a line, the background first; `cat | kitten` gives a class several words.
        #[arg(long, value_name = "FILE")]
        classes: PathBuf,
        /// Images: PNG, JPEG, WebP or BMP.
        #[arg(required = true)]
        images: Vec<PathBuf>,
        /// Where label maps go.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// The complete configuration to start from: plain, official-code, paper, or a TOML file; auto is
        /// official-code for models that see 224 pixels and more, else plain.
        #[arg(long, default_value = "auto")]
        recipe: String,
        /// Change a switch of the recipe, such as map.upsample=nearest.
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
        #[command(flatten)]
        cache: CacheArgs,
        /// Write every intermediate tensor.
        #[arg(long, value_name = "FILE.safetensors")]
        trace: Option<PathBuf>,
        /// Write the seconds per stage.
        #[arg(long, value_name = "FILE.json")]
        timings: Option<PathBuf>,
        #[command(flatten)]
        backend: BackendArgs,
    },
    /// Take one image through every step on a page to read and teach from.
    Explain {
        /// A model directory.
        #[arg(long, value_name = "DIR")]
        model: PathBuf,
        /// One class a line, the background first.
        #[arg(long, value_name = "FILE")]
        classes: PathBuf,
        /// The image.
        image: PathBuf,
        /// Where the page goes.
        #[arg(long, value_name = "FILE.html")]
        out: PathBuf,
        /// plain, official-code, paper, or a TOML file; auto as for segment.
        #[arg(long, default_value = "auto")]
        recipe: String,
        /// Change a switch of the recipe.
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
        #[command(flatten)]
        cache: CacheArgs,
        #[command(flatten)]
        backend: BackendArgs,
    },
    /// Judge a model on a data set with label maps: mIoU with its 95% interval, per class, and what was mistaken for what.
    Evaluate {
        /// A model directory.
        #[arg(long, value_name = "DIR")]
        model: PathBuf,
        #[command(flatten)]
        source: SourceArgs,
        /// The data set's classes in other words: a class file of the same length and order.
        #[arg(long, value_name = "FILE")]
        classes: Option<PathBuf>,
        /// The complete configuration to start from: plain, official-code, paper, or a TOML file; auto is
        /// official-code for models that see 224 pixels and more, else plain.
        #[arg(long, default_value = "auto")]
        recipe: String,
        /// Change a switch of the recipe.
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
        #[command(flatten)]
        cache: CacheArgs,
        /// Where results go.
        #[arg(long, value_name = "FILE.json")]
        out: PathBuf,
        /// Go on where an earlier evaluation stopped.
        #[arg(long)]
        resume: bool,
        /// Give each image its true set of classes: what would remain wrong if choosing them were perfect.
        #[arg(long)]
        oracle: bool,
        #[command(flatten)]
        backend: BackendArgs,
    },
    /// Find a threshold for each class on images whose classes are known; leaves a recipe for --recipe.
    Calibrate {
        /// A model directory.
        #[arg(long, value_name = "DIR")]
        model: PathBuf,
        #[command(flatten)]
        source: SourceArgs,
        /// The recipe to start from: a name, or a TOML file.
        #[arg(long, default_value = "auto")]
        recipe: String,
        /// Change a switch of the recipe.
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
        #[command(flatten)]
        cache: CacheArgs,
        /// Use the first N images.
        #[arg(long, value_name = "N", default_value_t = 0)]
        images: usize,
        /// Where the new recipe goes.
        #[arg(long, value_name = "FILE.toml")]
        out: PathBuf,
        #[command(flatten)]
        backend: BackendArgs,
    },
    /// Rank captions for images and images for captions: R@1, R@5, R@10.
    Retrieve {
        /// A model directory.
        #[arg(long, value_name = "DIR")]
        model: PathBuf,
        /// A CSV file with the columns `image` and `caption`.
        #[arg(long, value_name = "FILE.csv")]
        captions: PathBuf,
        /// Where its images lie.
        #[arg(long, value_name = "DIR")]
        images: PathBuf,
        /// Where results go.
        #[arg(long, value_name = "FILE.json")]
        out: PathBuf,
        /// Images are squashed to a square of this side …
        #[arg(long, default_value_t = 324)]
        resize: usize,
        /// … of which the middle of this side is seen.
        #[arg(long, default_value_t = 288)]
        crop: usize,
        #[command(flatten)]
        backend: BackendArgs,
    },
    /// Write the label maps of a data set that comes without: context (from trainval_merged.json) or coco-object.
    Convert {
        /// context or coco-object.
        dataset: String,
        /// The folder VOC2010, or the one with COCO-Stuff's annotations.
        #[arg(long, value_name = "PATH")]
        root: PathBuf,
        /// PASCAL in Detail's annotations, if not ROOT/trainval_merged.json.
        #[arg(long, value_name = "FILE.json")]
        annotations: Option<PathBuf>,
    },
    /// Turn a published checkpoint into a model directory; every tensor is accounted for.
    ///
    /// Reads SimSeg's released .pth (as data: nothing in it is ever executed) or the same in .safetensors, CLIP as OpenAI,
    /// open_clip or Hugging Face publish it, and a ViT of timm with a BERT of Hugging Face in --text, to start pretraining
    /// from. The architecture follows from shapes.
    Import {
        /// A .pth or .safetensors file.
        checkpoint: PathBuf,
        /// vocab.txt, tokenizer.json, CLIP's bpe_simple_vocab_16e6.txt, or a folder with vocab.json and merges.txt.
        #[arg(long, value_name = "FILE")]
        vocab: PathBuf,
        /// Where the model directory goes.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// The text tower's checkpoint, if it lies in a file of its own.
        #[arg(long, value_name = "FILE")]
        text: Option<PathBuf>,
        /// Channels that towers without projections are projected to.
        #[arg(long, value_name = "N", default_value_t = 512)]
        projection: usize,
        /// Of starting values, for what the checkpoint does not hold.
        #[arg(long, value_name = "S", default_value_t = 0)]
        seed: u64,
        /// How features are pooled: loda, dense or holistic [default: loda; holistic for CLIP].
        #[arg(long)]
        aligner: Option<String>,
        /// CLIP's GELU, which weights do not tell: OpenAI's is quick, most of open_clip's exact.
        #[arg(long, value_enum, default_value_t = GeluArg::Quick)]
        gelu: GeluArg,
    },
    /// Compare two backends: operations, layers, loss, gradients, an optimiser step and twenty training steps.
    ///
    /// Prints a table with the largest differences and their margins. On a divergence: exit 1, the first by name with its
    /// position and both values, and whether a kernel, a derivative rule or a formula is wrong.
    Parity {
        /// What to hold the CPU backend against: naive (plain f64 loops), or tch in builds with libtorch.
        #[arg(long, default_value = "naive")]
        against: String,
        /// Where the other backend runs.
        #[arg(long, default_value = "cpu")]
        device: String,
        /// A model directory instead of a fresh small model.
        #[arg(long, value_name = "DIR")]
        model: Option<PathBuf>,
        /// Write the table as JSON.
        #[arg(long, value_name = "FILE.json")]
        json: Option<PathBuf>,
        /// Make one operation of the other backend slightly wrong, to see it found and named.
        #[arg(long, value_name = "OP")]
        inject: Option<String>,
    },
    /// Print a recipe as TOML, with every switch.
    Recipe {
        /// plain, official-code, paper, or a TOML file.
        #[arg(default_value = "plain")]
        name: String,
        /// Change a switch.
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
    },
    /// Draw the small world: images/, labels/, captions.csv, classes.txt.
    Scenes {
        /// Where they go.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// How many.
        #[arg(long, value_name = "N", default_value_t = 20)]
        count: u64,
        /// Which world.
        #[arg(long, value_name = "S", default_value_t = 0)]
        seed: u64,
        /// Probability that an object stands in its favourite context.
        #[arg(long, default_value_t = SceneConfig::default().bias)]
        bias: f64,
        /// Side of the images, in pixels.
        #[arg(long, default_value_t = SceneConfig::default().image_size)]
        size: usize,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match rayon::ThreadPoolBuilder::new().num_threads(cli.threads).build_global() {
        Ok(()) => {}
        Err(error) => return end(Err(Failure::input("--threads", error))),
    }
    end(dispatch(cli.command))
}

fn end(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("simseg: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

fn dispatch(command: Command) -> Outcome {
    match command {
        Command::Run { experiment, out, backend, seeds, resume, fresh, set } => {
            let place = backend.open_for_training()?;
            let experiment = Experiment::load(&experiment, &set)?;
            if seeds == 0 {
                return Err(Failure::input("--seeds", "at least 1"));
            }
            let options = run::Options { out, seeds, resume, fresh };
            on!(place, |device| run::run::<D>(&experiment, &options, device).map(|_| ()))
        }
        Command::Segment { model, classes, images, out, recipe, set, cache, trace, timings, backend } => {
            let place = backend.open()?;
            let cache = cache.choice();
            let options = segment::Options { model, classes, images, out, recipe, set, cache, trace, timings };
            on!(place, |device| segment::segment::<T>(&options, device))
        }
        Command::Explain { model, classes, image, out, recipe, set, cache, backend } => {
            let place = backend.open()?;
            let cache = cache.choice();
            let options = explain::Options { model, classes, image, out, recipe, set, cache };
            on!(place, |device| explain::explain::<T>(&options, device))
        }
        Command::Evaluate { model, source, classes, recipe, set, cache, out, resume, oracle, backend } => {
            let place = backend.open()?;
            let cache = cache.choice();
            let source = source.source();
            let options = dataset::Options { model, source, classes, recipe, set, cache, out, resume, oracle };
            on!(place, |device| dataset::evaluate::<T>(&options, device).map(|_| ()))
        }
        Command::Calibrate { model, source, recipe, set, cache, images, out, backend } => {
            let place = backend.open()?;
            let cache = cache.choice();
            let source = source.source();
            let options = calibrate::Options { model, source, recipe, set, cache, images, out };
            on!(place, |device| calibrate::calibrate::<T>(&options, device).map(|_| ()))
        }
        Command::Retrieve { model, captions, images, out, resize, crop, backend } => {
            let place = backend.open()?;
            let options = retrieval::Options { model, captions, images, out, resize, crop };
            on!(place, |device| retrieval::retrieve::<T>(&options, device).map(|_| ()))
        }
        Command::Convert { dataset, root, annotations } => convert::convert(&dataset, &root, annotations.as_deref()),
        Command::Import { checkpoint, vocab, out, text, projection, seed, aligner, gelu } => {
            let gelu = gelu.gelu();
            import::import(&import::Options { checkpoint, text, vocab, out, projection, seed, aligner, gelu })
        }
        Command::Parity { against, device, model, json, inject } => {
            if let Some(name) = inject {
                let Some(operation) = NUDGES.into_iter().find(|operation| *operation == name) else {
                    let expected = format!("expected one of {}, found `{name}`", NUDGES.join(", "));
                    return Err(Failure::input("--inject", expected));
                };
                plant(Some(Mistake::Nudge(operation)));
            }
            let named = format!("{against} on {device}");
            let options = |plain_loops| parity::Options { model, json, against: named, plain_loops };
            match Against::open(&against, &device)? {
                Against::Naive => {
                    type Naive = Faulty<NaiveTensor>;
                    parity::parity::<CpuTensor<f32>, Naive, Autodiff<Naive>>(&options(true), &CpuDevice, &(), &())
                }
                #[cfg(feature = "tch")]
                Against::Tch(device) => {
                    type Tch = Faulty<simseg_tch::TchTensor>;
                    parity::parity::<CpuTensor<f32>, Tch, Tch>(&options(false), &CpuDevice, &device, &device)
                }
                #[cfg(not(feature = "tch"))]
                Against::Tch(never) => match never {},
            }
        }
        Command::Recipe { name, set } => {
            let recipe = segment::recipe(&name, "", &set)?;
            let text = toml::to_string_pretty(&recipe).map_err(|error| Failure::input("recipe", error))?;
            print!("{text}");
            Ok(())
        }
        Command::Scenes { out, count, seed, bias, size } => {
            scenes::scenes(&out, count, seed, SceneConfig { bias, image_size: size, ..SceneConfig::default() })
        }
    }
}
