//! Probes while a model trains: its weights at some step become a model that is asked, and are left as they were.
//!
//! Nothing in here depends on how variants segment: the model has the plain recipe and its aligner's settings of training, so that
//! variants that share a training share its probes.

use super::examples::Examples;
use super::log::Line;
use super::{Probes, Seen};
use crate::failure::{Failure, Outcome};
use simseg::{Choice, Loaded, Model, ModelDescription, Recipe, Registry};
use simseg_data::Tokenizer;
use simseg_tensor::{Result, Tensor};
use std::sync::Arc;

/// Makes models of the weights at some step.
pub struct Snapshots<T: Tensor> {
    description: ModelDescription,
    /// The aligner's settings of training.
    asked: ModelDescription,
    tokenizer: Tokenizer,
    recipe: Recipe,
    /// Algorithms.
    pub registry: Arc<Registry<T>>,
    device: T::Device,
}

impl<T: Tensor> Snapshots<T> {
    /// Of a network and its words.
    ///
    /// # Errors
    /// If nobody knows the network or the aligner.
    pub fn new(
        description: ModelDescription,
        tokenizer: &Tokenizer,
        registry: &Arc<Registry<T>>,
        device: &T::Device,
    ) -> Outcome<Self> {
        let keys = registry.model.aligners.build(&description.aligner)?.evaluation_keys();
        let asked = ModelDescription { aligner: description.aligner.without(keys), model: description.model.clone() };
        let mut recipe = Recipe::plain();
        // Captions are cut where training cuts them, not where prompts are.
        recipe.prompts.max_tokens = description.network(registry)?.positions();
        let (tokenizer, registry, device) = (tokenizer.clone(), registry.clone(), device.clone());
        Ok(Self { description, asked, tokenizer, recipe, registry, device })
    }

    /// What a model directory holds.
    ///
    /// # Errors
    /// If a weight is missing.
    pub fn loaded(&self, weight: &dyn Fn(&str) -> Result<T>) -> Outcome<Loaded<T>> {
        self.of(&self.description, weight)
    }

    /// The model with the plain recipe.
    ///
    /// # Errors
    /// If a weight is missing.
    pub fn model(&self, weight: &dyn Fn(&str) -> Result<T>) -> Outcome<Model<T>> {
        let loaded = self.of(&self.asked, weight)?;
        Ok(Model::assemble(loaded, Some(self.recipe.clone()), self.registry.clone(), &self.device)?)
    }

    fn of(&self, description: &ModelDescription, weight: &dyn Fn(&str) -> Result<T>) -> Outcome<Loaded<T>> {
        let layout = description.layout(&self.registry)?;
        let parameters = layout.with(layout.names().map(weight).collect::<Result<Vec<T>>>()?)?;
        let (description, tokenizer) = (description.clone(), self.tokenizer.clone());
        Ok(Loaded { description, parameters, tokenizer, rounded: None })
    }
}

/// What asks a model in training.
pub struct Probing {
    probes: Probes,
    examples: Examples,
}

impl Probing {
    /// Reads the examples of resolved settings.
    ///
    /// # Errors
    /// If they cannot be read, or lack what a probe needs.
    pub fn new<T: Tensor>(probes: &Probes, registry: &Registry<T>) -> Outcome<Self> {
        Ok(Self { probes: probes.clone(), examples: open(probes, registry)? })
    }

    /// Whether it asks after so many steps of all.
    pub fn is_due(&self, step: u64, all: u64) -> bool {
        step.is_multiple_of(self.probes.every) || step == all
    }

    /// Asks a model after so many steps.
    ///
    /// # Errors
    /// If the model fails.
    pub fn ask<T: Tensor>(&self, step: u64, model: &Model<T>) -> Outcome<Vec<Line>> {
        let seen = Seen::new(model, &self.examples)?;
        let ask = |&probe| Ok(Line::new(step, seen.ask(probe, self.probes.swaps, self.probes.seed)?));
        self.probes.what.iter().map(ask).collect()
    }
}

/// The examples of resolved settings.
///
/// # Errors
/// If they cannot be read, or lack what a probe needs.
pub fn open<T: Tensor>(probes: &Probes, registry: &Registry<T>) -> Outcome<Examples> {
    let none = || Failure::input("probes.data", "expected a source of images");
    let source: &Choice = probes.data.as_ref().ok_or_else(none)?;
    Examples::open(&registry.data, source, (probes.images, probes.seed), probes.words(), &probes.what)
}
