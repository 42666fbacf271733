//! Mean intersection over union, and the share of pixels labelled correctly: counted over the whole data set.

use super::{Case, ClassFigure, Confusion, Figure, Metric, Resampled, Scope, Unit};
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

/// The one figure of a metric that is the mIoU of label maps made otherwise; nothing without an image.
pub(super) fn mean_alone(observations: &[Value]) -> Result<Vec<Option<f64>>> {
    Ok(vec![(!observations.is_empty()).then(|| total(observations).map(|total| total.miou())).transpose()?])
}

/// The same of images that count several times.
pub(super) fn mean_resampled<'a>(observations: &[Value]) -> Result<Resampled<'a>> {
    let images = Images::of(observations)?;
    Ok(Box::new(move |times| Ok(vec![images.figures(times).map(|[miou, _]| miou)])))
}

/// Observations that were read once, to be added up often.
pub(super) struct Images {
    /// Per image.
    cells: Vec<Vec<Cell>>,
    classes: usize,
}

impl Images {
    /// Reads observations once.
    pub(super) fn of(observations: &[Value]) -> Result<Self> {
        let cells = observations.iter().map(super::observed::<Vec<Cell>>).collect::<Result<Vec<_>>>()?;
        let classes = cells.iter().flatten().map(|&(truth, label, _)| truth.max(label.unwrap_or(0)) + 1);
        let classes = classes.max().unwrap_or(0);
        // A class that no label can name is refused before anything is as long as their number.
        if let Some(last) = classes.checked_sub(1) {
            Confusion::new(classes).count_many(last, None, 0)?;
        }
        Ok(Self { cells, classes })
    }

    /// mIoU and pixel accuracy; nothing without an image.
    pub(super) fn figures(&self, times: &[u32]) -> Option<[f64; 2]> {
        let (mut union, mut both) = (vec![0u64; self.classes], vec![0u64; self.classes]);
        let (mut right, mut all) = (0u64, 0u64);
        for (cells, &times) in self.cells.iter().zip(times).filter(|(_, times)| **times > 0) {
            for &(truth, label, pixels) in cells {
                let pixels = pixels.saturating_mul(times.into());
                union[truth] += pixels;
                all += pixels;
                match label {
                    Some(label) if label == truth => (both[truth], right) = (both[truth] + pixels, right + pixels),
                    Some(label) => union[label] += pixels,
                    None => {}
                }
            }
        }
        times.iter().any(|&times| times > 0).then(|| {
            let seen = union.iter().zip(&both).filter(|(union, _)| **union > 0);
            let (sum, n) = seen.fold((0.0, 0), |(sum, n), (&union, &both)| (sum + both as f64 / union as f64, n + 1));
            [sum / n.max(1) as f64, right as f64 / all.max(1) as f64]
        })
    }
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

    fn by_class(&self, observations: &[Value], classes: usize) -> Result<Vec<ClassFigure>> {
        let mut total = Confusion::new(classes);
        for value in observations {
            total.merge(&confusion(value, classes)?);
        }
        let each = total.iou().into_iter().enumerate();
        Ok(each.map(|(class, value)| ClassFigure { class, prefix: "", value }).collect())
    }

    fn prepare<'a>(&'a self, observations: &'a [Value]) -> Result<Resampled<'a>> {
        let images = Images::of(observations)?;
        Ok(Box::new(move |times| {
            let figures = images.figures(times);
            Ok([0, 1].map(|i| figures.map(|figures| figures[i])).into())
        }))
    }
}

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn Metric<T>>) {
    kinds.add("iou", "intersection over union", |metric: Iou| Ok(Box::new(metric)));
}
