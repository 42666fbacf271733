//! How good is a label map, and where does the error come from?
//!
//! A metric is one file: it declares its figures, says what one image adds (an *observation*, small and plain, so that an
//! evaluation can be stopped, resumed and summarised again), and makes figures of the observations of a whole data set.

pub mod confusion;
simseg_registry::family! {
    /// Registers every metric.
    pub fn register<T: Tensor>(metrics: &mut Kinds<dyn Metric<T>>);
    iou, true_classes, unrefined, pointing, pointing_by_class, ceiling, selection, attention,
}

pub use attention::Attention;
pub use ceiling::{Ceiling, ResolutionCeiling};
pub use confusion::{Confusion, IGNORE, Pair, bootstrap};
pub use iou::Iou;
pub use pointing::Pointing;
pub use pointing_by_class::PointingByClass;
pub use selection::Selected;
pub use true_classes::TrueClasses;
pub use unrefined::Unrefined;

use crate::features::View;
use crate::map::Size;
use crate::segmenter::{Segmentation, Segmenter};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use simseg_registry::Kinds;
use simseg_tensor::{Error, Result, Tensor};
use std::fmt;

/// One number that a metric gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figure {
    /// Its key in results and expectations.
    pub name: &'static str,
    /// Its heading in a table.
    pub heading: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// What it says, in one line for `--help`.
    pub about: &'static str,
}

/// A figure of one class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassFigure {
    /// Which class.
    pub class: usize,
    /// What stands before its name: nothing for the intersection over union.
    pub prefix: &'static str,
    /// The figure; none if no image has the class.
    pub value: Option<f64>,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// From 0 to 1.
    Share,
    /// Things in an image.
    Count,
    /// Any number.
    Number,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Share => "share from 0 to 1",
            Self::Count => "count per image",
            Self::Number => "number",
        })
    }
}

/// One image, with everything that a metric may look at.
pub struct Case<'a, T: Tensor> {
    /// True labels, `[H·W]`; [`IGNORE`] is not looked at.
    pub truth: &'a [u16],
    /// Their size.
    pub size: Size,
    /// Classes in the truth, rising, background included.
    pub present: &'a [usize],
    /// The class of every object in the image, background excluded.
    pub objects: &'a [usize],
    /// What the segmenter said.
    pub prediction: &'a Segmentation,
    /// Features of the image and of the classes.
    pub view: View<'a, T>,
    /// The segmenter, for more questions.
    pub segmenter: &'a dyn Segmenter<T>,
    /// Number of classes, background included.
    pub classes: usize,
}

/// What an observation of an image depends on, beside the image and its truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// On anything that a [`Case`] has.
    Everything,
    /// On the labels and the classes of the prediction.
    Labels,
    /// On the segmenter's maps, and on what it says when classes are given.
    Given,
    /// On the grid of patches alone.
    Grid,
}

/// A metric.
pub trait Metric<T: Tensor>: Send + Sync {
    /// Its figures: known before anything is computed.
    fn figures(&self) -> &'static [Figure];

    /// What an observation depends on beside the image and its truth: judges of one image share it where that is the same.
    fn scope(&self) -> Scope {
        Scope::Everything
    }

    /// What one image adds.
    ///
    /// # Errors
    /// If the image does not fit the classes.
    fn observe(&self, case: &Case<'_, T>) -> Result<Value>;

    /// One value per figure out of one observation per image; `None` for a figure that these images do not have.
    ///
    /// # Errors
    /// If an observation is none of this metric's.
    fn finish(&self, observations: &[Value]) -> Result<Vec<Option<f64>>>;

    /// What it says of single classes, of so many, if it says anything.
    ///
    /// # Errors
    /// If an observation is none of this metric's.
    fn by_class(&self, observations: &[Value], classes: usize) -> Result<Vec<ClassFigure>> {
        let _ = (observations, classes);
        Ok(vec![])
    }

    /// The same of images that count several times, or not at all: what a bootstrap asks a thousand times over. The default
    /// repeats observations; a metric of sums does better by reading them once.
    ///
    /// # Errors
    /// If an observation is none of this metric's.
    fn prepare<'a>(&'a self, observations: &'a [Value]) -> Result<Resampled<'a>> {
        Ok(Box::new(|times| {
            let pairs = observations.iter().zip(times);
            let drawn = pairs.flat_map(|(value, &times)| std::iter::repeat_n(value, times as usize)).cloned();
            self.finish(&drawn.collect::<Vec<_>>())
        }))
    }
}

/// Figures of a data set of which each image counts this often: one number per observation.
pub type Resampled<'a> = Box<dyn Fn(&[u32]) -> Result<Vec<Option<f64>>> + Send + Sync + 'a>;

/// Sums of observations of `N` counts, each as often as its image.
fn sums<const N: usize>(counts: &[[u64; N]], times: &[u32]) -> [u64; N] {
    counts
        .iter()
        .zip(times)
        .fold([0; N], |sums, (count, &times)| std::array::from_fn(|i| sums[i] + u64::from(times) * count[i]))
}

/// An observation as a plain value.
///
/// # Errors
/// If it is nothing that JSON can hold.
pub fn observation(value: &impl Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|error| Error::setting("observation", error.to_string()))
}

/// An observation read back.
///
/// # Errors
/// If it is none of this kind.
pub fn observed<V: DeserializeOwned>(value: &Value) -> Result<V> {
    V::deserialize(value).map_err(|error| Error::setting("observation", error.to_string()))
}

/// The share of hits among tries; nothing if there was no try.
pub fn share(hits: u64, tries: u64) -> Option<f64> {
    (tries > 0).then(|| hits as f64 / tries as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SegmentRegistry;
    use simseg_cpu::CpuTensor;
    use simseg_registry::Choice;
    use simseg_tensor::random;

    #[test]
    fn images_that_count_several_times_are_images_that_come_several_times() {
        let registry = SegmentRegistry::<CpuTensor<f32>>::built_in();
        let mut rng = random::stream(0, "prepare", 0);
        let mut below = |n: usize| (random::uniform(&mut rng) * n as f64) as u64;
        let mut image = |name: &str| match name {
            "pointing" => serde_json::json!([below(3), 3]),
            "selection" => serde_json::json!([below(2), 1 + below(3), 2]),
            "attention" => serde_json::json!({
                "foreground": [below(9) as f64 / 8.0, 0.25],
                "objects": [[below(9) as f64 / 8.0, 0.125]],
                "carried": [[below(9), 4 + below(9)], [below(3), 2]],
            }),
            "pointing-by-class" => {
                serde_json::json!([[1, below(2), 1 + below(9), 16], [2 + below(2), below(2), 1 + below(9), 16]])
            }
            "ceiling" => serde_json::json!([[[1 + below(9), below(9)], [1, below(3)]], [], [[1 + below(4), 2]]]),
            _ => {
                serde_json::json!([[0, 0, 1 + below(50)], [0, 1, below(9)], [1, null, below(9)], [3, 3, 1 + below(9)]])
            }
        };
        for name in
            ["iou", "true-classes", "unrefined", "pointing", "pointing-by-class", "selection", "ceiling", "attention"]
        {
            let metric = registry.metrics.build(&Choice::new(name)).unwrap();
            let observations: Vec<Value> = (0..7).map(|_| image(name)).collect();
            let prepared = metric.prepare(&observations).unwrap();
            for times in [[1; 7], [0, 3, 0, 1, 1, 2, 0], [0; 7], [0, 0, 0, 0, 0, 0, 12]] {
                let each = observations.iter().zip(times);
                let repeated: Vec<Value> =
                    each.flat_map(|(value, times)| vec![value.clone(); times as usize]).collect();
                let (found, expected) = (prepared(&times).unwrap(), metric.finish(&repeated).unwrap());
                assert_eq!(found.len(), expected.len(), "{name}");
                for (found, expected) in found.iter().zip(&expected) {
                    let close = found.unwrap_or(-1.0) - expected.unwrap_or(-1.0);
                    assert!(close.abs() < 1e-12, "{name} {times:?}: {found:?} instead of {expected:?}");
                }
            }
            assert!(
                metric.prepare(&[serde_json::json!("no observation")]).and_then(|all| all(&[1])).is_err(),
                "{name}"
            );
        }
    }
}
