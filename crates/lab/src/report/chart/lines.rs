//! Lines over a numeric axis, with bands where there are intervals.

use super::palette::classes;
use super::scale::{Scale, number, range, ticks};
use super::svg::{Anchor, CHARACTER, Svg, WIDTH};

const HEIGHT: f64 = 320.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = WIDTH - 16.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = HEIGHT - 58.0;

/// One line.
#[derive(Debug, Clone)]
pub struct Line {
    /// What it shows.
    pub name: String,
    /// From left to right.
    pub points: Vec<Point>,
}

/// One point of a line.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// Where.
    pub x: f64,
    /// How high.
    pub y: f64,
    /// What it may as well be.
    pub interval: Option<(f64, f64)>,
}

/// What all lines share.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Its own on the page.
    pub id: &'a str,
    /// What the chart shows.
    pub title: &'a str,
    /// What lies to the right.
    pub x: &'a str,
    /// What lies upwards.
    pub y: &'a str,
    /// Values lie from 0 to 1.
    pub share: bool,
    /// Points were chosen one by one: each has a mark, and its value stands on the axis.
    pub chosen: bool,
}

/// Draws lines; the i-th has the classes of [`classes`]`(i)`.
pub fn draw(frame: Frame<'_>, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    let (x, marks) = horizontal(frame, points());
    let limits = range(points().flat_map(|p| p.interval.map_or([p.y; 3], |(low, high)| [p.y, low, high])));
    let limits = if frame.share { (limits.0.max(0.0), limits.1.min(1.0)) } else { limits };
    let y = Scale::linear(limits, (BOTTOM, TOP));
    let mut svg = Svg::new(frame.id, (WIDTH, HEIGHT), frame.title, &describe(frame, lines));
    for (value, text) in ticks(limits, 5) {
        svg.line((LEFT, y.at(value)), (RIGHT, y.at(value)), "mesh");
        svg.text((LEFT - 8.0, y.at(value) + 4.5), Anchor::End, "tick", &text);
    }
    svg.line((LEFT, BOTTOM), (RIGHT, BOTTOM), "axis");
    let mut free = f64::NEG_INFINITY;
    for (value, text) in marks {
        let half = text.chars().count() as f64 * CHARACTER / 2.0;
        svg.line((x.at(value), BOTTOM), (x.at(value), BOTTOM + 4.0), "axis");
        if x.at(value) - half > free {
            let middle = x.at(value).min(WIDTH - half);
            svg.text((middle, BOTTOM + 19.0), Anchor::Middle, "tick", &text);
            free = middle + half + 4.0;
        }
    }
    let scale = if x.is_logarithmic() { " (logarithmic)" } else { "" };
    svg.text(((LEFT + RIGHT) / 2.0, HEIGHT - 14.0), Anchor::Middle, "label", &format!("{}{scale}", frame.x));
    svg.upright((17.0, (TOP + BOTTOM) / 2.0), "label", frame.y);
    for (i, line) in lines.iter().enumerate() {
        band(&mut svg, line, i, x, y);
    }
    for (i, line) in lines.iter().enumerate() {
        let places: Vec<_> = line.points.iter().map(|p| (x.at(p.x), y.at(p.y))).collect();
        svg.path(&places, false, &format!("line {}", classes(i)));
        for (point, place) in line.points.iter().zip(places).filter(|_| frame.chosen) {
            svg.dot(place, 3.5, &format!("dot {}", classes(i)), &tip(&line.name, frame.x, point));
        }
    }
    svg.finish()
}

/// The scale to the right, and the values that stand on it.
fn horizontal<'a>(frame: Frame<'_>, points: impl Iterator<Item = &'a Point>) -> (Scale, Vec<(f64, String)>) {
    let mut values: Vec<f64> = points.map(|point| point.x).collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    let limits = (values.first().copied().unwrap_or(0.0), values.last().copied().unwrap_or(1.0));
    if frame.chosen {
        let marks = values.into_iter().map(|value| (value, number(value))).collect();
        return (Scale::chosen(limits, (LEFT + 12.0, RIGHT - 12.0)), marks);
    }
    // Steps are whole numbers.
    let count = ((limits.1 - limits.0) as usize).clamp(1, 6);
    (Scale::linear(limits, (LEFT, RIGHT)), ticks(limits, count))
}

/// The area between the lower and the upper ends, where neighbours have both; a lone interval is a bar.
fn band(svg: &mut Svg, line: &Line, i: usize, x: Scale, y: Scale) {
    let class = classes(i);
    for run in line.points.split(|point| point.interval.is_none()).filter(|run| !run.is_empty()) {
        let end = |upper: bool| {
            move |p: &Point| {
                let (low, high) = p.interval.unwrap_or((p.y, p.y));
                (x.at(p.x), y.at(if upper { high } else { low }))
            }
        };
        if let [point] = run {
            svg.line(end(false)(point), end(true)(point), &format!("whisker {class}"));
            continue;
        }
        let area: Vec<_> = run.iter().map(end(true)).chain(run.iter().rev().map(end(false))).collect();
        svg.path(&area, true, &format!("band {class}"));
    }
}

fn tip(name: &str, x: &str, point: &Point) -> String {
    let interval = point.interval.map_or(String::new(), |(low, high)| format!(" ({low:.3} to {high:.3})"));
    format!("{name}, {x} {}: {:.3}{interval}", number(point.x), point.y)
}

/// What is read aloud: every chosen point, or where each line starts and ends.
fn describe(frame: Frame<'_>, lines: &[Line]) -> String {
    let one = |line: &Line| match (line.points.first(), line.points.last()) {
        (Some(first), Some(last)) if !frame.chosen => {
            format!("{}: from {:.3} to {:.3}.", line.name, first.y, last.y)
        }
        _ => line.points.iter().map(|point| tip(&line.name, frame.x, point) + ". ").collect(),
    };
    let lines: Vec<String> = lines.iter().map(one).collect();
    format!("{} over {}. {}", frame.y, frame.x, lines.join(" "))
}
