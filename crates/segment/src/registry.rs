//! Score rules, thresholds, refiners, segmenters and metrics by name. Each registers itself in its own file.

use crate::metrics::{self, Metric};
use crate::refine::{self, Refiner};
use crate::score::{self, ClassScore};
use crate::segmenter::{self, Segmenter};
use crate::threshold::{self, Threshold};
use simseg_registry::{Choice, Error, Kinds};
use simseg_tensor::Tensor;

/// What segmenters are composed of.
pub struct Parts<T: Tensor> {
    /// How classes are scored.
    pub scores: Kinds<dyn ClassScore<T>>,
    /// Which classes are in the image.
    pub thresholds: Kinds<dyn Threshold>,
    /// How maps become masks.
    pub refiners: Kinds<dyn Refiner>,
}

/// Everything of this crate that can be chosen by name.
pub struct SegmentRegistry<T: Tensor> {
    /// What segmenters are composed of.
    pub parts: Parts<T>,
    /// From features to label maps.
    pub segmenters: Kinds<dyn Segmenter<T>, Parts<T>>,
    /// What is measured.
    pub metrics: Kinds<dyn Metric<T>>,
}

/// The segmenter whose parts are chosen by name, and the default.
const COMPOSED: &str = "simseg";

impl<T: Tensor> SegmentRegistry<T> {
    /// What this crate brings.
    pub fn built_in() -> Self {
        let mut scores = Kinds::<dyn ClassScore<T>>::with_default("score", "aligner");
        score::register(&mut scores);
        let mut thresholds = Kinds::<dyn Threshold>::new("threshold");
        threshold::register(&mut thresholds);
        let mut refiners = Kinds::<dyn Refiner>::new("refine");
        refine::register(&mut refiners);
        let mut segmenters = Kinds::<dyn Segmenter<T>, Parts<T>>::with_default("segmentation", COMPOSED);
        segmenter::register(&mut segmenters);
        let mut metrics = Kinds::<dyn Metric<T>>::new("metrics");
        metrics::register(&mut metrics);
        Self { parts: Parts { scores, thresholds, refiners }, segmenters, metrics }
    }

    /// The segmenter of a choice.
    ///
    /// # Errors
    /// If nobody knows its kind, one of its parts or settings.
    pub fn segmenter(&self, choice: &Choice) -> Result<Box<dyn Segmenter<T>>, Error> {
        self.segmenters.build_in(choice, &self.parts)
    }

    /// The choice of a segmenter with every setting written out, those of its parts too.
    ///
    /// # Errors
    /// As [`Self::segmenter`].
    pub fn resolve_segmenter(&self, choice: &Choice) -> Result<Choice, Error> {
        let mut resolved = self.segmenters.resolve(choice)?;
        if resolved.kind == COMPOSED {
            let part = |key: &str| resolved.get::<Choice>(key).unwrap_or_default();
            let score = self.parts.scores.resolve(&part("score"))?;
            let threshold = self.parts.thresholds.resolve(&part("threshold"))?;
            let refine = self.parts.refiners.resolve(&part("refine"))?;
            resolved = resolved.with("score", score).with("threshold", threshold).with("refine", refine);
        }
        Ok(resolved)
    }
}
