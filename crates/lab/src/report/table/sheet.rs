//! A table of figures with their intervals, and the five ways to write it.

use crate::failure::{Failure, Outcome};
use crate::results::export::joined;
use crate::statistics::Interval;
use clap::ValueEnum;
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a terminal.
    Text,
    /// Markdown, as GitHub reads it.
    Md,
    /// One column a number, ends of intervals too.
    Csv,
    /// A tabular environment.
    Latex,
    /// Numbers in full.
    Json,
}

/// A cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A figure.
    Number {
        /// Its value, or the mean of several.
        value: f64,
        /// Its 95% interval.
        interval: Option<Interval>,
        /// Digits behind the point.
        digits: usize,
    },
    /// Why there is no figure.
    Failed(String),
    /// Nothing to say.
    Nothing,
}

/// A cell without a figure.
const NONE: &str = "–";

impl Cell {
    /// A value without an interval.
    pub fn plain(value: f64, digits: usize) -> Self {
        Self::Number { value, interval: None, digits }
    }

    /// For people.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number { value, interval: None, digits } => format!("{value:.digits$}"),
            Self::Number { value, interval: Some((low, high)), digits } => {
                format!("{value:.digits$} [{low:.digits$}, {high:.digits$}]")
            }
            Self::Failed(why) => format!("failed: {why}"),
            Self::Nothing => NONE.into(),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            // What is counted is a whole number.
            Self::Number { value, interval: None, digits: 0 } if value.fract() == 0.0 => json!(*value as i64),
            Self::Number { value, interval: None, .. } => json!(value),
            Self::Number { value, interval: Some((low, high)), .. } => {
                json!({"value": value, "low": low, "high": high})
            }
            Self::Failed(why) => json!({"failed": why}),
            Self::Nothing => Value::Null,
        }
    }
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name for programs.
    pub key: String,
    /// Its name for people.
    pub heading: String,
    /// What it shares with its neighbours of the same group; empty for one that stands alone.
    pub group: &'static str,
}

impl Column {
    /// One of this key and heading.
    pub fn new(key: impl Into<String>, heading: impl Into<String>) -> Self {
        Self { key: key.into(), heading: heading.into(), group: "" }
    }

    /// The same in a group.
    #[must_use]
    pub fn of(self, group: &'static str) -> Self {
        Self { group, ..self }
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sheet {
    /// What the numbers are, and of what their intervals.
    pub caption: String,
    /// The columns; the first `fixed` say which row it is.
    pub columns: Vec<Column>,
    /// How many columns say which row it is.
    pub fixed: usize,
    /// As many cells as columns each.
    pub rows: Vec<Vec<Cell>>,
    /// How many rows at the end are set apart by a rule: those that are no variants.
    pub beside: usize,
}

/// A table for a terminal is about as wide; what does not fit stands below.
const WIDTH: usize = 120;

impl Sheet {
    /// The table as a file of this format.
    ///
    /// # Errors
    /// If a number is nothing that JSON can hold.
    pub fn write(&self, format: Format) -> Outcome<String> {
        Ok(match format {
            Format::Text => self.text(),
            Format::Md => self.markdown(),
            Format::Csv => self.csv(),
            Format::Latex => self.latex(),
            Format::Json => {
                let row = |cells: &Vec<Cell>| -> Value {
                    let pairs = self.columns.iter().zip(cells);
                    pairs.map(|(column, cell)| (column.key.clone(), cell.json())).collect::<Map<_, _>>().into()
                };
                let all = json!({"caption": self.caption, "rows": self.rows.iter().map(row).collect::<Vec<_>>()});
                serde_json::to_string_pretty(&all).map_err(|error| Failure::input("json", error))? + "\n"
            }
        })
    }

    /// For a terminal: failures are written out below, and columns that do not fit beside each other stand below each other.
    pub fn text(&self) -> String {
        let short = |cell: &Cell| match cell {
            Cell::Failed(_) => "failed".to_owned(),
            other => other.text(),
        };
        let cells: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(short).collect()).collect();
        let width = |column: usize| {
            let widths = cells.iter().map(|row| row[column].chars().count());
            widths.chain([self.columns[column].heading.chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let fixed: usize = widths[..self.fixed].iter().map(|width| width + 2).sum();
        let (mut blocks, mut used) = (vec![vec![]], fixed);
        for (column, &own) in widths.iter().enumerate().skip(self.fixed) {
            if used + own > WIDTH && blocks.last().is_some_and(|block| !block.is_empty()) {
                blocks.push(vec![]);
                used = fixed;
            }
            used += own + 2;
            blocks.last_mut().into_iter().for_each(|block| block.push(column));
        }
        let headings: Vec<String> = self.columns.iter().map(|column| column.heading.clone()).collect();
        let mut out = String::new();
        for (i, block) in blocks.iter().enumerate() {
            out.push_str(if i > 0 { "\n" } else { "" });
            let (rows, beside) = cells.split_at(cells.len() - self.beside);
            // A row beside the others has few figures: below the first block it stands only where it has one.
            let known = |row: &&Vec<String>| i == 0 || block.iter().any(|column| row[*column] != NONE);
            let beside: Vec<&Vec<String>> = beside.iter().filter(known).collect();
            let rule = if beside.is_empty() { usize::MAX } else { 1 + rows.len() };
            for (number, row) in std::iter::once(&headings).chain(rows).chain(beside).enumerate() {
                if number == rule {
                    let width: usize = block.iter().map(|column| widths[*column] + 2).sum::<usize>() + fixed - 2;
                    let _ = writeln!(out, "{}", "─".repeat(width));
                }
                let line = (0..self.fixed).chain(block.iter().copied()).enumerate().map(|(place, column)| {
                    let (cell, width) = (&row[column], widths[column]);
                    if place == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") }
                });
                let line: String = line.collect();
                let _ = writeln!(out, "{}", line.trim_end());
            }
        }
        for row in &self.rows {
            if let Some(Cell::Failed(why)) = row.iter().find(|cell| matches!(cell, Cell::Failed(_))) {
                let _ = writeln!(out, "{} failed: {why}", row[0].text());
            }
        }
        let _ = writeln!(out, "{}", self.caption);
        out
    }

    fn markdown(&self) -> String {
        let cell = |text: String| text.replace('|', "\\|").replace('\n', " ");
        let line =
            |cells: Vec<String>| format!("| {} |\n", cells.into_iter().map(cell).collect::<Vec<_>>().join(" | "));
        let headings = line(self.columns.iter().map(|column| column.heading.clone()).collect());
        let rule = (0..self.columns.len()).map(|column| if column == 0 { "---" } else { "---:" });
        let rule = format!("|{}|\n", rule.collect::<Vec<_>>().join("|"));
        let rows: String = self.rows.iter().map(|row| line(row.iter().map(Cell::text).collect())).collect();
        format!("{headings}{rule}{rows}\n{}\n", self.caption)
    }

    fn csv(&self) -> String {
        let wide =
            |column: usize| self.rows.iter().any(|row| matches!(row[column], Cell::Number { interval: Some(_), .. }));
        let wide: Vec<bool> = (0..self.columns.len()).map(wide).collect();
        let mut headings = vec![];
        for (column, wide) in self.columns.iter().zip(&wide) {
            headings.push(column.key.clone());
            headings.extend(["low", "high"].iter().filter(|_| *wide).map(|end| format!("{}.{end}", column.key)));
        }
        let line = |row: &Vec<Cell>| {
            let mut cells = vec![];
            for (cell, wide) in row.iter().zip(&wide) {
                let interval = match cell {
                    Cell::Number { value, interval, .. } => {
                        cells.push(value.to_string());
                        *interval
                    }
                    Cell::Nothing => {
                        cells.push(String::new());
                        None
                    }
                    other => {
                        cells.push(other.text().replace('\n', " "));
                        None
                    }
                };
                if *wide {
                    let end = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
                    cells.extend([end(interval.map(|i| i.0)), end(interval.map(|i| i.1))]);
                }
            }
            joined(&cells)
        };
        format!("# {}\n{}{}", self.caption, joined(&headings), self.rows.iter().map(line).collect::<String>())
    }

    fn latex(&self) -> String {
        let line = |cells: Vec<String>| {
            format!("{} \\\\\n", cells.iter().map(|cell| escaped(cell)).collect::<Vec<_>>().join(" & "))
        };
        let shape = format!("l{}", "r".repeat(self.columns.len().saturating_sub(1)));
        let headings = line(self.columns.iter().map(|column| column.heading.clone()).collect());
        let mut rows: Vec<String> = self.rows.iter().map(|row| line(row.iter().map(Cell::text).collect())).collect();
        if self.beside > 0 {
            rows.insert(rows.len() - self.beside, "\\hline\n".to_owned());
        }
        let rows = rows.concat();
        let caption = escaped(&self.caption);
        format!(
            "% {caption}\n\\begin{{tabular}}{{{shape}}}\n\\hline\n{headings}\\hline\n{rows}\\hline\n\\end{{tabular}}\n"
        )
    }
}

/// A text in which nothing is a command of LaTeX.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\textbackslash{}"),
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', letter]),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '–' => out.push_str("--"),
            '−' => out.push_str("$-$"),
            '\n' => out.push(' '),
            other => out.push(other),
        }
    }
    out
}
