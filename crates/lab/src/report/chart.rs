//! Loss over steps, one line per variant, as SVG.

use crate::experiment::Experiment;
use crate::failure::{Failure, Outcome};
use crate::results::folder::of_run;
use crate::training::log::{StepMetrics, read};
use plotters::prelude::*;
use std::path::Path;

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

/// One line of the chart.
struct Line<'a> {
    variant: &'a str,
    /// Step and loss; each point is the mean of a hundredth of the run.
    points: Vec<(f64, f64)>,
}

/// Loss over steps of the first seed.
///
/// # Errors
/// If a log cannot be read.
pub fn losses(experiment: &Experiment, seed: u64, out: &Path) -> Outcome<String> {
    let mut lines = Vec::new();
    for variant in &experiment.variants {
        let metrics = read(&of_run(out, &variant.name, seed).join("metrics.jsonl"))?;
        let block = metrics.len().div_ceil(100).max(1);
        let mean = |part: &[StepMetrics]| {
            let loss = part.iter().map(|line| line.loss).sum::<f64>() / part.len() as f64;
            (part[part.len() / 2].step as f64, loss)
        };
        lines.push(Line { variant: &variant.name, points: metrics.chunks(block).map(mean).collect() });
    }
    draw(&lines).map_err(|error| Failure::input("report.html", format!("the chart failed: {error}")))
}

fn draw(lines: &[Line<'_>]) -> Result<String, Box<dyn std::error::Error>> {
    let all = || lines.iter().flat_map(|line| &line.points);
    let steps = all().map(|p| p.0).fold(1.0, f64::max);
    let (low, high) = all().fold((f64::INFINITY, 0.0f64), |(low, high), p| (low.min(p.1), high.max(p.1)));
    let low = if low.is_finite() { low } else { 0.0 };
    let margin = (high - low).max(0.1) * 0.05;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (860, 320)).into_drawing_area();
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
        for (i, Line { variant, points }) in lines.iter().enumerate() {
            let colour = LINES[i % LINES.len()];
            chart
                .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?
                .label(*variant)
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
    }
    Ok(svg)
}
