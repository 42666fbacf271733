//! What a model relies on while it trains: one chart per main figure of each probe, one line per training, named by the variants that
//! share it.

use super::lines::{Frame, Line, Point, draw};
use super::{Chart, legend};
use crate::experiment::Experiment;
use crate::failure::Outcome;
use crate::probes::Probe;
use crate::probes::log::{self, NAME};
use crate::results::folder::of_run;
use simseg_segment::Figure;
use simseg_segment::metrics::Unit;
use std::path::Path;

/// The answers of one training.
struct Training {
    name: String,
    lines: Vec<log::Line>,
}

/// The charts of a seed; none if no training was asked anything.
///
/// # Errors
/// If a log cannot be read.
pub fn curves(experiment: &Experiment, seed: u64, out: &Path) -> Outcome<Vec<Chart>> {
    let mut trainings: Vec<Training> = vec![];
    for variant in &experiment.variants {
        let lines = log::read(&of_run(out, &variant.name, seed).join(NAME))?;
        match trainings.iter_mut().find(|training| training.lines == lines) {
            Some(training) => training.name = format!("{}, {}", training.name, variant.name),
            None if lines.is_empty() => {}
            None => trainings.push(Training { name: variant.name.clone(), lines }),
        }
    }
    let all = Probe::ALL.into_iter().flat_map(|probe| probe.main_figures().map(move |figure| (probe, figure)));
    Ok(all.filter_map(|(probe, figure)| curve(&trainings, probe, figure)).collect())
}

/// One figure over steps; nothing if no training has it.
fn curve(trainings: &[Training], probe: Probe, figure: &Figure) -> Option<Chart> {
    let line = |training: &Training| {
        let asked = training.lines.iter().filter(|line| line.probe == probe);
        let point =
            |line: &log::Line| Some(Point { x: line.step as f64, y: *line.figures.get(figure.name)?, interval: None });
        Line { name: training.name.clone(), points: asked.filter_map(point).collect() }
    };
    let lines: Vec<Line> = trainings.iter().map(line).filter(|line| !line.points.is_empty()).collect();
    let (id, title) = (format!("probe-{}", figure.name), format!("{} over steps", figure.heading));
    let share = figure.unit == Unit::Share;
    let frame = Frame { id: &id, title: &title, x: "step", y: figure.heading, share, chosen: false };
    (!lines.is_empty()).then(|| Chart { svg: draw(frame, &lines), legend: legend(&lines), title: title.clone() })
}
