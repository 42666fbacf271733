//! A cut at the mean of each map.

use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_segment::refine::{Canvas, Masks, Refiner, cut::above};
use simseg_tensor::Result;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MeanCut {}

impl Refiner for MeanCut {
    fn refine(&self, _: Canvas<'_>, maps: &[Vec<f32>]) -> Result<Masks> {
        let mean = |map: &[f32]| map.iter().map(|&x| f64::from(x)).sum::<f64>() / map.len() as f64;
        Ok(Masks { last: maps.iter().map(|map| above(map, mean(map))).collect(), steps: vec![] })
    }
}

pub fn register(kinds: &mut Kinds<dyn Refiner>) {
    kinds.add("mean-cut", "every pixel above the map's mean", |refiner: MeanCut| Ok(Box::new(refiner)));
}
