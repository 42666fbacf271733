//! mIoU if the classes in every image were given: what is left if choosing them were perfect.

use super::{Case, Figure, Metric, Resampled, Scope, Unit, iou};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use simseg_registry::Kinds;
use simseg_tensor::{NoTap, Result, Tensor};

/// The metric.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrueClasses {}

const FIGURES: [Figure; 1] = [Figure {
    name: "miou_true_classes",
    heading: "mIoU, true classes given",
    unit: Unit::Share,
    about: "mIoU if the classes of every image were known",
}];

impl<T: Tensor> Metric<T> for TrueClasses {
    fn figures(&self) -> &'static [Figure] {
        &FIGURES
    }

    fn scope(&self) -> Scope {
        Scope::Given
    }

    fn observe(&self, case: &Case<'_, T>) -> Result<Value> {
        let given = case.segmenter.segment_given(case.view, case.objects, &mut NoTap)?;
        iou::counts(case.truth, &given.labels, case.classes)
    }

    fn finish(&self, observations: &[Value]) -> Result<Vec<Option<f64>>> {
        iou::mean_alone(observations)
    }

    fn prepare<'a>(&'a self, observations: &'a [Value]) -> Result<Resampled<'a>> {
        iou::mean_resampled(observations)
    }
}

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn Metric<T>>) {
    kinds.add("true-classes", "the same with the classes of every image given", |metric: TrueClasses| {
        Ok(Box::new(metric))
    });
}
