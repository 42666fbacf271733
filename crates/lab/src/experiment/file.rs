//! The text of an experiment file: what stands beside the settings, files that stand on each other, and what makes variants.

use super::Variant;
use super::axes::{self, Combine};
use super::built_in::BuiltIn;
use super::ladder::{Ladder, Rung};
use crate::failure::{Failure, Outcome};
use serde::{Deserialize, Serialize};
use simseg::settings as reading;
use simseg::{Recipe, Registry};
use simseg_tensor::Tensor;
use std::collections::BTreeMap;
use std::path::Path;
use toml::{Table, Value};

/// What stands in a file beside the settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) name: String,
    pub(super) question: String,
    #[serde(default)]
    pub(super) expect: Vec<String>,
    #[serde(default)]
    pub(super) variants: Table,
    #[serde(default)]
    pub(super) baseline: Option<String>,
    #[serde(default)]
    pub(super) axes: Table,
    #[serde(default)]
    pub(super) combine: Combine,
    #[serde(default)]
    pub(super) exclude: Vec<Table>,
    #[serde(default)]
    pub(super) ladder: Option<Ladder>,
    #[serde(default = "all_rows")]
    pub(super) rows: Vec<BuiltIn>,
}

fn all_rows() -> Vec<BuiltIn> {
    BuiltIn::ALL.into()
}

/// What tells one file from another; all else is settings, and what `base` takes over.
const HEADER: [&str; 10] =
    ["name", "question", "expect", "variants", "baseline", "axes", "combine", "exclude", "ladder", "rows"];
pub(super) const SECTIONS: [&str; 8] =
    ["model", "aligner", "loss", "training", "evaluation", "segmentation", "seeds", "probes"];
/// Settings of the short version of an experiment, laid on the sections, below those of variants.
const QUICK: &str = "quick";
/// How many files may stand on each other's settings.
pub(super) const BASES: usize = 8;

/// Header and sections of a file, with the sections of what it stands on below its own.
pub(super) fn read(path: &Path, text: &str, bases: usize) -> Outcome<(Table, Table)> {
    let mut table = reading::parse(path, text)?;
    let mut header = Table::new();
    for key in HEADER {
        if let Some(value) = table.remove(key) {
            header.insert(key.to_owned(), value);
        }
    }
    let Some(base) = table.remove("base") else { return Ok((header, table)) };
    let Value::String(base) = base else {
        return Err(Failure::file(path, format!("base: expected the name of another experiment file, found {base}")));
    };
    if bases == 0 {
        return Err(Failure::file(path, format!("base: more than {BASES} files stand on each other")));
    }
    let base = path.parent().unwrap_or(Path::new("")).join(base);
    let (_, mut sections) = read(&base, &reading::read_text(&base)?, bases - 1)?;
    if let (Some(Value::Table(_)), Some(Value::Table(own))) = (sections.get("segmentation"), table.get("segmentation"))
        && own.contains_key("recipe")
    {
        sections.remove("segmentation");
    }
    reading::merge(&mut sections, &table);
    Ok((header, sections))
}

/// Takes the settings of the short version from the sections, and lays them on top if that is asked for.
pub(super) fn shorten(path: &Path, sections: &mut Table, quick: bool) -> Outcome {
    let shorter = match sections.remove(QUICK) {
        Some(Value::Table(shorter)) => shorter,
        Some(other) => return Err(Failure::file(path, format!("quick: expected a table, found {other}"))),
        None if quick => return Err(Failure::file(path, "has no [quick] section, which --quick asks for")),
        None => return Ok(()),
    };
    if let Some(unknown) = shorter.keys().find(|key| !SECTIONS.contains(&key.as_str())) {
        return Err(Failure::file(path, format!("quick: {}", unknown_section(unknown))));
    }
    if quick {
        reading::merge(sections, &shorter);
    }
    Ok(())
}

/// One at a time, the file's own value of an axis is the base again: once is enough.
pub(super) fn without_repeats_of_the_base(variants: &mut Vec<Variant>) {
    let base = variants.first().map(|base| base.settings.clone());
    let mut index = 0;
    variants.retain(|variant| {
        index += 1;
        index == 1 || Some(&variant.settings) != base.as_ref()
    });
}

/// Lays settings on top of others. A layer that names a recipe starts `[segmentation]` afresh from it; a file that names none starts
/// from the plain one.
pub(super) fn lay<T: Tensor>(merged: &mut Table, layer: &Table, registry: &Registry<T>) -> Outcome {
    let mut layer = layer.clone();
    let recipe = match layer.get_mut("segmentation") {
        Some(Value::Table(segmentation)) => segmentation.remove("recipe"),
        _ => None,
    };
    let name = match recipe {
        Some(Value::String(name)) => Some(name),
        Some(other) => return Err(Failure::input("segmentation.recipe", format!("expected a name, found {other}"))),
        None if merged.contains_key("segmentation") => None,
        None => Some("plain".to_owned()),
    };
    if let Some(name) = name {
        let recipe = Recipe::load(&name, "", &[], registry)?;
        merged.insert("segmentation".to_owned(), to_value(&recipe)?);
    }
    reading::merge(merged, &layer);
    Ok(())
}

/// A variant as differences from the file's settings.
pub(super) struct Differences {
    pub(super) name: String,
    pub(super) axes: BTreeMap<String, Value>,
    pub(super) layers: Vec<Table>,
}

impl Header {
    /// All variants: those that are written down, at every point of the axes; or the rungs of the ladder.
    pub(super) fn variants<T: Tensor>(&self, registry: &Registry<T>) -> Outcome<Vec<Differences>> {
        if let Some(ladder) = &self.ladder {
            if !self.variants.is_empty() || !self.axes.is_empty() {
                return Err(Failure::input("ladder", "expected no variants and no axes beside it"));
            }
            let rung = |Rung { name, key, recipe }: Rung| Differences {
                name,
                axes: BTreeMap::from([("ladder".to_owned(), Value::String(key))]),
                layers: vec![Table::from_iter([("segmentation".to_owned(), Value::Table(recipe))])],
            };
            return Ok(ladder.rungs(registry)?.into_iter().map(rung).collect());
        }
        let bad = |why: String| Failure::Input(why);
        let points = axes::points(&axes::read(&self.axes).map_err(bad)?, self.combine, &self.exclude).map_err(bad)?;
        let mut written: Vec<(&str, Table)> = vec![];
        for (name, differences) in &self.variants {
            let Value::Table(differences) = differences else {
                return Err(Failure::input(format!("variants.{name}"), "expected a table of differences"));
            };
            written.push((name, differences.clone()));
        }
        if written.is_empty() {
            written.push(("", Table::new()));
        }
        let mut all = vec![];
        for (name, differences) in &written {
            for point in &points {
                let name = match (*name, point.name.as_str()) {
                    ("", "") => self.name.clone(),
                    ("", point) => point.to_owned(),
                    (name, "") => name.to_owned(),
                    (name, point) => format!("{name}_{point}"),
                };
                let mut layer = Table::new();
                for (key, value) in &point.values {
                    put(&mut layer, key, value.clone());
                }
                all.push(Differences { name, axes: point.values.clone(), layers: vec![differences.clone(), layer] });
            }
        }
        Ok(all)
    }
}

/// Sets `a.b.c` in nested tables.
fn put(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => drop(table.insert(key.to_owned(), value)),
        Some((first, rest)) => {
            let inner = table.entry(first).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// That no two variants have one name or the same settings: a table of them would look like a finding.
pub(super) fn apart(variants: &[Variant]) -> Outcome {
    for (i, later) in variants.iter().enumerate() {
        for earlier in &variants[..i] {
            if earlier.name == later.name {
                return Err(Failure::input("variants", format!("two are called `{}`", later.name)));
            }
            if earlier.settings == later.settings {
                let text =
                    format!("`{}` and `{}` have the same settings; expected a difference", earlier.name, later.name);
                return Err(Failure::input("variants", text));
            }
        }
    }
    Ok(())
}

/// A section that nobody knows, with the nearest and, for those of earlier versions, where it went.
pub(super) fn unknown_section(unknown: &str) -> String {
    if unknown == "world" {
        return "section `world` is now the fields of `data`: [training] data = { kind = \"scenes\", count = …, bias = … }".into();
    }
    let known = HEADER.into_iter().chain(["base", QUICK]).chain(SECTIONS);
    let hint = reading::nearest(unknown, known.clone()).map(|key| format!("; did you mean `{key}`?"));
    format!("unknown key `{unknown}`{} (known: {})", hint.unwrap_or_default(), known.collect::<Vec<_>>().join(", "))
}

fn to_value(value: &impl Serialize) -> Outcome<Value> {
    Value::try_from(value).map_err(|error| Failure::input("settings", error))
}
