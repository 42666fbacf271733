//! Score rules, thresholds, refiners, segmenters and metrics by name: one line each.

use crate::metrics::{Iou, Metric, Pointing, ResolutionCeiling, Selected, TrueClasses};
use crate::refine::{AveragedCut, Crf, Cut, Refiner};
use crate::score::{AlignerScore, BestPatch, ClassScore, Pooled};
use crate::segmenter::{PerPixel, Segmenter, SimSegConfig};
use crate::threshold::{Best, Calibrated, Fixed, Oracle, Otsu, Softmax, Statistics, Threshold};
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
    #[rustfmt::skip]
    pub fn built_in() -> Self {
        let mut scores = Kinds::<dyn ClassScore<T>>::with_default("score", "aligner");
        scores.add("aligner", "what training compared", |rule: AlignerScore| Ok(Box::new(rule)));
        scores.add("pooled", "cosine of the pooled image and the class", |rule: Pooled| Ok(Box::new(rule)));
        scores.add("best-patch", "cosine of the best patch and the class", |rule: BestPatch| Ok(Box::new(rule)));

        let mut thresholds = Kinds::<dyn Threshold>::new("threshold");
        thresholds.add("statistics", "mean + k standard deviations of the best scores", |rule: Statistics| Ok(Box::new(rule)));
        thresholds.add("fixed", "a score", |rule: Fixed| Ok(Box::new(rule)));
        thresholds.add("softmax", "a probability over all classes", |rule: Softmax| Ok(Box::new(rule)));
        thresholds.add("best", "a number of classes", |rule: Best| Ok(Box::new(rule)));
        thresholds.add("otsu", "the split with the largest variance between groups", |rule: Otsu| Ok(Box::new(rule)));
        thresholds.add("calibrated", "a score for each class (simseg calibrate)", |rule: Calibrated| Ok(Box::new(rule)));
        thresholds.add("oracle", "these classes", |rule: Oracle| Ok(Box::new(rule)));

        let mut refiners = Kinds::<dyn Refiner>::new("refine");
        refiners.add("cut", "every pixel above a level", |refiner: Cut| Ok(Box::new(refiner)));
        refiners.add("crf", "a dense CRF, and a closing", |refiner: Crf| Ok(Box::new(refiner)));
        refiners.add("pamr", "averaged along colours, then cut", |refiner: AveragedCut| Ok(Box::new(refiner)));

        let mut segmenters = Kinds::<dyn Segmenter<T>, Parts<T>>::with_default("segmentation", COMPOSED);
        segmenters.add_composed(COMPOSED, "choose classes, map, refine, compose (the paper)", |config: SimSegConfig, parts: &Parts<T>| Ok(Box::new(config.build(parts)?)));
        segmenters.add("per-pixel", "the most probable class of every pixel (MaskCLIP, SCLIP)", |config: PerPixel| Ok(Box::new(config)));

        let mut metrics = Kinds::<dyn Metric<T>>::new("metrics");
        metrics.add("iou", "intersection over union", |metric: Iou| Ok(Box::new(metric)));
        metrics.add("true-classes", "the same with the classes of every image given", |metric: TrueClasses| Ok(Box::new(metric)));
        metrics.add("pointing", "the pointing game", |metric: Pointing| Ok(Box::new(metric)));
        metrics.add("ceiling", "what the patch grid allows", |metric: ResolutionCeiling| Ok(Box::new(metric)));
        metrics.add("selection", "precision and recall of the classes drawn", |metric: Selected| Ok(Box::new(metric)));

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
