//! `report.html`: what its template is filled with.

use super::chart::{self, Chart, palette};
use super::differences::{self, Differences};
use super::gallery::{self, Gallery};
use super::table::Table;
use crate::experiment::Experiment;
use crate::failure::{Failure, Outcome};
use crate::results::folder::of_run;
use crate::results::provenance::{self, Provenance};
use crate::results::{Answer, Results, Status};
use askama::Template;
use serde_json::Value;
use simseg::Registry;
use simseg_tensor::Tensor;
use std::collections::BTreeSet;
use std::path::Path;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    name: &'a str,
    question: &'a str,
    caption: String,
    seeds: usize,
    headings: &'a [String],
    groups: &'a [(String, usize)],
    rows: Vec<Line>,
    /// Rows that are no variants.
    beside: Vec<Line>,
    failed: Vec<String>,
    expectations: &'a [Answer],
    charts: Vec<Chart>,
    /// What bands and whiskers are; empty if there are none.
    intervals: &'static str,
    classes: Classes,
    losses: Option<Chart>,
    probes: Vec<Chart>,
    galleries: Vec<Gallery>,
    differences: Differences,
    provenance: Vec<(String, String)>,
    light: &'static [&'static str],
    dark: &'static [&'static str],
    paper: [&'static str; 2],
    dashes: &'static [&'static str],
}

/// A row of the main table.
struct Line {
    name: String,
    cells: Vec<String>,
    /// Why there are no figures.
    failure: Option<String>,
}

/// Intersection over union by class and variant.
#[derive(Default)]
struct Classes {
    variants: Vec<String>,
    rows: Vec<(String, Vec<ClassCell>)>,
}

struct ClassCell {
    text: String,
    /// How strong its colour is, in percent.
    strength: u32,
}

/// The page of an experiment.
///
/// # Errors
/// If a run's files are damaged.
pub fn render<T: Tensor>(
    experiment: &Experiment,
    results: &Results,
    table: &Table,
    answers: &[Answer],
    registry: &Registry<T>,
    out: &Path,
) -> Outcome<String> {
    let seeds = results.seeds();
    let seed = seeds.first().copied().unwrap_or(0);
    let variants = table.rows.len() - table.beside;
    let charts = chart::of(experiment, results, registry)?;
    let page = Page {
        name: &experiment.name,
        question: experiment.question.trim(),
        caption: super::table::caption(results),
        seeds: seeds.len(),
        headings: &table.headings,
        groups: &table.groups,
        rows: table.rows[..variants].iter().map(|cells| line(cells, results)).collect(),
        beside: table.rows[variants..].iter().map(|cells| line(cells, results)).collect(),
        failed: failed_seeds(results),
        expectations: answers,
        intervals: intervals(&charts, seeds.len()),
        charts,
        classes: classes(experiment, results),
        losses: chart::training::losses(experiment, seed, out)?,
        probes: chart::probes::curves(experiment, seed, out)?,
        galleries: gallery::of(experiment, seed, registry, out)?,
        differences: differences::of(experiment)?,
        provenance: provenance(experiment, results, out)?,
        light: &palette::LIGHT,
        dark: &palette::DARK,
        paper: palette::PAPER,
        dashes: &palette::DASHES,
    };
    page.render().map_err(|error| Failure::file(&out.join("report.html"), error))
}

/// Why the runs of a variant failed, if all did.
pub(super) fn failure(results: &Results, variant: &str) -> Option<String> {
    let rows = results.rows.iter().filter(|row| row.variant == variant);
    let why = |status: &Status| match status {
        Status::Failed(why) => Some(why.clone()),
        Status::Done => None,
    };
    let mut all = rows.map(|row| why(&row.status)).collect::<Option<Vec<String>>>()?;
    all.dedup();
    (!all.is_empty()).then(|| format!("failed: {}", all.join("; ")))
}

/// The failed seeds of variants that have figures of others.
pub(super) fn failed_seeds(results: &Results) -> Vec<String> {
    let line = |row: &crate::results::Row| match &row.status {
        Status::Failed(why) if failure(results, &row.variant).is_none() => {
            Some(format!("{}, seed {}: {why}", row.variant, row.seed))
        }
        _ => None,
    };
    results.rows.iter().filter_map(line).collect()
}

fn line(cells: &[String], results: &Results) -> Line {
    let name = cells.first().cloned().unwrap_or_default();
    // A built-in row may say whose model it is of.
    let variant = name.split(' ').next().unwrap_or_default();
    Line { failure: failure(results, variant), cells: cells.iter().skip(1).cloned().collect(), name }
}

/// What the bands and whiskers of charts are; nothing if there are none.
fn intervals(charts: &[Chart], seeds: usize) -> &'static str {
    let drawn = |chart: &Chart| chart.svg.contains("class=\"band") || chart.svg.contains("class=\"whisker");
    match charts.iter().any(drawn) {
        false => "",
        true if seeds > 1 => "Intervals: 95% for the mean over seeds (Student’s t).",
        true => "Intervals: 95%, images drawn with replacement, the model as it is.",
    }
}

fn classes(experiment: &Experiment, results: &Results) -> Classes {
    let has = |variant: &&str| results.rows.iter().any(|row| row.variant == **variant && !row.per_class.is_empty());
    let variants: Vec<&str> = experiment.variants.iter().map(|v| &*v.name).filter(has).collect();
    let mut names: Vec<&str> = results.rows.iter().flat_map(|row| row.per_class.keys().map(String::as_str)).collect();
    names.sort_unstable();
    names.dedup();
    let cell = |class: &str, variant: &str| {
        let rows = results.rows.iter().filter(|row| row.variant == variant);
        let values: Vec<f64> = rows.filter_map(|row| row.per_class.get(class).copied().flatten()).collect();
        let mean = (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
        // 55% of a strong colour at most: the value is read on it.
        let strength = mean.map_or(0, |mean| (mean.clamp(0.0, 1.0) * 55.0).round() as u32);
        ClassCell { text: mean.map_or("–".into(), |mean| format!("{mean:.3}")), strength }
    };
    let row = |class: &str| (class.to_owned(), variants.iter().map(|variant| cell(class, variant)).collect());
    Classes { rows: names.into_iter().map(row).collect(), variants: variants.iter().map(|&v| v.to_owned()).collect() }
}

/// What the first run that has a `provenance.json` says about itself, and what could make the numbers of others differ.
fn provenance(experiment: &Experiment, results: &Results, out: &Path) -> Outcome<Vec<(String, String)>> {
    let judged = |name: &str| experiment.judged().any(|variant| variant.name == name);
    let rows = results.rows.iter().filter(|row| judged(&row.variant));
    let paths = rows.map(|row| of_run(out, &row.variant, row.seed).join(provenance::NAME)).filter(|path| path.exists());
    let all = paths.map(|path| Provenance::read(&path)).collect::<Outcome<Vec<Provenance>>>()?;
    let Some((first, others)) = all.split_first() else { return Ok(vec![]) };
    let value = serde_json::to_value(first).map_err(|error| Failure::file(out, error))?;
    let mut lines = vec![];
    flatten(String::new(), &value, &mut lines);
    let differences: BTreeSet<String> = others.iter().flat_map(|other| first.differences(other)).collect();
    lines.extend(differences.into_iter().map(|difference| ("rows differ in".to_owned(), difference)));
    Ok(lines)
}

fn flatten(key: String, value: &Value, lines: &mut Vec<(String, String)>) {
    let inner = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| flatten(inner(name), value, lines)),
        Value::Array(values) if values.iter().any(|v| v.is_object() || v.is_array()) => {
            values.iter().enumerate().for_each(|(i, value)| flatten(inner(&i.to_string()), value, lines));
        }
        Value::Array(values) => {
            lines.push((key, values.iter().map(chart::text).collect::<Vec<_>>().join(" ")));
        }
        Value::Null => lines.push((key, "–".into())),
        value => lines.push((key, chart::text(value))),
    }
}
