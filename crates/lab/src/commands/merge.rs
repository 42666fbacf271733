//! `simseg merge`: folders of several machines become one.

use super::verify::again;
use crate::failure::{Failure, Outcome};
use crate::output::{note, say};
use crate::results::drawn::Runs;
use crate::results::folder::of_run;
use crate::results::provenance::{self, Provenance};
use crate::results::{Results, Row, answers};
use clap::Args;
use simseg::{Extension, Registry};
use simseg_data::atomic;
use simseg_tensor::Tensor;
use std::path::{Path, PathBuf};

/// What the command line says.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Output folders of the same experiment: other variants, other seeds.
    #[arg(required = true, value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// The folder to make.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// A row and the folder that it comes from.
struct From<'a> {
    row: Row,
    folder: &'a Path,
}

/// Merges.
///
/// # Errors
/// Exit 2 for folders of different experiments, runs that contradict each other, or an output folder that is not empty.
pub fn merge<T: Tensor>(options: &Options, extension: &impl Extension) -> Outcome {
    let out = &options.out;
    if std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Failure::file(out, "is not empty; expected another --out"));
    }
    let (experiment, rows) = joined(&options.folders)?;
    settings_agree(&rows)?;
    provenance_differs(&rows).iter().for_each(|line| note!("note: {line}"));
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    atomic::folder(parent)?;
    // Made beside its place under a name that is swept if this is killed, and put there complete.
    let made = tempfile::Builder::new().prefix(&atomic::prefix()).suffix(".tmp").tempdir_in(parent);
    let made = made.map_err(Failure::io(parent))?;
    for From { row, folder } in &rows {
        let from = of_run(folder, &row.variant, row.seed);
        if from.is_dir() {
            copy(&from, &of_run(made.path(), &row.variant, row.seed))?;
        }
    }
    let results = Results { experiment, rows: rows.into_iter().map(|from| from.row).collect() };
    let registry = Registry::<T>::with(extension);
    let mut lines = vec![];
    for folder in &options.folders {
        let kept = answers::read(folder)?.unwrap_or_default();
        lines.extend(kept.into_iter().map(|answer| answer.expect));
    }
    if !lines.is_empty() {
        let runs = Runs::new(made.path(), &results, &registry);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        answers::save(made.path(), &again(&lines, &results, &runs)?)?;
    }
    let name = format!("{}\n", results.experiment);
    atomic::write(&made.path().join("experiment.txt"), name.as_bytes())?;
    results.save(made.path())?;
    open_to_all(made.path())?;
    let _ = std::fs::remove_dir(out);
    std::fs::rename(made.keep(), out).map_err(Failure::io(out))?;
    say!("{} rows of {} folders → {}", results.rows.len(), options.folders.len(), out.display());
    Ok(())
}

/// A temporary folder is private to its owner; the finished one is an ordinary folder.
fn open_to_all(folder: &Path) -> Outcome {
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder, mode).map_err(Failure::io(folder))?;
    }
    Ok(())
}

/// All rows, each once.
fn joined(folders: &[PathBuf]) -> Outcome<(String, Vec<From<'_>>)> {
    let (mut name, mut rows): (Option<String>, Vec<From<'_>>) = (None, vec![]);
    for folder in folders {
        let results = Results::read(folder)?;
        let expected = name.get_or_insert_with(|| results.experiment.clone());
        if *expected != results.experiment {
            let text = format!("is of experiment `{}`; expected `{expected}`", results.experiment);
            return Err(Failure::file(folder, text));
        }
        for row in results.rows {
            let same = |other: &&From<'_>| other.row.variant == row.variant && other.row.seed == row.seed;
            match rows.iter().find(same) {
                None => rows.push(From { row, folder }),
                Some(other) => {
                    if let Some(what) = contradiction(&row, &other.row) {
                        let (variant, seed, other) = (&row.variant, row.seed, other.folder.display());
                        let text = format!("{variant} seed {seed}: {what} is another than in {other}");
                        return Err(Failure::file(folder, text));
                    }
                }
            }
        }
    }
    rows.sort_by_key(|from| (from.row.seed, from.row.is_built_in()));
    Ok((name.unwrap_or_default(), rows))
}

/// What two rows of one run contradict each other in; times may differ.
fn contradiction(a: &Row, b: &Row) -> Option<String> {
    if a.status != b.status {
        return Some("status".into());
    }
    let figures = a.metrics.keys().chain(b.metrics.keys()).find(|key| a.metrics.get(*key) != b.metrics.get(*key));
    let axes = (a.axes != b.axes).then(|| "axes".to_owned()).or((a.of != b.of).then(|| "of".to_owned()));
    figures.cloned().or(axes).or((a.per_class != b.per_class).then(|| "per_class".to_owned()))
}

/// Runs of one variant must have been made with the same settings.
fn settings_agree(rows: &[From<'_>]) -> Outcome {
    let settings = |from: &From<'_>| {
        let path = of_run(from.folder, &from.row.variant, from.row.seed).join("config.toml");
        let text = std::fs::read_to_string(path).ok()?;
        // The first line is the seed.
        Some(text.split_once('\n').map_or_else(String::new, |(_, rest)| rest.to_owned()))
    };
    for (i, from) in rows.iter().enumerate() {
        let Some(earlier) = rows[..i].iter().find(|other| other.row.variant == from.row.variant) else { continue };
        if let Some((a, b)) = settings(from).zip(settings(earlier)).filter(|(a, b)| a != b) {
            let line = a.lines().zip(b.lines()).find(|(a, b)| a != b).map_or("", |(a, _)| a);
            let place = of_run(from.folder, &from.row.variant, from.row.seed).join("config.toml");
            let other = of_run(earlier.folder, &earlier.row.variant, earlier.row.seed);
            return Err(Failure::file(&place, format!("`{line}`: other settings than {}", other.display())));
        }
    }
    Ok(())
}

/// What could make the numbers of the machines differ, each line once.
fn provenance_differs(rows: &[From<'_>]) -> Vec<String> {
    let read = |from: &From<'_>| {
        let place = of_run(from.folder, &from.row.variant, from.row.seed);
        Provenance::read(&place.join(provenance::NAME)).ok()
    };
    let all: Vec<Provenance> = rows.iter().filter_map(read).collect();
    let first = all.first().into_iter();
    let mut lines: Vec<String> =
        first.flat_map(|first| all[1..].iter().flat_map(|other| first.differences(other))).collect();
    lines.sort();
    lines.dedup();
    lines
}

/// Copies a folder with all files below it; not through links.
fn copy(from: &Path, to: &Path) -> Outcome {
    std::fs::create_dir_all(to).map_err(Failure::io(to))?;
    for entry in std::fs::read_dir(from).map_err(Failure::io(from))? {
        let entry = entry.map_err(Failure::io(from))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(Failure::io(&path))?;
        if kind.is_dir() {
            copy(&path, &target)?;
        } else if kind.is_file() {
            std::fs::copy(&path, &target).map_err(Failure::io(&target))?;
        }
    }
    Ok(())
}
