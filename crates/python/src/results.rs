//! What experiments leave, as columns: a dictionary of arrays of one length, which `pandas.DataFrame` takes as it is.
//!
//! ```text
//! {"variant": "loda", "seed": 0, "axes": {"aligner.image_k": 3}, "metrics": {"miou": .4}, "intervals": {"miou": [.3, .5]}, …}
//! variant  seed  axis:aligner.image_k  miou  miou.low  miou.high  …       named as in the files of experiments/results
//! ```

use crate::refused;
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::{Map, Value};
use simseg::Error;
use simseg::data::bounded;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Largest file that is read.
const LIMIT: u64 = 256 << 20;

/// Cells by the name of their column.
type Row = Map<String, Value>;

/// The rows of an experiment's `results.json`.
#[pyfunction]
pub fn results(py: Python<'_>, folder: PathBuf) -> PyResult<Bound<'_, PyDict>> {
    let path = folder.join("results.json");
    let rows = py.detach(|| -> Result<Vec<Row>, Error> {
        let text = bounded::text(&path, LIMIT, "the results of an experiment")?;
        let all: Value = serde_json::from_str(&text).map_err(|error| Error::file(&path, error))?;
        let rows = all.get("rows").and_then(Value::as_array);
        rows.ok_or_else(|| Error::file(&path, "expected a list `rows`"))?.iter().map(|row| judged(&path, row)).collect()
    });
    columns(py, &rows.map_err(refused)?)
}

/// The lines of a training's `metrics.jsonl`: the last is left out if a kill has cut it short.
#[pyfunction]
pub fn training_log(py: Python<'_>, folder: PathBuf) -> PyResult<Bound<'_, PyDict>> {
    let rows = py.detach(|| -> Result<Vec<Row>, Error> {
        let file = folder.join("metrics.jsonl");
        let text = bounded::text(&file, LIMIT, "the log of a training")?;
        let lines: Vec<&str> = text.lines().collect();
        let mut rows = vec![];
        for (number, line) in lines.iter().enumerate() {
            match serde_json::from_str::<Row>(line) {
                Ok(line) => rows.push(flat(&line, |key, inner| format!("{key}.{inner}"))),
                // What a kill has cut short is the last one.
                Err(_) if number > 0 && number + 1 == lines.len() => {}
                Err(why) => return Err(Error::file(&file, format!("line {}: {why}", number + 1))),
            }
        }
        Ok(rows)
    });
    columns(py, &rows.map_err(refused)?)
}

/// A row of `results.json`.
fn judged(path: &Path, row: &Value) -> Result<Row, Error> {
    let row = row.as_object().ok_or_else(|| Error::file(path, "expected an object in `rows`"))?;
    let mut row = row.clone();
    // `{"failed": "why"}`, or the text `done`.
    if let Some(why) = row.get("status").and_then(|status| status.get("failed")).and_then(Value::as_str) {
        row["status"] = format!("failed: {why}").into();
    }
    // Ends of intervals are columns of their own.
    if let Some(Value::Object(intervals)) = row.get_mut("intervals") {
        let ends = |(figure, ends): (&String, &Value)| {
            [("low", 0), ("high", 1)].map(|(name, at)| (format!("{figure}.{name}"), ends[at].clone()))
        };
        *intervals = intervals.iter().flat_map(ends).collect();
    }
    let name = |key: &str, inner: &str| match key {
        "axes" => format!("axis:{inner}"),
        "per_class" => format!("iou:{inner}"),
        _ => inner.to_owned(),
    };
    Ok(flat(&row, name))
}

/// Objects inside of a row as cells of their own, under the names that `name` gives them.
fn flat(row: &Row, name: impl Fn(&str, &str) -> String) -> Row {
    let mut cells = Row::new();
    for (key, value) in row {
        match value {
            Value::Object(inner) => cells.extend(inner.iter().map(|(inner, value)| (name(key, inner), value.clone()))),
            other => _ = cells.insert(key.clone(), other.clone()),
        }
    }
    cells
}

/// One array for each name that occurs, in the order in which they occur first.
fn columns<'py>(py: Python<'py>, rows: &[Row]) -> PyResult<Bound<'py, PyDict>> {
    let (columns, mut seen) = (PyDict::new(py), HashSet::new());
    for name in rows.iter().flat_map(Row::keys).filter(|name| seen.insert(*name)) {
        let cells: Vec<&Value> = rows.iter().map(|row| row.get(name).unwrap_or(&Value::Null)).collect();
        columns.set_item(name, column(py, &cells)?)?;
    }
    Ok(columns)
}

/// Whole numbers as int64, numbers as float64 with NaN where a row has none, all else as Python's objects with None there.
fn column<'py>(py: Python<'py>, cells: &[&Value]) -> PyResult<Bound<'py, PyAny>> {
    if let Some(whole) = cells.iter().map(|cell| cell.as_i64()).collect() {
        return Ok(PyArray1::<i64>::from_vec(py, whole).into_any());
    }
    let number = |cell: &&Value| if cell.is_null() { Some(f64::NAN) } else { cell.as_f64() };
    if let Some(numbers) = cells.iter().map(number).collect() {
        return Ok(PyArray1::<f64>::from_vec(py, numbers).into_any());
    }
    let json = py.import("json")?.getattr("loads")?;
    let object = |cell: &&Value| Ok(json.call1((cell.to_string(),))?.unbind());
    Ok(PyArray1::from_vec(py, cells.iter().map(object).collect::<PyResult<Vec<_>>>()?).into_any())
}
