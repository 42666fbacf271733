//! How much of the pictures is labelled background.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use simseg_registry::Kinds;
use simseg_segment::metrics::{observation, observed, share};
use simseg_segment::{Case, Figure, Metric, Unit};
use simseg_tensor::{Result, Tensor};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Background {}

const FIGURES: [Figure; 1] = [Figure {
    name: "background_share",
    heading: "background",
    unit: Unit::Share,
    about: "pixels labelled background",
}];

impl<T: Tensor> Metric<T> for Background {
    fn figures(&self) -> &'static [Figure] {
        &FIGURES
    }

    fn observe(&self, case: &Case<'_, T>) -> Result<Value> {
        let labels = &case.prediction.labels;
        observation(&[labels.iter().filter(|&&label| label == 0).count(), labels.len()])
    }

    fn finish(&self, observations: &[Value]) -> Result<Vec<Option<f64>>> {
        let counts = observations.iter().map(observed::<[u64; 2]>).collect::<Result<Vec<_>>>()?;
        Ok(vec![share(counts.iter().map(|c| c[0]).sum(), counts.iter().map(|c| c[1]).sum())])
    }
}

pub fn register<T: Tensor>(kinds: &mut Kinds<dyn Metric<T>>) {
    kinds.add("background", "how much is background", |metric: Background| Ok(Box::new(metric)));
}
