//! Validation: figures of the model as it is after so many steps, on pairs and pictures that it does not train on.
//!
//! Retrieval is of pictures that the source of training data holds out, with all of their captions; mIoU is of the first pictures of a
//! data set, segmented by the plain recipe, so that variants which differ in their recipe alone still share a training. Nothing random
//! is in it, and it changes no weight: a training that is killed during a validation repeats it and goes on with the same bits.

use crate::experiment::Settings;
use crate::experiment::validation::{MIOU, Validation};
use crate::failure::{Failure, Outcome};
use crate::judging::{Judge, Observations};
use crate::probes::examples::Examples;
use crate::probes::{Probe, Seen};
use simseg::{Choice, ClassList, Model, Registry};
use simseg_data::{DataRegistry, Dataset, Pairs};
use simseg_segment::metrics::Metric;
use simseg_tensor::Tensor;
use std::collections::BTreeMap;

/// What a model is measured on.
pub struct Validating {
    asked: Validation,
    pairs: Option<Examples>,
    dataset: Option<Box<dyn Dataset>>,
}

/// Figures by name.
pub type Figures = BTreeMap<String, f64>;

impl Validating {
    /// Reads what resolved settings ask for; none if they ask for nothing.
    ///
    /// # Errors
    /// If the source holds out fewer pictures, or a picture cannot be read.
    pub fn open<T: Tensor>(settings: &Settings, seed: u64, registry: &Registry<T>) -> Outcome<Option<Self>> {
        let Some(asked) = &settings.training.validation else { return Ok(None) };
        let (pairs, dataset) = sources(asked, settings, seed, &registry.data)?;
        let pairs = pairs.map(|pairs| Examples::of_pairs(&*pairs, asked.pairs)).transpose();
        let pairs = pairs.map_err(|failure| failure.within("training.validation: "))?;
        Ok(Some(Self { asked: asked.clone(), pairs, dataset }))
    }

    /// That [`Self::open`] will find as many pictures as are asked for.
    ///
    /// # Errors
    /// If it will not.
    pub fn check<T: Tensor>(settings: &Settings, seed: u64, registry: &Registry<T>) -> Outcome {
        let asked = settings.training.validation.as_ref();
        asked.map_or(Ok(()), |asked| sources(asked, settings, seed, &registry.data).map(drop))
    }

    /// Whether it is time after so many steps of all.
    pub fn is_due(&self, step: u64, all: u64) -> bool {
        self.asked.is_due(step, all)
    }

    /// The figures of a model.
    ///
    /// # Errors
    /// If a picture cannot be read, or the model fails.
    pub fn measure<T: Tensor>(&self, model: &Model<T>) -> Outcome<Figures> {
        let mut figures = Figures::new();
        if let Some(pairs) = &self.pairs {
            figures.extend(Seen::new(model, pairs)?.ask(Probe::Retrieval, 0, 0)?.figures);
        }
        if let Some(dataset) = &self.dataset {
            figures.extend(miou(model, &**dataset, self.asked.images)?);
        }
        Ok(figures)
    }
}

/// Held-out pairs and pictures with label maps, of which there are as many as are asked for.
#[allow(clippy::type_complexity, reason = "two sources, each of which may not be asked for")]
fn sources(
    asked: &Validation,
    settings: &Settings,
    seed: u64,
    data: &DataRegistry,
) -> Outcome<(Option<Box<dyn Pairs>>, Option<Box<dyn Dataset>>)> {
    let held_out = || -> Outcome<Box<dyn Pairs>> {
        let all = data.open_pairs(&settings.training.data, settings.seeds.data(seed));
        let all = all.map_err(|error| Failure::from(error).of_data("training"))?;
        let held_out = all.held_out(asked.pairs).map_err(|error| Failure::from(error).of_data("training"));
        held_out.map_err(|failure| failure.within("training.validation.pairs: "))
    };
    let open = |source| {
        let dataset = data.open_dataset(source, settings.seeds.test);
        dataset.map_err(|error| Failure::from(error).of_data("training.validation"))
    };
    Ok(((asked.pairs > 0).then(held_out).transpose()?, asked.data.as_ref().map(open).transpose()?))
}

/// mIoU over the first pictures of a data set; none if none of them has a class.
fn miou<T: Tensor>(model: &Model<T>, dataset: &dyn Dataset, images: usize) -> Outcome<Option<(String, f64)>> {
    let words = model.classes(ClassList::parse(&dataset.class_lines().join("\n"))?)?;
    let metrics: Vec<Box<dyn Metric<T>>> = vec![model.registry().segment.metrics.build(&Choice::new("iou"))?];
    let judge = Judge { model, words: &words, segmenter: model.segmenter(), metrics: &metrics, instead: None };
    let mut seen = Observations::new(metrics.len());
    judge.all(dataset, 0..dataset.len().min(images), &mut |image| {
        seen.add(image.observed);
        Ok(())
    })?;
    let figures = seen.finish(&metrics)?.into_iter();
    let miou = figures.filter(|(figure, _)| figure.name == MIOU).find_map(|(_, value)| value);
    Ok(miou.filter(|value| value.is_finite()).map(|value| (MIOU.to_owned(), value)))
}

/// Figures for people, in a few words.
pub fn said(figures: &Figures) -> String {
    let short = [("i2t_r1", "i2t R@1"), ("t2i_r1", "t2i R@1"), ("t2i_r5", "t2i R@5"), (MIOU, "mIoU")];
    let known = short.iter().filter_map(|(name, short)| Some(format!("{short} {:.3}", figures.get(*name)?)));
    known.collect::<Vec<_>>().join(" ")
}
