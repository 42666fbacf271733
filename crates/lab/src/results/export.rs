//! All rows of an experiment as one CSV file to keep under version control; `simseg verify` reads it back.
//!
//! ```text
//! # experiment quick, revision 3b006a, command simseg run experiments/quick.toml
//! variant,seed,status,axis:aligner.image_k,miou,miou.low,miou.high,train_images_per_second,seconds
//! loda,0,done,3,0.412,0.39,0.43,540,31
//! # answer {"expect":"loda.miou > dense.miou @95%","holds":true,"text":"loda.miou > dense.miou @95% (left − right: 0.1 to 0.3, …)"}
//! ```
//!
//! An interval of a difference does not follow from rows, so the answers that the run recorded stand below them.

use super::{Answer, Results, Row, Status};
use crate::failure::{Failure, Outcome};
use std::collections::BTreeSet;
use std::path::Path;

/// Columns that every file has, first and last.
const FIRST: [&str; 3] = ["variant", "seed", "status"];
const LAST: [&str; 2] = ["train_images_per_second", "seconds"];
/// Whose model a built-in row is of, where there is such a row.
const OF: &str = "of";
const AXIS: &str = "axis:";
/// What a line with an answer begins with: a cell that begins so stands in quotes.
const ANSWER: &str = "# answer ";
/// A file has at most this many bytes.
const LIMIT: u64 = 1 << 28;

/// The rows as CSV; the first line says where they come from.
pub fn csv(results: &Results, revision: &str, command: &str) -> String {
    let all = |of: fn(&Row) -> Vec<String>| results.rows.iter().flat_map(of).collect::<BTreeSet<String>>();
    let axes = all(|row| row.axes.keys().cloned().collect());
    let figures = all(|row| row.metrics.keys().cloned().collect());
    let intervals = all(|row| row.intervals.keys().cloned().collect());
    let mut headings: Vec<String> = FIRST.map(str::to_owned).into();
    let of_models = results.rows.iter().any(|row| !row.of.is_empty());
    headings.extend(of_models.then(|| OF.to_owned()));
    headings.extend(axes.iter().map(|axis| format!("{AXIS}{axis}")));
    for figure in &figures {
        headings.push(figure.clone());
        if intervals.contains(figure) {
            headings.extend(["low", "high"].map(|end| format!("{figure}.{end}")));
        }
    }
    headings.extend(LAST.map(str::to_owned));
    let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let line = |row: &Row| {
        let status = match &row.status {
            Status::Done => "done".to_owned(),
            Status::Failed(why) => format!("failed: {}", why.replace(['\n', '\r'], " ")),
        };
        let mut cells = vec![row.variant.clone(), row.seed.to_string(), status];
        cells.extend(of_models.then(|| row.of.clone()));
        cells.extend(axes.iter().map(|axis| row.axes.get(axis).map(written).unwrap_or_default()));
        for figure in &figures {
            cells.push(number(row.metrics.get(figure).copied()));
            if intervals.contains(figure) {
                let interval = row.intervals.get(figure);
                cells.extend([number(interval.map(|i| i.0)), number(interval.map(|i| i.1))]);
            }
        }
        cells.extend([row.train_images_per_second.to_string(), row.seconds.to_string()]);
        joined(&cells)
    };
    let from =
        format!("# experiment {}, revision {revision}, command {}\n", results.experiment, command.replace('\n', " "));
    from + &joined(&headings) + &results.rows.iter().map(line).collect::<String>()
}

/// Recorded answers as the last lines of such a file.
///
/// # Errors
/// If one is nothing that JSON can hold.
pub fn answer_lines(answers: &[Answer]) -> Outcome<String> {
    let line = |answer: &Answer| Ok(format!("{ANSWER}{}\n", serde_json::to_string(answer)?));
    answers.iter().map(line).collect::<serde_json::Result<_>>().map_err(|error| Failure::input("answers", error))
}

/// The answers of such a file; none if it was written without.
///
/// # Errors
/// The first that is none.
pub fn answers(path: &Path) -> Outcome<Vec<Answer>> {
    let text = simseg_data::bounded::text(path, LIMIT, "rows of an experiment")?;
    let of = |(line, number): (&str, usize)| {
        let answer = serde_json::from_str(line.strip_prefix(ANSWER)?);
        Some(answer.map_err(|error| Failure::file(path, format!("line {number}: {error}"))))
    };
    text.lines().zip(1..).filter_map(of).collect()
}

/// A value of an axis: a text stands for itself unless it reads as something else.
fn written(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) if serde_json::from_str::<serde_json::Value>(text).is_err() => text.clone(),
        other => other.to_string(),
    }
}

/// A line of CSV (RFC 4180).
pub fn joined(cells: &[String]) -> String {
    let quoted = |cell: &String| match cell.contains([',', '"', '\n', '\r']) || cell.starts_with('#') {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.clone(),
    };
    cells.iter().map(quoted).collect::<Vec<_>>().join(",") + "\n"
}

/// The cells of a line.
fn cells(line: &str) -> Option<Vec<String>> {
    let (mut cells, mut cell, mut quoted) = (vec![], String::new(), false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' if quoted || cell.is_empty() => quoted = !quoted,
            ',' if !quoted => cells.push(std::mem::take(&mut cell)),
            other => cell.push(other),
        }
    }
    cells.push(cell);
    (!quoted).then_some(cells)
}

/// Reads such a file.
///
/// # Errors
/// The first line that is none of it, with what was expected.
pub fn read(path: &Path) -> Outcome<Results> {
    let text = simseg_data::bounded::text(path, LIMIT, "rows of an experiment")?;
    let wrong = |line: usize, why: String| Failure::file(path, format!("line {line}: {why}"));
    let mut lines = text.lines().zip(1..);
    let form = || wrong(1, "expected `# experiment …, revision …, command …`".into());
    let (comment, _) = lines.next().ok_or_else(form)?;
    let rest = comment.strip_prefix("# experiment ").ok_or_else(form)?;
    let (experiment, rest) = rest.split_once(", revision ").ok_or_else(form)?;
    rest.split_once(", command ").ok_or_else(form)?;
    let (headings, _) = lines.next().ok_or_else(|| wrong(2, "expected the names of columns".into()))?;
    let headings = cells(headings).ok_or_else(|| wrong(2, "a quote that does not end".into()))?;
    for name in FIRST.iter().chain(&LAST) {
        if !headings.iter().any(|heading| heading == name) {
            return Err(wrong(2, format!("no column `{name}`")));
        }
    }
    let row = |(line, number): (&str, usize)| {
        let cells = cells(line).filter(|cells| cells.len() == headings.len());
        let cells = cells.ok_or_else(|| wrong(number, format!("expected {} columns", headings.len())))?;
        let mut row = Row::default();
        headings.iter().zip(&cells).try_for_each(|(heading, cell)| {
            put(&mut row, heading, cell, &headings).ok_or_else(|| wrong(number, format!("{heading}: found `{cell}`")))
        })?;
        Ok(row)
    };
    let rows = lines
        .filter(|(line, _)| !line.is_empty() && !line.starts_with(ANSWER))
        .map(row)
        .collect::<Outcome<Vec<_>>>()?;
    Ok(Results { experiment: experiment.to_owned(), rows })
}

/// Takes a cell over; none if it is not what its column holds.
fn put(row: &mut Row, heading: &str, cell: &str, headings: &[String]) -> Option<()> {
    let number = || cell.parse::<f64>().ok().filter(|value| value.is_finite());
    let of = |figure: &str| headings.iter().any(|heading| heading == figure);
    match heading {
        "variant" => row.variant = cell.to_owned(),
        "seed" => row.seed = cell.parse().ok()?,
        "status" if cell == "done" => row.status = Status::Done,
        "status" => row.status = Status::Failed(cell.strip_prefix("failed: ")?.to_owned()),
        "train_images_per_second" => row.train_images_per_second = number()?,
        "seconds" => row.seconds = number()?,
        OF => row.of = cell.to_owned(),
        _ if cell.is_empty() => {}
        _ if heading.starts_with(AXIS) => {
            let value = serde_json::from_str(cell).unwrap_or_else(|_| cell.into());
            row.axes.insert(heading[AXIS.len()..].to_owned(), value);
        }
        _ => match heading.rsplit_once('.').filter(|(figure, end)| of(figure) && ["low", "high"].contains(end)) {
            Some((figure, "low")) => row.intervals.entry(figure.to_owned()).or_default().0 = number()?,
            Some((figure, _)) => row.intervals.entry(figure.to_owned()).or_default().1 = number()?,
            None => _ = row.metrics.insert(heading.to_owned(), number()?),
        },
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn results() -> Results {
        let axes = [("aligner.image_k", json!(3)), ("x", json!("3")), ("y", json!("a, \"b\""))];
        let done = Row {
            variant: "loda".into(),
            axes: axes.map(|(axis, value)| (axis.to_owned(), value)).into(),
            metrics: [("miou".to_owned(), 0.1 + 0.2), ("hard.miou".to_owned(), 1.0 / 3.0)].into(),
            intervals: [("miou".to_owned(), (0.25, 0.35))].into(),
            train_images_per_second: 512.5,
            seconds: 1.25,
            ..Row::default()
        };
        let failed = Row {
            variant: "dense".into(),
            seed: 7,
            status: Status::Failed("batch: \"x\", why".into()),
            ..Row::default()
        };
        Results { experiment: "quick".into(), rows: vec![done, failed] }
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("quick.csv");
        std::fs::write(&path, csv(&results(), "3b006a", "simseg run quick.toml, twice")).unwrap();
        assert_eq!(read(&path).unwrap(), results());
    }

    #[test]
    fn damage_is_named_by_line_and_column() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("quick.csv");
        let good = csv(&results(), "r", "c");
        for (from, to, needle) in [
            ("# experiment", "# exp", "line 1: expected `# experiment"),
            ("variant,seed", "variant,sed", "line 2: no column `seed`"),
            ("loda,0", "loda,zero", "line 3: seed: found `zero`"),
            ("0.25", "a quarter", "line 3: miou.low: found `a quarter`"),
            ("0.25,", "", "line 3: expected"),
            ("failed: ", "sick: ", "line 4: status"),
        ] {
            assert!(good.contains(from), "{from}: {good}");
            std::fs::write(&path, good.replacen(from, to, 1)).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(needle), "{error}");
        }
    }
}
