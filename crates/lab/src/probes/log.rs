//! `probes.jsonl` beside `metrics.jsonl`: one line per probe and step, about the weights after so many steps.
//!
//! ```text
//! {"step":50,"probe":"word-swap","images":81,"figures":{"swap_context":0.31,"swap_object":0.43,"swap_right":0.46}}
//! ```
//!
//! It tells no time, so that a training that was killed and resumed leaves the same file.

use super::{Answer, Probe};
use crate::failure::{Failure, Outcome};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// The file in the folder of a training, and of its runs.
pub const NAME: &str = "probes.jsonl";

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Steps that the weights were trained for.
    pub step: u64,
    /// What was asked.
    pub probe: Probe,
    /// Images that it was asked of.
    pub images: usize,
    /// Figures by name.
    pub figures: BTreeMap<String, f64>,
}

impl Line {
    /// The answer after so many steps.
    pub fn new(step: u64, Answer { probe, images, figures }: Answer) -> Self {
        Self { step, probe, images, figures }
    }
}

/// All lines with their text; one cut short by a kill, and all after it, is left out. No lines if there is no file.
fn lines(path: &Path) -> Outcome<Vec<(Line, String)>> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let line = |text: &str| Some((serde_json::from_str(text).ok()?, text.to_owned()));
            Ok(text.lines().map_while(line).collect())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(vec![]),
        Err(error) => Err(Failure::file(path, error)),
    }
}

/// All lines; none if there is no file.
///
/// # Errors
/// If the file cannot be read.
pub fn read(path: &Path) -> Outcome<Vec<Line>> {
    Ok(lines(path)?.into_iter().map(|(line, _)| line).collect())
}

/// The figures of the trained model: those of the last step.
///
/// # Errors
/// If the file cannot be read.
pub fn finals(path: &Path) -> Outcome<BTreeMap<String, f64>> {
    let lines = read(path)?;
    let last = lines.iter().map(|line| line.step).max();
    Ok(lines.into_iter().filter(|line| Some(line.step) == last).flat_map(|line| line.figures).collect())
}

/// The file, open for appending.
pub struct Log<'a> {
    path: &'a Path,
    out: std::io::BufWriter<std::fs::File>,
}

impl<'a> Log<'a> {
    /// Goes on after a checkpoint at `step`, or starts afresh without one: what was noted later is done again. Lines that stay keep
    /// their very text, as numbers that are read and written again may lose their last digit.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn open(path: &'a Path, checkpoint: Option<u64>) -> Outcome<Self> {
        let earlier = lines(path)?.into_iter().filter(|(line, _)| checkpoint.is_some_and(|step| line.step <= step));
        let earlier: Vec<String> = earlier.map(|(_, text)| text).collect();
        // A new file: the old one may be that of other folders too.
        simseg_data::atomic::write_with(path, |out| earlier.iter().try_for_each(|text| writeln!(out, "{text}")))?;
        let file = std::fs::OpenOptions::new().append(true).open(path).map_err(Failure::io(path))?;
        Ok(Self { path, out: std::io::BufWriter::new(file) })
    }

    fn write(&mut self, text: &str) -> Outcome {
        writeln!(self.out, "{text}").map_err(Failure::io(self.path))
    }

    /// Adds a line; it reaches the disk with [`Self::flush`].
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn add(&mut self, line: &Line) -> Outcome {
        let text = serde_json::to_string(line).map_err(|error| Failure::file(self.path, error))?;
        self.write(&text)
    }

    /// Everything to the disk.
    ///
    /// # Errors
    /// If it refuses.
    pub fn flush(&mut self) -> Outcome {
        self.out.flush().map_err(Failure::io(self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_checkpoint_does_not_know_is_noted_again_and_the_rest_keeps_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        // A number with more digits than one would write.
        let text = |step: u64| {
            format!(
                r#"{{"step":{step},"probe":"retrieval","images":3,"figures":{{"i2t_r1":0.30000000000000000{step}}}}}"#
            )
        };
        std::fs::write(&path, format!("{}\n{}\n{}\n{{\"step\":", text(0), text(4), text(8))).unwrap();
        drop(Log::open(&path, Some(4)).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n{}\n", text(0), text(4)));
        assert_eq!(finals(&path).unwrap(), BTreeMap::from([("i2t_r1".to_owned(), 0.3)]));
        drop(Log::open(&path, None).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
        assert_eq!(finals(&folder.path().join("none")).unwrap(), BTreeMap::new());
    }
}
