//! `simseg cache`: trainings on disk, which later runs take instead of training again.
//!
//! They are the one stage of a run that is kept between runs. Features and class embeddings are kept in memory only, for all variants of
//! a training while they are judged: on disk they would be larger than the model that makes them again.

use crate::failure::{Failure, Outcome};
use crate::output::{note, say};
use crate::results::folder::{self, lock};
use crate::results::trainings::{FOLDER, Finished, is_begun};
use clap::Args;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What the command line says.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Output folders of runs, or folders of these.
    #[arg(default_value = "runs", value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// Remove finished trainings on which no row of their output folder was judged. Run folders keep their models and logs.
    #[arg(long)]
    pub clear: bool,
    /// Remove all trainings, those that rows were judged on and those that --resume would go on with too.
    #[arg(long, requires = "clear")]
    pub all: bool,
    /// Only say what --clear would remove.
    #[arg(long, requires = "clear")]
    pub dry_run: bool,
}

/// A training on disk.
struct Kept {
    place: PathBuf,
    finished: Option<Finished>,
    /// Whether it would be gone on with.
    begun: bool,
    /// Rows that were judged on it.
    rows: Vec<String>,
    bytes: u64,
    /// Of them those that no other folder shares: what removing it gives back.
    own: u64,
}

impl Kept {
    /// Whether `--clear` takes it.
    fn goes(&self, all: bool) -> bool {
        all || (self.rows.is_empty() && !self.begun)
    }

    fn line(&self) -> String {
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        let state = match (&self.finished, self.begun) {
            (Some(finished), _) => match &finished.made {
                Some(made) => format!("made by {} ({} {})", short(&made.executable), made.backend, made.precision),
                None => "made by an unknown program".into(),
            },
            (None, true) => "not finished".into(),
            (None, false) => "damaged".into(),
        };
        let taken = self.finished.as_ref().and_then(|finished| finished.taken.as_ref());
        let taken = taken.map_or_else(String::new, |taken| format!(", taken from {}", taken.from));
        let rows = if self.rows.is_empty() { "no row".to_owned() } else { crate::failure::listed(&self.rows) };
        let (all, own) = (megabytes(self.bytes), megabytes(self.own));
        format!("{}  {all:.1} MB, {own:.1} of them its own; {state}{taken}; {rows}", self.place.display())
    }
}

fn short(executable: &str) -> &str {
    executable.get(..8).unwrap_or("several programs")
}

/// Lists trainings, or removes them.
///
/// # Errors
/// Exit 2 if a folder is not there, a file in it is damaged, another process works in it, or it cannot be changed.
pub fn cache(options: &Options) -> Outcome {
    let mut outs = BTreeSet::new();
    for folder in &options.folders {
        outs.extend(output_folders(folder)?);
    }
    let (mut count, mut all, mut freed, mut gone) = (0, 0, 0, 0);
    for out in outs {
        // What a process that runs there is about to read must not go.
        let _lock = if options.clear { lock(&out)? } else { None };
        for kept in trainings(&out)? {
            (count, all) = (count + 1, all + kept.bytes);
            let goes = options.clear && kept.goes(options.all);
            if !options.clear || goes {
                say!("{}", kept.line());
            }
            if goes {
                (gone, freed) = (gone + 1, freed + kept.own);
                if !options.dry_run {
                    remove(&kept.place)?;
                }
            }
        }
    }
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    match (options.clear, options.dry_run) {
        (false, _) => say!("{count} trainings, {:.1} MB", megabytes(all)),
        (true, true) => say!("would remove {gone} of {count} trainings: {:.1} MB", megabytes(freed)),
        (true, false) => say!("removed {gone} of {count} trainings: {:.1} MB", megabytes(freed)),
    }
    if options.clear && !options.all && gone == 0 && count > 0 {
        note!("rows were judged on all of them, or they are to be gone on with; --all removes these too");
    }
    Ok(())
}

/// The folder itself if it has trainings, or those in it that have.
fn output_folders(folder: &Path) -> Outcome<Vec<PathBuf>> {
    if folder.join(FOLDER).is_dir() {
        return Ok(vec![folder.to_owned()]);
    }
    let mut found = below(folder)?;
    found.retain(|inner| inner.join(FOLDER).is_dir());
    Ok(found)
}

/// Folders in a folder, by name.
fn below(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|error| Failure::file(folder, error))?;
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    found.sort();
    Ok(found)
}

/// All trainings of an output folder.
fn trainings(out: &Path) -> Outcome<Vec<Kept>> {
    let mut rows = BTreeMap::<String, Vec<String>>::new();
    for run in below(out)? {
        if let Some(row) = folder::row(&run)? {
            rows.entry(row.training.clone()).or_default().push(format!("{} seed {}", row.label(), row.seed));
        }
    }
    let one = |place: PathBuf| {
        let key = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (bytes, own) = size(&place)?;
        let (finished, begun) = (Finished::read(&place)?, is_begun(&place));
        Ok(Kept { finished, begun, rows: rows.get(&key).cloned().unwrap_or_default(), bytes, own, place })
    };
    below(&out.join(FOLDER))?.into_iter().map(one).collect()
}

/// Bytes of all files below a folder, and of those that have no second name elsewhere.
fn size(folder: &Path) -> Outcome<(u64, u64)> {
    let (mut bytes, mut own) = (0, 0);
    for entry in std::fs::read_dir(folder).map_err(Failure::io(folder))?.flatten() {
        let Ok(file) = entry.metadata() else { continue };
        let (b, o) = match file.is_dir() {
            true => size(&entry.path())?,
            false if names(&file) > 1 => (file.len(), 0),
            false => (file.len(), file.len()),
        };
        (bytes, own) = (bytes + b, own + o);
    }
    Ok((bytes, own))
}

/// How many names a file has, as far as the system says.
fn names(file: &std::fs::Metadata) -> u64 {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::nlink(file);
    #[cfg(not(unix))]
    return u64::from(file.is_file());
}

/// Removes a training: first what says that it is finished, so that a kill leaves no half of one.
fn remove(training: &Path) -> Outcome {
    crate::results::trainings::forget(training);
    std::fs::remove_dir_all(training).map_err(Failure::io(training))
}
