//! `simseg runs`: what lies below a folder.

use crate::failure::{Failure, Outcome};
use crate::report::table::sheet::{Cell, Column, Format, Sheet};
use crate::results::{Results, Row, Status, answers, export, provenance};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// What the command line says.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Where to look.
    #[arg(default_value = "runs", value_name = "DIR")]
    pub folder: PathBuf,
    /// Count only rows of which this is so: experiment, variant, seed, status (done, failed) or an axis, such as variant=loda.
    #[arg(long = "where", value_name = "KEY=VALUE")]
    pub conditions: Vec<String>,
    /// By which figure a row is best: the highest.
    #[arg(long, value_name = "NAME", default_value = "miou")]
    pub figure: String,
    /// How the table is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Also keep the rows of the one experiment that is found as CSV, as experiments/results/ has them.
    #[arg(long, value_name = "FILE.csv")]
    pub export: Option<PathBuf>,
}

/// Folders below a folder are looked through this deep.
const DEEPEST: usize = 8;

/// Lists experiments.
///
/// # Errors
/// Exit 2 if the folder is not there, a condition is none, or a results.json is damaged.
pub fn runs(options: &Options) -> Outcome {
    let conditions = options.conditions.iter().map(|text| {
        let form = || Failure::input("--where", format!("expected KEY=VALUE, found `{text}`"));
        text.split_once('=').ok_or_else(form)
    });
    let conditions = conditions.collect::<Outcome<Vec<_>>>()?;
    let mut folders = vec![];
    find(&options.folder, 0, &mut folders)?;
    let mut found = vec![];
    for folder in folders {
        let mut results = Results::read(&folder)?;
        let experiment = results.experiment.clone();
        results.rows.retain(|row| conditions.iter().all(|(key, value)| is_so(&experiment, row, key, value)));
        if conditions.is_empty() || !results.rows.is_empty() {
            found.push((folder, results));
        }
    }
    if let Some(path) = &options.export {
        let [(folder, results)] = &found[..] else {
            return Err(Failure::input("--export", format!("expected one experiment, found {}", found.len())));
        };
        keep(path, folder, results, conditions.is_empty())?;
    }
    let names = ["folder", "experiment", "rows", "status", "date", "best"];
    let columns = names.map(|name| Column::new(name, name)).to_vec();
    let rows = found.iter().map(|(folder, results)| line(folder, results, &options.figure)).collect();
    let many = if found.len() == 1 { "experiment" } else { "experiments" };
    let caption = format!("{} {many}; best: the highest {}", found.len(), options.figure);
    crate::output::print(format_args!(
        "{}",
        Sheet { caption, columns, fixed: 1, rows, beside: 0 }.write(options.format)?
    ));
    Ok(())
}

/// Folders with a `results.json`, by name; those inside of one are its runs'.
fn find(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Outcome {
    if folder.join("results.json").is_file() {
        found.push(folder.to_owned());
        return Ok(());
    }
    let entries = std::fs::read_dir(folder).map_err(Failure::io(folder))?;
    let mut inside: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    inside.sort();
    let hidden = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    // Not through links, which may lead around in a circle.
    let plain = |path: &&PathBuf| !hidden(path) && path.is_dir() && !path.is_symlink();
    inside.iter().filter(plain).filter(|_| depth < DEEPEST).try_for_each(|path| find(path, depth + 1, found))
}

/// Whether a condition is true of a row; of an axis that it does not have, none is.
fn is_so(experiment: &str, row: &Row, key: &str, value: &str) -> bool {
    match key {
        "experiment" => experiment == value,
        "variant" => row.variant == value,
        "seed" => row.seed.to_string() == value,
        "status" => value == if row.status == Status::Done { "done" } else { "failed" },
        axis => {
            row.axes.get(axis).is_some_and(|own| own.as_str().map_or_else(|| own.to_string(), str::to_owned) == value)
        }
    }
}

fn line(folder: &Path, results: &Results, figure: &str) -> Vec<Cell> {
    let failed = results.rows.iter().filter(|row| row.status != Status::Done).count();
    let done = results.rows.len() - failed;
    let status = if failed == 0 { format!("{done} done") } else { format!("{done} done, {failed} failed") };
    let of = |row: &Row| row.metrics.get(figure).copied();
    // What no model did is not the best of them.
    let best = results.rows.iter().filter(|row| of(row).is_some() && !row.is_built_in());
    let best = best.max_by(|a, b| of(a).unwrap_or(0.0).total_cmp(&of(b).unwrap_or(0.0)));
    let best = best.map_or(Cell::Nothing, |row| {
        Cell::Text(format!("{:.3} {} seed {}", of(row).unwrap_or(0.0), row.variant, row.seed))
    });
    let changed = std::fs::metadata(folder.join("results.json")).and_then(|about| about.modified());
    let date = changed.ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    vec![
        Cell::Text(folder.display().to_string()),
        Cell::Text(results.experiment.clone()),
        Cell::plain(results.rows.len() as f64, 0),
        Cell::Text(status),
        date.map_or(Cell::Nothing, |date| Cell::Text(provenance::rfc3339(date.as_secs()))),
        best,
    ]
}

/// Writes the rows as CSV with the answers that were recorded of them, with the revision and the command of the first run that says them.
fn keep(path: &Path, folder: &Path, results: &Results, whole: bool) -> Outcome {
    let read = |row: &Row| {
        let place = crate::results::folder::of_run(folder, &row.variant, row.seed);
        provenance::Provenance::read(&place.join(provenance::NAME)).ok()
    };
    let made = results.rows.iter().find_map(read);
    let (revision, command) = match made {
        Some(made) => {
            let changed = if made.dirty == Some(true) { " with changes" } else { "" };
            (format!("{}{changed}", made.revision), made.command.join(" "))
        }
        None => ("unknown".to_owned(), "unknown".to_owned()),
    };
    let mut text = export::csv(results, &revision, &command);
    // Answers are about all rows.
    if let Some(answers) = answers::read(folder)?.filter(|_| whole) {
        text += &export::answer_lines(&answers)?;
    }
    Ok(simseg_data::atomic::write(path, text.as_bytes())?)
}
