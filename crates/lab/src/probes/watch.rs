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

/// What asks a model in training.
pub struct Probing<T: Tensor> {
    probes: Probes,
    examples: Examples,
    description: ModelDescription,
    tokenizer: Tokenizer,
    recipe: Recipe,
    registry: Arc<Registry<T>>,
    device: T::Device,
}

impl<T: Tensor> Probing<T> {
    /// Reads the examples of resolved settings.
    ///
    /// # Errors
    /// If they cannot be read, or lack what a probe needs.
    pub fn new(
        probes: &Probes,
        description: ModelDescription,
        tokenizer: &Tokenizer,
        registry: &Arc<Registry<T>>,
        device: &T::Device,
    ) -> Outcome<Self> {
        let keys = registry.model.aligners.build(&description.aligner)?.evaluation_keys();
        let description = ModelDescription { aligner: description.aligner.without(keys), ..description };
        let mut recipe = Recipe::plain();
        // Captions are cut where training cuts them, not where prompts are.
        recipe.prompts.max_tokens = description.network(registry)?.positions();
        let (examples, tokenizer) = (open(probes, registry)?, tokenizer.clone());
        let (registry, device) = (registry.clone(), device.clone());
        Ok(Self { probes: probes.clone(), examples, description, tokenizer, recipe, registry, device })
    }

    /// Whether it asks after so many steps of all.
    pub fn is_due(&self, step: u64, all: u64) -> bool {
        step.is_multiple_of(self.probes.every) || step == all
    }

    /// Asks the model with these weights.
    ///
    /// # Errors
    /// If a weight is missing, or the model fails.
    pub fn ask(&self, step: u64, weight: &dyn Fn(&str) -> Result<T>) -> Outcome<Vec<Line>> {
        let layout = self.description.layout(&self.registry)?;
        let parameters = layout.with(layout.names().map(weight).collect::<Result<Vec<T>>>()?)?;
        let (description, tokenizer) = (self.description.clone(), self.tokenizer.clone());
        let loaded = Loaded { description, parameters, tokenizer, rounded: None };
        let model = Model::assemble(loaded, Some(self.recipe.clone()), self.registry.clone(), &self.device)?;
        let seen = Seen::new(&model, &self.examples)?;
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
