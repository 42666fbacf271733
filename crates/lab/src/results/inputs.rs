//! What a run reads from disk, by content: it goes on only with the same captions, images and weights.
//!
//! Paths are those under `training.data`, `training.init`, `training.validation`, `evaluation.data` and `probes.data`; a folder stands for all files below it,
//! a pattern of shards for each of them.

use crate::experiment::Settings;
use crate::failure::{Failure, Outcome};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::Value;

/// The file in a run's folder; there is none if nothing is read.
const NAME: &str = "inputs.json";

/// Path → hash, of everything that settings name.
pub type Inputs = BTreeMap<String, String>;

/// Hashes of what settings name; `known` holds those of before.
///
/// # Errors
/// If a file cannot be read.
pub fn of(settings: &Settings, known: &mut Inputs) -> Outcome<Inputs> {
    let places = [
        ("training", "data"),
        ("training", "init"),
        ("training", "validation"),
        ("evaluation", "data"),
        ("probes", "data"),
    ];
    named(settings, &places, known)
}

/// The same of what training reads.
///
/// # Errors
/// If a file cannot be read.
pub fn of_training(settings: &Settings, known: &mut Inputs) -> Outcome<Inputs> {
    named(
        settings,
        &[
            ("training", "data"),
            ("training", "init"),
            ("training", "vocabulary"),
            ("training", "validation"),
            ("probes", "data"),
        ],
        known,
    )
}

fn named(settings: &Settings, places: &[(&str, &str)], known: &mut Inputs) -> Outcome<Inputs> {
    let table: toml::Table = settings.to_toml()?.parse().map_err(|error| Failure::input("settings", error))?;
    let mut paths = vec![];
    for (section, key) in places {
        strings(table.get(*section).and_then(|section| section.get(*key)), &mut paths);
    }
    let mut inputs = Inputs::new();
    let each = paths.iter().flat_map(|path| simseg_data::pairs::paths::expand(path).unwrap_or_default());
    for path in each.filter(|path| path.exists()).map(|path| path.to_string_lossy().into_owned()) {
        let hash = match known.get(&path) {
            Some(hash) => hash.clone(),
            None => hash(Path::new(&path))?,
        };
        known.insert(path.clone(), hash.clone());
        inputs.insert(path, hash);
    }
    Ok(inputs)
}

/// All strings but the names of kinds.
fn strings(value: Option<&Value>, found: &mut Vec<String>) {
    match value {
        Some(Value::String(text)) => found.push(text.clone()),
        Some(Value::Array(items)) => items.iter().for_each(|item| strings(Some(item), found)),
        Some(Value::Table(table)) => {
            table.iter().filter(|(key, _)| *key != "kind").for_each(|(_, value)| strings(Some(value), found));
        }
        _ => {}
    }
}

/// The hash of a file, or of all files below a folder.
///
/// # Errors
/// If one cannot be read.
pub fn hash(path: &Path) -> Outcome<String> {
    let mut files = vec![];
    below(path, &mut files).map_err(|error| Failure::file(path, error))?;
    files.sort();
    let one = |file: &PathBuf| -> Outcome<simseg::hash::Hash> {
        let mut hasher = simseg::hash::Hasher::new();
        let opened =
            std::fs::File::open(file).and_then(|opened| hasher.update_reader(opened).map(|hasher| hasher.finalize()));
        opened.map_err(|error| Failure::file(file, error))
    };
    let hashes = files.par_iter().map(one).collect::<Outcome<Vec<_>>>()?;
    let mut all = simseg::hash::Hasher::new();
    for (file, hash) in files.iter().zip(&hashes) {
        all.update(file.strip_prefix(path).unwrap_or(file).to_string_lossy().as_bytes()).update(hash.as_bytes());
    }
    Ok(all.finalize().to_hex()[..32].to_owned())
}

/// All files below a folder, hidden ones passed over; not through links, which may lead around in a circle.
fn below(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => below(&entry.path(), files)?,
            false if entry.path().is_file() => files.push(entry.path()),
            false => {}
        }
    }
    Ok(())
}

/// Whether a run that was begun in a folder read the same.
///
/// # Errors
/// What has changed.
pub fn hold(folder: &Path, inputs: &Inputs) -> Outcome {
    let path = folder.join(NAME);
    if let Ok(text) = std::fs::read_to_string(&path) {
        let earlier: Inputs = serde_json::from_str(&text).map_err(|error| Failure::file(&path, error))?;
        let changed: Vec<&str> = inputs
            .iter()
            .filter(|(path, hash)| earlier.get(*path) != Some(hash))
            .map(|(path, _)| path.as_str())
            .collect();
        if !changed.is_empty() {
            let text = format!(
                "was begun with other content of {}; start afresh with --fresh, or choose another --out",
                changed.join(", ")
            );
            return Err(Failure::file(folder, text));
        }
    }
    Ok(())
}

/// Notes in a run's folder what it reads.
///
/// # Errors
/// If the disk refuses.
pub fn note(folder: &Path, inputs: &Inputs) -> Outcome {
    if inputs.is_empty() {
        return Ok(());
    }
    simseg_data::atomic::folder(folder)?;
    super::save_json(&folder.join(NAME), inputs)
}
