//! One evaluation, for whoever asks: `run` and `evaluate` send every picture the same way.
//!
//! ```text
//! data set → item → features → segmenter → prediction → one observation per metric → figures
//! ```
//!
//! An observation is what one image adds to a metric, small enough to be kept on disk: an evaluation can be stopped, resumed and
//! summarised again from its observations alone ([`partial`]).

pub mod encoded;
mod built_in;
pub mod partial;

use crate::experiment::built_in::BuiltIn;
use crate::failure::{Failure, Outcome};
use encoded::encoded;
use serde_json::Value;
use simseg::{Model, Words};
use simseg_data::{Dataset, Item};
use simseg_segment::map::Size;
use simseg_segment::memo::Memo;
use simseg_segment::metrics::{Case, Figure, Metric, Scope};
use simseg_segment::{ImageFeatures, Segmentation, Segmenter, View};
use simseg_tensor::{NoTap, Tensor};
use std::collections::HashMap;
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
    /// What is judged instead of what the segmenter says, such as the true classes given.
    pub instead: Option<BuiltIn>,
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
        panel(std::slice::from_ref(self), dataset, range, &mut |_, image| each(image))
    }
}

/// Judges the images of a range in their order, each by every judge in turn: `each` is told which. All judges have the same model but
/// for its segmenter, and the same words, so that an image is read and encoded once, and what two segmenters would compute alike is
/// computed once.
///
/// # Errors
/// If an image cannot be read, does not fit, or `each` fails.
pub fn panel<T: Tensor>(
    judges: &[Judge<'_, T>],
    dataset: &dyn Dataset,
    range: Range<usize>,
    each: &mut dyn FnMut(usize, Image<'_, T>) -> Outcome,
) -> Outcome {
    let Some(first) = judges.first() else { return Ok(()) };
    if dataset.classes().len() != first.words.list.len() {
        let (found, expected) = (first.words.list.len(), dataset.classes().len());
        return Err(Failure::input("classes", format!("expected the data set's {expected} classes, found {found}")));
    }
    let read = |index: usize| {
        let mut item = dataset.item(index)?;
        Ok((std::mem::take(&mut item.picture), item))
    };
    encoded(first.model, range, &read, |index, picture, item, features| {
        one(judges, dataset, index, &Item { picture, ..item }, features, each)
    })
}

/// One image, by every judge.
fn one<T: Tensor>(
    judges: &[Judge<'_, T>],
    dataset: &dyn Dataset,
    index: usize,
    item: &Item,
    features: &ImageFeatures<T>,
    each: &mut dyn FnMut(usize, Image<'_, T>) -> Outcome,
) -> Outcome {
    let (present, objects) = (item.labels.classes(), dataset.objects(index, item));
    let (memo, mut shared) = (Memo::default(), HashMap::new());
    for (number, judge) in judges.iter().enumerate() {
        let view = View { memo: Some(&memo), ..judge.model.view(features, judge.words) };
        let prediction = match judge.instead {
            Some(row) => built_in::segment(row, judge.segmenter, view, item, &objects)
                .map_err(|failure| failure.within(format!("{}: ", item.stem)))?,
            None => judge.segmenter.segment(view, &mut NoTap)?,
        };
        let case = Case {
            truth: &item.labels.values,
            size: Size { height: item.labels.height, width: item.labels.width },
            present: &present,
            objects: &objects,
            prediction: &prediction,
            view,
            segmenter: judge.segmenter,
            classes: judge.words.list.len(),
        };
        let observed = judge.metrics.iter().map(|metric| observation(&**metric, &case, &mut shared));
        let observed = observed.collect::<Result<Vec<Value>, _>>();
        let observed = observed.map_err(|error| Failure::from(error).within(format!("{}: ", item.stem)))?;
        each(number, Image { index, item, features, objects: &objects, prediction: &prediction, observed })?;
    }
    Ok(())
}

/// What a metric observes; taken from an earlier judge of the same image where it would be the same.
fn observation<T: Tensor>(
    metric: &dyn Metric<T>,
    case: &Case<'_, T>,
    shared: &mut HashMap<String, Value>,
) -> simseg_tensor::Result<Value> {
    let name = metric.figures().first().map_or("", |figure| figure.name);
    let key = match metric.scope() {
        Scope::Everything => None,
        Scope::Labels => {
            let labels: Vec<u8> = case.prediction.labels.iter().flat_map(|label| label.to_le_bytes()).collect();
            let classes: Vec<usize> = case.prediction.masks.iter().map(|mask| mask.class).collect();
            Some(format!("{name} {classes:?} {}", simseg::hash::hash(&labels)))
        }
        Scope::Given => case.segmenter.given_key().map(|given| format!("{name} {given}")),
        Scope::Grid => Some(name.to_owned()),
    };
    let Some(key) = key else { return metric.observe(case) };
    if let Some(observed) = shared.get(&key) {
        return Ok(observed.clone());
    }
    let observed = metric.observe(case)?;
    shared.insert(key, observed.clone());
    Ok(observed)
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
