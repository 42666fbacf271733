//! Which expectations hold: for each seed, or once if they are about means over seeds or about an interval.

use super::{Results, save_json};
use crate::experiment::Experiment;
use crate::experiment::expect::surely::Drawn;
use crate::experiment::expect::{Expectation, Figure};
use crate::failure::{Failure, Outcome};
use crate::statistics::mean;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The file in an output folder that keeps them.
pub const NAME: &str = "expectations.json";

/// An expectation with its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The expectation.
    pub expect: String,
    /// Whether it holds.
    pub holds: bool,
    /// What was asked, of which seed, and what is missing.
    pub text: String,
}

/// Every expectation of an experiment with its answer, where no images are at hand: one about an interval does not hold.
pub fn answers(experiment: &Experiment, results: &Results) -> Vec<Answer> {
    answers_to(&experiment.expect, results, None)
}

/// The same with the runs' images.
pub fn answers_to(expect: &[Expectation], results: &Results, drawn: Option<&dyn Drawn>) -> Vec<Answer> {
    let seeds = results.seeds();
    let all = expect.iter().flat_map(|expectation| match (expectation.is_sure(), expectation.is_over_seeds()) {
        (true, _) => vec![surely(expectation, drawn)],
        (_, true) => vec![plainly(expectation, results, None)],
        _ => seeds.iter().map(|&seed| plainly(expectation, results, Some(seed))).collect(),
    });
    all.collect()
}

fn answer(expectation: &Expectation, holds: bool, of: &str) -> Answer {
    Answer { expect: expectation.to_string(), holds, text: format!("{expectation} ({of})") }
}

fn plainly(expectation: &Expectation, results: &Results, seed: Option<u64>) -> Answer {
    let value = |figure: &Figure| match seed {
        Some(seed) if !figure.mean => results.value(&figure.variant, seed, &figure.name),
        _ => mean(&results.values(&figure.variant, &figure.name)),
    };
    let holds = expectation.holds(value);
    let of = match seed {
        Some(seed) => format!("seed {seed}"),
        None if results.seeds().len() == 1 => "1 seed".to_owned(),
        None => format!("{} seeds", results.seeds().len()),
    };
    let missing = if holds.is_none() { ": no such figure" } else { "" };
    answer(expectation, holds == Some(true), &format!("{of}{missing}"))
}

fn surely(expectation: &Expectation, drawn: Option<&dyn Drawn>) -> Answer {
    let Some(drawn) = drawn else { return answer(expectation, false, "no images.jsonl at hand") };
    match expectation.holds_surely(drawn) {
        Ok(Some(verdict)) => {
            let (low, high) = verdict.interval;
            let unit = match verdict.seeds {
                1 => "images, one seed".to_owned(),
                seeds => format!("{seeds} seeds and their images"),
            };
            answer(expectation, verdict.holds, &format!("left − right: {low:.4} to {high:.4}, {unit}"))
        }
        Ok(None) => answer(expectation, false, "no such figure"),
        Err(failure) => answer(expectation, false, &failure.to_string()),
    }
}

/// Keeps answers beside the results.
///
/// # Errors
/// If the disk refuses.
pub fn save(out: &Path, answers: &[Answer]) -> Outcome {
    save_json(&out.join(NAME), &answers)
}

/// The answers that were kept; none if there is no such file.
///
/// # Errors
/// If it is damaged.
pub fn read(out: &Path) -> Outcome<Option<Vec<Answer>>> {
    let path = out.join(NAME);
    if !path.exists() {
        return Ok(None);
    }
    let text = simseg::settings::read_text(&path)?;
    serde_json::from_str(&text).map(Some).map_err(|error| Failure::file(&path, error))
}
