//! Loss over steps: one line per training, named by the variants that share it.

use super::lines::{Frame, Line, Point, draw};
use super::{Chart, legend};
use crate::experiment::Experiment;
use crate::failure::Outcome;
use crate::results::folder::of_run;
use crate::training::log::{StepMetrics, read};
use std::path::Path;

/// Most points of a line.
const POINTS: usize = 100;

/// The losses of a seed, if any run left its log.
///
/// # Errors
/// If a log cannot be read.
pub fn losses(experiment: &Experiment, seed: u64, out: &Path) -> Outcome<Option<Chart>> {
    let mut trainings: Vec<(Vec<StepMetrics>, Line)> = vec![];
    for variant in &experiment.variants {
        let log = read(&of_run(out, &variant.name, seed).join("metrics.jsonl"))?;
        if let Some((_, line)) = trainings.iter_mut().find(|(known, _)| same(known, &log)) {
            line.name = format!("{}, {}", line.name, variant.name);
            continue;
        }
        let points = points(&log);
        if !points.is_empty() {
            trainings.push((log, Line { name: variant.name.clone(), points }));
        }
    }
    if trainings.is_empty() {
        return Ok(None);
    }
    let lines: Vec<Line> = trainings.into_iter().map(|(_, line)| line).collect();
    let frame = Frame { id: "loss", title: "Loss over steps", x: "step", y: "loss", share: false, chosen: false };
    Ok(Some(Chart { title: "Loss over steps".into(), svg: draw(frame, &lines), legend: legend(&lines) }))
}

/// Whether two logs are of one training: an adopted one was read and written again, which may move a last digit.
fn same(a: &[StepMetrics], b: &[StepMetrics]) -> bool {
    let close = |a: f64, b: f64| a == b || (a - b).abs() <= 1e-12 * a.abs();
    let line =
        |(a, b): (&StepMetrics, &StepMetrics)| a.step == b.step && close(a.loss, b.loss) && close(a.rate, b.rate);
    a.len() == b.len() && a.iter().zip(b).all(line)
}

/// Each point is the mean of a hundredth of the run; a loss that is no number is left out.
fn points(log: &[StepMetrics]) -> Vec<Point> {
    let block = log.len().div_ceil(POINTS).max(1);
    let mean = |part: &[StepMetrics]| {
        let y = part.iter().map(|line| line.loss).sum::<f64>() / part.len() as f64;
        Point { x: part[part.len() / 2].step as f64, y, interval: None }
    };
    log.chunks(block).map(mean).filter(|point| point.y.is_finite()).collect()
}
