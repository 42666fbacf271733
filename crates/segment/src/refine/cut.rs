//! The plainest mask: every pixel whose map is above a level.

use super::{Canvas, Masks, Refiner};
use serde::{Deserialize, Serialize};
use simseg_registry::Kinds;
use simseg_tensor::Result;

/// A cut.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// The level.
    #[serde(default = "one_half")]
    pub level: f64,
}

pub(super) fn one_half() -> f64 {
    0.5
}

/// 1 where a map is above a level.
pub fn above(map: &[f32], level: f64) -> Vec<u8> {
    map.iter().map(|&x| u8::from(f64::from(x) > level)).collect()
}

impl Refiner for Cut {
    fn each_alone(&self) -> bool {
        true
    }

    fn unrefined(&self, map: &[f32]) -> Vec<u8> {
        above(map, self.level)
    }

    fn refine(&self, _: Canvas<'_>, maps: &[Vec<f32>]) -> Result<Masks> {
        Ok(Masks { last: maps.iter().map(|map| above(map, self.level)).collect(), steps: vec![] })
    }
}

/// Adds it to its family.
pub fn register(kinds: &mut Kinds<dyn Refiner>) {
    kinds.add("cut", "every pixel above a level", |refiner: Cut| Ok(Box::new(refiner)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_mask_never_grows_when_its_level_rises(
            map in prop::collection::vec(0.0f32..1.0, 1..50), low in 0.0f64..1.0, step in 0.0f64..1.0,
        ) {
            let (below, above) = (above(&map, low), above(&map, low + step));
            prop_assert!(above.iter().zip(&below).all(|(a, b)| a <= b));
        }
    }
}
