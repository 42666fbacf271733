//! The report for other programs: `report.md` (GitHub's Markdown). `table.csv` is the table itself.

use super::page::failed_seeds;
use super::table::sheet::{Format, Sheet};
use crate::experiment::Experiment;
use crate::failure::Outcome;
use crate::results::{Answer, Results};

/// The question, the table and the expectations as Markdown.
///
/// # Errors
/// As [`Sheet::write`].
pub fn markdown(experiment: &Experiment, results: &Results, sheet: &Sheet, answers: &[Answer]) -> Outcome<String> {
    let mut out = format!("# {}\n\n{}\n\n", experiment.name, experiment.question.trim());
    out += &sheet.write(Format::Md)?;
    let lines = |title: &str, lines: Vec<String>| match lines.is_empty() {
        true => String::new(),
        false => format!("\n{title}\n\n{}", lines.iter().map(|line| format!("- {line}\n")).collect::<String>()),
    };
    out += &lines("Failed:", failed_seeds(results));
    let answer = |answer: &Answer| format!("{} `{}`", if answer.holds { '✓' } else { '✗' }, answer.text);
    out += &lines("Expected:", answers.iter().map(answer).collect());
    Ok(out)
}
