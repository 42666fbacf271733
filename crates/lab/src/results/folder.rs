//! The folder of an experiment and those of its runs.
//!
//! One folder per training, `DIR/trainings/<hash>/`, with `config.toml`, `metrics.jsonl`, `probes.jsonl` if it was asked anything,
//! `state.safetensors` (to resume) and, once it is finished, `model/` and `training.json`; and one per run, `DIR/<variant>-seed<k>/`, with `config.toml` (resolved), the log and
//! model of its training (one file under two names where the file system can), `pictures/`, `recipe.toml` if its thresholds were learned from captions and, once it is finished,
//! `result.json`: a run that has one is not repeated.

use super::Row;
use crate::experiment::{Experiment, Settings};
use crate::failure::{Failure, Outcome};
use simseg_data::atomic;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// What happens to an earlier run in the same folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// It is kept: this one goes elsewhere, or nowhere.
    Keep,
    /// This one goes on with it.
    Resume,
    /// It is thrown away.
    Clear,
}

/// The folder of one run.
pub fn of_run(out: &Path, variant: &str, seed: u64) -> PathBuf {
    out.join(format!("{variant}-seed{seed}"))
}

/// The output folder, which no other process works in meanwhile.
#[derive(Debug)]
pub struct Place {
    /// Where it is.
    pub path: PathBuf,
    /// Held as long as this lives, where the system locks folders (Windows does not).
    _lock: Option<std::fs::File>,
}

/// Takes a folder for this process alone, as long as what is returned lives.
///
/// # Errors
/// If another process works in it.
pub fn lock(path: &Path) -> Outcome<Option<std::fs::File>> {
    let Ok(folder) = std::fs::File::open(path) else { return Ok(None) };
    match folder.try_lock() {
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(Failure::file(path, "another process works in it; expected a folder of one's own"))
        }
        // A file system without locks: nobody else can have one.
        Err(std::fs::TryLockError::Error(_)) => Ok(None),
        Ok(()) => Ok(Some(folder)),
    }
}

/// Decides on the output folder and makes it.
///
/// # Errors
/// If it is taken, is not what an earlier run made, another process works in it, or it cannot be written.
pub fn prepare(experiment: &Experiment, asked: Option<&Path>, earlier: Earlier) -> Outcome<Place> {
    let used = |path: &Path| std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
    let mut out = asked.map_or_else(|| experiment.default_folder(), Path::to_owned);
    if used(&out) {
        match earlier {
            Earlier::Resume => {}
            Earlier::Clear => {
                if !out.join("results.json").exists() && !out.join("experiment.txt").exists() {
                    return Err(Failure::file(&out, "--fresh only clears a folder that an earlier run made"));
                }
                lock(&out)?;
                std::fs::remove_dir_all(&out).map_err(|error| Failure::file(&out, error))?;
            }
            Earlier::Keep if asked.is_some() => {
                return Err(Failure::file(&out, "is not empty; --resume goes on with it, --fresh starts over"));
            }
            Earlier::Keep => {
                // The default folder: keep the earlier run and put this one beside it.
                let numbered = (2..).map(|n| out.with_file_name(format!("{}-{n}", experiment.name)));
                out = numbered.into_iter().find(|path| !used(path)).expect("some number is free");
            }
        }
    }
    std::fs::create_dir_all(&out).map_err(Failure::io(&out))?;
    let _lock = lock(&out)?;
    atomic::folder(&out)?;
    // Written first, so that a folder that cannot be written is known before anything is computed.
    atomic::write(&out.join("experiment.txt"), format!("{}\n", experiment.name).as_bytes())?;
    Ok(Place { path: out, _lock })
}

/// Writes the resolved settings of a run.
///
/// # Errors
/// If the folder cannot be written.
pub fn write_settings(folder: &Path, settings: &Settings, seed: u64) -> Outcome {
    atomic::folder(folder)?;
    let text = format!("seed = {seed}\n{}", settings.to_toml()?);
    Ok(atomic::write(&folder.join("config.toml"), text.as_bytes())?)
}

/// Which settings a run in a folder was begun with that are others now: keys, or none if none was begun. The size of the vocabulary
/// does not count, as it follows from the captions, nor how many samples may be corrupt: no weight depends on it.
///
/// # Errors
/// If its settings cannot be read.
pub fn changed(folder: &Path, settings: &Settings, seed: u64) -> Outcome<Vec<String>> {
    let path = folder.join("config.toml");
    if !path.exists() {
        return Ok(vec![]);
    }
    let table = |text: &str| text.parse::<Table>().map_err(|error| Failure::file(&path, error.message()));
    let made = table(&simseg::settings::read_text(&path)?)?;
    let now = table(&format!("seed = {seed}\n{}", settings.to_toml()?))?;
    let mut keys = vec![];
    differing(&made, &now, "", &mut keys);
    keys.retain(|key| !(key.starts_with("model.") && key.ends_with(".vocabulary")));
    keys.retain(|key| key != "training.max_corrupt_samples");
    Ok(keys)
}

/// Keys of two tables whose values differ, down to single settings.
fn differing(a: &Table, b: &Table, prefix: &str, keys: &mut Vec<String>) {
    for name in a.keys().chain(b.keys().filter(|name| !a.contains_key(*name))) {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match (a.get(name), b.get(name)) {
            (a, b) if a == b => {}
            (Some(Value::Table(a)), Some(Value::Table(b))) => differing(a, b, &key, keys),
            _ => keys.push(key),
        }
    }
}

/// The row in a run's folder, if it has one.
///
/// # Errors
/// If it is damaged.
pub fn row(folder: &Path) -> Outcome<Option<Row>> {
    let path = folder.join("result.json");
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|error| Failure::file(&path, error))
}

/// One file under a second name, or a copy of it where the file system does not share.
///
/// # Errors
/// If the disk refuses.
pub fn share(from: &Path, to: &Path) -> Outcome {
    let _ = std::fs::remove_file(to); // a link of an earlier training may be there
    if std::fs::hard_link(from, to).is_err() {
        let mut file = std::fs::File::open(from).map_err(Failure::io(from))?;
        atomic::write_with(to, |out| std::io::copy(&mut file, out).map(|_| ()))?;
    }
    Ok(())
}
