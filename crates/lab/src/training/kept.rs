//! `checkpoints/step-00000600/`: the models of the last checkpoints and the best one, each a model directory that every command opens.
//!
//! A training goes on from `state.safetensors`, not from these. A folder appears complete or not at all; those that are not wanted any more go once
//! the state that makes them dispensable is on the disk, so that a killed training finds what its state speaks of.

use super::log::StepMetrics;
use super::validation::Figures;
use crate::experiment::Training;
use crate::failure::{Failure, Outcome};
use serde::{Deserialize, Serialize};
use simseg_data::atomic;
use std::path::{Path, PathBuf};

/// The folder of models in that of a training.
pub const FOLDER: &str = "checkpoints";
/// Which of them is the best, and by what.
pub const BEST: &str = "best.json";

/// `best.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The figure.
    pub figure: String,
    /// Its value.
    pub value: f64,
    /// Steps that the weights were trained for.
    pub step: u64,
    /// The model directory, beside this file.
    pub folder: String,
}

/// The models that are kept of a training.
pub struct Kept<'a> {
    folder: PathBuf,
    training: &'a Training,
    steps: u64,
    best: Option<Best>,
}

fn name(step: u64) -> String {
    format!("step-{step:08}")
}

impl<'a> Kept<'a> {
    /// What there is of a training of so many steps that goes on after the steps of `lines`; what came after them will come again.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn open(place: &Path, training: &'a Training, steps: u64, lines: &[StepMetrics]) -> Outcome<Self> {
        let mut kept = Self { folder: place.join(FOLDER), training, steps, best: None };
        for line in lines {
            kept.is_best(line.step + 1, &line.validation);
        }
        let done = lines.last().map_or(0, |line| line.step + 1);
        if done == 0 && kept.folder.exists() {
            std::fs::remove_dir_all(&kept.folder).map_err(Failure::io(&kept.folder))?;
        }
        if kept.folder.exists() {
            atomic::folder(&kept.folder)?; // sweeps
        }
        for step in kept.there().into_iter().filter(|step| *step > done) {
            kept.remove(step)?;
        }
        kept.say_best()?;
        Ok(kept)
    }

    /// Notes the figures after so many steps: whether they are the best so far. Of equal ones the first stays.
    fn is_best(&mut self, step: u64, figures: &Figures) -> bool {
        let Some(figure) = &self.training.best else { return false };
        let Some(&value) = figures.get(figure) else { return false };
        let better = self.best.as_ref().is_none_or(|best| value > best.value);
        if better {
            self.best = Some(Best { figure: figure.clone(), value, step, folder: name(step) });
        }
        better
    }

    fn is_checkpoint(&self, step: u64) -> bool {
        step.is_multiple_of(self.training.checkpoint_every) || step == self.steps
    }

    /// Keeps the model after so many steps, if it is to be kept: `write` writes it into a folder.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn after(&mut self, step: u64, figures: &Figures, write: &dyn Fn(&Path) -> Outcome) -> Outcome {
        let best = self.is_best(step, figures);
        if !best && (self.training.keep == 0 || !self.is_checkpoint(step)) {
            return Ok(());
        }
        atomic::folder(&self.folder)?;
        let made = tempfile::Builder::new().prefix(&atomic::prefix()).suffix(".tmp").tempdir_in(&self.folder);
        let made = made.map_err(Failure::io(&self.folder))?;
        let model = made.path().join("model");
        write(&model)?;
        let place = self.folder.join(name(step));
        std::fs::rename(&model, &place).map_err(Failure::io(&place))?;
        if best { self.say_best() } else { Ok(()) }
    }

    /// Takes away models that are neither among the last nor the best; called once the state of a checkpoint is saved.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn tidy(&self) -> Outcome {
        let there = self.there();
        let last = there.iter().rev().filter(|step| self.is_checkpoint(**step)).take(self.training.keep);
        let wanted: Vec<u64> = last.copied().chain(self.best.as_ref().map(|best| best.step)).collect();
        there.iter().filter(|step| !wanted.contains(step)).try_for_each(|step| self.remove(*step))
    }

    /// The steps of which there is a model, in rising order.
    fn there(&self) -> Vec<u64> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let step = |entry: std::fs::DirEntry| entry.file_name().to_str()?.strip_prefix("step-")?.parse().ok();
        let mut steps: Vec<u64> = entries.filter_map(step).collect();
        steps.sort_unstable();
        steps
    }

    /// Under a temporary name first: half a model is none.
    fn remove(&self, step: u64) -> Outcome {
        let gone = tempfile::Builder::new().prefix(&atomic::prefix()).suffix(".tmp").tempdir_in(&self.folder);
        let gone = gone.map_err(Failure::io(&self.folder))?;
        let place = self.folder.join(name(step));
        std::fs::rename(&place, gone.path().join("model")).map_err(Failure::io(&place))
    }

    /// Writes `best.json`; there is none where there is no best model.
    fn say_best(&self) -> Outcome {
        let path = self.folder.join(BEST);
        match &self.best {
            Some(best) if self.folder.join(&best.folder).exists() => crate::output::save_json(&path, best),
            _ => {
                let _ = std::fs::remove_file(path); // mostly there is none
                Ok(())
            }
        }
    }
}
