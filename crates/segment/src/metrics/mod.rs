//! How good is a label map, and where does the error come from?
//!
//! A metric is one file: it declares its figures, says what one image adds (an *observation*, small and plain, so that an
//! evaluation can be stopped, resumed and summarised again), and makes figures of the observations of a whole data set.

pub mod confusion;
simseg_registry::family! {
    /// Registers every metric.
    pub fn register<T: Tensor>(metrics: &mut Kinds<dyn Metric<T>>);
    iou, true_classes, pointing, ceiling, selection,
}

pub use ceiling::{Ceiling, ResolutionCeiling};
pub use confusion::{Confusion, IGNORE, Pair, bootstrap};
pub use iou::Iou;
pub use pointing::Pointing;
pub use selection::Selected;
pub use true_classes::TrueClasses;

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
