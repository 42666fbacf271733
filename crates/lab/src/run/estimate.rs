//! How long a run would take, and how much disk: by what trainings and rows took that lie in the same and neighbouring output folders.
//!
//! Nothing is timed here. What is like nothing that was measured has no estimate.

use crate::experiment::Settings;
use crate::results::trainings::{FOLDER, Finished, Maker};
use crate::results::{Status, folder};
use simseg::Choice;
use simseg::settings as reading;
use std::path::{Path, PathBuf};

/// What was measured.
#[derive(Debug, Default)]
pub struct Measured {
    trainings: Vec<Training>,
    rows: Vec<Judging>,
}

#[derive(Debug)]
struct Training {
    settings: Settings,
    images_per_second: f64,
    bytes: u64,
}

#[derive(Debug)]
struct Judging {
    settings: Settings,
    seconds: f64,
    bytes: u64,
}

/// Of so many things so many have an estimate.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sum {
    /// The estimates together.
    pub total: f64,
    /// How many have none.
    pub unknown: usize,
}

impl Sum {
    fn add(&mut self, value: Option<f64>) {
        match value {
            Some(value) => self.total += value,
            None => self.unknown += 1,
        }
    }
}

/// Minutes and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Estimate {
    /// Seconds of training.
    pub training: Sum,
    /// Seconds of judging.
    pub judging: Sum,
    /// Bytes on disk; a shared training once.
    pub bytes: Sum,
}

impl Measured {
    /// What these output folders have, as far as this backend, device and precision computed it.
    pub fn below(outs: &[PathBuf], maker: &Maker) -> Self {
        let mut measured = Self::default();
        for out in outs {
            for place in folders(&out.join(FOLDER)) {
                let Ok(Some(finished)) = Finished::read(&place) else { continue };
                // One that does not say what made it is taken for one of the CPU.
                let alike = finished.made.map_or(maker.device == "cpu", |made| {
                    (made.backend, made.device, made.precision)
                        == (maker.backend.clone(), maker.device.clone(), maker.precision.clone())
                });
                if let Some(settings) = settings(&place).filter(|_| alike) {
                    let (images_per_second, bytes) = (finished.images_per_second, size(&place));
                    measured.trainings.push(Training { settings, images_per_second, bytes });
                }
            }
            for place in folders(out) {
                let Ok(Some(row)) = folder::row(&place) else { continue };
                if let Some(settings) = settings(&place).filter(|_| row.status == Status::Done && !row.is_built_in()) {
                    let (seconds, bytes) = (row.judge_seconds, size(&place) - shared(&place));
                    measured.rows.push(Judging { settings, seconds, bytes });
                }
            }
        }
        measured
    }

    /// Adds a training that leaves at least so many bytes of weights.
    pub fn add_training(&self, estimate: &mut Estimate, settings: &Settings, steps: u64, weights: u64) {
        let alike = || self.trainings.iter().filter(|training| like(&training.settings, settings));
        let pairs = (steps * settings.training.batch as u64) as f64;
        estimate.training.add(median(alike().map(|training| training.images_per_second)).map(|rate| pairs / rate));
        estimate.bytes.add(median(alike().map(|training| training.bytes as f64)).or(Some(weights as f64)));
    }

    /// Adds the row of a variant.
    pub fn add_row(&self, estimate: &mut Estimate, settings: &Settings) {
        let alike = || self.rows.iter().filter(|row| judged_like(&row.settings, settings));
        estimate.judging.add(median(alike().map(|row| row.seconds)));
        estimate.bytes.add(median(alike().map(|row| row.bytes as f64)));
    }
}

/// Whether a step of both costs the same: the network but for its words, the batch.
fn like(a: &Settings, b: &Settings) -> bool {
    let network = |of: &Settings| {
        let mut network = of.model.clone();
        let text = network.settings.get_mut("text").and_then(|text| text.as_object_mut());
        text.map(|text| text.remove("vocabulary")); // follows from the captions
        network
    };
    network(a) == network(b) && a.training.batch == b.training.batch
}

/// Whether judging both costs about the same: the network, the images and their windows, and the kind of refiner.
fn judged_like(a: &Settings, b: &Settings) -> bool {
    let refiner = |of: &Settings| of.segmentation.segmenter.get::<Choice>("refine").map(|choice| choice.kind.clone());
    let windows = |of: &Settings| of.segmentation.input.windows;
    like(a, b) && a.evaluation.data == b.evaluation.data && windows(a) == windows(b) && refiner(a) == refiner(b)
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut all: Vec<f64> = values.filter(|value| *value > 0.0).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied()
}

/// The settings in a folder; none if they are of another version of the program.
fn settings(place: &Path) -> Option<Settings> {
    let path = place.join("config.toml");
    let mut table = reading::parse(&path, &reading::read_text(&path).ok()?).ok()?;
    table.remove("seed");
    reading::settings(&path, "", table).ok()
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// Bytes of all files below a folder.
fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|e| if e.path().is_dir() { size(&e.path()) } else { e.metadata().map_or(0, |file| file.len()) }).sum()
}

/// Bytes of what a run's folder shares with that of its training.
fn shared(place: &Path) -> u64 {
    let names = ["model/model.safetensors", "metrics.jsonl", crate::probes::log::NAME];
    names.iter().map(|name| std::fs::metadata(place.join(name)).map_or(0, |file| file.len())).sum()
}
