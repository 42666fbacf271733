//! The folder of an experiment and those of its runs.
//!
//! One folder per run, `DIR/<variant>-seed<k>/`, with `config.toml` (resolved), `metrics.jsonl`, `state.safetensors` (to
//! resume), `model/`, `pictures/` and, once it is finished, `result.json`; a run that has one is not repeated.

use super::Row;
use crate::experiment::{Experiment, Settings};
use crate::failure::{Failure, Outcome};
use simseg_data::atomic;
use std::path::{Path, PathBuf};

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

/// Takes a folder for this process alone.
fn lock(path: &Path) -> Outcome<Option<std::fs::File>> {
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

/// The result of a finished run; an error if it was made with other settings.
///
/// # Errors
/// If it was made with other settings, or is damaged.
pub fn finished(folder: &Path, settings: &Settings, seed: u64) -> Outcome<Option<Row>> {
    let path = folder.join("result.json");
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
    let row: Row = serde_json::from_str(&text).map_err(|error| Failure::file(&path, error))?;
    let made = simseg::settings::read_text(&folder.join("config.toml"))?;
    if made != format!("seed = {seed}\n{}", settings.to_toml()?) {
        let text = "was made with other settings; start afresh with --fresh, or choose another --out";
        return Err(Failure::file(folder, text));
    }
    Ok(Some(row))
}

/// Takes over the training of a variant that differs in nothing that training depends on, unless this one has its own.
///
/// # Errors
/// If the disk refuses.
pub fn adopt(from: &Path, to: &Path) -> Outcome {
    for name in ["metrics.jsonl", "state.safetensors"] {
        let (from, to) = (from.join(name), to.join(name));
        if from.exists() && !to.exists() {
            atomic::folder(to.parent().unwrap_or(&to))?;
            let bytes = std::fs::read(&from).map_err(|error| Failure::file(&from, error))?;
            atomic::write(&to, &bytes)?;
        }
    }
    Ok(())
}
