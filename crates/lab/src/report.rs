//! The outcome of an experiment for people: a table for the terminal, and a page that needs nothing but itself.

use crate::corpus::Corpus;
use crate::evaluate::picture;
use crate::experiment::Experiment;
use crate::failure::{Failure, Outcome};
use crate::run::{Results, run_folder};
use crate::train::read_metrics;
use askama::Template;
use base64::Engine;
use plotters::prelude::*;
use simseg_data::picture::{Labels, colour};
use simseg_data::scenes::objects;
use simseg_data::{Picture, World, atomic};
use std::fmt::Write;
use std::path::Path;

/// The columns of the table: key in `results.json`, heading.
const COLUMNS: [(&str, &str); 4] = [
    ("miou", "mIoU"),
    ("miou_true_classes", "mIoU, true classes given"),
    ("point_on_object", "point on object"),
    ("resolution_ceiling", "resolution ceiling"),
];

/// Mean and standard deviation (unbiased) of the values a variant reached over its seeds.
fn mean_sd(values: &[f64]) -> (f64, Option<f64>) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
    (mean, (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()))
}

fn cell(values: &[f64], digits: usize) -> String {
    match mean_sd(values) {
        (mean, Some(sd)) => format!("{mean:.digits$} ± {sd:.digits$}"),
        (mean, None) => format!("{mean:.digits$}"),
    }
}

/// Rows of text: variant, the columns, images/s, seconds.
fn rows(experiment: &Experiment, results: &Results) -> Vec<Vec<String>> {
    let row = |(variant, _): &(String, _)| {
        let runs: Vec<_> = results.rows.iter().filter(|row| row.variant == *variant).collect();
        let metric = |key: &str| runs.iter().filter_map(|row| row.metrics.get(key).copied()).collect::<Vec<f64>>();
        let mut cells = vec![variant.clone()];
        cells.extend(COLUMNS.iter().map(|(key, _)| cell(&metric(key), 3)));
        cells.push(cell(&runs.iter().map(|row| row.train_images_per_second).collect::<Vec<_>>(), 0));
        cells.push(cell(&runs.iter().map(|row| row.seconds).collect::<Vec<_>>(), 0));
        cells
    };
    experiment.variants.iter().map(row).collect()
}

fn headings() -> Vec<&'static str> {
    let mut headings = vec!["variant"];
    headings.extend(COLUMNS.iter().map(|(_, heading)| *heading));
    headings.extend(["images/s", "seconds"]);
    headings
}

/// The table for the terminal.
pub fn table(experiment: &Experiment, results: &Results) -> String {
    let (headings, rows) = (headings(), rows(experiment, results));
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let mut out = String::new();
    let mut line = |cells: &[String]| {
        for (column, (cell, &width)) in cells.iter().zip(&widths).enumerate() {
            let gap = if column == 0 { "" } else { "  " };
            let _ = if column == 0 { write!(out, "{cell:<width$}") } else { write!(out, "{gap}{cell:>width$}") };
        }
        out.push('\n');
    };
    line(&headings.iter().map(|heading| (*heading).to_owned()).collect::<Vec<_>>());
    rows.iter().for_each(|row| line(row));
    out
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    name: &'a str,
    question: &'a str,
    seeds: usize,
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    chart: String,
    variants: Vec<&'a str>,
    scenes: Vec<SceneRow>,
    legend: Vec<(String, String)>,
    expectations: Vec<String>,
    config: String,
}

struct SceneRow {
    caption: String,
    object: &'static str,
    image: String,
    truth: String,
    predictions: Vec<(String, String)>,
}

/// Writes `report.html`.
///
/// # Errors
/// If the folder cannot be written.
pub fn write(experiment: &Experiment, results: &Results, out: &Path) -> Outcome {
    let path = out.join("report.html");
    let mut seeds: Vec<u64> = results.rows.iter().map(|row| row.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let mut scenes = Vec::new();
    if let Some((_, settings)) = experiment.variants.first() {
        for (i, scene) in Corpus::held_out(settings, 0)?.iter().take(settings.evaluation.pictures as usize).enumerate()
        {
            let labels = Labels { width: scene.size, height: scene.size, values: scene.labels.clone() };
            let prediction = |(variant, _): &(String, _)| {
                let folder = run_folder(out, variant, 0).join("pictures");
                (file_uri(&folder.join(format!("{i}.labels.png"))), file_uri(&folder.join(format!("{i}.heat.png"))))
            };
            scenes.push(SceneRow {
                caption: scene.caption.clone(),
                object: objects::NAMES[usize::from(scene.objects[0].class) - 1],
                image: data_uri(&picture(scene).png()),
                truth: data_uri(&labels.png()),
                predictions: experiment.variants.iter().map(prediction).collect(),
            });
        }
    }
    let hex = |class: usize| colour(class as u8).iter().map(|value| format!("{value:02x}")).collect::<String>();
    let legend = World::classes().iter().enumerate().map(|(class, name)| ((*name).to_owned(), hex(class))).collect();
    let page = Page {
        name: &experiment.name,
        question: experiment.question.trim(),
        seeds: seeds.len(),
        headings: headings(),
        rows: rows(experiment, results),
        chart: chart(experiment, out)?,
        variants: experiment.variants.iter().map(|(name, _)| name.as_str()).collect(),
        scenes,
        legend,
        expectations: experiment
            .expect
            .iter()
            .flat_map(|line| {
                seeds.iter().map(move |&seed| match line.holds(|v, m| results.value(v, seed, m)) {
                    Some(true) => format!("✓ {line} (seed {seed})"),
                    _ => format!("✗ {line} (seed {seed})"),
                })
            })
            .collect(),
        config: experiment.variants.iter().map(|(n, s)| format!("# {n}\n{}\n", s.to_toml())).collect(),
    };
    let text = page.render().map_err(|error| Failure::file(&path, error))?;
    Ok(atomic::write(&path, text.as_bytes())?)
}

fn data_uri(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(png))
}

/// A picture of a run; a run that left none shows as an empty cell.
fn file_uri(path: &Path) -> String {
    std::fs::read(path)
        .map(|png| data_uri(&png))
        .unwrap_or_else(|_| data_uri(&Picture { width: 1, height: 1, rgb: vec![238; 3] }.png()))
}

/// Colours that differ in lightness too (Okabe & Ito 2008).
const LINES: [RGBColor; 8] = [
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(204, 121, 167),
    RGBColor(0, 114, 178),
    RGBColor(60, 60, 60),
    RGBColor(240, 228, 66),
];

/// Loss over steps of seed 0, one line per variant, as SVG. Each point is the mean of a hundredth of the run.
fn chart(experiment: &Experiment, out: &Path) -> Outcome<String> {
    let mut lines = Vec::new();
    for (variant, _) in &experiment.variants {
        let metrics = read_metrics(&run_folder(out, variant, 0).join("metrics.jsonl"))?;
        let block = metrics.len().div_ceil(100).max(1);
        let mean = |part: &[crate::train::StepMetrics]| {
            let loss = part.iter().map(|line| line.loss).sum::<f64>() / part.len() as f64;
            (part[part.len() / 2].step as f64, loss)
        };
        lines.push((variant, metrics.chunks(block).map(mean).collect::<Vec<_>>()));
    }
    let all = || lines.iter().flat_map(|(_, points)| points);
    let steps = all().map(|p| p.0).fold(1.0, f64::max);
    let (low, high) = all().fold((f64::INFINITY, 0.0f64), |(low, high), p| (low.min(p.1), high.max(p.1)));
    let low = if low.is_finite() { low } else { 0.0 };
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (860, 320)).into_drawing_area();
        let draw = || -> Result<(), Box<dyn std::error::Error>> {
            let margin = (high - low).max(0.1) * 0.05;
            let mut chart = ChartBuilder::on(&root)
                .margin(10)
                .margin_right(24)
                .x_label_area_size(40)
                .y_label_area_size(52)
                .build_cartesian_2d(0.0..steps, (low - margin).max(0.0)..high + margin)?;
            chart
                .configure_mesh()
                .light_line_style(WHITE)
                .x_desc("step")
                .y_desc("loss")
                .x_label_formatter(&|step| format!("{step:.0}"))
                .y_label_formatter(&|loss| format!("{loss:.1}"))
                .label_style(("sans-serif", 14))
                .draw()?;
            for (i, (variant, points)) in lines.iter().enumerate() {
                let colour = LINES[i % LINES.len()];
                chart
                    .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?
                    .label(variant.as_str())
                    .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 22, y)], colour.stroke_width(3)));
            }
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperRight)
                .background_style(WHITE.mix(0.9))
                .border_style(RGBColor(200, 200, 200))
                .label_font(("sans-serif", 14))
                .draw()?;
            root.present()?;
            Ok(())
        };
        draw().map_err(|error| Failure::input("report.html", format!("the chart failed: {error}")))?;
    }
    Ok(svg)
}
