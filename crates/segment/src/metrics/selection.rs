//! Which classes were drawn that are in the image? Precision and recall of the choice, whatever the masks look like.

use super::{Case, Figure, Metric, Resampled, Scope, Unit, share, sums};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use simseg_registry::Kinds;
use simseg_tensor::{Result, Tensor};

/// The metric; an observation is `[drawn rightly, drawn, present]`, background left out.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selected {}

const FIGURES: [Figure; 3] = [
    Figure {
        name: "class_precision",
        heading: "class precision",
        unit: Unit::Share,
        about: "classes drawn that are in the image",
    },
    Figure {
        name: "class_recall",
        heading: "class recall",
        unit: Unit::Share,
        about: "classes in the image that are drawn",
    },
    Figure {
        name: "classes_drawn",
        heading: "classes drawn",
        unit: Unit::Count,
        about: "classes drawn, background left out",
    },
];

impl<T: Tensor> Metric<T> for Selected {
    fn figures(&self) -> &'static [Figure] {
        &FIGURES
    }

    fn scope(&self) -> Scope {
        Scope::Labels
    }

    fn observe(&self, case: &Case<'_, T>) -> Result<Value> {
        let drawn: Vec<usize> = case.prediction.masks.iter().map(|mask| mask.class).collect();
        let drawable = case.view.bank.foreground();
        let present = case.present.iter().filter(|class| drawable.contains(class));
        let right = present.clone().filter(|class| drawn.contains(class)).count();
        super::observation(&[right, drawn.len(), present.count()])
    }

    fn finish(&self, observations: &[Value]) -> Result<Vec<Option<f64>>> {
        Metric::<T>::prepare(self, observations)?(&vec![1; observations.len()])
    }

    fn prepare<'a>(&'a self, observations: &'a [Value]) -> Result<Resampled<'a>> {
        let counts = observations.iter().map(super::observed::<[u64; 3]>).collect::<Result<Vec<_>>>()?;
        Ok(Box::new(move |times| {
            let [right, drawn, present] = sums(&counts, times);
            let images = times.iter().copied().map(u64::from).sum();
            Ok(vec![share(right, drawn), share(right, present), share(drawn, images)])
        }))
    }
}

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn Metric<T>>) {
    kinds.add("selection", "precision and recall of the classes drawn", |metric: Selected| Ok(Box::new(metric)));
}
