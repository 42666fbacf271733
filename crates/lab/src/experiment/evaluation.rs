//! On what a model is judged, and what is measured there.

use super::sources::Sources;
use crate::failure::Outcome;
use serde::{Deserialize, Serialize};
use simseg::{Choice, Registry};
use simseg_segment::Figure;
use simseg_tensor::Tensor;

/// How the model is judged: on images it never saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Images shown in the report, of each data set.
    #[serde(default = "six")]
    pub pictures: usize,
    /// What is measured.
    #[serde(default = "usual_metrics")]
    pub metrics: Vec<String>,
    /// Images with label maps: one data set, or several by name.
    pub data: Sources,
}

/// The names of the metrics that are measured unless told otherwise.
pub const USUAL_METRICS: [&str; 4] = ["iou", "true-classes", "pointing", "ceiling"];

fn usual_metrics() -> Vec<String> {
    USUAL_METRICS.map(str::to_owned).into()
}

fn six() -> usize {
    6
}

impl Evaluation {
    /// What its metrics measure, under the names that `results.json` has for them.
    ///
    /// # Errors
    /// If a metric is unknown.
    pub fn figures<T: Tensor>(&self, registry: &Registry<T>) -> Outcome<Vec<(String, &'static Figure)>> {
        let mut figures = vec![];
        for (prefix, _) in self.data.list() {
            for metric in &self.metrics {
                let metric = registry.segment.metrics.build(&Choice::new(metric))?;
                figures.extend(metric.figures().iter().map(|figure| (format!("{prefix}{}", figure.name), figure)));
            }
        }
        Ok(figures)
    }
}
