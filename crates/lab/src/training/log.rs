//! `metrics.jsonl`: one line per step.

use super::validation::Figures;
use crate::failure::{Failure, Outcome};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// From 0.
    pub step: u64,
    /// The loss.
    pub loss: f64,
    /// Learning rate.
    pub rate: f64,
    /// The divisor of similarities.
    pub temperature: f64,
    /// Seconds that the step waited for its batch to be read.
    #[serde(default)]
    pub wait_seconds: f64,
    /// What was measured after the step, if it was.
    #[serde(default, skip_serializing_if = "Figures::is_empty")]
    pub validation: Figures,
}

/// All lines; one cut short by a kill, and all after it, is left out.
///
/// # Errors
/// If the file cannot be read.
pub fn read(path: &Path) -> Outcome<Vec<StepMetrics>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().map_while(|line| serde_json::from_str(line).ok()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(vec![]),
        Err(error) => Err(Failure::file(path, error)),
    }
}

/// The file, open for appending.
pub struct Log<'a> {
    path: &'a Path,
    out: std::io::BufWriter<std::fs::File>,
}

impl<'a> Log<'a> {
    /// Starts the file with these lines. It is a new one: the old one may be that of other folders too, and a kill leaves one of them.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn create(path: &'a Path, lines: &[StepMetrics]) -> Outcome<Self> {
        simseg_data::atomic::write_with(path, |out| {
            lines.iter().try_for_each(|line| writeln!(out, "{}", serde_json::to_string(line)?))
        })?;
        let file = std::fs::OpenOptions::new().append(true).open(path).map_err(Failure::io(path))?;
        Ok(Self { path, out: std::io::BufWriter::new(file) })
    }

    /// Adds a line; it reaches the disk with [`Self::flush`].
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn add(&mut self, line: &StepMetrics) -> Outcome {
        let text = serde_json::to_string(line).map_err(|error| Failure::file(self.path, error))?;
        writeln!(self.out, "{text}").map_err(Failure::io(self.path))
    }

    /// Everything to the disk.
    ///
    /// # Errors
    /// If it refuses.
    pub fn flush(&mut self) -> Outcome {
        self.out.flush().map_err(Failure::io(self.path))
    }
}
