//! Mean intersection over union, and the share of pixels labelled correctly: counted over the whole data set.

use super::{Case, Confusion, Figure, Metric, Scope, Unit};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use simseg_registry::Kinds;
use simseg_tensor::{Result, Tensor};

/// The metric; an observation is an image's confusion counts that are not zero, `[truth, label, pixels]` each.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Iou {}

/// True class, label if it has one, pixels.
type Cell = (usize, Option<usize>, u64);

const FIGURES: [Figure; 2] = [
    Figure {
        name: "miou",
        heading: "mIoU",
        unit: Unit::Share,
        about: "mean over classes of intersection over union, background included",
    },
    Figure { name: "pixel_accuracy", heading: "pixel accuracy", unit: Unit::Share, about: "pixels labelled correctly" },
];

/// A prediction's counts as an observation.
///
/// # Errors
/// If a label is not below the number of classes.
pub fn counts(truth: &[u16], labels: &[u16], classes: usize) -> Result<Value> {
    let mut confusion = Confusion::new(classes);
    confusion.add(truth, labels)?;
    let cells: Vec<Cell> = confusion.pairs().map(|pair| (pair.truth, pair.label, pair.pixels)).collect();
    super::observation(&cells)
}

/// The counts of an observation.
///
/// # Errors
/// If it is none, or of more classes.
pub fn confusion(observation: &Value, classes: usize) -> Result<Confusion> {
    let mut confusion = Confusion::new(classes);
    for (truth, label, pixels) in super::observed::<Vec<Cell>>(observation)? {
        confusion.count_many(truth, label, pixels)?;
    }
    Ok(confusion)
}

/// All images together.
///
/// # Errors
/// If an observation is none.
pub fn total(observations: &[Value]) -> Result<Confusion> {
    let cells = observations.iter().map(super::observed::<Vec<Cell>>);
    let cells = cells.collect::<Result<Vec<_>>>()?.concat();
    let classes = cells.iter().map(|&(truth, label, _)| truth.max(label.unwrap_or(0)) + 1).max().unwrap_or(0);
    let mut confusion = Confusion::new(classes);
    cells.into_iter().try_for_each(|(truth, label, pixels)| confusion.count_many(truth, label, pixels))?;
    Ok(confusion)
}

impl<T: Tensor> Metric<T> for Iou {
    fn figures(&self) -> &'static [Figure] {
        &FIGURES
    }

    fn scope(&self) -> Scope {
        Scope::Labels
    }

    fn observe(&self, case: &Case<'_, T>) -> Result<Value> {
        counts(case.truth, &case.prediction.labels, case.classes)
    }

    fn finish(&self, observations: &[Value]) -> Result<Vec<Option<f64>>> {
        let total = total(observations)?;
        let counted = !observations.is_empty();
        Ok([total.miou(), total.pixel_accuracy()].map(|value| counted.then_some(value)).into())
    }
}

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn Metric<T>>) {
    kinds.add("iou", "intersection over union", |metric: Iou| Ok(Box::new(metric)));
}
