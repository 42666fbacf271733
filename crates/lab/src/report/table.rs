//! The figures of an experiment as a table: one row per variant, one column per figure that its metrics declare.

use crate::experiment::Experiment;
use crate::failure::Outcome;
use crate::results::Results;
use simseg::Registry;
use simseg_tensor::Tensor;
use std::fmt::Write;

/// A column.
struct Column {
    /// Its key in `results.json`.
    key: String,
    heading: String,
}

/// The columns: every figure of every variant once, in the order in which metrics declare them.
fn columns<T: Tensor>(experiment: &Experiment, registry: &Registry<T>) -> Outcome<Vec<Column>> {
    let mut columns: Vec<Column> = vec![];
    for variant in &experiment.variants {
        for (key, figure) in variant.settings.evaluation.figures(registry)? {
            if columns.iter().all(|column| column.key != key) {
                // The name of a data set stands before the heading, as before the key.
                let prefix = key.strip_suffix(figure.name).unwrap_or_default().trim_end_matches('.');
                let heading =
                    if prefix.is_empty() { figure.heading.into() } else { format!("{prefix}: {}", figure.heading) };
                columns.push(Column { key, heading });
            }
        }
    }
    Ok(columns)
}

/// Mean and standard deviation (unbiased) of the values a variant reached over its seeds.
fn mean_sd(values: &[f64]) -> (f64, Option<f64>) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
    (mean, (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()))
}

fn cell(values: &[f64], digits: usize) -> String {
    match mean_sd(values) {
        _ if values.is_empty() => "–".into(),
        (mean, Some(sd)) => format!("{mean:.digits$} ± {sd:.digits$}"),
        (mean, None) => format!("{mean:.digits$}"),
    }
}

/// A table of text.
pub struct Table {
    /// One per column.
    pub headings: Vec<String>,
    /// Variant, its figures, images/s, seconds.
    pub rows: Vec<Vec<String>>,
}

/// The table of an experiment.
///
/// # Errors
/// If a metric is unknown.
pub fn of<T: Tensor>(experiment: &Experiment, results: &Results, registry: &Registry<T>) -> Outcome<Table> {
    let columns = columns(experiment, registry)?;
    let mut headings = vec!["variant".to_owned()];
    headings.extend(columns.iter().map(|column| column.heading.clone()));
    headings.extend(["images/s".to_owned(), "seconds".to_owned()]);
    let row = |variant: &str| {
        let runs: Vec<_> = results.rows.iter().filter(|row| row.variant == variant).collect();
        let mut cells = vec![variant.to_owned()];
        cells.extend(columns.iter().map(|column| cell(&results.values(variant, &column.key), 3)));
        cells.push(cell(&runs.iter().map(|row| row.train_images_per_second).collect::<Vec<_>>(), 0));
        cells.push(cell(&runs.iter().map(|row| row.seconds).collect::<Vec<_>>(), 0));
        cells
    };
    Ok(Table { headings, rows: experiment.variants.iter().map(|variant| row(&variant.name)).collect() })
}

/// The table for the terminal.
///
/// # Errors
/// If a metric is unknown.
pub fn text<T: Tensor>(experiment: &Experiment, results: &Results, registry: &Registry<T>) -> Outcome<String> {
    let Table { headings, rows } = of(experiment, results, registry)?;
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let mut out = String::new();
    for cells in std::iter::once(&headings).chain(&rows) {
        for (column, (cell, &width)) in cells.iter().zip(&widths).enumerate() {
            let _ = if column == 0 { write!(out, "{cell:<width$}") } else { write!(out, "  {cell:>width$}") };
        }
        out.push('\n');
    }
    Ok(out)
}
