//! Trained models as variants use them: which are judged together, and what their folders share.

use super::Registries;
use crate::experiment::built_in::BuiltIn;
use crate::experiment::{Settings, Variant};
use crate::failure::Outcome;
use crate::judging::Judge;
use crate::results::trainings::Maker;
use crate::results::{folder, inputs};
use crate::training::Trained;
use crate::training::corpus::Corpus;
use crate::training::frozen::Place;
use simseg::{Choice, Loaded, Model, Words};
use simseg_data::atomic;
use simseg_segment::metrics::Metric;
use simseg_tensor::{Differentiable, Tensor};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

/// A variant with its model.
pub(super) type Ready<T> = (usize, Model<T>);

/// Variants that see the same features and class embeddings are judged together.
pub(super) fn groups<T: Tensor>(variants: &[Variant], ready: Vec<Ready<T>>) -> VecDeque<Vec<Ready<T>>> {
    let mut groups: Vec<(String, Vec<Ready<T>>)> = vec![];
    for (index, model) in ready {
        let (recipe, evaluation) = (model.recipe(), &variants[index].settings.evaluation);
        let key = format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {}",
            model.description(),
            recipe.input,
            recipe.prompts,
            recipe.segmenter.get::<Choice>("score"),
            model.segmenter().needs(model.aligner()),
            evaluation.data,
            variants[index].settings.seeds.test,
        );
        match groups.iter_mut().find(|(other, _)| *other == key) {
            Some((_, group)) => group.push((index, model)),
            None => groups.push((key, vec![(index, model)])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

pub(super) fn judge<'a, T: Tensor>(
    model: &'a Model<T>,
    words: &'a Words<T>,
    metrics: &'a [Box<dyn Metric<T>>],
    instead: Option<BuiltIn>,
) -> Judge<'a, T> {
    Judge { model, words, segmenter: model.segmenter(), metrics, instead }
}

/// The settings with the number of words that the network must know.
pub(super) fn complete(settings: &Settings, words: usize) -> Settings {
    Settings { model: simseg_model::with_vocabulary(&settings.model, words), ..settings.clone() }
}

/// Where features of frozen towers are kept: trainings of other seeds and variants find them there.
pub(super) fn features(out: &Path, settings: &Settings, maker: &Maker) -> Outcome<Place> {
    if settings.training.frozen_features.is_none() {
        return Ok(Place { folder: out.join("features"), identity: String::new() }); // reading all data takes its time
    }
    let inputs = inputs::of_training(settings, &mut inputs::Inputs::new())?;
    let Maker { executable: _, revision: _, backend, device, precision, cpu_features } = maker;
    let identity = format!("{inputs:?} {backend} {device} {precision} {cpu_features:?}");
    Ok(Place { folder: out.join("features"), identity })
}

/// Gives a run the model and the log of its training; files are shared where the file system can.
pub(super) fn share(training: &Path, place: &Path, settings: &Settings) -> Outcome {
    let model = place.join("model");
    atomic::folder(&model)?;
    let logs = ["metrics.jsonl", crate::probes::log::NAME];
    let mut files: Vec<_> = logs.into_iter().map(|name| (training.join(name), place.join(name))).collect();
    for name in simseg::directory::TOKENIZERS.iter().chain(&["model.safetensors"]) {
        files.push((training.join("model").join(name), model.join(name)));
    }
    files.iter().filter(|(from, _)| from.exists()).try_for_each(|(from, to)| folder::share(from, to))?;
    // Its own: settings of the aligner that training does not depend on.
    Ok(settings.description().write(&model)?)
}

/// The trained model without its record of gradients, and without what only training needs.
pub(super) fn plain<D: Differentiable>(
    trained: Trained<D>,
    settings: &Settings,
    corpus: &Corpus,
    registries: &Registries<D>,
) -> Outcome<Loaded<D::Plain>> {
    let description = settings.description();
    let layout = description.layout(&registries.judging)?;
    let value = |name: &str| Ok(trained.parameters.get(name)?.plain());
    let parameters = layout.with(layout.names().map(value).collect::<simseg_tensor::Result<Vec<D::Plain>>>()?)?;
    Ok(Loaded { description, parameters, tokenizer: corpus.tokenizer.clone(), rounded: None })
}

/// TOML values as JSON.
pub(super) fn json(axes: &BTreeMap<String, toml::Value>) -> BTreeMap<String, serde_json::Value> {
    let one = |(key, value): (&String, &toml::Value)| (key.clone(), serde_json::to_value(value).unwrap_or_default());
    axes.iter().map(one).collect()
}
