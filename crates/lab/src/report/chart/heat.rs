//! A figure over two axes: cells with their values, the stronger the higher.

use super::scale::range;
use super::svg::{Anchor, CHARACTER, Svg, WIDTH, short};

const ROW: f64 = 34.0;
const TOP: f64 = 50.0;
/// The least width of a cell that its value fits into.
const CELL: f64 = 52.0;

/// A figure over two axes.
#[derive(Debug)]
pub struct Map<'a> {
    /// Its own on the page.
    pub id: &'a str,
    /// What the cells hold.
    pub heading: &'a str,
    /// Name of the axis downwards, and its values.
    pub down: (&'a str, Vec<String>),
    /// Name of the axis to the right, and its values.
    pub right: (&'a str, Vec<String>),
    /// The figure of a row and a column; none where nothing was measured.
    pub cells: Vec<Vec<Option<f64>>>,
}

/// Draws the cells.
pub fn draw(map: &Map<'_>) -> String {
    let (rows, columns) = (&map.down.1, &map.right.1);
    let longest = rows.iter().map(|row| short(row, 18).chars().count()).max().unwrap_or(0);
    let left = longest as f64 * CHARACTER + 40.0;
    let cell = ((WIDTH - 8.0 - left) / columns.len().max(1) as f64).clamp(CELL, 170.0);
    let width = (left + cell * columns.len() as f64 + 8.0).max(WIDTH);
    let right = left + cell * columns.len() as f64;
    let height = TOP + ROW * rows.len() as f64 + 10.0;
    let (low, high) = range(map.cells.iter().flatten().flatten().copied());
    let mut svg = Svg::new(map.id, (width, height), map.heading, &describe(map));
    svg.text(((left + right) / 2.0, 18.0), Anchor::Middle, "label", map.right.0);
    svg.upright((16.0, (TOP + height - 10.0) / 2.0), "label", map.down.0);
    for (j, column) in columns.iter().enumerate() {
        let most = (cell / CHARACTER) as usize;
        svg.text((left + cell * (j as f64 + 0.5), TOP - 10.0), Anchor::Middle, "tick", &short(column, most));
    }
    for (i, row) in rows.iter().enumerate() {
        let top = TOP + ROW * i as f64;
        svg.text((left - 8.0, top + ROW / 2.0 + 4.5), Anchor::End, "tick", &short(row, 18));
        for (j, column) in columns.iter().enumerate() {
            let value = map.cells[i][j];
            // Half transparent at most: the value is read on it, in a light page and a dark one.
            let opacity = value.map_or(0.0, |value| 0.05 + 0.5 * (value - low) / (high - low));
            let text = value.map_or("–".into(), |value| format!("{value:.3}"));
            let place = (left + cell * j as f64, top);
            let tip = format!("{} {row}, {} {column}: {text}", map.down.0, map.right.0);
            svg.rectangle((place.0 + 1.0, place.1 + 1.0), (cell - 2.0, ROW - 2.0), "cell", opacity, &tip);
            svg.text((place.0 + cell / 2.0, place.1 + ROW / 2.0 + 4.5), Anchor::Middle, "value", &text);
        }
    }
    svg.finish()
}

/// What is read aloud.
fn describe(map: &Map<'_>) -> String {
    let row = |(row, cells): (&String, &Vec<Option<f64>>)| {
        let cell = |(column, value): (&String, &Option<f64>)| {
            format!("{column} {}", value.map_or("nothing".into(), |value| format!("{value:.3}")))
        };
        let cells: Vec<String> = map.right.1.iter().zip(cells).map(cell).collect();
        format!("{} {row}: {}", map.down.0, cells.join(", "))
    };
    let rows: Vec<String> = map.down.1.iter().zip(&map.cells).map(row).collect();
    format!("By {} (downwards) and {} (to the right). {}.", map.down.0, map.right.0, rows.join("; "))
}
