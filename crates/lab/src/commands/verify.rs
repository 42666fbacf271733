//! `simseg verify`: do the figures follow from what every image added, and do the expectations hold that are said to?
//!
//! | given | what must be so |
//! |---|---|
//! | an output folder | every figure, interval and class of `results.json` follows from `images.jsonl` (to 1e-12), every `result.json` is its row, no file is gone or changed, recorded expectations have the answers recorded |
//! | an experiment file | its output folder, if there is one; `results/NAME.csv` beside it parses, and its expectations hold on it |
//! | a CSV file | its columns parse; the expectations of `../NAME.toml` hold on it, those with `@95%` as the run recorded them |

mod rerun;

use crate::experiment::Experiment;
use crate::experiment::expect::Expectation;
use crate::failure::{Failure, Outcome};
use crate::output::{note, say};
use crate::results::answers::{self, answers_to};
use crate::results::drawn::Runs;
use crate::results::provenance::{self, Provenance};
use crate::results::{Results, Row, Status, export, images};
use clap::Args;
use simseg::{Extension, Registry};
use simseg_tensor::Tensor;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the command line says.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Output folders of `simseg run`, experiment files, or CSV files of experiments/results/.
    #[arg(required = true, value_name = "DIR|EXPERIMENT.toml|FILE.csv")]
    pub paths: Vec<PathBuf>,
    /// Also judge N rows of every output folder again, from their stored models: evenly chosen, in the order of results.json.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub rerun: usize,
}

/// Numbers that are as close are the same: text and back may cost the last bit.
const CLOSE: f64 = 1e-12;

/// Verifies.
///
/// # Errors
/// Exit 1 with the first thing that is not so and how many more there are; exit 2 if there is nothing to verify.
pub fn verify<T: Tensor>(options: &Options, extension: &impl Extension, device: &T::Device) -> Outcome {
    let registry = Arc::new(Registry::<T>::with(extension));
    for path in &options.paths {
        let mut problems = match path.extension().and_then(|end| end.to_str()) {
            _ if path.is_dir() => of_folder(path, &registry)?,
            Some("csv") => of_csv(path, None, &registry)?,
            Some("toml") => of_experiment(path, &registry)?,
            _ => return Err(Failure::file(path, "expected an output folder, an experiment file or a CSV file")),
        };
        if options.rerun > 0 && problems.is_empty() {
            if !path.is_dir() {
                return Err(Failure::input("--rerun", format!("expected an output folder, found {}", path.display())));
            }
            let results = Results::read(path)?;
            let runs = Runs::new(path, &results, &registry);
            problems.extend(rerun::rerun(options.rerun, &results, &runs, &registry, device)?);
        }
        if let Some((first, rest)) = problems.split_first() {
            let more = if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
            return Err(Failure::Check(format!("{first}{more}")));
        }
        say!("✓ {}", path.display());
    }
    Ok(())
}

/// What is wrong, one line each.
type Problems = Vec<String>;

fn of_experiment<T: Tensor>(path: &Path, registry: &Registry<T>) -> Outcome<Problems> {
    let experiment = Experiment::load(path, &[], registry)?;
    let csv = path.parent().unwrap_or(Path::new("")).join("results").join(format!("{}.csv", experiment.name));
    let out = experiment.default_folder();
    let mut problems = vec![];
    if out.is_dir() {
        problems.extend(of_folder(&out, registry)?);
    }
    if csv.is_file() {
        problems.extend(of_csv(&csv, Some(&experiment), registry)?);
    } else if !out.is_dir() {
        return Err(Failure::file(path, format!("has neither {} nor {}", csv.display(), out.display())));
    }
    Ok(problems)
}

fn of_csv<T: Tensor>(path: &Path, experiment: Option<&Experiment>, registry: &Registry<T>) -> Outcome<Problems> {
    let results = match export::read(path) {
        Ok(results) => results,
        Err(failure) => return Ok(vec![failure.to_string()]),
    };
    let read;
    let experiment = match experiment {
        Some(experiment) => experiment,
        None => {
            let folder = path.parent().and_then(Path::parent).unwrap_or(Path::new(""));
            read = Experiment::load(
                &folder.join(path.file_stem().unwrap_or_default()).with_extension("toml"),
                &[],
                registry,
            )?;
            &read
        }
    };
    if results.experiment != experiment.name {
        let text = format!("line 1: expected experiment {}, found {}", experiment.name, results.experiment);
        return Ok(vec![format!("{}: {text}", path.display())]);
    }
    let (sure, plain): (Vec<Expectation>, _) = experiment.expect.iter().cloned().partition(Expectation::is_sure);
    // What is about an interval cannot follow from rows: the answer that the run recorded is held to its own interval.
    let (kept, mut broken) = (export::answers(path)?, answers_to(&plain, &results, None));
    for expectation in &sure {
        let Some(answer) = kept.iter().find(|answer| answer.expect == expectation.to_string()) else {
            note!("note: {expectation}: no answer is recorded, and images.jsonl is not at hand");
            continue;
        };
        if let Err(why) = expectation.fits(answer.holds, &answer.text) {
            return Ok(vec![format!("{}: {expectation}: {why}", path.display())]);
        }
        note!("recorded: {} {}", if answer.holds { '✓' } else { '✗' }, answer.text);
        broken.push(answer.clone());
    }
    let broken = broken.into_iter().filter(|answer| !answer.holds);
    Ok(broken.map(|answer| format!("{}: expected, but not so: {}", path.display(), answer.text)).collect())
}

fn of_folder<T: Tensor>(out: &Path, registry: &Registry<T>) -> Outcome<Problems> {
    let results = match Results::read(out) {
        Ok(results) => results,
        Err(failure) => return Ok(vec![failure.to_string()]),
    };
    let runs = Runs::new(out, &results, registry);
    let mut problems = vec![];
    let mut seen = BTreeSet::new();
    for row in &results.rows {
        let place = runs.folder(&row.variant, row.seed);
        if !seen.insert(place.clone()) {
            problems.push(format!(
                "{}: {} seed {}: two rows",
                out.join("results.json").display(),
                row.variant,
                row.seed
            ));
        }
        if row.status == Status::Done {
            let of = of_run(&place, row, &runs);
            problems.extend(of.unwrap_or_else(|failure| vec![failure.to_string()]));
        }
    }
    let entries = std::fs::read_dir(out).map_err(Failure::io(out))?;
    let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    for place in folders.iter().filter(|place| place.join("result.json").exists() && !seen.contains(*place)) {
        problems.push(format!("{}: no row of it in results.json", place.display()));
    }
    problems.extend(recorded(out, &results, &runs).unwrap_or_else(|failure| vec![failure.to_string()]));
    Ok(problems)
}

/// A run's files against its row.
fn of_run<T: Tensor>(place: &Path, row: &Row, runs: &Runs<'_, T>) -> Outcome<Problems> {
    let mut problems = vec![];
    let path = place.join("result.json");
    let text = simseg::settings::read_text(&path)?;
    let own: Row = serde_json::from_str(&text).map_err(|error| Failure::file(&path, error))?;
    if let Some(what) = unlike(&own, row) {
        problems.push(format!("{}: {what} is not that of results.json", path.display()));
    }
    let config = place.join("config.toml");
    if !config.is_file() {
        problems.push(format!("{}: no such file", config.display()));
    }
    let made = Provenance::read(&place.join(provenance::NAME))?;
    problems
        .extend(made.changed(place).iter().map(|name| format!("{}: is gone or changed", place.join(name).display())));
    let path = place.join(images::NAME);
    let run = runs.get(&row.variant, row.seed)?;
    let mut compare = |what: &str, said: Option<f64>, follows: Option<f64>| {
        let same = match (said, follows) {
            (Some(a), Some(b)) => (a - b).abs() <= CLOSE,
            (a, b) => a.is_none() && b.is_none(),
        };
        if !same {
            let text = |value: Option<f64>| value.map_or("nothing".to_owned(), |value| value.to_string());
            let (said, follows) = (text(said), text(follows));
            problems.push(format!("{}: {what} is {follows}, but {said} in results.json", path.display()));
        }
    };
    let judged = &run.judged;
    for key in judged.metrics.keys().chain(row.metrics.keys()).collect::<BTreeSet<_>>() {
        compare(key, row.metrics.get(key).copied(), judged.metrics.get(key).copied());
    }
    if !row.per_class.is_empty() {
        for class in judged.per_class.keys().chain(row.per_class.keys()).collect::<BTreeSet<_>>() {
            let of = |all: &std::collections::BTreeMap<String, Option<f64>>| all.get(class).copied().flatten();
            compare(&format!("class {class}"), of(&row.per_class), of(&judged.per_class));
        }
    }
    if !row.intervals.is_empty() {
        let follows = judged.intervals();
        for key in follows.keys().chain(row.intervals.keys()).collect::<BTreeSet<_>>() {
            let (said, follows) = (row.intervals.get(key), follows.get(key));
            compare(&format!("{key}: lower end"), said.map(|i| i.0), follows.map(|i| i.0));
            compare(&format!("{key}: upper end"), said.map(|i| i.1), follows.map(|i| i.1));
        }
    }
    Ok(problems)
}

/// The first part in which two rows differ.
fn unlike(a: &Row, b: &Row) -> Option<String> {
    let figures = a.metrics.keys().chain(b.metrics.keys()).find(|key| a.metrics.get(*key) != b.metrics.get(*key));
    let mut classes = a.per_class.keys().chain(b.per_class.keys());
    let classes = classes.find(|class| a.per_class.get(*class) != b.per_class.get(*class));
    if let Some(figure) = figures.cloned().or(classes.map(|class| format!("class {class}"))) {
        return Some(figure);
    }
    let parts = [
        ("variant", a.variant == b.variant),
        ("seed", a.seed == b.seed),
        ("of", a.of == b.of),
        ("axes", a.axes == b.axes),
        ("status", a.status == b.status),
        ("intervals", a.intervals == b.intervals),
        ("train_images_per_second", a.train_images_per_second == b.train_images_per_second),
        ("seconds", a.seconds == b.seconds),
    ];
    parts.into_iter().find(|(_, same)| !same).map(|(part, _)| part.to_owned())
}

/// The expectations that a run recorded: the same answers again.
fn recorded<T: Tensor>(out: &Path, results: &Results, runs: &Runs<'_, T>) -> Outcome<Problems> {
    let path = out.join(answers::NAME);
    let Some(kept) = answers::read(out)? else {
        note!("note: no {}: expectations are not checked", path.display());
        return Ok(vec![]);
    };
    let again = again(&kept.iter().map(|answer| answer.expect.as_str()).collect::<Vec<_>>(), results, runs);
    let again = again.map_err(|failure| failure.within(format!("{}: ", path.display())))?;
    if kept.len() != again.len() {
        return Ok(vec![format!("{}: expected {} answers, found {}", path.display(), again.len(), kept.len())]);
    }
    let wrong = kept.iter().zip(&again).filter(|(kept, again)| kept != again);
    let line = |(kept, again): (&answers::Answer, &answers::Answer)| {
        let holds = |answer: &answers::Answer| if answer.holds { "holds" } else { "does not hold" };
        format!("{}: `{}` {}, but {}: {}", path.display(), kept.text, holds(kept), holds(again), again.text)
    };
    Ok(wrong.map(line).collect())
}

/// The answers to lines, each asked once, on these results.
///
/// # Errors
/// If a line is no expectation about them.
pub fn again<T: Tensor>(lines: &[&str], results: &Results, runs: &Runs<'_, T>) -> Outcome<Vec<answers::Answer>> {
    let figures = |variant: &str| {
        let own = results.rows.iter().filter(|row| row.variant == variant);
        own.flat_map(|row| row.metrics.keys().cloned()).collect::<BTreeSet<_>>().into_iter().collect()
    };
    let known: Vec<(String, Vec<String>)> =
        results.variants().into_iter().map(|variant| (variant.to_owned(), figures(variant))).collect();
    let mut seen = BTreeSet::new();
    let once = lines.iter().filter(|line| seen.insert(**line));
    let expect = once.map(|line| Expectation::parse(line, &known)).collect::<Outcome<Vec<_>>>()?;
    Ok(answers_to(&expect, results, Some(runs)))
}
