//! What an experiment leaves behind: `results.json` with one row per variant and seed (this file), the folders of its runs
//! ([`folder`]) with what they read ([`inputs`]), what every image added ([`images`]) and where the numbers come from
//! ([`provenance`]), trainings and where else they are found ([`trainings`]), and pictures to look at ([`samples`]).
//! [`mod@answers`] says which expectations hold, [`drawn`] reads the images of all runs for it, and [`export`] makes one file to keep.

pub mod folder;
pub mod inputs;
pub mod provenance;
pub mod trainings;
pub mod images;
pub mod drawn;
pub mod answers;
pub mod export;
pub mod samples;

pub use crate::output::save_json;
pub use answers::{Answer, answers};

use crate::experiment::{BuiltIn, Experiment};
use crate::failure::{Failure, Outcome};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Figures by name.
pub type Metrics = BTreeMap<String, f64>;

/// One row of `results.json`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Row {
    /// Name of the variant.
    pub variant: String,
    /// Seed of the run.
    pub seed: u64,
    /// The variant whose model a built-in row is of; empty for variants, and for rows that no model has a part in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub of: String,
    /// Where the variant lies on the axes of its experiment: `aligner.image_k` → 3.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub axes: BTreeMap<String, serde_json::Value>,
    /// Whether it came to its end.
    #[serde(default)]
    pub status: Status,
    /// Figures by name; one that an image set does not have is left out.
    pub metrics: Metrics,
    /// 95% intervals of the figures: images drawn with replacement, the model as it is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub intervals: BTreeMap<String, (f64, f64)>,
    /// Intersection over union by class, or by `data set.class`; none for a class that never occurs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub per_class: BTreeMap<String, Option<f64>>,
    /// Which training it was judged on: a folder of `trainings`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub training: String,
    /// Pairs per second of training.
    pub train_images_per_second: f64,
    /// Seconds of training; 0 if another row's training is used.
    pub seconds: f64,
    /// Seconds of judging, its share where variants were judged together.
    #[serde(default)]
    pub judge_seconds: f64,
}

impl Row {
    /// Whether it is none of a variant.
    pub fn is_built_in(&self) -> bool {
        BuiltIn::by_name(&self.variant).is_some()
    }

    /// Its name for people: a row of a model says whose.
    pub fn label(&self) -> String {
        if self.of.is_empty() { self.variant.clone() } else { format!("{} (of {})", self.variant, self.of) }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Its figures are there.
    #[default]
    Done,
    /// Why there are none.
    Failed(String),
}

/// Largest `results.json` that is read.
const LIMIT: u64 = 256 << 20;

/// `results.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Name of the experiment.
    pub experiment: String,
    /// One per variant and seed.
    pub rows: Vec<Row>,
}

impl Results {
    /// What a folder has; nothing if there is none yet.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn earlier(out: &Path, experiment: &str) -> Outcome<Self> {
        match out.join("results.json").exists() {
            true => Self::read(out),
            false => Ok(Self { experiment: experiment.to_owned(), rows: vec![] }),
        }
    }

    /// Adds a row, in place of an earlier one of its variant and seed.
    pub fn put(&mut self, row: Row) {
        match self.rows.iter_mut().find(|other| other.variant == row.variant && other.seed == row.seed) {
            Some(other) => *other = row,
            None => self.rows.push(row),
        }
    }

    /// Seeds one after the other, variants in the order of the experiment, those that it has no more, and built-in rows.
    pub fn sort(&mut self, experiment: &Experiment) {
        let place = |row: &Row| experiment.judged().position(|variant| variant.name == row.variant);
        self.rows.sort_by_key(|row| (row.seed, row.is_built_in(), place(row).unwrap_or(usize::MAX)));
    }

    /// Reads the file of a folder.
    ///
    /// # Errors
    /// If it is not there or is none.
    pub fn read(out: &Path) -> Outcome<Self> {
        let path = out.join("results.json");
        let text = simseg_data::bounded::text(&path, LIMIT, "the results of an experiment")?;
        serde_json::from_str(&text).map_err(|error| Failure::file(&path, error))
    }

    /// Names of variants, in their order.
    pub fn variants(&self) -> Vec<&str> {
        let mut seen = std::collections::BTreeSet::new();
        self.rows.iter().map(|row| row.variant.as_str()).filter(|name| seen.insert(*name)).collect()
    }

    /// A figure of a run.
    pub fn value(&self, variant: &str, seed: u64, figure: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.variant == variant && row.seed == seed)?.metrics.get(figure).copied()
    }

    /// A figure of a variant for each of its seeds.
    pub fn values(&self, variant: &str, figure: &str) -> Vec<f64> {
        let rows = self.rows.iter().filter(|row| row.variant == variant);
        rows.filter_map(|row| row.metrics.get(figure).copied()).collect()
    }

    /// All seeds, rising.
    pub fn seeds(&self) -> Vec<u64> {
        let mut seeds: Vec<u64> = self.rows.iter().map(|row| row.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        seeds
    }

    /// Writes the file.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn save(&self, out: &Path) -> Outcome {
        save_json(&out.join("results.json"), self)
    }
}
