//! The outcome of an experiment for people: a table for the terminal ([`table`]), a page that needs nothing but itself
//! ([`page`]), and the table as Markdown and CSV ([`export`]).
//!
//! | module | what of the page |
//! |---|---|
//! | [`estimate`] | a figure with its interval |
//! | [`mod@chart`] | the chart that fits the question, and the losses |
//! | [`gallery`], [`thumbnail`] | pictures |
//! | [`differences`] | what sets variants apart |

pub mod table;
pub mod estimate;
pub mod chart;
pub mod thumbnail;
pub mod gallery;
pub mod differences;
pub mod page;
pub mod export;

use crate::experiment::Experiment;
use crate::failure::Outcome;
use crate::results::Results;
use crate::results::answers::answers_to;
use crate::results::drawn::Runs;
use simseg::Registry;
use simseg_data::atomic;
use simseg_tensor::Tensor;
use std::path::Path;

/// Writes `report.html`, `report.md` and `table.csv`.
///
/// # Errors
/// If the folder cannot be written.
pub fn write<T: Tensor>(experiment: &Experiment, results: &Results, registry: &Registry<T>, out: &Path) -> Outcome {
    let table = table::of(experiment, results, registry)?;
    let answers = answers_to(&experiment.expect, results, Some(&Runs::new(out, results, registry)));
    let page = page::render(experiment, results, &table, &answers, registry, out)?;
    atomic::write(&out.join("report.html"), page.as_bytes())?;
    let sheet = table::sheet(experiment, results, registry)?;
    let markdown = export::markdown(experiment, results, &sheet, &answers)?;
    atomic::write(&out.join("report.md"), markdown.as_bytes())?;
    Ok(atomic::write(&out.join("table.csv"), sheet.write(table::sheet::Format::Csv)?.as_bytes())?)
}
