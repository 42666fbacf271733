//! What sets variants apart: their settings beside those that most of them share.
//!
//! The base holds, for each key, the value that most variants have; where no two agree it has none, and neither where most lack it.

use crate::experiment::{Experiment, Variant};
use crate::failure::{Failure, Outcome};
use toml::{Table, Value};

/// Settings side by side.
#[derive(Debug, Default)]
pub struct Differences {
    /// What most variants share, as a TOML file.
    pub base: String,
    /// One per variant that has any.
    pub variants: Vec<Difference>,
}

/// How a variant differs from the base.
#[derive(Debug)]
pub struct Difference {
    /// Its name.
    pub variant: String,
    /// What it differs in.
    pub keys: Vec<Key>,
}

/// One setting.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// `aligner.image_k`.
    pub key: String,
    /// Its value in the base; none if variants do not agree on one.
    pub base: Option<String>,
    /// Its value in the variant; none if it is not set.
    pub own: Option<String>,
}

/// A variant's settings, one per key.
type Flat = Vec<(String, Value)>;

/// Compares the variants of an experiment.
///
/// # Errors
/// If a setting of an outside algorithm is nothing that TOML can hold.
pub fn of(experiment: &Experiment) -> Outcome<Differences> {
    let all = experiment.variants.iter().map(flat).collect::<Outcome<Vec<Flat>>>()?;
    let mut keys: Vec<&str> = vec![];
    for (key, _) in all.iter().flatten() {
        if !keys.contains(&key.as_str()) {
            keys.push(key);
        }
    }
    let base: Vec<(&str, Option<&Value>)> = keys.into_iter().map(|key| (key, shared(&all, key))).collect();
    let difference = |(variant, own): (&Variant, &Flat)| {
        let key = |&(key, base): &(&str, Option<&Value>)| {
            let own = value(own, key);
            (own != base).then(|| Key { key: key.to_owned(), base: base.map(text), own: own.map(text) })
        };
        Difference { variant: variant.name.clone(), keys: base.iter().filter_map(key).collect() }
    };
    let variants = experiment.variants.iter().zip(&all).map(difference).filter(|d| !d.keys.is_empty()).collect();
    let mut table = Table::new();
    for (key, value) in &base {
        if let Some(value) = value {
            insert(&mut table, key, (*value).clone());
        }
    }
    let base = toml::to_string_pretty(&table).map_err(|error| Failure::input("settings", error))?;
    Ok(Differences { base, variants })
}

fn flat(variant: &Variant) -> Outcome<Flat> {
    let table = Table::try_from(&variant.settings).map_err(|error| Failure::input("settings", error))?;
    let mut out = vec![];
    flatten("", &table, &mut out);
    Ok(out)
}

fn flatten(prefix: &str, table: &Table, out: &mut Flat) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(table) => flatten(&key, table, out),
            value => out.push((key, value.clone())),
        }
    }
}

fn value<'a>(settings: &'a Flat, key: &str) -> Option<&'a Value> {
    settings.iter().find(|(known, _)| known == key).map(|(_, value)| value)
}

/// The value that most variants have, the first of those that are as frequent; none if no two agree on one.
fn shared<'a>(all: &'a [Flat], key: &str) -> Option<&'a Value> {
    let count = |wanted: Option<&Value>| all.iter().filter(|settings| value(settings, key) == wanted).count();
    let best = all.iter().map(|settings| value(settings, key)).rev().max_by_key(|value| count(*value)).flatten();
    best.filter(|value| all.len() == 1 || count(Some(value)) > 1)
}

fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => drop(table.insert(key.to_owned(), value)),
        Some((first, rest)) => {
            let inner = table.entry(first).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
