//! `FILE.partial`: an evaluation on its way, one line of observations an image, so that a stopped one goes on where it was.

use super::Observations;
use crate::failure::{Failure, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use simseg_data::{Dataset, Item, atomic};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// One image.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    stem: String,
    /// Hash of the picture and its truth.
    content: String,
    observed: Vec<Value>,
}

/// The file beside an output.
pub fn path_of(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

/// The file, open for appending.
pub struct Partial {
    path: PathBuf,
    file: std::fs::File,
}

impl Partial {
    /// Opens it, with what an earlier session observed if that is wanted; `header` says of what: settings, weights, words.
    /// Images are compared by content.
    ///
    /// # Errors
    /// What has changed since the earlier session, or if the disk refuses.
    pub fn open(
        path: &Path,
        header: &Value,
        resume: bool,
        metrics: usize,
        dataset: &dyn Dataset,
    ) -> Outcome<(Observations, Self)> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            atomic::folder(folder)?;
        }
        let failed = Failure::io(path);
        let open = std::fs::OpenOptions::new().read(true).append(true).create(true).open(path);
        let mut file = open.map_err(&failed)?;
        if let Err(std::fs::TryLockError::WouldBlock) = file.try_lock() {
            return Err(Failure::file(path, "another process is writing it; expected to be alone"));
        }
        let mut old = String::new();
        if resume {
            file.read_to_string(&mut old).map_err(&failed)?;
        }
        let mut lines = old.lines();
        let mut kept = vec![header.to_string()];
        let mut observations = Observations::new(metrics);
        if let Some(first) = lines.next().filter(|first| **first != kept[0]) {
            let what = changed(first, header);
            return Err(Failure::file(path, format!("was made with {what}; leave out --resume to start over")));
        }
        for line in lines {
            // A line cut short by a kill ends what is kept.
            let Ok(parsed) = serde_json::from_str::<Line>(line) else { break };
            if parsed.observed.len() != metrics {
                return Err(Failure::file(path, format!("expected {metrics} observations a line")));
            }
            let index = kept.len() - 1;
            let same = index < dataset.len() && {
                let item = dataset.item(index)?;
                (item.stem == parsed.stem) && content(&item) == parsed.content
            };
            if !same {
                let text =
                    format!("image {} (`{}`) is another now; leave out --resume to start over", index + 1, parsed.stem);
                return Err(Failure::file(path, text));
            }
            observations.add(parsed.observed);
            kept.push(line.to_owned());
        }
        // What is kept is the beginning of what is there, if not all of it.
        let text = kept.join("\n") + "\n";
        let length = if old.starts_with(&text) { text.len() } else { 0 };
        file.set_len(length as u64).map_err(&failed)?;
        file.write_all(&text.as_bytes()[length..]).map_err(failed)?;
        Ok((observations, Self { path: path.to_owned(), file }))
    }

    /// Adds an image.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn add(&mut self, item: &Item, observed: &[Value]) -> Outcome {
        let (stem, content) = (item.stem.clone(), content(item));
        let line = serde_json::to_string(&Line { stem, content, observed: observed.to_vec() });
        let line = line.map_err(|error| Failure::file(&self.path, error))?;
        writeln!(self.file, "{line}").map_err(Failure::io(&self.path))
    }

    /// Takes the file away: the evaluation is complete, and there is nothing to resume.
    pub fn finish(self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Which settings differ from an earlier header.
fn changed(earlier: &str, header: &Value) -> String {
    let earlier: Value = serde_json::from_str(earlier).unwrap_or_default();
    let names = header.as_object().into_iter().flat_map(|all| all.keys());
    let differing: Vec<&str> = names.filter(|name| earlier.get(name) != header.get(name)).map(String::as_str).collect();
    match differing.is_empty() {
        true => "other settings".into(),
        false => format!("another {}", differing.join(", ")),
    }
}

/// Hash of what is judged: the pixels and their truth.
fn content(item: &Item) -> String {
    let mut hash = simseg::hash::Hasher::new();
    for length in [item.picture.width, item.picture.height, item.labels.width, item.labels.height] {
        hash.update(&(length as u64).to_le_bytes());
    }
    hash.update(&item.picture.rgb);
    item.labels.values.iter().for_each(|label| _ = hash.update(&label.to_le_bytes()));
    hash.finalize().to_hex()[..32].to_owned()
}
