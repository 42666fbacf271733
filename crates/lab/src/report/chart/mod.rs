//! The chart that fits the question.
//!
//! | variants lie on | chart |
//! |---|---|
//! | one axis of numbers | [`lines`] of the main figures |
//! | two axes or more | a [`heat`] map of the first figure for each value of the axes beyond two |
//! | none, or one axis of words | [`bars`] |
//!
//! Variants that lie beside the axes of the others get bars of their own. [`training`] draws the loss over the steps, [`mod@probes`] what a
//! model relies on meanwhile.

pub mod palette;
pub mod svg;
pub mod scale;
pub mod lines;
pub mod bars;
pub mod heat;
pub mod training;
pub mod probes;

use super::estimate::{Estimate, estimate};
use crate::experiment::Experiment;
use crate::failure::Outcome;
use crate::results::Results;
use lines::{Frame, Line, Point};
use serde_json::Value;
use simseg::Registry;
use simseg_segment::{Figure, metrics::Unit};
use simseg_tensor::Tensor;
use std::collections::BTreeMap;

/// A chart with what stands beside it.
#[derive(Debug)]
pub struct Chart {
    /// Its heading.
    pub title: String,
    /// The picture.
    pub svg: String,
    /// What its lines show, if there are several: below it, so that it covers nothing.
    pub legend: Vec<Entry>,
}

/// A line of a legend.
#[derive(Debug)]
pub struct Entry {
    /// What it shows.
    pub name: String,
    /// Its colour and its dash.
    pub classes: String,
}

/// A figure that is drawn.
struct Drawn {
    key: String,
    heading: String,
    share: bool,
}

/// Most lines of one chart of figures.
const FIGURES: usize = 4;

/// Where a variant lies.
type Axes<'a> = &'a BTreeMap<String, Value>;

/// The charts of an experiment's figures.
///
/// # Errors
/// If a metric is unknown.
pub fn of<T: Tensor>(experiment: &Experiment, results: &Results, registry: &Registry<T>) -> Outcome<Vec<Chart>> {
    let figures = figures(experiment, results, registry)?;
    let none = BTreeMap::new();
    let axes = |name: &str| -> &BTreeMap<String, Value> {
        results
            .rows
            .iter()
            .filter(|row| row.variant == name)
            .map(|row| &row.axes)
            .find(|a| !a.is_empty())
            .unwrap_or(&none)
    };
    let all: Vec<(&str, Axes<'_>)> = experiment.variants.iter().map(|v| (&*v.name, axes(&v.name))).collect();
    // The axes that most of its variants lie on.
    let keys = |axes: Axes<'_>| axes.keys().cloned().collect::<Vec<_>>();
    let count = |of: &[String]| all.iter().filter(|(_, axes)| keys(axes) == of).count();
    let usual = all.iter().map(|(_, axes)| keys(axes)).filter(|k| !k.is_empty()).max_by_key(|k| count(k));
    let usual = usual.unwrap_or_default();
    let (on, beside): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, axes)| keys(axes) == usual);
    let numbers = on.iter().all(|(_, axes)| axes.values().all(Value::is_number));
    let mut charts = vec![];
    match usual.as_slice() {
        [] => return Ok(bar_charts(&on, &figures, results)),
        [axis] if numbers => charts.extend(line_chart(axis, &on, &figures, results)),
        [_] => charts.extend(bar_charts(&on, &figures, results)),
        [down, right, ..] => {
            for figure in main(&figures) {
                charts.extend(heat_maps(charts.len(), (down, right), &on, figure, results));
            }
        }
    }
    if !beside.is_empty() {
        charts.extend(bar_charts(&beside, &figures, results));
    }
    Ok(charts)
}

/// The figures that were measured, mean intersection over union first, each once.
fn figures<T: Tensor>(experiment: &Experiment, results: &Results, registry: &Registry<T>) -> Outcome<Vec<Drawn>> {
    let mut found: Vec<(String, &'static Figure)> = vec![];
    for variant in &experiment.variants {
        for (key, figure) in variant.settings.evaluation.figures(registry)? {
            let measured = results.rows.iter().any(|row| row.metrics.contains_key(&key));
            if measured && found.iter().all(|(known, _)| *known != key) {
                found.push((key, figure));
            }
        }
    }
    found.sort_by_key(|(_, figure)| (figure.name != "miou", figure.unit != Unit::Share));
    let drawn = |(key, figure): (String, &'static Figure)| {
        let prefix = key.strip_suffix(figure.name).unwrap_or_default().trim_end_matches('.');
        let heading = if prefix.is_empty() { figure.heading.into() } else { format!("{prefix}: {}", figure.heading) };
        Drawn { share: figure.unit == Unit::Share, heading, key }
    };
    Ok(found.into_iter().map(drawn).collect())
}

/// What a chart of one figure shows: that figure on every data set.
fn main(figures: &[Drawn]) -> impl Iterator<Item = &Drawn> {
    let name = |figure: &Drawn| figure.key.rsplit('.').next().unwrap_or_default().to_owned();
    let first = figures.first().map(name);
    figures.iter().filter(move |figure| Some(name(figure)) == first)
}

fn bar_charts(variants: &[(&str, Axes<'_>)], figures: &[Drawn], results: &Results) -> Vec<Chart> {
    let chart = |(i, figure): (usize, &Drawn)| {
        let bar =
            |(name, _): &(&str, Axes<'_>)| ((*name).to_owned(), estimate(results, name, &figure.key, figure.share));
        let bars: Vec<_> = variants.iter().map(bar).collect();
        let id = format!("bars-{i}");
        let svg = bars::draw(&id, &figure.heading, figure.share, &bars);
        Chart { title: figure.heading.clone(), svg, legend: vec![] }
    };
    main(figures).enumerate().map(chart).collect()
}

fn line_chart(axis: &str, variants: &[(&str, Axes<'_>)], figures: &[Drawn], results: &Results) -> Option<Chart> {
    // Shares have one scale; a figure of another kind is drawn only where there is no share.
    let share = figures.iter().any(|figure| figure.share);
    let several = main(figures).count().max(FIGURES);
    let shown = figures.iter().filter(|figure| figure.share == share).take(if share { several } else { 1 });
    let line = |figure: &Drawn| {
        let point = |(name, axes): &(&str, Axes<'_>)| {
            let estimate = estimate(results, name, &figure.key, figure.share)?;
            Some(Point { x: axes.get(axis)?.as_f64()?, y: estimate.value, interval: estimate.interval })
        };
        let mut points: Vec<Point> = variants.iter().filter_map(point).collect();
        points.sort_by(|a, b| a.x.total_cmp(&b.x));
        Line { name: figure.heading.clone(), points }
    };
    let lines: Vec<Line> = shown.map(line).collect();
    let first = lines.first()?;
    let title = format!("Figures over {axis}");
    let y = if lines.len() == 1 { &first.name } else { "figure" };
    let frame = Frame { id: "axis", title: &title, x: axis, y, share, chosen: true };
    Some(Chart { svg: lines::draw(frame, &lines), legend: legend(&lines), title })
}

/// What the lines of a chart show.
fn legend(lines: &[Line]) -> Vec<Entry> {
    let entry = |(i, line): (usize, &Line)| Entry { name: line.name.clone(), classes: palette::classes(i) };
    lines.iter().enumerate().map(entry).collect()
}

/// One map for each place on the axes beyond the first two.
fn heat_maps(
    before: usize,
    (down, right): (&str, &str),
    variants: &[(&str, Axes<'_>)],
    figure: &Drawn,
    results: &Results,
) -> Vec<Chart> {
    let rest = |axes: Axes<'_>| {
        let others = axes.iter().filter(|(key, _)| *key != down && *key != right);
        others.map(|(key, value)| format!("{key} = {}", text(value))).collect::<Vec<_>>().join(", ")
    };
    let mut places: Vec<String> = vec![];
    for (_, axes) in variants {
        if !places.contains(&rest(axes)) {
            places.push(rest(axes));
        }
    }
    let map = |(i, place): (usize, String)| {
        let here: Vec<_> = variants.iter().filter(|(_, axes)| rest(axes) == place).collect();
        let (rows, columns) = (values(&here, down), values(&here, right));
        let cell = |row: &Value, column: &Value| {
            let at = |axes: Axes<'_>| axes.get(down) == Some(row) && axes.get(right) == Some(column);
            let (name, _) = here.iter().find(|(_, axes)| at(axes))?;
            Some(estimate(results, name, &figure.key, figure.share)?.value)
        };
        let cells = rows.iter().map(|row| columns.iter().map(|column| cell(row, column)).collect()).collect();
        let title = if place.is_empty() { figure.heading.clone() } else { format!("{}, {place}", figure.heading) };
        let id = format!("heat-{}", before + i);
        let texts = |values: &[Value]| values.iter().map(text).collect();
        let (down, right) = ((down, texts(&rows)), (right, texts(&columns)));
        let svg = heat::draw(&heat::Map { id: &id, heading: &title, down, right, cells });
        Chart { title, svg, legend: vec![] }
    };
    places.into_iter().enumerate().map(map).collect()
}

/// The values of an axis, each once: numbers rising, others as in the file.
fn values(variants: &[&(&str, Axes<'_>)], axis: &str) -> Vec<Value> {
    let mut values: Vec<Value> = vec![];
    for value in variants.iter().filter_map(|(_, axes)| axes.get(axis)) {
        if !values.contains(value) {
            values.push(value.clone());
        }
    }
    if values.iter().all(Value::is_number) {
        values.sort_by(|a, b| a.as_f64().unwrap_or(0.0).total_cmp(&b.as_f64().unwrap_or(0.0)));
    }
    values
}

/// A setting as a person writes it.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
