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
//! Variants are written down one by one, or come of [`axes`] or of a [`ladder`] between two recipes; `base = "other.toml"` takes
//! over the settings of another file, `[segmentation] recipe = "paper"` those of a recipe. `[quick]` holds what is smaller in the short
//! version of the experiment (`simseg run FILE --quick`).
//!
//! Reading order: [`settings`] (one variant), this file (all of them), `file` (its text), [`axes`], [`ladder`], [`expect`].

pub mod seeds;
pub mod sources;
pub mod evaluation;
pub mod init;
pub mod training;
pub mod validation;
pub mod settings;
pub mod axes;
pub mod ladder;
pub mod built_in;
mod file;
pub mod expect;

use crate::failure::{Failure, Outcome};
use axes::Combine;
pub use built_in::BuiltIn;
use expect::Expectation;
use file::{
    BASES, Differences, Header, SECTIONS, apart, lay, read, shorten, unknown_section, without_repeats_of_the_base,
};
pub use seeds::Seeds;
pub use settings::{Evaluation, Init, Settings, Training};
use simseg::Registry;
use simseg::settings as reading;
use simseg_tensor::Tensor;
pub use sources::Sources;
use std::collections::BTreeMap;
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
    /// The variant that others are compared with.
    pub baseline: String,
    /// Rows that are no variants, judged as these would be.
    pub built_in: Vec<Variant>,
    /// What must hold between variants.
    pub expect: Vec<Expectation>,
}

/// One way to answer the question.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// Which row it is if it is no variant of the file.
    pub built_in: Option<BuiltIn>,
    /// Where it lies on the axes.
    pub axes: BTreeMap<String, Value>,
    /// Complete settings.
    pub settings: Settings,
}

impl Experiment {
    /// Reads a file; `overrides` are `key=value` on top of every variant.
    ///
    /// # Errors
    /// One line that names the file and the key.
    pub fn load<T: Tensor>(path: &Path, overrides: &[String], registry: &Registry<T>) -> Outcome<Self> {
        Self::parse(path, &reading::read_text(path)?, overrides, registry)
    }

    /// The short version of a file: its section `[quick]` laid on its settings, `-quick` after its name, nothing expected, because what
    /// is expected is said of the full length.
    ///
    /// # Errors
    /// One line that names the file and the key; if it has no such section.
    pub fn load_quick<T: Tensor>(path: &Path, overrides: &[String], registry: &Registry<T>) -> Outcome<Self> {
        let read = Self::read(path, &reading::read_text(path)?, true, overrides, registry)?;
        Ok(Self { name: format!("{}-quick", read.name), expect: vec![], ..read })
    }

    /// The same as [`load`](Self::load) from text; `path` is only for messages.
    ///
    /// # Errors
    /// One line that names the file and the key.
    pub fn parse<T: Tensor>(path: &Path, text: &str, overrides: &[String], registry: &Registry<T>) -> Outcome<Self> {
        Self::read(path, text, false, overrides, registry)
    }

    fn read<T: Tensor>(
        path: &Path,
        text: &str,
        quick: bool,
        overrides: &[String],
        registry: &Registry<T>,
    ) -> Outcome<Self> {
        let (header, mut sections) = read(path, text, BASES)?;
        shorten(path, &mut sections, quick)?;
        if let Some(unknown) = sections.keys().find(|key| !SECTIONS.contains(&key.as_str())) {
            return Err(Failure::file(path, unknown_section(unknown)));
        }
        let header: Header = reading::settings(path, "", header)?;
        let within = |failure: Failure| failure.within(format!("{}: ", path.display()));
        let variants = header.variants(registry).map_err(within)?;
        if let Some(taken) = variants.iter().find(|variant| BuiltIn::by_name(&variant.name).is_some()) {
            let text = format!("`{}` is a row that every experiment has; expected another name", taken.name);
            return Err(within(Failure::input("variants", text)));
        }
        for name in std::iter::once(&header.name).chain(variants.iter().map(|variant| &variant.name)) {
            check_name(name).map_err(|why| Failure::file(path, why))?;
        }
        let one = |Differences { name, axes, layers }: Differences| {
            let mut merged = Table::new();
            for layer in std::iter::once(&sections).chain(&layers) {
                lay(&mut merged, layer, registry)
                    .map_err(|failure| within(failure.within(format!("[variants.{name}] "))))?;
            }
            overrides.iter().try_for_each(|assignment| reading::set(&mut merged, assignment))?;
            let settings: Settings = reading::settings(path, "", merged)?;
            let settings = settings.resolved(registry);
            let settings = settings.map_err(|failure| within(failure.within(format!("[variants.{name}] "))))?;
            Ok(Variant { name, built_in: None, axes, settings })
        };
        let mut variants = variants.into_iter().map(one).collect::<Outcome<Vec<Variant>>>()?;
        if header.combine == Combine::OneAtATime {
            without_repeats_of_the_base(&mut variants);
        }
        apart(&variants).map_err(within)?;
        let Header { name, question, expect, baseline, rows, .. } = header;
        let baseline = baseline.or_else(|| variants.first().map(|variant| variant.name.clone())).unwrap_or_default();
        if variants.iter().all(|variant| variant.name != baseline) {
            let known: Vec<&str> = variants.iter().map(|variant| variant.name.as_str()).collect();
            return Err(Failure::file(
                path,
                format!("baseline: unknown variant `{baseline}` (known: {})", known.join(", ")),
            ));
        }
        let first = variants.iter().find(|variant| variant.name == baseline);
        let built_in = first.map_or(Ok(vec![]), |first| built_in::rows(&rows, first, registry)).map_err(within)?;
        let figures = |variant: &Variant| -> Outcome<(String, Vec<String>)> {
            let figures = variant.settings.figures(registry)?;
            Ok((variant.name.clone(), figures.into_iter().map(|(name, _)| name).collect()))
        };
        let known = variants.iter().chain(&built_in).map(figures).collect::<Outcome<Vec<_>>>()?;
        let measured = variants.iter().map(|variant| variant.settings.evaluation.figures(registry));
        let measured = measured.collect::<Outcome<Vec<_>>>()?.concat();
        let read = |line: &String| {
            let expectation = Expectation::parse(line, &known)?;
            // Figures over images drawn with replacement are those of metrics; a probe keeps no answer of each image.
            let probed = |name: &String| !measured.iter().any(|(measured, _)| measured == name);
            let unsure = expectation.figures().find(|figure| expectation.is_sure() && probed(&figure.name));
            match unsure.map(|figure| figure.name.clone()) {
                Some(name) => {
                    let text = format!("`{name}` is a probe's and has no interval; expected it without `@95%`");
                    Err(Failure::input("expect", text))
                }
                None => Ok(expectation),
            }
        };
        let expect = expect.iter().map(read).collect::<Outcome<_>>();
        let expect = expect.map_err(within)?;
        Ok(Self { name, question, variants, baseline, built_in, expect })
    }

    /// Everything that is judged: the variants in the order of the file, then the rows beside them.
    pub fn judged(&self) -> impl Iterator<Item = &Variant> {
        self.variants.iter().chain(&self.built_in)
    }

    /// What of [`Self::judged`] stands at a place.
    pub fn at(&self, place: usize) -> &Variant {
        self.variants.get(place).unwrap_or_else(|| &self.built_in[place - self.variants.len()])
    }

    /// Where results go unless told otherwise.
    pub fn default_folder(&self) -> PathBuf {
        Path::new("runs").join(&self.name)
    }
}

/// Names become folders.
fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let good = !name.is_empty() && !name.starts_with('.') && name.chars().all(plain);
    good.then_some(()).ok_or_else(|| format!("name `{name}`: expected letters, digits, -, _ and dots within only"))
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
        assert!(experiment.variants.iter().all(|variant| variant.settings.training.steps == Some(3)));
    }

    #[test]
    fn mistakes_name_the_file_and_the_key() {
        for (from, to, needle) in [
            ("[training]", "[trainig]", "did you mean `training`?"),
            ("[training]", "[world]\n[training]", "training"),
            ("steps =", "stpes =", "did you mean `steps`?"),
            ("\nbatch = ", "\nbatch = \"x\" # ", "training.batch"),
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
    fn the_short_version_lies_below_variants_and_expects_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.toml");
        let registry = Registry::<CpuTensor<f32>>::built_in();
        let quick = "[quick.training]\nsteps = 7\nbatch = 32\n";
        let variant = "[variants.long]\naligner = { kind = \"dense\" }\ntraining = { steps = 9 }\n";
        let (head, rest) = GOOD.split_once("[quick]").unwrap();
        let (_, variants) = rest.split_once("[variants").unwrap();
        let text = &format!("{head}[variants{variants}");
        std::fs::write(&file, format!("{text}\n{quick}\n{variant}")).unwrap();
        let full = Experiment::load(&file, &[], &registry).unwrap();
        let short = Experiment::load_quick(&file, &["training.batch=16".into()], &registry).unwrap();
        assert_eq!((short.name.as_str(), short.expect.len()), ("alignment-quick", 0));
        assert_eq!(full.expect.len(), Experiment::parse(&file, text, &[], &registry).unwrap().expect.len());
        let steps = |experiment: &Experiment| -> Vec<(u64, usize)> {
            experiment.variants.iter().map(|v| (v.settings.training.steps(1), v.settings.training.batch)).collect()
        };
        assert_eq!(steps(&short), [(7, 16), (7, 16), (7, 16), (9, 16)]);
        assert_eq!(steps(&full)[..3], [(500, 128); 3]);
        std::fs::write(&file, text).unwrap();
        assert!(Experiment::load_quick(&file, &[], &registry).unwrap_err().to_string().contains("no [quick] section"));
        std::fs::write(&file, format!("{text}\n[quick.trainign]\nsteps = 1\n")).unwrap();
        assert!(Experiment::load(&file, &[], &registry).unwrap_err().to_string().contains("did you mean `training`?"));
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
