//! An experiment file is one question: complete settings, variants as differences, and what is expected of them.
//!
//! ```toml
//! name = "alignment"
//! question = "Does the alignment decide what a model learns to look at?"
//! expect = ["loda.miou >= 2 * dense.miou"]
//! [training]
//! steps = 600
//! [variants.dense.aligner]
//! kind = "dense"
//! ```

use crate::expect::Expectation;
use crate::failure::{Failure, Outcome};
use crate::settings;
use serde::{Deserialize, Serialize};
use simseg_data::SceneConfig;
use simseg_model::{AdamWConfig, AlignerConfig, ModelConfig, Schedule};
use simseg_segment::Recipe;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Everything that decides the outcome of one run, besides its seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What scenes look like.
    pub world: SceneConfig,
    /// The two towers.
    pub model: ModelConfig,
    /// How they learn.
    pub training: Training,
    /// How they are judged.
    pub evaluation: Evaluation,
    /// What is contrasted.
    pub aligner: AlignerConfig,
    /// From features to label maps.
    pub segmentation: Recipe,
}

/// How the model learns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Scenes drawn for training.
    pub scenes: u64,
    /// Pairs per step.
    pub batch: usize,
    /// Optimiser steps.
    pub steps: u64,
    /// Label smoothing of the loss.
    #[serde(default)]
    pub label_smoothing: f64,
    /// Steps between checkpoints.
    #[serde(default = "hundred")]
    pub checkpoint_every: u64,
    /// Learning rate over time.
    pub schedule: Schedule,
    /// The optimiser.
    #[serde(default)]
    pub adamw: AdamWConfig,
}

fn hundred() -> u64 {
    100
}

/// How the model is judged: on scenes it never saw, with a bias of their own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Held-out scenes.
    pub scenes: u64,
    /// Their object-context bias; 0 draws contexts without bias.
    pub bias: f64,
    /// Scenes shown in the report.
    #[serde(default = "six")]
    pub pictures: u64,
}

fn six() -> u64 {
    6
}

/// A question with its variants.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// Its short name: the default output folder.
    pub name: String,
    /// What it asks.
    pub question: String,
    /// Complete settings per variant, in the order of the file.
    pub variants: Vec<(String, Settings)>,
    /// What must hold between variants, for every seed.
    pub expect: Vec<Expectation>,
}

/// What stands in a file beside the settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    name: String,
    question: String,
    #[serde(default)]
    expect: Vec<String>,
    #[serde(default)]
    variants: Table,
    #[serde(flatten)]
    _settings: Option<Nothing>,
}

#[derive(Debug, Deserialize)]
struct Nothing {}

const HEADER: [&str; 4] = ["name", "question", "expect", "variants"];
const SECTIONS: [&str; 6] = ["world", "model", "training", "evaluation", "aligner", "segmentation"];

impl Experiment {
    /// Reads a file; `overrides` are `key=value` on top of every variant.
    ///
    /// # Errors
    /// One line that names the file and the key.
    pub fn load(path: &Path, overrides: &[String]) -> Outcome<Self> {
        Self::parse(path, &settings::read_text(path)?, overrides)
    }

    /// The same from text; `path` is only for messages.
    ///
    /// # Errors
    /// One line that names the file and the key.
    pub fn parse(path: &Path, text: &str, overrides: &[String]) -> Outcome<Self> {
        let mut table = settings::parse(path, text)?;
        let mut header = Table::new();
        for key in HEADER {
            if let Some(value) = table.remove(key) {
                header.insert(key.to_owned(), value);
            }
        }
        if let Some(unknown) = table.keys().find(|key| !SECTIONS.contains(&key.as_str())) {
            let known = HEADER.into_iter().chain(SECTIONS);
            let hint = settings::nearest(unknown, known.clone()).map(|key| format!("; did you mean `{key}`?"));
            let list = known.collect::<Vec<_>>().join(", ");
            let text = format!("unknown key `{unknown}`{} (known: {list})", hint.unwrap_or_default());
            return Err(Failure::file(path, text));
        }
        let Header { name, question, expect, mut variants, .. } = settings::settings(path, "", header)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        for name in std::iter::once(&name).chain(variants.keys()) {
            if name.is_empty() || !name.chars().all(plain) {
                return Err(Failure::file(path, format!("name `{name}`: expected letters, digits, - and _ only")));
            }
        }
        if variants.is_empty() {
            variants.insert(name.clone(), Value::Table(Table::new()));
        }
        let mut base = Table::new();
        // A recipe in a file is the plain one with differences; the resolved configuration shows all of it.
        base.insert("segmentation".into(), to_value(&Recipe::plain()));
        base.insert("world".into(), to_value(&SceneConfig::default()));
        settings::merge(&mut base, &table);
        let one = |(variant, differences): (String, Value)| {
            let mut merged = base.clone();
            let Value::Table(differences) = differences else {
                return Err(Failure::file(path, format!("variants.{variant}: expected a table of differences")));
            };
            settings::merge(&mut merged, &differences);
            overrides.iter().try_for_each(|assignment| settings::set(&mut merged, assignment))?;
            let settings: Settings = settings::settings(path, "", merged)?;
            settings.check().map_err(|error| Failure::file(path, format!("[variants.{variant}] {error}")))?;
            Ok((variant, settings))
        };
        let variants = variants.into_iter().map(one).collect::<Outcome<Vec<_>>>()?;
        let names: Vec<&str> = variants.iter().map(|(name, _)| name.as_str()).collect();
        let read = |line: &String| Expectation::parse(line, &names);
        let expect = expect.iter().map(read).collect::<Result<_, String>>();
        let expect = expect.map_err(|error| Failure::file(path, format!("expect: {error}")))?;
        Ok(Self { name, question, variants, expect })
    }

    /// Where results go unless told otherwise.
    pub fn default_folder(&self) -> PathBuf {
        Path::new("runs").join(&self.name)
    }
}

fn to_value(value: &impl Serialize) -> Value {
    Value::try_from(value).expect("settings are representable in TOML")
}

impl Settings {
    /// Whether the numbers fit each other.
    ///
    /// # Errors
    /// The first key that does not, and what was expected.
    pub fn check(&self) -> Outcome {
        let bad = |key: &str, expected: String| Err(Failure::input(key, expected));
        self.world.check()?;
        self.model.check()?;
        self.training.schedule.check()?;
        let (image, training) = (&self.model.image, &self.training);
        if self.world.image_size != image.image_size {
            let expected = format!("the model's image_size ({}), found {}", image.image_size, self.world.image_size);
            return bad("world.image_size", expected);
        }
        if training.batch < 2 || training.batch as u64 > training.scenes {
            let expected = format!("from 2 to the number of scenes ({}), found {}", training.scenes, training.batch);
            return bad("training.batch", expected);
        }
        if training.steps == 0 || training.checkpoint_every == 0 {
            return bad("training.steps, training.checkpoint_every", "at least 1".into());
        }
        if !(0.0..1.0).contains(&training.label_smoothing) {
            return bad("training.label_smoothing", "from 0 to below 1".into());
        }
        if self.evaluation.scenes == 0 || !(0.0..=1.0).contains(&self.evaluation.bias) {
            return bad("evaluation", "at least one scene and a bias from 0 to 1".into());
        }
        self.aligner.check((image.image_size / image.patch).pow(2), self.model.text.positions)?;
        Ok(())
    }

    /// All that training depends on, as text: variants that agree on it have the same weights.
    pub fn training_text(&self, seed: u64) -> String {
        let aligner = match self.aligner {
            AlignerConfig::Loda { image_k, text_k, padding, .. } => {
                AlignerConfig::Loda { image_k, text_k, eval_image_k: None, eval_text_k: None, padding }
            }
            other => other,
        };
        let (evaluation, segmentation) = (Evaluation { scenes: 1, bias: 0.0, pictures: 0 }, Recipe::plain());
        format!("seed = {seed}\n{}", Self { aligner, evaluation, segmentation, ..self.clone() }.to_toml())
    }

    /// The settings as a TOML file.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("settings are representable in TOML")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = include_str!("../../../experiments/alignment.toml");

    fn fails(text: &str) -> String {
        let error = Experiment::parse(Path::new("x.toml"), text, &[]).unwrap_err();
        assert_eq!(error.code(), 2);
        let error = error.to_string();
        assert!(error.starts_with("x.toml: ") && !error.contains('\n'), "{error}");
        error
    }

    #[test]
    fn the_shipped_experiment_has_three_variants_in_order() {
        let experiment = Experiment::parse(Path::new("x.toml"), GOOD, &["training.steps=3".into()]).unwrap();
        let names: Vec<&str> = experiment.variants.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["holistic", "dense", "loda"]);
        assert!(experiment.variants.iter().all(|(_, settings)| settings.training.steps == 3));
    }

    #[test]
    fn mistakes_name_the_file_and_the_key() {
        for (from, to, needle) in [
            ("[training]", "[trainig]", "did you mean `training`?"),
            ("steps =", "stpes =", "did you mean `steps`?"),
            ("batch = ", "batch = \"x\" # ", "training.batch"),
            ("image_k = 3", "image_k = 65", "aligner.image_k"),
            ("kind = \"loda\"", "kind = \"lodda\"", "did you mean `loda`?"),
            ("patch = 8", "patch = 7", "model.image.image_size"),
            ("loda.miou", "lodda.miou", "did you mean `loda`?"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let error = fails(&GOOD.replace(from, to));
            assert!(error.contains(needle), "{to}: {error}");
        }
    }

    #[test]
    fn resolved_settings_read_back_the_same() {
        let experiment = Experiment::parse(Path::new("x.toml"), GOOD, &[]).unwrap();
        for (_, settings) in experiment.variants {
            assert_eq!(toml::from_str::<Settings>(&settings.to_toml()).unwrap(), settings);
        }
    }
}
