//! `FILE.partial`: an evaluation on its way, one line of observations an image, so that a stopped one goes on where it was.

use super::Observations;
use crate::failure::{Failure, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use simseg_data::atomic;
use std::io::Write;
use std::path::{Path, PathBuf};

/// One image.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    stem: String,
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
    /// Opens it, with what an earlier session observed if that is wanted; `header` is one line that says of what.
    ///
    /// # Errors
    /// If the earlier session had other settings, or the disk refuses.
    pub fn open(path: &Path, header: &str, resume: bool, metrics: usize) -> Outcome<(Observations, Self)> {
        let old = if resume && path.exists() {
            std::fs::read_to_string(path).map_err(|error| Failure::file(path, error))?
        } else {
            String::new()
        };
        let mut lines = old.lines();
        let mut kept = vec![header.to_owned()];
        let mut observations = Observations::new(metrics);
        if lines.next().is_some_and(|first| first != header) {
            return Err(Failure::file(path, "was made with other settings; leave out --resume to start over"));
        }
        for line in lines {
            // A line cut short by a kill ends what is kept.
            let Ok(parsed) = serde_json::from_str::<Line>(line) else { break };
            if parsed.observed.len() != metrics {
                return Err(Failure::file(path, format!("expected {metrics} observations a line")));
            }
            observations.add(parsed.observed);
            kept.push(line.to_owned());
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            atomic::folder(folder)?;
        }
        atomic::write(path, (kept.join("\n") + "\n").as_bytes())?;
        let file = std::fs::OpenOptions::new().append(true).open(path).map_err(|error| Failure::file(path, error))?;
        Ok((observations, Self { path: path.to_owned(), file }))
    }

    /// Adds an image.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn add(&mut self, stem: &str, observed: &[Value]) -> Outcome {
        let line = serde_json::to_string(&Line { stem: stem.to_owned(), observed: observed.to_vec() });
        let line = line.map_err(|error| Failure::file(&self.path, error))?;
        writeln!(self.file, "{line}").map_err(|error| Failure::file(&self.path, error))
    }

    /// Takes the file away: the evaluation is complete, and there is nothing to resume.
    pub fn finish(self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
