//! The figures of an experiment as a table: one row per variant, one column per figure that its metrics declare, with 95% intervals.
//!
//! An interval is over images if a variant has one seed (the model as it is), and Student's over seeds if it has several; the caption
//! says which. Where the figures are there, three columns say where the error comes from:
//!
//! ```text
//! class selection = mIoU with the true classes given − mIoU        masks = resolution ceiling − mIoU with the true classes given
//! resolution      = 1 − resolution ceiling                         (the three add up to 1 − mIoU)
//! ```

pub mod sheet;

use crate::experiment::{BuiltIn, Experiment};
use crate::failure::Outcome;
use crate::results::{Results, Row, Status};
use crate::statistics::{Interval, mean, student};
use sheet::{Cell, Column, Sheet};
use simseg::Registry;
use simseg_tensor::Tensor;

/// The columns: every figure of every variant once, in the order in which metrics declare them; of probes the main ones.
fn columns<T: Tensor>(experiment: &Experiment, registry: &Registry<T>) -> Outcome<Vec<Column>> {
    let mut columns: Vec<Column> = vec![];
    for variant in &experiment.variants {
        let probed =
            variant.settings.probes.iter().flat_map(|probes| &probes.what).flat_map(|probe| probe.main_figures());
        let probed = probed.map(|figure| (figure.name.to_owned(), figure));
        for (key, figure) in variant.settings.evaluation.figures(registry)?.into_iter().chain(probed) {
            if columns.iter().all(|column| column.key != key) {
                // The name of a data set stands before the heading, as before the key.
                let prefix = key.strip_suffix(figure.name).unwrap_or_default();
                let heading = headed(prefix, figure.heading);
                columns.push(Column::new(key, heading));
            }
        }
    }
    Ok(columns)
}

fn headed(prefix: &str, heading: &str) -> String {
    match prefix.trim_end_matches('.') {
        "" => heading.to_owned(),
        prefix => format!("{prefix}: {heading}"),
    }
}

/// What is lost on the way from 1 to the mIoU: a name, and how much a row loses there.
type Loss = (&'static str, &'static str, fn(&Row, &str) -> Option<f64>);

/// What the columns of losses are together.
const GROUP: &str = "error budget: 1 − mIoU is their sum";

const BUDGET: [Loss; 4] = [
    ("lost_to_selection", "lost to class selection", |row, prefix| {
        Some(figure(row, prefix, "miou_true_classes")? - figure(row, prefix, "miou")?)
    }),
    ("lost_to_masks", "lost to masks", |row, prefix| {
        let unrefined = figure(row, prefix, UNREFINED).or_else(|| figure(row, prefix, "miou_true_classes"));
        Some(figure(row, prefix, "resolution_ceiling")? - unrefined?)
    }),
    (REFINEMENT, "lost to refinement", |row, prefix| {
        Some(figure(row, prefix, UNREFINED)? - figure(row, prefix, "miou_true_classes")?)
    }),
    ("lost_to_resolution", "lost to resolution", |row, prefix| Some(1.0 - figure(row, prefix, "resolution_ceiling")?)),
];

/// A part that is known only where this is measured; elsewhere it is part of what is lost to masks.
const REFINEMENT: &str = "lost_to_refinement";
const UNREFINED: &str = "miou_unrefined";

fn figure(row: &Row, prefix: &str, name: &str) -> Option<f64> {
    row.metrics.get(&format!("{prefix}{name}")).copied()
}

/// The mean of a variant's runs with its interval: over seeds, or the images' own if there is one run.
fn cell(values: &[f64], of_images: Option<Interval>) -> Cell {
    let interval = if values.len() > 1 { student::interval(values) } else { of_images };
    mean(values).map_or(Cell::Nothing, |value| Cell::Number { value, interval, digits: 3 })
}

/// The table of an experiment with numbers; rows beside its variants (built-in ones) come last.
///
/// # Errors
/// If a metric is unknown.
pub fn sheet<T: Tensor>(experiment: &Experiment, results: &Results, registry: &Registry<T>) -> Outcome<Sheet> {
    let figures = columns(experiment, registry)?;
    let mut axes: Vec<&String> = vec![];
    results.rows.iter().flat_map(|row| row.axes.keys()).for_each(|axis| {
        if !axes.contains(&axis) {
            axes.push(axis);
        }
    });
    let has = |key: String| figures.iter().any(|column| column.key == key);
    let prefixes = figures
        .iter()
        .filter_map(|column| column.key.strip_suffix("miou"))
        .filter(|prefix| ["miou_true_classes", "resolution_ceiling"].iter().all(|name| has(format!("{prefix}{name}"))));
    let prefixes: Vec<&str> = prefixes.collect();
    let mut columns = vec![Column::new("variant", "variant")];
    columns.extend(axes.iter().map(|axis| Column::new(axis.as_str(), axis.as_str())));
    columns.extend(figures.iter().cloned());
    let known = |prefix: &str, part: &str| part != REFINEMENT || has(format!("{prefix}{UNREFINED}"));
    let all = prefixes.iter().flat_map(|prefix| BUDGET.iter().map(move |loss| (prefix, loss)));
    let budget: Vec<_> = all.filter(|(prefix, (part, ..))| known(prefix, part)).collect();
    let budget = || budget.iter();
    columns.extend(
        budget().map(|(prefix, (key, heading, _))| {
            Column::new(format!("{prefix}{key}"), headed(prefix, heading)).of(GROUP)
        }),
    );
    columns.extend([Column::new("train_images_per_second", "images/s"), Column::new("seconds", "seconds")]);
    let row = |variant: &str| {
        let runs: Vec<&Row> = results.rows.iter().filter(|row| row.variant == variant).collect();
        let done: Vec<&Row> = runs.iter().copied().filter(|row| row.status == Status::Done).collect();
        let values = |of: &dyn Fn(&Row) -> Option<f64>| done.iter().filter_map(|row| of(row)).collect::<Vec<f64>>();
        let axis = |axis: &&String| runs.iter().find_map(|row| row.axes.get(*axis)).map_or(Cell::Nothing, shown);
        let label = runs.first().map_or_else(|| variant.to_owned(), |row| row.label());
        let mut cells = vec![Cell::Text(label)];
        cells.extend(axes.iter().map(axis));
        cells.extend(figures.iter().map(|Column { key, .. }| {
            let of_images = done.first().and_then(|row| row.intervals.get(key).copied());
            cell(&values(&|row| row.metrics.get(key).copied()), of_images)
        }));
        cells.extend(budget().map(|(prefix, (_, _, lost))| cell(&values(&|row| lost(row, prefix)), None)));
        let trained = !runs.iter().any(|row| row.is_built_in());
        let plain =
            |values: Vec<f64>| mean(&values).filter(|_| trained).map_or(Cell::Nothing, |value| Cell::plain(value, 0));
        cells.push(plain(values(&|row| Some(row.train_images_per_second))));
        cells.push(plain(values(&|row| Some(row.seconds))));
        let failure = runs.iter().find_map(|row| match &row.status {
            Status::Failed(why) => Some(format!("seed {}: {why}", row.seed)),
            Status::Done => None,
        });
        if let Some(why) = failure {
            cells[1 + axes.len()] = Cell::Failed(why);
        }
        cells
    };
    let known = experiment.variants.iter().map(|variant| variant.name.as_str());
    let others = results.variants().into_iter().filter(|name| known.clone().all(|known| known != *name));
    let (beside, others): (Vec<&str>, Vec<&str>) = others.partition(|name| BuiltIn::by_name(name).is_some());
    let rows = known.clone().chain(others).chain(beside.iter().copied()).map(row).collect();
    Ok(Sheet { caption: caption(results), columns, fixed: 1 + axes.len(), rows, beside: beside.len() })
}

/// A value of an axis.
fn shown(value: &serde_json::Value) -> Cell {
    Cell::Text(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// What the intervals are of.
pub fn caption(results: &Results) -> String {
    let done = results.rows.iter().filter(|row| row.status == Status::Done);
    match results.seeds().len() {
        0 => "No runs.".to_owned(),
        1 if done.clone().all(|row| row.intervals.is_empty()) => "One seed.".to_owned(),
        1 => "One seed; [95% interval]: images drawn with replacement, the model as it is; nothing is said of other seeds.".to_owned(),
        seeds => format!("Mean of {seeds} seeds; [95% interval]: over seeds, by Student's t."),
    }
}

/// A table of text.
pub struct Table {
    /// What the intervals are of.
    pub caption: String,
    /// One per column.
    pub headings: Vec<String>,
    /// What neighbouring columns share, and how many they are; empty names for those that share nothing. No entry if none do.
    pub groups: Vec<(String, usize)>,
    /// Variant, its place on the axes, its figures, images/s, seconds.
    pub rows: Vec<Vec<String>>,
    /// How many rows at the end are no variants.
    pub beside: usize,
}

/// The table of an experiment.
///
/// # Errors
/// If a metric is unknown.
pub fn of<T: Tensor>(experiment: &Experiment, results: &Results, registry: &Registry<T>) -> Outcome<Table> {
    let Sheet { caption, columns, rows, beside, .. } = sheet(experiment, results, registry)?;
    let mut groups: Vec<(String, usize)> = vec![];
    for column in &columns {
        match groups.last_mut() {
            Some((group, columns)) if *group == column.group => *columns += 1,
            _ => groups.push((column.group.to_owned(), 1)),
        }
    }
    groups.retain(|_| columns.iter().any(|column| !column.group.is_empty()));
    let headings = columns.into_iter().map(|column| column.heading).collect();
    let rows = rows.iter().map(|row| row.iter().map(Cell::text).collect()).collect();
    Ok(Table { caption, headings, groups, rows, beside })
}

/// The table for the terminal.
///
/// # Errors
/// If a metric is unknown.
pub fn text<T: Tensor>(experiment: &Experiment, results: &Results, registry: &Registry<T>) -> Outcome<String> {
    Ok(sheet(experiment, results, registry)?.text())
}
