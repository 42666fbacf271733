//! The table for other programs: `report.md` (GitHub's Markdown) and `table.csv` (RFC 4180).

use super::page::{failed_seeds, failure};
use super::table::Table;
use crate::experiment::Experiment;
use crate::results::{Answer, Results};
use std::fmt::Write;

/// The question, the table and the expectations as Markdown.
pub fn markdown(experiment: &Experiment, results: &Results, table: &Table, answers: &[Answer]) -> String {
    let mut out = format!("# {}\n\n{}\n\n", experiment.name, experiment.question.trim());
    let seeds = results.seeds().len();
    let spread = if seeds > 1 { "; mean ± standard deviation" } else { "" };
    let _ = writeln!(out, "{seeds} seed{}{spread}.\n", if seeds == 1 { "" } else { "s" });
    let row = |cells: &[String]| {
        let cells = cells.iter().map(|cell| cell.replace('\\', "\\\\").replace('|', "\\|").replace(['\r', '\n'], " "));
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    out += &row(&table.headings);
    let rule: Vec<_> = (0..table.headings.len()).map(|column| if column == 0 { "---" } else { "---:" }).collect();
    let _ = writeln!(out, "| {} |", rule.join(" | "));
    rows(results, table).iter().for_each(|cells| out += &row(cells));
    let lines = |title: &str, lines: Vec<String>| match lines.is_empty() {
        true => String::new(),
        false => {
            format!("\n{title}\n\n{}\n", lines.iter().map(|line| format!("- {line}")).collect::<Vec<_>>().join("\n"))
        }
    };
    out += &lines("Failed:", failed_seeds(results));
    let answer = |answer: &Answer| format!("{} `{}`", if answer.holds { '✓' } else { '✗' }, answer.text);
    out += &lines("Expected:", answers.iter().map(answer).collect());
    out
}

/// The table as CSV; the first line holds the headings.
pub fn csv(results: &Results, table: &Table) -> String {
    let quoted = |cell: &String| match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.clone(),
    };
    let line = |cells: &Vec<String>| cells.iter().map(quoted).collect::<Vec<_>>().join(",") + "\r\n";
    let rows = rows(results, table);
    std::iter::once(&table.headings).chain(&rows).map(line).collect()
}

/// The rows; a variant that failed says why in its second cell, and the others are empty.
fn rows(results: &Results, table: &Table) -> Vec<Vec<String>> {
    let row = |cells: &Vec<String>| match cells.first().and_then(|name| Some((name, failure(results, name)?))) {
        Some((name, why)) => {
            let mut row = vec![String::new(); table.headings.len().max(2)];
            (row[0], row[1]) = (name.clone(), why);
            row
        }
        None => cells.clone(),
    };
    table.rows.iter().map(row).collect()
}
