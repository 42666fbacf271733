//! Comparisons as rows of a table, and the report they make.

use super::TOLERANCES;
use crate::failure::{Failure, Outcome};
use serde::Serialize;
use simseg_data::atomic;
use simseg_testkit::diagnose::{Finding, Leg};
use simseg_testkit::{Difference, Tolerance};
use std::fmt;
use std::path::Path;

/// One comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What kind: operation, derivative, layer, loss, gradient, optimiser, training.
    pub section: &'static str,
    /// Which one.
    pub name: String,
    /// Largest absolute difference.
    pub max_abs: f64,
    /// The same, relative to the largest value (or to the tolerance's floor).
    pub max_rel: f64,
    /// The largest difference in units of the last place of f32.
    pub max_ulp: f64,
    /// The tolerance's name.
    pub tolerance: &'static str,
    /// What it allows, relative.
    pub limit: f64,
    /// How many times the difference fits into what is allowed; nothing if there is none.
    pub margin: Option<f64>,
    /// Where the largest difference is, one position per axis.
    pub index: Vec<usize>,
    /// The reference's value there.
    pub reference: f64,
    /// The other backend's value there.
    pub other: f64,
    /// Whether it is allowed.
    pub agrees: bool,
    /// What is wrong, in words, where it can be told.
    pub diagnosis: Option<String>,
}

impl Row {
    fn new(section: &'static str, name: String, found: &Difference, tolerance: Tolerance) -> Self {
        Self {
            section,
            name,
            max_abs: found.abs,
            max_rel: found.rel,
            max_ulp: found.ulp,
            tolerance: tolerance.name,
            limit: tolerance.limit,
            margin: (found.rel > 0.0).then(|| tolerance.limit / found.rel),
            index: found.at.clone(),
            reference: found.want,
            other: found.got,
            agrees: tolerance.allows(found),
            diagnosis: None,
        }
    }

    /// Compares row-major values of a shape, the reference's first.
    pub fn compare(
        section: &'static str,
        name: String,
        (reference, other): (&[f64], &[f64]),
        shape: &[usize],
        tolerance: Tolerance,
    ) -> Self {
        Self::new(section, name, &Difference::between(other, reference, shape, tolerance.floor), tolerance)
    }

    /// The position and both values, with the digits that f32 has.
    fn place(&self) -> String {
        format!("{:?}: {} against {}", self.index, self.reference as f32, self.other as f32)
    }

    /// A comparison of an operation that has been diagnosed.
    pub fn diagnosed(section: &'static str, name: String, leg: &Leg, tolerance: Tolerance) -> Self {
        let diagnosis = leg.finding.as_ref().map(ToString::to_string);
        // Backends that agree with each other may both be wrong.
        let agrees = leg.finding.is_none();
        Self { diagnosis, agrees, ..Self::new(section, name, &leg.difference, tolerance) }
    }
}

/// The name, the position and both values.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} at {}", self.section, self.name, self.place())
    }
}

/// All comparisons of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The other backend.
    pub against: String,
    /// From small to large.
    pub rows: Vec<Row>,
    /// The first that diverges.
    pub first_divergence: Option<String>,
    /// The first layer that does.
    pub first_layer: Option<String>,
    /// What is wrong, in words.
    pub diagnosis: Option<String>,
}

impl Report {
    /// Puts a report together; `finding` is what the operations say.
    pub fn new(against: &str, rows: Vec<Row>, finding: Option<&Finding>) -> Self {
        let first = |section: &str| rows.iter().find(|row| !row.agrees && row.section.starts_with(section));
        let (any, layer) = (first(""), first("layer"));
        let diagnosis = match (finding, any) {
            (Some(finding), _) => Some(finding.to_string()),
            (None, Some(row)) => Some(format!(
                "no operation diverges by itself, {} does: rounding that adds up, or an operation at a size that the list has not",
                row.name
            )),
            (None, None) => None,
        };
        let [first_divergence, first_layer] = [any, layer].map(|row| row.map(ToString::to_string));
        Self { against: against.to_owned(), first_divergence, first_layer, diagnosis, rows }
    }

    /// Writes the report as JSON.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Outcome {
        let text = serde_json::to_string_pretty(self).map_err(|error| Failure::file(path, error))?;
        Ok(atomic::write(path, (text + "\n").as_bytes())?)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAME: usize = 64;
        writeln!(f, "cpu f32 against {}", self.against)?;
        writeln!(
            f,
            "{:<11}{:<NAME$}  {:>8}  {:>8}  {:>8}  {:>8}  allowed",
            "", "", "max abs", "max rel", "max ULP", "margin"
        )?;
        for row in &self.rows {
            // The end of a parameter's name says more than its start.
            let skip = row.name.chars().count().saturating_sub(NAME);
            let name: String = row.name.chars().skip(skip).collect();
            let margin = row.margin.map_or("exact".into(), |margin| format!("{margin:.0}×"));
            let mark = if row.agrees { "" } else { "  ✗" };
            writeln!(
                f,
                "{:<11}{name:<NAME$}  {:>8.1e}  {:>8.1e}  {:>8.1}  {margin:>8}  {:.0e}{mark}",
                row.section, row.max_abs, row.max_rel, row.max_ulp, row.limit
            )?;
            if !row.agrees {
                writeln!(f, "{:<11}  at {}", "", row.place())?;
                if let Some(diagnosis) = &row.diagnosis {
                    writeln!(f, "{:<11}  {diagnosis}", "")?;
                }
            }
        }
        let diverging = self.rows.iter().filter(|row| !row.agrees).count();
        writeln!(f, "\n{} comparisons, {diverging} diverging", self.rows.len())?;
        let used = |tolerance: &Tolerance| self.rows.iter().any(|row| row.tolerance == tolerance.name);
        for tolerance in TOLERANCES.iter().filter(|tolerance| used(tolerance)) {
            writeln!(f, "allowed: {tolerance}")?;
        }
        for (what, text) in [
            ("first divergence", &self.first_divergence),
            ("first layer", &self.first_layer),
            ("diagnosis", &self.diagnosis),
        ] {
            if let Some(text) = text {
                writeln!(f, "{what}: {text}")?;
            }
        }
        Ok(())
    }
}
