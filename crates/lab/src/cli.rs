//! The command line: every command's options stand with the command; this file lists them and picks the backend.
//!
//! [`crate::backend`] knows which there are.

use crate::backend::on;
use crate::commands::{
    cache, calibrate, compare, convert, evaluate, explain, import, merge, parity, probe, recipe, retrieve, run, runs,
    scenes,
};
use crate::commands::{segment, verify};
use crate::failure::{Failure, Outcome};
use crate::ranks;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use simseg::{Extension, Registry};
use simseg_cpu::{CpuDevice, CpuTensor};
use std::ffi::OsString;
use std::process::ExitCode;

/// Text-supervised semantic segmentation: train by captions, segment by words.
///
/// Start with `simseg run experiments/quick.toml`, then open the report it names.
/// Exit status: 0 done, 1 a check failed, 2 bad input or usage, 3 the machine or the backend failed.
#[derive(Parser)]
#[command(name = "simseg", version, max_term_width = 100)]
struct Cli {
    /// Threads to use, at most 1024; 0 is one per core that this process may use. Results of the cpu backend do not depend on it.
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
    ///
    /// Beside the variants the table has rows to read them against: `nothing` (all background), `ceiling` (the best label per patch),
    /// and of the baseline's model `true-classes` (given, all of them drawn) and `best-subset` of these. The file's `rows = []`
    /// leaves them out. Experiments on several machines: docs/cluster.md.
    Run(run::Options),
    /// List experiments below a folder: rows, status, date, the best figure.
    Runs(runs::Options),
    /// Compare variants with one of them: figures and paired differences with 95% intervals.
    ///
    /// Differences are taken on the same images, from images.jsonl of each run. A p value is given only where an exact test over
    /// seeds can reach 5% (six seeds), after Holm's correction.
    Compare(compare::Options),
    /// Check that results follow from what every image added, and that expectations hold.
    ///
    /// Exit 1 with one line on the first figure, file or expectation that is not as recorded.
    Verify(verify::Options),
    /// Join output folders of one experiment that several machines made: other variants, other seeds.
    Merge(merge::Options),
    /// List trainings that are kept on disk, or remove them.
    ///
    /// A training is kept in trainings/ of its output folder under the hash of its settings, seeds and data: variants share it, and so
    /// do runs whose output folders lie side by side (simseg run --reuse takes those of other places). Nothing else is kept from one
    /// run to the next: features and class embeddings live in memory, for all variants of a training at once. Removing a training
    /// takes nothing from runs, whose folders have the model and the log under names of their own; a new variant is trained again.
    Cache(cache::Options),
    /// Segment images by words.
    ///
    /// Writes STEM.png, an indexed PNG of the image's own size whose pixel is the number of a class: its line in the class file,
    /// counted from 0 (the background); and STEM.overlay.png to look at.
    Segment(segment::Options),
    /// Take one image through every step on a page to read and teach from.
    Explain(explain::Options),
    /// Judge a model on a data set with label maps: mIoU with its 95% interval, per class, and what was mistaken for what.
    Evaluate(evaluate::Options),
    /// Find a threshold for each class on images whose classes are known; leaves a recipe for --recipe.
    ///
    /// Known from label maps (--dataset), or from captions that mention them (--captions, --scenes), for which nobody has to draw a
    /// label map.
    Calibrate(calibrate::Options),
    /// Rank captions for images and images for captions: R@1, R@5, R@10.
    Retrieve(retrieve::Options),
    /// Ask what a model relies on: captions with other objects and contexts, maps of patches, retrieval.
    ///
    /// On drawn scenes (--scenes N), or on pictures with captions of your own and lists of the words in them that name objects and
    /// contexts. Prints a table; --out leaves probes.json and a page with maps.
    Probe(probe::Options),
    /// Write the label maps of a data set that comes without: context (from trainval_merged.json) or coco-object.
    Convert(convert::Options),
    /// Turn a published checkpoint into a model directory; every tensor is accounted for.
    ///
    /// Reads SimSeg's released .pth (as data: nothing in it is ever executed) or the same in .safetensors, CLIP as OpenAI,
    /// open_clip or Hugging Face publish it, and a ViT of timm with a BERT of Hugging Face in --text, to start pretraining
    /// from. The architecture follows from shapes.
    Import(import::Options),
    /// Compare two backends: operations, layers, loss, gradients, an optimiser step and twenty training steps.
    ///
    /// Prints a table with the largest differences and their margins. On a divergence: exit 1, the first by name with its
    /// position and both values, and whether a kernel, a derivative rule or a formula is wrong.
    Parity(parity::Options),
    /// Print a recipe as TOML, with every switch.
    Recipe(recipe::Options),
    /// Draw the small world: images/, labels/, captions.csv, classes.txt.
    Scenes(scenes::Options),
}

/// The whole program with what an extension adds: a crate outside calls this from its own `main`.
pub fn main(extension: impl Extension) -> ExitCode {
    main_from(extension, std::env::args_os())
}

/// The same with these arguments, the first of which is the program's name.
pub fn main_from(extension: impl Extension, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    // A panic in there is caught and becomes an error of ours: one line is enough.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let file = panic.location().map_or("", |place| place.file());
        let inside = ["/tokenizers-", "/parquet-"].iter().any(|name| file.contains(name));
        if !inside {
            usual(panic);
        }
    }));
    let matches = command(&extension).get_matches_from(arguments);
    let outcome = match Cli::from_arg_matches(&matches) {
        Ok(cli) => instructions().and_then(|()| threads(cli.threads)).and_then(|()| dispatch(cli.command, &extension)),
        Err(error) => error.exit(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            crate::output::note!("simseg: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

/// The command line with what can be chosen by name in the help of the commands that read it.
fn command(extension: &impl Extension) -> clap::Command {
    let registry = Registry::<CpuTensor<f32>>::with(extension);
    Cli::command().mut_subcommand("run", |run| run.after_long_help(crate::commands::kinds::help(&registry)))
}

/// More threads than this are a mistake.
const MOST_THREADS: usize = 1024;

/// Whether the CPU backend can compute with what `SIMSEG_CPU` names.
fn instructions() -> Outcome {
    simseg_cpu::Path::checked().map(drop).map_err(|expected| Failure::input(simseg_cpu::PATH_VARIABLE, expected))
}

/// Makes the pool of this process.
fn threads(count: usize) -> Outcome {
    if count > MOST_THREADS {
        return Err(Failure::input("--threads", format!("from 0 (one per core) to {MOST_THREADS}, found {count}")));
    }
    // `available_parallelism` heeds what a container or `taskset` leaves to this process.
    let own = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(if count == 0 { own } else { count }).build_global();
    pool.map_err(|error| Failure::Machine(format!("--threads: {error}")))
}

fn dispatch(command: Command, extension: &impl Extension) -> Outcome {
    match command {
        Command::Run(options) => {
            let others = ranks::here()?;
            let ran = || -> Outcome {
                let backend = options.backend.open_for_training()?;
                on!(backend, |device| run::run::<D>(&options, extension, device, &others))
            };
            ranks::ended(ran(), &others)
        }
        Command::Segment(options) => {
            let backend = options.backend.open()?;
            on!(backend, |device| segment::segment::<T>(&options, extension, device))
        }
        Command::Explain(options) => {
            let backend = options.backend.open()?;
            on!(backend, |device| explain::explain::<T>(&options, extension, device))
        }
        Command::Evaluate(options) => {
            let backend = options.backend.open()?;
            on!(backend, |device| evaluate::evaluate::<T>(&options, extension, device).map(|_| ()))
        }
        Command::Calibrate(options) => {
            let backend = options.backend.open()?;
            on!(backend, |device| calibrate::calibrate::<T>(&options, extension, device).map(|_| ()))
        }
        Command::Retrieve(options) => {
            let backend = options.backend.open()?;
            on!(backend, |device| retrieve::retrieve::<T>(&options, extension, device).map(|_| ()))
        }
        Command::Probe(options) => {
            let backend = options.backend.open()?;
            on!(backend, |device| probe::probe::<T>(&options, extension, device))
        }
        // Figures come from observations alone: nothing is computed that depends on a backend.
        Command::Runs(options) => runs::runs(&options),
        Command::Compare(options) => compare::compare::<CpuTensor<f32>>(&options, extension),
        Command::Verify(options) => verify::verify::<CpuTensor<f32>>(&options, extension, &CpuDevice),
        Command::Merge(options) => merge::merge::<CpuTensor<f32>>(&options, extension),
        Command::Cache(options) => cache::cache(&options),
        Command::Convert(options) => convert::convert(&options),
        Command::Import(options) => import::import(&options),
        Command::Parity(options) => parity::compare(&options, extension),
        Command::Recipe(options) => recipe::recipe(&options, extension),
        Command::Scenes(options) => scenes::scenes(&options),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_its_help_lists_what_is_registered() {
        let mut command = command(&());
        command.clone().debug_assert();
        let run = command.find_subcommand_mut("run").unwrap();
        let help = run.render_long_help().to_string();
        for word in ["loda", "info-nce", "captions", "voc2012", "best-patch", "otsu", "pamr", "miou", "point_on_object"]
        {
            assert!(help.contains(word), "{word}");
        }
    }

    #[test]
    fn a_hundred_thousand_threads_are_refused_before_one_is_started() {
        let failure = threads(100_000).unwrap_err();
        assert_eq!((failure.code(), failure.to_string().contains("1024")), (2, true), "{failure}");
    }
}
