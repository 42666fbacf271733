//! An experiment file is one question: complete settings, variants as differences, and what is expected of them.
//!
//! ```toml
//! name = "alignment"
//! question = "Does the alignment decide what a model learns to look at?"
//! expect = ["loda.miou >= 2 * dense.miou"]
//! [training]
//! steps = 600
//! data = { kind = "scenes", count = 8000 }
//! [variants.dense.aligner]
//! kind = "dense"
//! ```
//!
//! Reading order: [`settings`] (one variant), this file (all of them), [`expect`].

pub mod settings;
pub mod expect;

use crate::failure::{Failure, Outcome};
use expect::Expectation;
use serde::{Deserialize, Serialize};
pub use settings::{Evaluation, Init, Settings, Sources, Training};
use simseg::settings as reading;
use simseg::{Recipe, Registry};
use simseg_tensor::Tensor;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// A question with its variants.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// Its short name: the default output folder.
    pub name: String,
    /// What it asks.
    pub question: String,
    /// The variants, in the order of the file.
    pub variants: Vec<Variant>,
    /// What must hold between variants.
    pub expect: Vec<Expectation>,
}

/// One way to answer the question.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// Complete settings.
    pub settings: Settings,
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
}

const HEADER: [&str; 4] = ["name", "question", "expect", "variants"];
const SECTIONS: [&str; 6] = ["model", "aligner", "loss", "training", "evaluation", "segmentation"];

impl Experiment {
    /// Reads a file; `overrides` are `key=value` on top of every variant.
    ///
    /// # Errors
    /// One line that names the file and the key.
    pub fn load<T: Tensor>(path: &Path, overrides: &[String], registry: &Registry<T>) -> Outcome<Self> {
        Self::parse(path, &reading::read_text(path)?, overrides, registry)
    }

    /// The same from text; `path` is only for messages.
    ///
    /// # Errors
    /// One line that names the file and the key.
    pub fn parse<T: Tensor>(path: &Path, text: &str, overrides: &[String], registry: &Registry<T>) -> Outcome<Self> {
        let mut table = reading::parse(path, text)?;
        let mut header = Table::new();
        for key in HEADER {
            if let Some(value) = table.remove(key) {
                header.insert(key.to_owned(), value);
            }
        }
        if let Some(unknown) = table.keys().find(|key| !SECTIONS.contains(&key.as_str())) {
            return Err(Failure::file(path, unknown_section(unknown)));
        }
        let Header { name, question, expect, mut variants } = reading::settings(path, "", header)?;
        for name in std::iter::once(&name).chain(variants.keys()) {
            check_name(name).map_err(|why| Failure::file(path, why))?;
        }
        if variants.is_empty() {
            variants.insert(name.clone(), Value::Table(Table::new()));
        }
        // A recipe in a file is the plain one with differences; the resolved configuration shows all of it.
        let mut base = Table::from_iter([("segmentation".to_owned(), to_value(&Recipe::plain())?)]);
        reading::merge(&mut base, &table);
        let one = |(name, differences): (String, Value)| {
            let Value::Table(differences) = differences else {
                return Err(Failure::file(path, format!("variants.{name}: expected a table of differences")));
            };
            let mut merged = base.clone();
            reading::merge(&mut merged, &differences);
            overrides.iter().try_for_each(|assignment| reading::set(&mut merged, assignment))?;
            let settings: Settings = reading::settings(path, "", merged)?;
            let settings = settings.resolved(registry);
            let settings =
                settings.map_err(|failure| failure.within(format!("{}: [variants.{name}] ", path.display())))?;
            Ok(Variant { name, settings })
        };
        let variants = variants.into_iter().map(one).collect::<Outcome<Vec<_>>>()?;
        let figures = |variant: &Variant| -> Outcome<(String, Vec<String>)> {
            let figures = variant.settings.evaluation.figures(registry)?;
            Ok((variant.name.clone(), figures.into_iter().map(|(name, _)| name).collect()))
        };
        let known = variants.iter().map(figures).collect::<Outcome<Vec<_>>>()?;
        let read = |line: &String| Expectation::parse(line, &known);
        let expect = expect.iter().map(read).collect::<Outcome<_>>();
        let expect = expect.map_err(|failure| failure.within(format!("{}: ", path.display())))?;
        Ok(Self { name, question, variants, expect })
    }

    /// Where results go unless told otherwise.
    pub fn default_folder(&self) -> PathBuf {
        Path::new("runs").join(&self.name)
    }
}

/// A section that nobody knows, with the nearest and, for those of earlier versions, where it went.
fn unknown_section(unknown: &str) -> String {
    if unknown == "world" {
        return "section `world` is now the fields of `data`: [training] data = { kind = \"scenes\", count = …, bias = … }".into();
    }
    let known = HEADER.into_iter().chain(SECTIONS);
    let hint = reading::nearest(unknown, known.clone()).map(|key| format!("; did you mean `{key}`?"));
    format!("unknown key `{unknown}`{} (known: {})", hint.unwrap_or_default(), known.collect::<Vec<_>>().join(", "))
}

/// Names become folders.
fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        return Err(format!("name `{name}`: expected letters, digits, -, _ and dots within only"));
    }
    Ok(())
}

fn to_value(value: &impl Serialize) -> Outcome<Value> {
    Value::try_from(value).map_err(|error| Failure::input("settings", error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use simseg_cpu::CpuTensor;

    const GOOD: &str = include_str!("../../../../experiments/alignment.toml");

    fn parse(text: &str, overrides: &[String]) -> Outcome<Experiment> {
        Experiment::parse(Path::new("x.toml"), text, overrides, &Registry::<CpuTensor<f32>>::built_in())
    }

    fn fails(text: &str) -> String {
        let error = parse(text, &[]).unwrap_err();
        assert_eq!(error.code(), 2);
        let error = error.to_string();
        assert!(error.starts_with("x.toml: ") && !error.contains('\n'), "{error}");
        error
    }

    #[test]
    fn the_shipped_experiment_has_three_variants_in_order() {
        let experiment = parse(GOOD, &["training.steps=3".into()]).unwrap();
        let names: Vec<&str> = experiment.variants.iter().map(|variant| variant.name.as_str()).collect();
        assert_eq!(names, ["holistic", "dense", "loda"]);
        assert!(experiment.variants.iter().all(|variant| variant.settings.training.steps == 3));
    }

    #[test]
    fn mistakes_name_the_file_and_the_key() {
        for (from, to, needle) in [
            ("[training]", "[trainig]", "did you mean `training`?"),
            ("[training]", "[world]\n[training]", "training"),
            ("steps =", "stpes =", "did you mean `steps`?"),
            ("batch = ", "batch = \"x\" # ", "training.batch"),
            ("image_k = 3", "image_k = 65", "aligner.image_k"),
            ("kind = \"loda\"", "kind = \"lodda\"", "did you mean `loda`?"),
            ("patch = 8", "patch = 7", "model.image.image_size"),
            ("loda.miou", "lodda.miou", "did you mean `loda`?"),
            ("loda.miou", "loda.mioo", "did you mean `miou`?"),
            ("kind = \"scenes\", count = 8000", "kind = \"scenes\", cuont = 8000", "did you mean `count`?"),
            ("[evaluation]", "[evaluation]\nmetrics = [\"iuo\"]", "did you mean `iou`?"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let error = fails(&GOOD.replace(from, to));
            assert!(error.contains(needle), "{to}: {error}");
        }
    }

    #[test]
    fn resolved_settings_read_back_the_same() {
        let registry = Registry::<CpuTensor<f32>>::built_in();
        for Variant { settings, .. } in parse(GOOD, &[]).unwrap().variants {
            let read: Settings = toml::from_str(&settings.to_toml().unwrap()).unwrap();
            assert_eq!(read, settings);
            assert_eq!(read.resolved(&registry).unwrap(), settings);
        }
    }

    #[test]
    fn data_sets_may_have_names_and_figures_then_have_them_too() {
        let named = "[evaluation.data.easy]\nkind = \"scenes\"\ncount = 3\n[evaluation.data.hard]\nkind = \"scenes\"\ncount = 3\n";
        let text = GOOD
            .replace("data = { kind = \"scenes\", count = 300, image_size = 64, bias = 0.0 }", "")
            .replace("loda.miou >= 2 * dense.miou", "loda.hard.miou <= loda.easy.miou");
        let text = text.replace("\n[variants.holistic", &format!("\n{named}\n[variants.holistic"));
        let error = fails(&text);
        assert!(error.contains("unknown figure `miou`; did you mean") && error.contains("easy.miou"), "{error}");
    }
}
