//! Axes: settings that take several values, and the variants that come of them.
//!
//! ```toml
//! combine = "grid"                               # every combination; or "one-at-a-time"
//! exclude = [{ "aligner.image_k" = 5, "aligner.text_k" = 5 }]
//! [axes]
//! "aligner.image_k" = [1, 3, 5]
//! "segmentation.threshold.k" = { from = 0.0, to = 2.0, step = 0.25 }
//! ```

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use toml::{Table, Value};

/// Most values of one axis, and most variants of a file.
const MOST: usize = 10_000;

/// How axes make variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Combine {
    /// Every combination of all values.
    #[default]
    Grid,
    /// The file's own settings, and each value of each axis with all else as the file says.
    OneAtATime,
}

/// A setting and the values it takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// Its key, such as `aligner.image_k`.
    pub key: String,
    /// Its values.
    pub values: Vec<Value>,
}

/// A variant of the axes: where it lies on each, and what it is called.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Point {
    /// Values by key.
    pub values: BTreeMap<String, Value>,
    /// What tells it apart, such as `image_k-3`; empty for the file's own settings.
    pub name: String,
}

/// Reads `[axes]`, in the order of the file.
///
/// # Errors
/// The axis that is none, and what was expected.
pub fn read(table: &Table) -> Result<Vec<Axis>, String> {
    let mut axes = vec![];
    collect(table, "", &mut axes)?;
    Ok(axes)
}

fn collect(table: &Table, prefix: &str, axes: &mut Vec<Axis>) -> Result<(), String> {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Value::Array(values) => axes.push(Axis { key, values: values.clone() }),
            Value::Table(range) if range.contains_key("from") => {
                axes.push(Axis { values: values(range).map_err(|why| format!("axes.{key}: {why}"))?, key });
            }
            Value::Table(inner) => collect(inner, &key, axes)?,
            other => {
                let form = "expected values [a, b, …] or a range { from, to, step }";
                return Err(format!("axes.{key}: {form}, found {other}"));
            }
        }
    }
    if let Some(empty) = axes.iter().find(|axis| axis.values.is_empty() || axis.values.len() > MOST) {
        return Err(format!("axes.{}: expected 1 to {MOST} values, found {}", empty.key, empty.values.len()));
    }
    Ok(())
}

/// The values of a range: both ends, and the steps between.
fn values(range: &Table) -> Result<Vec<Value>, String> {
    if let Some(unknown) = range.keys().find(|key| !["from", "to", "step"].contains(&key.as_str())) {
        return Err(format!("unknown key `{unknown}` (known: from, to, step)"));
    }
    let number = |key: &str| match range.get(key) {
        Some(Value::Integer(n)) => Ok((*n as f64, true)),
        Some(Value::Float(x)) if x.is_finite() => Ok((*x, false)),
        _ => Err(format!("expected a number `{key}` in a range {{ from, to, step }}")),
    };
    let ((from, a), (to, b), (step, c)) = (number("from")?, number("to")?, number("step")?);
    let count = (to - from) / step;
    if step == 0.0 || count < 0.0 || count > MOST as f64 {
        return Err(format!("from {from} to {to} by {step} are not 1 to {MOST} values"));
    }
    // A hair of rounding must not lose the end: 0 to 2 by 0.1 has 21 values.
    let count = (count + 1e-9).floor() as usize;
    let value = |i: usize| {
        let x = from + i as f64 * step;
        // As people write it: 0.3 and not 0.30000000000000004.
        let plain = format!("{x:.10}").parse::<f64>().unwrap_or(x);
        if a && b && c { Value::Integer(x as i64) } else { Value::Float(plain) }
    };
    Ok((0..=count).map(value).collect())
}

/// All variants of the axes but those that are excluded.
///
/// # Errors
/// If there are too many, or an exclusion names no axis.
pub fn points(axes: &[Axis], combine: Combine, exclude: &[Table]) -> Result<Vec<Point>, String> {
    for key in exclude.iter().flat_map(Table::keys) {
        if axes.iter().all(|axis| axis.key != *key) {
            let known: Vec<&str> = axes.iter().map(|axis| axis.key.as_str()).collect();
            return Err(format!("exclude: unknown axis `{key}` (known: {})", known.join(", ")));
        }
    }
    let count = axes.iter().try_fold(1usize, |count, axis| match combine {
        Combine::Grid => count.checked_mul(axis.values.len()),
        Combine::OneAtATime => count.checked_add(axis.values.len()),
    });
    if count.is_none_or(|count| count > MOST) {
        return Err(format!("axes: more than {MOST} variants"));
    }
    let mut points = vec![Point::default()];
    for axis in axes {
        let more = |point: &Point| -> Vec<Point> { (0..axis.values.len()).map(|i| point.at(axes, axis, i)).collect() };
        match combine {
            Combine::Grid => points = points.iter().flat_map(more).collect(),
            Combine::OneAtATime => points.extend(more(&Point::default())),
        }
    }
    let out = |point: &Point| {
        exclude
            .iter()
            .any(|table| table.iter().all(|(key, value)| point.values.get(key).is_some_and(|v| alike(v, value))))
    };
    points.retain(|point| !out(point));
    Ok(points)
}

/// Whether two values are one: 1 and 1.0 are.
fn alike(a: &Value, b: &Value) -> bool {
    let number = |value: &Value| value.as_float().or_else(|| value.as_integer().map(|n| n as f64));
    a == b || (number(a).is_some() && number(a) == number(b))
}

impl Point {
    /// The same at value `i` of an axis.
    fn at(&self, axes: &[Axis], axis: &Axis, i: usize) -> Self {
        let mut point = self.clone();
        point.values.insert(axis.key.clone(), axis.values[i].clone());
        let part = format!("{}-{}", short(axes, &axis.key), said(&axis.values[i], i));
        point.name = if point.name.is_empty() { part } else { format!("{}_{part}", point.name) };
        point
    }
}

/// As many of a key's last parts as tell it from the other axes.
fn short<'a>(axes: &[Axis], key: &'a str) -> &'a str {
    let ends = key.match_indices('.').map(|(at, _)| &key[at + 1..]).collect::<Vec<_>>();
    let alone = |end: &&&str| {
        axes.iter().filter(|axis| axis.key == **end || axis.key.ends_with(&format!(".{end}"))).count() == 1
    };
    ends.iter().rev().find(alone).copied().unwrap_or(key)
}

/// A value within a name.
fn said(value: &Value, i: usize) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Table(table) => {
            table.get("kind").and_then(Value::as_str).map_or_else(|| (i + 1).to_string(), str::to_owned)
        }
        Value::Array(_) => (i + 1).to_string(),
        other => other.to_string(),
    };
    text.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str, combine: Combine, exclude: &str) -> Result<Vec<String>, String> {
        let axes = read(&text.parse().unwrap())?;
        let exclude: Vec<Table> = exclude.lines().map(|line| line.parse().unwrap()).collect();
        Ok(points(&axes, combine, &exclude)?.into_iter().map(|point| point.name).collect())
    }

    #[test]
    fn a_grid_has_every_combination_and_one_at_a_time_the_base() {
        let text = "\"aligner.image_k\" = [1, 3]\nsegmentation.threshold.k = { from = 0.0, to = 0.3, step = 0.15 }";
        let grid = names(text, Combine::Grid, "").unwrap();
        assert_eq!(grid.len(), 6);
        assert_eq!((&grid[0][..], &grid[5][..]), ("image_k-1_k-0.0", "image_k-3_k-0.3"));
        let single = names(text, Combine::OneAtATime, "").unwrap();
        assert_eq!(single, ["", "image_k-1", "image_k-3", "k-0.0", "k-0.15", "k-0.3"]);
        let fewer = "\"aligner.image_k\" = 3\n";
        assert_eq!(names(text, Combine::Grid, fewer).unwrap().len(), 3);
        let unknown = names(text, Combine::Grid, "image_k = 3").unwrap_err();
        assert!(unknown.contains("unknown axis `image_k` (known: aligner.image_k"), "{unknown}");
    }

    #[test]
    fn ranges_keep_their_ends_and_whole_numbers() {
        let axis = |text: &str| read(&text.parse().unwrap()).map(|axes| axes[0].values.clone());
        assert_eq!(axis("k = { from = 0, to = 2.0, step = 0.1 }").unwrap().len(), 21);
        assert_eq!(axis("k = { from = 0, to = 2.0, step = 0.1 }").unwrap()[3], Value::Float(0.3));
        assert_eq!(axis("k = { from = 5, to = 1, step = -2 }").unwrap(), [5, 3, 1].map(Value::Integer));
        for (text, needle) in [
            ("k = { from = 0, to = 1, step = 0 }", "not 1 to"),
            ("k = { from = 0, to = 1 }", "`step`"),
            ("k = { from = 0, to = 1, step = 1, by = 1 }", "`by`"),
            ("k = 3", "expected values"),
            ("k = []", "1 to"),
        ] {
            assert!(axis(text).unwrap_err().contains(needle), "{text}");
        }
    }

    #[test]
    fn keys_are_shortened_as_far_as_they_stay_apart() {
        let text = "\"a.k\" = [1]\n\"b.k\" = [2]\n\"c.kind\" = [\"x y\"]\nd = [{ kind = \"loda\" }, [1]]";
        assert_eq!(
            names(text, Combine::Grid, "").unwrap(),
            ["a.k-1_b.k-2_kind-x-y_d-loda", "a.k-1_b.k-2_kind-x-y_d-2"]
        );
    }
}
