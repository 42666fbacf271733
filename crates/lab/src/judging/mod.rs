//! One evaluation, for whoever asks: `run`, `evaluate` and `calibrate` send every picture the same way.
//!
//! ```text
//! data set → item → features → segmenter → prediction → one observation per metric → figures
//! ```
//!
//! An observation is what one image adds to a metric, small enough to be kept on disk: an evaluation can be stopped, resumed and
//! summarised again from its observations alone ([`partial`]).

pub mod partial;

use crate::failure::{Failure, Outcome};
use rayon::prelude::*;
use serde_json::Value;
use simseg::{Model, Words};
use simseg_data::{Dataset, Item};
use simseg_segment::map::Size;
use simseg_segment::metrics::{Case, Figure, Metric};
use simseg_segment::{ImageFeatures, Segmentation, Segmenter};
use simseg_tensor::{NoTap, Tensor};
use std::ops::Range;

/// Everything that judges an image.
pub struct Judge<'a, T: Tensor> {
    /// Encoders and words.
    pub model: &'a Model<T>,
    /// The classes.
    pub words: &'a Words<T>,
    /// From features to a label map.
    pub segmenter: &'a dyn Segmenter<T>,
    /// What is measured.
    pub metrics: &'a [Box<dyn Metric<T>>],
    /// Whether the segmenter is given the true classes of every image: what would remain wrong if choosing them were perfect.
    pub given: bool,
}

/// A judged image.
pub struct Image<'a, T: Tensor> {
    /// Its place in the data set.
    pub index: usize,
    /// The picture and its truth.
    pub item: &'a Item,
    /// What the encoder says about it.
    pub features: &'a ImageFeatures<T>,
    /// Classes that are in it, one for each object.
    pub objects: &'a [usize],
    /// The label map.
    pub prediction: &'a Segmentation,
    /// One observation per metric.
    pub observed: Vec<Value>,
}

/// Small pictures that go through the network together, and the largest side that counts as small.
const TOGETHER: usize = 50;
const SMALL: usize = 96;

impl<T: Tensor> Judge<'_, T> {
    /// Judges the images of a range in their order; `each` gets one after the other.
    ///
    /// # Errors
    /// If an image cannot be read, does not fit, or `each` fails.
    pub fn all(
        &self,
        dataset: &dyn Dataset,
        range: Range<usize>,
        each: &mut dyn FnMut(Image<'_, T>) -> Outcome,
    ) -> Outcome {
        if dataset.classes().len() != self.words.list.len() {
            let (found, expected) = (self.words.list.len(), dataset.classes().len());
            return Err(Failure::input(
                "classes",
                format!("expected the data set's {expected} classes, found {found}"),
            ));
        }
        let mut next = range.start;
        while next < range.end {
            let first = dataset.item(next)?;
            let size = self.model.input_size(&first.picture);
            let together = if size.height.max(size.width) <= SMALL { TOGETHER } else { 1 };
            let rest = (next + 1)..(next + together).min(range.end);
            let rest: Vec<_> = rest.into_par_iter().map(|index| dataset.item(index)).collect();
            // One batch has one input size; what comes after another size, or cannot be read, waits for the next batch: whatever
            // lies before a damaged image is counted.
            let alike = |item: &Item| self.model.input_size(&item.picture) == size;
            let mut items: Vec<Item> =
                std::iter::once(first).chain(rest.into_iter().map_while(Result::ok).take_while(alike)).collect();
            let pictures: Vec<_> = items.iter_mut().map(|item| std::mem::take(&mut item.picture)).collect();
            let features = self.model.features(&pictures, &mut NoTap)?;
            for ((item, picture), features) in items.iter_mut().zip(pictures).zip(&features) {
                item.picture = picture;
                self.one(dataset, next, item, features, each)?;
                next += 1;
            }
        }
        Ok(())
    }

    fn one(
        &self,
        dataset: &dyn Dataset,
        index: usize,
        item: &Item,
        features: &ImageFeatures<T>,
        each: &mut dyn FnMut(Image<'_, T>) -> Outcome,
    ) -> Outcome {
        let view = self.model.view(features, self.words);
        let (present, objects) = (item.labels.classes(), dataset.objects(index, item));
        let prediction = match self.given {
            true => self.segmenter.segment_given(view, &present, &mut NoTap)?,
            false => self.segmenter.segment(view, &mut NoTap)?,
        };
        let case = Case {
            truth: &item.labels.values,
            size: Size { height: item.labels.height, width: item.labels.width },
            present: &present,
            objects: &objects,
            prediction: &prediction,
            view,
            segmenter: self.segmenter,
            classes: self.words.list.len(),
        };
        let observed = self.metrics.iter().map(|metric| metric.observe(&case)).collect::<Result<Vec<Value>, _>>();
        let observed = observed.map_err(|error| Failure::from(error).within(format!("{}: ", item.stem)))?;
        each(Image { index, item, features, objects: &objects, prediction: &prediction, observed })
    }
}

/// What all images added to each metric.
pub struct Observations {
    /// One list per metric, one value per image.
    lists: Vec<Vec<Value>>,
}

impl Observations {
    /// Nothing yet, of this many metrics.
    pub fn new(metrics: usize) -> Self {
        Self { lists: vec![vec![]; metrics] }
    }

    /// Adds an image: one value per metric.
    pub fn add(&mut self, observed: Vec<Value>) {
        self.lists.iter_mut().zip(observed).for_each(|(list, value)| list.push(value));
    }

    /// Images so far.
    pub fn len(&self) -> usize {
        self.lists.first().map_or(0, Vec::len)
    }

    /// Whether there is no image yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What a metric saw, one value per image.
    pub fn of(&self, metric: usize) -> &[Value] {
        &self.lists[metric]
    }

    /// The figures of all metrics, in the order in which they declare them.
    ///
    /// # Errors
    /// If an observation is not one of its metric's.
    pub fn finish<T: Tensor>(&self, metrics: &[Box<dyn Metric<T>>]) -> Outcome<Vec<(&'static Figure, Option<f64>)>> {
        let mut figures = vec![];
        for (metric, list) in metrics.iter().zip(&self.lists) {
            figures.extend(metric.figures().iter().zip(metric.finish(list)?));
        }
        Ok(figures)
    }
}
